#!/bin/sh
# ijson's option use_float, which is about fractions, makes its C backend refuse integers from 2^63 on. Without the
# option, or with the backend in Python, they are read.
#
# Seen with ijson 3.6.0: [9223372036854775808] is read by both backends, as an int. With use_float=True, the Python
# backend reads it as before, and yajl2_c raises IncompleteJSONError ("integer overflow"). Which backend "import
# ijson" takes depends on what could be built or installed.
#
# Output: {'python': [9223372036854775808], 'yajl2_c': 'IncompleteJSONError'}
#
# Why it matters: use_float is set to be spared Decimals. Durations and ids that a Rust program writes as u64 then end
# the reading on one machine and not on the other, and the error says that the JSON is incomplete, as if the file were
# cut off.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'ijson==3.6.0'
"$folder/venv/bin/python" - <<'PY'
import io

import ijson

RAW = b"[9223372036854775808]"


def read(backend, **options):
    try:
        return list(ijson.get_backend(backend).items(io.BytesIO(RAW), "item", **options))
    except ijson.IncompleteJSONError:
        return "IncompleteJSONError"


plain = {name: read(name) for name in ("python", "yajl2_c")}
floats = {name: read(name, use_float=True) for name in ("python", "yajl2_c")}
print(plain, floats)
assert plain == {"python": [1 << 63], "yajl2_c": [1 << 63]}, "without the option they differ now"
assert floats == {"python": [1 << 63], "yajl2_c": "IncompleteJSONError"}, "both read it now"
PY
