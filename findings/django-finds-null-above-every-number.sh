#!/bin/sh
# On SQLite, Django's filter(data__seconds__gt=100) on a JSONField also finds the documents in which the number is null,
# true or false: every one of them is greater than any number.
#
# Seen with Django 5.2.19: of the documents with 90, 3600, null, false, true and without the member, gt=100 finds 3600,
# null, false and true, and gt=10**15 finds null, false and true: Django compares the words 'null', 'false' and 'true',
# and in SQLite a text is greater than each number. json_extract in SQLite's own SQL finds 3600 alone. No error, no
# warning.
#
# Output: Django [3600, None, False, True], above 10**15 [None, False, True], SQLite [3600]
#
# Why it matters: sessions that are not over have null for their duration, and are found among the long ones; messages
# without a score are among the best, and come first in order_by("-data__score"). The documentation says that the text
# "true" is taken for true there, not that null is above every number. Add data__seconds__lt with a number that is large
# enough, or filter on columns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'Django==5.2.19'
"$folder/venv/bin/python" - <<'PY'
import django
from django.conf import settings
from django.db import connection, models

memory = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
settings.configure(DATABASES={"default": memory}, DEFAULT_AUTO_FIELD="django.db.models.AutoField")
django.setup()


class Session(models.Model):
    data = models.JSONField()

    class Meta:
        app_label = "history"
        db_table = "sessions"


with connection.schema_editor() as editor:
    editor.create_model(Session)
for value in (90, 3600, None, False, True):
    Session.objects.create(data={"seconds": value})
Session.objects.create(data={})


def seconds(sessions, *order):
    return [session.data.get("seconds", "absent") for session in sessions.order_by(*order, "id")]


above = seconds(Session.objects.filter(data__seconds__gt=100))
far_above = seconds(Session.objects.filter(data__seconds__gt=10**15))
bounded = seconds(Session.objects.filter(data__seconds__gt=100, data__seconds__lt=10**15))
with connection.cursor() as cursor:
    ask = "SELECT json_extract(data, '$.seconds') AS seconds FROM sessions WHERE seconds > 100"
    sqlite = [value for (value,) in cursor.execute(ask).fetchall()]
first = seconds(Session.objects.all(), "-data__seconds")[:3]
print(f"Django {above}, above 10**15 {far_above}, SQLite {sqlite}")
assert sqlite == bounded == [3600], "SQLite compares them differently now"
assert above == [3600, None, False, True], "Django compares them differently now"
assert far_above == [None, False, True], "Django has another largest value now"
assert first == [True, None, False], "Django sorts null otherwise now"
PY
