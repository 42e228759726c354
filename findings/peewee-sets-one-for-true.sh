#!/bin/sh
# Changing one member of a JSON document with peewee stores 1 for True and 0 for False. Storing the whole document, or a
# list or an object that contains them, stores true and false.
#
# Seen with peewee 4.5.3 and the JSONField of its SQLite extension: after data["done"].set(True), and likewise with
# replace, insert and append, the document is {"done": 1}, and 0 for False; data["done"].set([True]) makes it {"done":
# [true]}. peewee binds the Python value, and SQLite has no truth values. In Python nothing shows, since 1 == True.
#
# Output: {'create': 'true', 'set': '1', 'replace': '1', 'insert': '1', 'append': '1', 'set of a list': '[true]'}
#
# Why it matters: a test that compares in Python passes. Whoever validates the document against its schema, where "done"
# is a boolean, or compares with === in JavaScript, has a damaged session after an update that changed one flag. Set
# such members with fn.json_set(Session.data, '$.done', fn.json('true')), or write the whole document.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'peewee==4.5.3' 'jsonschema==4.26.0'
"$folder/venv/bin/python" - <<'PY'
import json

import jsonschema
import peewee
from peewee import Model, SqliteDatabase, fn
from playhouse.sqlite_ext import JSONField

assert peewee.__version__ == "4.5.3"
BOOLEAN = jsonschema.Draft202012Validator({"properties": {"done": {"type": "boolean"}}})
database = SqliteDatabase(":memory:")


class Session(Model):
    data = JSONField()

    class Meta:
        database = database


database.create_tables([Session])


def stored(change=None, **document):
    session = Session.create(data=document)
    if change is not None:
        Session.update(data=change).where(Session.id == session.id).execute()
    return Session.get_by_id(session.id).data


documents = {
    "create": stored(done=True),
    "set": stored(Session.data["done"].set(True), done=False),
    "replace": stored(Session.data["done"].replace(True), done=False),
    "insert": stored(Session.data["done"].insert(True)),
    "append": {"done": stored(Session.data["flags"].append(True), flags=[])["flags"][0]},
    "set of a list": stored(Session.data["done"].set([True]), done=False),
}
found = {name: json.dumps(document["done"]) for name, document in documents.items()}
print(found)
assert documents["set"] == {"done": True} and not BOOLEAN.is_valid(documents["set"]), "it is valid now"
assert BOOLEAN.is_valid(documents["create"]), "whole documents have no boolean now"
assert [found[name] for name in ("set", "replace", "insert", "append")] == ["1"] * 4, "truth values are kept now"
assert found["set of a list"] == "[true]", "a list loses them, too, now"
assert json.dumps(stored(Session.data["done"].set(False), done=True)) == '{"done": 0}', "False is kept now"
by_hand = stored(fn.json_set(Session.data, "$.done", fn.json("true")), done=False)
assert json.dumps(by_hand) == '{"done": true}', "json() does not help now"
PY
