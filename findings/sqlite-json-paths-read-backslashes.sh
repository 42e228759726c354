#!/bin/sh
# SQLite's JSON functions do not find a member whose name has a backslash if its name stands in the path as it is, and
# setting it adds another member, after which the document may not be JSON any more. The statement succeeds.
#
# Seen with APSW 3.54.1.0 (SQLite 3.54.1), and peewee 4.5.3 on it: in {"C:\\src\\a.py": 1}, the name is C:\src\a.py.
# The operator ->> with this name is NULL. json_set with the path $."C:\src\a.py" keeps the old member and writes the
# new name without escaping it: \s is no escape of JSON, so that json_valid is 0 then, json.loads raises, and
# json_extract of any other member is an error. With C:\temp\new.py, the result is JSON, and the name of the new member
# has a tab and a newline. peewee's data["C:\\src\\a.py"].set(2) does the same. With the name escaped as in JSON,
# $."C:\\src\\a.py", all of it works: json_each spells the path so in fullkey.
#
# Output: as it is: None, not JSON; escaped: 1, [2]; temp: ['C:\\temp\\new.py', 'C:\temp\new.py']; peewee: None, not
# JSON
#
# Why it matters: agents keep what they did to a file under its path, and on Windows every path has backslashes. A
# viewer finds nothing there, and one update of one member makes the whole session unreadable, for SQLite, too, while
# quick_check is ok. Write names into paths with json.dumps, and give a column with documents a CHECK
# (json_valid(data)), which makes an error of such an update.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'apsw==3.54.1.0' 'peewee==4.5.3'
"$folder/venv/bin/python" - <<'PY'
import json

import apsw
from peewee import Model
from playhouse.apsw_ext import APSWDatabase
from playhouse.sqlite_ext import JSONField

assert apsw.sqlite_lib_version() == "3.54.1"
database = APSWDatabase(":memory:")
connection = database.connection()


class Session(Model):
    data = JSONField()

    class Meta:
        database = database


database.create_tables([Session])


def ask(sql, *values):
    return connection.execute(f"SELECT {sql}", values).get


def read(text):
    if ask("json_valid(?)", text):
        return json.loads(text)
    try:
        ask("json_extract(?, '$.title')", text)
    except apsw.SQLError:
        return "not JSON"
    raise AssertionError("SQLite reads the other members now")


def story(name, label):
    text = json.dumps({"title": "Plan", name: 1})
    return ask("? ->> ?", text, label), read(ask("json_set(?, ?, 2)", text, f'$."{label}"'))


def with_peewee(name):
    session = Session.create(data={"title": "Plan", name: 1})
    found = Session.select(Session.data[name]).scalar()
    assert Session.update(data=Session.data[name].set(2)).execute() == 1
    return found, read(connection.execute("SELECT data FROM session WHERE id = ?", (session.id,)).get)


name, other = r"C:\src\a.py", r"C:\temp\new.py"
plain, escaped = story(name, name), story(name, json.dumps(name)[1:-1])
renamed, by_peewee = story(other, other), with_peewee(name)
fullkey = connection.execute("SELECT fullkey FROM json_each(?)", (json.dumps({name: 1}),)).get
names, values = list(renamed[1])[1:], list(escaped[1].values())[1:]
print(f"as it is: {plain[0]}, {plain[1]}; escaped: {escaped[0]}, {values}; temp: {names}; ", end="")
print(f"peewee: {by_peewee[0]}, {by_peewee[1]}")
assert plain == (None, "not JSON"), "a name with backslashes is found, or stored as JSON, now"
assert escaped == (1, {"title": "Plan", name: 2}), "an escaped name does not help now"
assert renamed == (None, {"title": "Plan", other: 1, "C:\temp\new.py": 2}), "the new member has another name now"
assert by_peewee == (None, "not JSON"), "peewee escapes names now"
assert fullkey == "$." + json.dumps(name), "json_each spells the path differently now"
assert connection.execute("PRAGMA quick_check").get == "ok"
connection.execute("CREATE TABLE checked (data TEXT CHECK (json_valid(data)))")
connection.execute("INSERT INTO checked VALUES (?)", (json.dumps({name: 1}),))
try:
    connection.execute("UPDATE checked SET data = json_set(data, ?, 2)", (f'$."{name}"',))
except apsw.ConstraintError:
    pass
else:
    raise AssertionError("a CHECK does not help now")
PY
