#!/bin/sh
# sqlite-vec narrows a search for the nearest vectors before the search or after it, depending on how the condition is
# spelled, and after it nothing may be left. An IN list finds its rows, unless it has one element.
#
# Seen with sqlite-vec 0.1.9, five vectors, of which 1 and 2 are the nearest, and k = 2, with conditions on columns of
# the vec0 table itself: id IN (4, 5) finds 4 and 5; id IN (5), of which SQLite makes id = 5, finds nothing, and as id
# IN (SELECT value FROM json_each('[5]')) it finds 5. Of another column, session <> 1 AND session <> 2 finds 3 and 4,
# session NOT IN (1, 2) nothing. Nothing is raised.
#
# Output: id IN (4, 5): [4, 5]; id IN (SELECT value FROM json_each('[5]')): [5]; session <> 1 AND session <> 2: [3, 4];
# id IN (5): []; id > 3: []; session NOT IN (1, 2): []
#
# Why it matters: searching in what a filter let through works with two messages and not with one; "similar, but not of
# this session" finds none where there are many, and with few rows in a test it finds them. Give ids as IN (SELECT value
# FROM json_each(?)), write NOT IN as a row of <>, and compare the number of rows with k.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'sqlite-vec==0.1.9' 'apsw==3.54.1.0'
"$folder/venv/bin/python" - <<'PY'
import apsw
import sqlite_vec

database = apsw.Connection(":memory:")
database.enable_load_extension(True)
database.load_extension(sqlite_vec.loadable_path())
assert database.execute("SELECT vec_version()").get == "v0.1.9"
database.execute("CREATE VIRTUAL TABLE messages USING vec0(id INTEGER PRIMARY KEY, session INTEGER, meaning FLOAT[2])")
database.executemany("INSERT INTO messages VALUES (?, ?, ?)", [(i, i, f"[{i}, 0]") for i in range(1, 6)])


def ids(query):
    return [number for (number,) in database.execute(query)]


def nearest(condition):
    return ids(f"SELECT id FROM messages WHERE meaning MATCH '[0, 0]' AND k = 2 AND {condition}")


def compared(condition):
    """The same with a distance that is computed for each row."""
    distance = "vec_distance_L2(meaning, '[0, 0]')"
    return ids(f"SELECT id FROM messages WHERE {condition} ORDER BY {distance} LIMIT 2")


BEFORE = {
    "id IN (4, 5)": [4, 5],
    "id IN (SELECT value FROM json_each('[5]'))": [5],
    "session <> 1 AND session <> 2": [3, 4],
}
AFTER = {"id IN (5)": [5], "id > 3": [4, 5], "session NOT IN (1, 2)": [3, 4]}
found = {condition: nearest(condition) for condition in (BEFORE | AFTER)}
print(*(f"{condition}: {numbers}" for condition, numbers in found.items()), sep="; ")
for condition, expected in (BEFORE | AFTER).items():
    assert compared(condition) == expected, f"a plain comparison finds other rows now: {condition}"
for condition, expected in BEFORE.items():
    assert found[condition] == expected, f"it filters differently now: {condition}"
for condition in AFTER:
    assert found[condition] == [], f"it filters before the search now: {condition}"
PY
