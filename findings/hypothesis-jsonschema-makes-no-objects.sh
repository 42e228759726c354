#!/bin/sh
# hypothesis-jsonschema, in its newest release, cannot make an object with the hypothesis that pip installs next to
# it.
#
# Seen with hypothesis-jsonschema 0.23.1 and hypothesis 6.170.17: from_schema({"type": "string"}) makes texts;
# from_schema({"type": "object"}) raises AttributeError ("'many' object has no attribute 'more'") at the first
# example, not when the strategy is made. Of {"type": "string", "format": "uuid"} it makes any text at all, without a
# warning.
#
# Output: string: texts, object: AttributeError, uuid: not one is a UUID
#
# Why it matters: both packages install without a complaint, so that a test of a schema for documents, which are
# objects, stops in the library, and one that relies on formats tests with ids that no document has. Pin both, or
# write the strategy by hand.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'hypothesis-jsonschema==0.23.1' 'hypothesis==6.170.17'
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import uuid

from hypothesis import HealthCheck, given, settings
from hypothesis_jsonschema import from_schema


def made(schema):
    values = []

    @settings(max_examples=20, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(from_schema(schema))
    def collect(value):
        values.append(value)

    try:
        collect()
    except AttributeError:
        return "AttributeError"
    return values


def is_uuid(text):
    try:
        return bool(uuid.UUID(text))
    except ValueError:
        return False


texts, objects, ids = made({"type": "string"}), made({"type": "object"}), made({"type": "string", "format": "uuid"})
uuids = sum(map(is_uuid, ids))
print(f"string: {len(texts)} texts, object: {objects}, uuid: {uuids} of {len(ids)} are UUIDs")
assert len(texts) >= 20, "it makes no texts now"
assert objects == "AttributeError", "it makes objects now"
assert ids and not uuids, "it makes UUIDs now"
PY
