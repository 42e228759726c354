#!/bin/sh
# Datasette shows and exports only the first page of a table whose key has no declared type and holds numbers: the page
# after it is empty, and the export of all rows ends there, with status 200. Sorting by such a column does the same to
# any table.
#
# Seen with datasette 0.65.5, which exports in pages of 1,000 rows. CREATE TABLE messages (id PRIMARY KEY, content TEXT)
# has 2,500 rows, its page says so, and ?_stream=on gives 1,000. CREATE TABLE lengths AS SELECT id, json_extract(...) AS
# length makes a column without a type, too: all 2,500 rows come, and with _sort=length 1,000. In descending order the
# second page is the first one again. Datasette asks for the rows after the last one with a text from the URL, and where
# no type is declared, every number is below every text. With INTEGER, all rows come. Datasette's own list of issues has
# its filters, which find nothing in such columns of views.
#
# Output: messages 1000 of 2500, lengths 2500, sorted 1000, descending again the first page, typed 2500
#
# Why it matters: SQLite lets types be left out, and CREATE TABLE ... AS of members of documents leaves them out. A
# history that is downloaded through Datasette ends after its first page, and nothing reports it. Compare the number of
# rows with count(*), or declare the type.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'datasette==0.65.5'
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import asyncio
import csv
import sqlite3

from datasette.app import Datasette

SCHEMA = """
CREATE TABLE messages (id PRIMARY KEY, content TEXT);
CREATE TABLE typed (id INTEGER PRIMARY KEY, content TEXT);
CREATE TABLE documents (id INTEGER PRIMARY KEY, data TEXT);
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2500)
INSERT INTO documents SELECT n, json_object('length', 10000 + n) FROM numbers;
INSERT INTO messages SELECT id, 'hello' FROM documents;
INSERT INTO typed SELECT id, 'hello' FROM documents;
CREATE TABLE lengths AS SELECT id, json_extract(data, '$.length') AS length FROM documents;
"""
connection = sqlite3.connect("history.db")
connection.executescript(SCHEMA)
connection.close()


async def rows(client, table, order=""):
    response = await client.get(f"/history/{table}.csv?_stream=on&_size=max{order}")
    assert response.status_code == 200
    return len(list(csv.reader(response.text.splitlines()))) - 1


async def pages(client, path):
    first = (await client.get(path)).json()
    second = (await client.get(first["next_url"].removeprefix("http://localhost"))).json()
    return first["filtered_table_rows_count"], first["rows"], second["rows"]


async def main():
    client = Datasette(["history.db"]).client
    exported = [await rows(client, table) for table in ("messages", "typed", "lengths")]
    in_order = await rows(client, "lengths", "&_sort=length")
    count, _, second = await pages(client, "/history/messages.json?")
    _, *descending = await pages(client, "/history/lengths.json?_sort_desc=length")
    again = "again the first page" if descending[0] == descending[1] else "another page"
    print(f"messages {exported[0]} of {count}, lengths {exported[2]}, sorted {in_order}, ", end="")
    print(f"descending {again}, typed {exported[1]}")
    assert (count, second) == (2500, []), "the second page has rows now"
    assert exported == [1000, 2500, 2500], "other numbers of rows are exported now"
    assert in_order == 1000, "sorted exports have another number of rows now"
    assert again == "again the first page", "descending pages are different now"


asyncio.run(main())
PY
