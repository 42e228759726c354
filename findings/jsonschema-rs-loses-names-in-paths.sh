#!/bin/sh
# In the paths of jsonschema-rs' errors, a member with an empty name is left out, and a member named "0" looks like
# the first item of an array.
#
# Seen with jsonschema-rs 0.61.2: for {"extra": {"": 1, "0": 1}}, where both should be texts, instance_path is
# ["extra"] and ["extra", 0] (an int); schema_path leaves out the empty name, too. jsonschema 4.26.0 reports ["extra",
# ""] and ["extra", "0"].
#
# Why it matters: a program that repairs documents, or shows the value at fault, follows the path to another place:
# here to the whole object, or to document["extra"][0], which is a KeyError. Both names are valid JSON, and objects
# that are keyed by the number of an agent or a round have the second one. Take paths from a library that keeps them,
# and validate fast with the other.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'jsonschema-rs==0.61.2' 'jsonschema==4.26.0'
"$folder/venv/bin/python" - <<'PY'
import jsonschema
import jsonschema_rs

SCHEMA = {"properties": {"extra": {"properties": {"": {"type": "string"}, "0": {"type": "string"}}}}}
DOCUMENT = {"extra": {"": 1, "0": 1}}
fast = [list(error.instance_path) for error in jsonschema_rs.validator_for(SCHEMA).iter_errors(DOCUMENT)]
slow = [list(error.absolute_path) for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(DOCUMENT)]
print(f"jsonschema-rs {fast}, jsonschema {slow}")
assert slow == [["extra", ""], ["extra", "0"]], "jsonschema reports other paths now"
assert fast == [["extra"], ["extra", 0]], "jsonschema-rs reports other paths now"
PY
