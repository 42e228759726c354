#!/bin/sh
# polars reads the same records from an array and from lines: read_json fails at a member that the rows it inferred
# the schema from did not have, and read_ndjson drops the member without a word.
#
# Seen with polars 2.1.0, two records, infer_schema_length=1: [{"id": 1}, {"id": 2, "note": "mine"}] raises
# ComputeError ("extra field in struct data: note"); as two lines, it is a frame with the column id alone. With None
# in place of 1, both have both columns. In the other direction, read_json reads true among integers as 1, and
# read_ndjson raises.
#
# Output: array: ComputeError, lines: ['id'], all inferred: ['id', 'note']; true and 2: array [1, 2], lines:
# ComputeError
#
# Why it matters: members that few sessions have (a verdict, a note) are the ones that a sample misses. An export as
# lines, which is what large histories are exported as, loses them. Give infer_schema_length=None, or a schema.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'polars==2.1.0'
"$folder/venv/bin/python" - <<'PY'
import io
import json

import polars

NOTES = [{"id": 1}, {"id": 2, "note": "mine"}]
FLAGS = [{"flag": True}, {"flag": 2}]


def array(records, **options):
    return polars.read_json(io.BytesIO(json.dumps(records).encode()), **options)


def lines(records, **options):
    return polars.read_ndjson(io.BytesIO("\n".join(map(json.dumps, records)).encode()), **options)


def columns(read, records, length):
    try:
        return read(records, infer_schema_length=length).columns
    except polars.exceptions.ComputeError:
        return "ComputeError"


def flags(read):
    try:
        return read(FLAGS)["flag"].to_list()
    except polars.exceptions.ComputeError:
        return "ComputeError"


found = [columns(array, NOTES, 1), columns(lines, NOTES, 1), columns(array, NOTES, None), columns(lines, NOTES, None)]
print(f"array: {found[0]}, lines: {found[1]}, all inferred: {found[2:]}; flags: {flags(array)}, {flags(lines)}")
assert found[:2] == ["ComputeError", ["id"]], "the two readers treat a later member differently now"
assert found[2:] == [["id", "note"]] * 2, "inferring from all rows no longer helps"
assert [flags(array), flags(lines)] == [[1, 2], "ComputeError"], "true among integers is read differently now"
PY
