#!/bin/sh
# ADBC's driver for SQLite cuts numbers down to seven digits in a column that has a text or a blob, too.
#
# Seen with adbc-driver-sqlite 1.13.0: json_each of {"started": 1736762400.25, "title": "Plan"} gives '1.736762e+09',
# which is 400 seconds off. An integer loses its digits as well, if a fraction stands before the first text: 1736762400,
# 0.5, 'x' are '1.736762e+09', '5.000000e-01', 'x', and in another order, 'x', 1736762400, 0.5, the integer is exact.
# Without the text, or with CAST(value AS TEXT), all digits are there; APSW returns the numbers.
#
# Output, in short: numbers [1736762400.25, 0.5], document ['1.736762e+09', 'Plan'], blob [b'1.736762e+09', b'x'], cast
# ['1736762400.25', 'Plan']
#
# Why it matters: members of a document as rows (json_each, settings, key and value) are such columns. One title among
# the rows, and pandas and polars, which read through ADBC, get times that are minutes off and costs without cents;
# the same query without the title is exact, so that nobody looks there. Cast such columns to TEXT, or ask for numbers
# and texts in two queries.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'adbc-driver-sqlite==1.13.0' 'adbc-driver-manager==1.13.0' \
    'pyarrow==26.0.1' 'apsw==3.54.1.0'
"$folder/venv/bin/python" - <<'PY'
import adbc_driver_sqlite.dbapi
import apsw

EACH = "SELECT {} FROM json_each('{{\"started\": 1736762400.25, \"title\": \"Plan\"}}')"
QUERIES = {
    "numbers": "VALUES (1736762400.25), (0.5)",
    "document": EACH.format("value"),
    "blob": "VALUES (1736762400.25), (x'78')",
    "fraction first": "VALUES (1736762400), (0.5), ('x')",
    "text first": "VALUES ('x'), (1736762400), (0.5)",
    "cast": EACH.format("CAST(value AS TEXT)"),
}


def ask(cursor, query):
    cursor.execute(query)
    return [value for (value,) in cursor.fetchall()]


with adbc_driver_sqlite.dbapi.connect() as connection, connection.cursor() as cursor:
    found = {name: ask(cursor, query) for name, query in QUERIES.items()}
control = ask(apsw.Connection(":memory:").cursor(), QUERIES["document"])
print(found)
assert control == [1736762400.25, "Plan"], "SQLite returns something else now"
assert found["numbers"] == [1736762400.25, 0.5], "numbers alone are inexact now"
assert found["document"] == ["1.736762e+09", "Plan"], "a fraction next to a text is exact now"
assert found["blob"] == [b"1.736762e+09", b"x"], "a fraction next to a blob is exact now"
assert found["fraction first"] == ["1.736762e+09", "5.000000e-01", "x"], "an integer after a fraction is exact now"
assert found["text first"] == ["x", "1736762400", "5.000000e-01"], "an integer after a text is inexact now"
assert found["cast"] == ["1736762400.25", "Plan"], "the cast is inexact now"
PY
