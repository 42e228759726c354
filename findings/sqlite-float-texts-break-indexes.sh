#!/bin/sh
# Newer SQLite versions spell some floating-point numbers differently as text. An index on such a text, written by an
# older SQLite, finds nothing in a newer one; its UNIQUE lets repeats in, and quick_check calls the file sound.
#
# Seen with APSW 3.51.3.0 (SQLite 3.51.3) and 3.54.1.0 (SQLite 3.54.1), whose packages bring these versions of SQLite:
# 0.1 + 0.2 as a text is 0.3 in the older one and 0.30000000000000004 in the newer one. The same holds for CAST(... AS
# TEXT), for || and for json_array(). A stored generated column keeps the old spelling.
#
# Output: the lookup that the index answers: no rows; without the index: row 1; a repeat is accepted; quick_check: ok;
# integrity_check: row 1 missing from index by_json.
#
# Why it matters: an app's own SQLite and that of a script are seldom of one version. Index the number, or what JSON
# holds as a text, and never a number that SQL turned into a text; run REINDEX after a change of the version.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for pinned in 3.51.3.0 3.54.1.0; do
    python3 -m venv "$folder/$pinned"
    "$folder/$pinned/bin/python" -m pip install -qq "apsw==$pinned"
done
"$folder/3.51.3.0/bin/python" - "$folder/scores.db" <<'PY'
import sys

import apsw

database = apsw.Connection(sys.argv[1])
database.execute("""
    CREATE TABLE scores (id INTEGER PRIMARY KEY, score REAL);
    CREATE UNIQUE INDEX by_json ON scores(json_array(score));
    INSERT INTO scores VALUES (1, 0.1 + 0.2), (2, 0.5);
""").fetchall()
assert database.execute("PRAGMA integrity_check").get == "ok"
PY
"$folder/3.54.1.0/bin/python" - "$folder/scores.db" <<'PY'
import sys

import apsw

database = apsw.Connection(sys.argv[1])
look = "SELECT id FROM scores {} WHERE json_array(score) = json_array(0.1 + 0.2)"
indexed = database.execute(look.format("")).fetchall()
scanned = database.execute(look.format("NOT INDEXED")).fetchall()
quick = database.execute("PRAGMA quick_check").get
full = database.execute("PRAGMA integrity_check").get
database.execute("INSERT INTO scores VALUES (3, 0.1 + 0.2)")
repeats = database.execute("SELECT count(*) FROM scores WHERE score = 0.1 + 0.2").get
print(f"indexed {indexed}, not indexed {scanned}, {repeats} equal rows, quick_check {quick}, integrity_check {full}")
assert (indexed, scanned, repeats, quick) == ([], [(1,)], 2, "ok"), "the two versions spell numbers alike now"
assert full == "row 1 missing from index by_json", "integrity_check reports something else now"
PY
