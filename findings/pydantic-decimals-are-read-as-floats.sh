#!/bin/sh
# A field of the type Decimal does not keep a JSON number exactly in pydantic: the number is made a float before.
#
# Seen with pydantic 2.14.4, and msgspec 0.23.0 to compare: of 9007199254740993.1 in JSON, validate_json makes
# Decimal('9007199254740994'); as a JSON text, "9007199254740993.1", it stays exact. An int field reads
# 9007199254740993.0 as 9007199254740992, and as a text exactly, too. msgspec makes Decimal('9007199254740993.1') of
# the number. Nothing is raised, in strict mode neither.
#
# Output: number 9007199254740994, text 9007199254740993.1, strict 9007199254740994, msgspec 9007199254740993.1
#
# Why it matters: Decimal is chosen for numbers that must come back as they were written. Costs and scores of a
# session change in their last digits at the first reading, and a comparison with the file reports a change. Take the
# number from the raw text, or let json.loads(..., parse_float=Decimal) read it and validate the result.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'pydantic==2.14.4' 'msgspec==0.23.0'
"$folder/venv/bin/python" - <<'PY'
import json
from decimal import Decimal

import msgspec
from pydantic import TypeAdapter

NUMBER = "9007199254740993.1"
decimals = TypeAdapter(Decimal)
found = {
    "number": decimals.validate_json(NUMBER),
    "text": decimals.validate_json(f'"{NUMBER}"'),
    "strict": decimals.validate_json(NUMBER, strict=True),
    "msgspec": msgspec.json.decode(NUMBER, type=Decimal),
    "json": decimals.validate_python(json.loads(NUMBER, parse_float=Decimal)),
}
print(", ".join(f"{name} {value}" for name, value in found.items()))
assert found["number"] == found["strict"] == Decimal("9007199254740994"), "a number is kept exactly now"
assert found["text"] == found["msgspec"] == found["json"] == Decimal(NUMBER), "one of the others is inexact now"
whole = TypeAdapter(int)
assert whole.validate_json("9007199254740993.0") == 9007199254740992, "an int is kept exactly now"
assert whole.validate_json('"9007199254740993.0"') == 9007199254740993, "an int in a text is inexact now"
PY
