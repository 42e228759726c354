#!/bin/sh
# DuckDB's read_json takes a column's type from a sample, and makes later values of other types fit: fractions become
# rounded integers, numbers become true, and the text "no" becomes false. Nothing is reported.
#
# Seen with DuckDB 1.5.5 and sample_size = 2, so that three lines show it: after two integers, 2.5 is 2 and 3.5 is 4
# (halves go to the even number), and true is 1; after two true, 0.4 is true and "no" is false. A text that is not a
# number, or a member that the sample did not have, is an error.
#
# Output: {'[1, 2, 2.5]': 2, '[1, 2, 3.5]': 4, '[1, 2, true]': 1, '[true, true, 0.4]': True, '[true, true, "no"]':
# False}
#
# Why it matters: the first 20,000 sessions of a history have whole seconds, then a new version of the app writes
# fractions: every sum over the column is off, and no error says so. Set sample_size = -1, or name the types with
# columns.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'duckdb==1.5.5'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import json
import pathlib

import duckdb


def last(values, size):
    file = pathlib.Path("sessions.ndjson")
    file.write_text("".join(json.dumps({"value": value}) + "\n" for value in values))
    return duckdb.sql(f"SELECT value FROM read_json('{file}', sample_size = {size})").fetchall()[-1][0]


CASES = [[1, 2, 2.5], [1, 2, 3.5], [1, 2, True], [True, True, 0.4], [True, True, "no"]]
sampled = {json.dumps(values): last(values, 2) for values in CASES}
print(sampled)
assert list(sampled.values()) == [2, 4, 1, True, False], "read_json converts other values now"
assert last([1, 2, 2.5], -1) == 2.5, "a full sample no longer helps"
PY
