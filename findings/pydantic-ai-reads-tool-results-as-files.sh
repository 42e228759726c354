#!/bin/sh
# Pydantic AI takes some results of tools for files when it reads a stored history: an object that says "kind":
# "binary" comes back as bytes, and loses every other member.
#
# Seen with pydantic-ai-slim 2.68.0: a tool returns {"kind": "binary", "data": "deadbeef", "media_type": "text/plain",
# "path": "a.bin"}. The message holds this dict, and its JSON has all of it. validate_json makes a BinaryContent of it,
# at any depth: the path is gone, and the text, which was hexadecimal, is decoded as base64. Written again, it has no
# path, but an identifier that nobody gave it. With "data": "dead-beef!", or with "kind": "file", the dict stays as it
# is, and so does {"kind": "image-url", "url": "a.png", "alt": "a cat"}. Nothing is raised.
#
# Output: once {'kind': 'binary', 'data': 'deadbeef', 'media_type': 'text/plain', 'path': 'a.bin'}, twice {'data':
# 'deadbeef', 'media_type': 'text/plain', 'vendor_metadata': None, 'kind': 'binary', 'identifier': '9f26dc'}
#
# Why it matters: tools list files and read JSON from outside, whose members have such names. Each time a session is
# resumed, its history goes through JSON: what the model and the archive get is another result, depending on whether
# the text happens to be base64. Let tools return such objects as JSON text, or under another name than "kind".
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'pydantic-ai-slim==2.68.0' 'pydantic==2.14.4'
"$folder/venv/bin/python" - <<'PY'
import json

from pydantic_ai.messages import BinaryContent, ModelMessagesTypeAdapter, ModelRequest, ToolReturnPart


def stored(messages):
    raw = ModelMessagesTypeAdapter.dump_json(messages)
    return raw, json.loads(raw)[0]["parts"][0]["content"]


def read_back(result):
    raw, once = stored([ModelRequest(parts=[ToolReturnPart("look", result, tool_call_id="1")])])
    assert once == result, "it is written differently now"
    messages = ModelMessagesTypeAdapter.validate_json(raw)
    return messages[0].parts[0].content, stored(messages)[1]


RESULT = {"kind": "binary", "data": "deadbeef", "media_type": "text/plain", "path": "a.bin"}
content, twice = read_back(RESULT)
(nested,) = read_back({"files": [RESULT]})[0]["files"]
named = {("type" if name == "kind" else name): value for name, value in RESULT.items()}
image = {"kind": "image-url", "url": "a.png", "alt": "a cat"}
others = [RESULT | {"data": "dead-beef!"}, RESULT | {"kind": "file"}, image, named, json.dumps(RESULT)]
print(f"once {RESULT}, twice {twice}")
assert isinstance(content, BinaryContent) and isinstance(nested, BinaryContent), "it stays a dict now"
assert content.data == bytes.fromhex("75e69d6de79f"), "the text is not decoded as base64 now"
assert "path" not in twice and "identifier" in twice, "the other members are kept now"
assert [read_back(other)[1] for other in others] == others, "other results change, too, now"
PY
