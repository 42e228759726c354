#!/bin/sh
# The same query on the same JSON file has other answers on other computers since DuckDB 2: read_json gives times in UTC
# a type that is compared with texts, cut to days and written in the zone of the computer.
#
# Seen with DuckDB 1.5.5 and 2.0.1, and messages at 2025-01-13T23:30:00Z and 2025-01-14T00:30:00Z. With 1.5.5 they are
# of two days in every zone, and one is after '2025-01-14'. With 2.0.1 and TZ=America/New_York, both are of 2025-01-13,
# and none is after '2025-01-14'. COPY to JSON writes the first one as "2025-01-13 18:30:00-05", in UTC with "+00", and
# SQLite's datetime() makes NULL of either. If one value of the column has no zone, all of them stay texts, and there
# are two days again.
#
# Output: 1.5.5 UTC [2, 1], New York [2, 1]; 2.0.1 UTC [2, 1], New York [1, 0], after SET TimeZone = 'UTC' [2, 1]
#
# Why it matters: messages per day, counted on a server in UTC and on a laptop, differ, and so do the counts before and
# after an upgrade. A history that went through COPY has times that SQLite cannot read. Run SET TimeZone = 'UTC' first,
# or read the column as it is written, with columns = {made: 'VARCHAR'}.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
cat > messages.ndjson <<'NDJSON'
{"made": "2025-01-13T23:30:00Z"}
{"made": "2025-01-14T00:30:00Z"}
NDJSON
{ cat messages.ndjson; echo '{"made": "2025-01-14T12:00:00"}'; } > mixed.ndjson
cat > look.py <<'PY'
import pathlib
import sqlite3
import sys

import duckdb

pinned, zone, *first = sys.argv[1:]
assert duckdb.__version__ == pinned
database = duckdb.connect()
for statement in first:
    database.execute(statement)


def ask(numbers, file="messages.ndjson"):
    return list(database.execute(f"SELECT {numbers} FROM read_json('{file}')").fetchone())


found = ask("count(DISTINCT CAST(made AS DATE)), count_if(made > '2025-01-14')")
days_of_mixed = ask("count(DISTINCT CAST(made AS DATE))", "mixed.ndjson")
column = "columns = {made: 'VARCHAR'}"
(as_written,) = database.execute(f"SELECT min(made) FROM read_json('messages.ndjson', {column})").fetchone()
assert as_written == "2025-01-13T23:30:00Z", "a column that is named is read differently now"
database.execute("COPY (SELECT * FROM read_json('messages.ndjson')) TO 'out.ndjson' (FORMAT json)")
written = pathlib.Path("out.ndjson").read_text().splitlines()[0]
text = written.removeprefix('{"made":"').removesuffix('"}')
(read,) = sqlite3.connect(":memory:").execute("SELECT datetime(?)", (text,)).fetchone()
print(f"{pinned} {zone} {found}, written {text}, in SQLite {read}")
moved = pinned == "2.0.1" and zone != "UTC" and not first
assert found == ([1, 0] if moved else [2, 1]), "it reads the times in another zone now"
assert days_of_mixed == [2], "a column with and without zones is read differently now"
expected = {"1.5.5": "2025-01-13 23:30:00", "2.0.1": "2025-01-13 18:30:00-05" if moved else "2025-01-13 23:30:00+00"}
assert text == expected[pinned] and (read is None) == (pinned == "2.0.1"), "COPY writes another time now"
PY
for pinned in 1.5.5 2.0.1; do
    python3 -m venv "$folder/$pinned"
    "$folder/$pinned/bin/python" -m pip install -qq "duckdb==$pinned"
    for zone in UTC America/New_York; do
        TZ=$zone "$folder/$pinned/bin/python" look.py "$pinned" "$zone"
    done
    TZ=America/New_York "$folder/$pinned/bin/python" look.py "$pinned" America/New_York "SET TimeZone = 'UTC'"
done
