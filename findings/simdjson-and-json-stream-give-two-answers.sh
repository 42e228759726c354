#!/bin/sh
# A member that is twice in an object has two values in pysimdjson and in json-stream: which one depends on how it is
# asked.
#
# Seen with pysimdjson 7.0.2 and json-stream 2.5.1: of {"status": "running", "status": "completed"}, pysimdjson's
# document["status"] is "running", document.as_dict()["status"] is "completed", and len(document) is 2. json-stream's
# load(...)["status"] is "running", to_standard_types(load(...))["status"] is "completed". Python's json always says
# "completed".
#
# Why it matters: apps that append a member instead of replacing it write such files, and RFC 8259 allows them. Code
# that picks a member without converting the document, for speed, sees another history than code that converts it.
# Reject repeated names, or keep the text of such a document.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'pysimdjson==7.0.2' 'json-stream==2.5.1'
"$folder/venv/bin/python" - <<'PY'
import io
import json

import json_stream
import simdjson

RAW = b'{"status": "running", "status": "completed"}'
document = simdjson.Parser().parse(RAW)
found = {
    "json": json.loads(RAW)["status"],
    "simdjson member": document["status"],
    "simdjson as_dict": document.as_dict()["status"],
    "json-stream member": json_stream.load(io.BytesIO(RAW))["status"],
    "json-stream converted": json_stream.to_standard_types(json_stream.load(io.BytesIO(RAW)))["status"],
}
print(found, f"members: {len(document)}")
assert len(document) == 2, "simdjson counts repeated members once now"
assert list(found.values()) == ["completed", "running", "completed", "running", "completed"], "the answers differ now"
PY
