#!/bin/sh
# protobuf's JSON parser reads a file of OpenTelemetry traces without an error, and all trace and span ids in it become
# other, longer ones. Written as JSON again, they look right.
#
# Seen with opentelemetry-proto 1.45.2 and protobuf 7.36.2: "traceId": "5b8e..." has 32 hexadecimal digits for 16 bytes,
# as OTLP's JSON prescribes. json_format.Parse takes them for base64 and makes 24 bytes of them, and MessageToJson makes
# the same 32 characters of these. The true id, as it comes over gRPC, is written as "W47/95gDgQPSabYzgT/GDA==", which
# OTLP does not allow.
#
# Output: parsed 24 bytes, written again the same; the true id is written as W47/95gDgQPSabYzgT/GDA==
#
# Why it matters: the spans of a conversation that come from a file and those that come over the wire have no id in
# common, and a test that compares the JSON before and after passes. After parsing, make the true id of each with
# bytes.fromhex(base64.b64encode(id).decode()), and the other way round before writing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'opentelemetry-proto==1.45.2' 'protobuf==7.36.2'
"$folder/venv/bin/python" - <<'PY'
import base64
import json

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

TRACE, SPAN = "5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"
span = {"traceId": TRACE, "spanId": SPAN, "name": "chat"}
document = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
traces = json_format.Parse(json.dumps(document), TracesData())
read = traces.resource_spans[0].scope_spans[0].spans[0]
again = json.loads(json_format.MessageToJson(traces))
true = Span(trace_id=bytes.fromhex(TRACE), span_id=bytes.fromhex(SPAN), name="chat")
written = json_format.MessageToDict(true)["traceId"]
print(f"parsed {len(read.trace_id)} bytes, written again {again == document}; the true id is written as {written}")
assert len(read.trace_id) == 24 and len(read.span_id) == 12, "ids are read as what they are now"
assert read.trace_id == base64.b64decode(TRACE) != true.trace_id, "they become other bytes now"
assert again == document, "the JSON is written differently now"
assert written == "W47/95gDgQPSabYzgT/GDA==", "the true id is written differently now"
read.trace_id = bytes.fromhex(base64.b64encode(read.trace_id).decode())
assert read.trace_id == true.trace_id, "the ids cannot be repaired like this now"
PY
