#!/bin/sh
# pydantic's parser for incomplete JSON leaves out a text, a true or a null that is cut off, but takes a number that
# is cut off for a whole one.
#
# Seen with pydantic 2.14.4 (pydantic_core 2.50.5) and from_json(..., allow_partial=True): of {"id": "s1",
# "totalDuration": 3600} cut off after 36, the result is totalDuration 36; of 1.5e3 cut off after 1.5, it is 1.5. Cut
# off within a text or within true, the member is not there.
#
# Output: [{'id': 's1', 'totalDuration': 36}, {'id': 's1', 'totalDuration': 1.5}, {'id': 's1'}, {'id': 's1'}]
#
# Why it matters: this parser is made for answers that are still arriving, and is used to read files that a power cut
# truncated. What it returns is then valid, of the right type, and wrong. Do not keep the last number of such a
# result, unless the input goes on after it.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'pydantic==2.14.4'
"$folder/venv/bin/python" - <<'PY'
from pydantic_core import from_json

CUT_OFF = ["36", "1.5", '"an ho', "tr"]
found = [from_json('{"id": "s1", "totalDuration": ' + value, allow_partial=True) for value in CUT_OFF]
print(found)
numbers, others = found[:2], found[2:]
assert numbers == [{"id": "s1", "totalDuration": 36}, {"id": "s1", "totalDuration": 1.5}], "it leaves out numbers now"
assert others == [{"id": "s1"}, {"id": "s1"}], "it does something else with texts and true now"
PY
