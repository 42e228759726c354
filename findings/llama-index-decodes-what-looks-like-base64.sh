#!/bin/sh
# LlamaIndex takes the bytes of an attachment for base64 whenever they could be base64, and gives back what they decode
# to.
#
# Seen with llama-index-core 0.14.25: DocumentBlock(data=...).resolve_document() of a file that is b"deadbeef", a
# SHA-256 in hexadecimal, b"12345678" or b"true" returns other bytes; of b"hello" or b"README" it returns the file.
# Letters and digits are taken for base64 if their number is a multiple of four; a newline at the end prevents it.
# ImageBlock does the same. Stored as JSON and read again, the message gives the same wrong bytes.
#
# Output: ['deadbeef', 'digest', '12345678', 'true'] changed, ['hello', 'README', 'deadbeef\n'] kept
#
# Why it matters: attachments that are a digest, a key or a number reach the model and the archive as other bytes,
# without an error, and no test with a sentence in it shows it. Encode all data as base64 before: what comes back is
# then right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'llama-index-core==0.14.25' 'pydantic==2.13.4'
"$folder/venv/bin/python" -W ignore - <<'PY'
import base64
import hashlib

from llama_index.core.base.llms.types import ChatMessage, DocumentBlock, ImageBlock

FILES = {
    "deadbeef": b"deadbeef",
    "digest": hashlib.sha256(b"hello").hexdigest().encode(),
    "12345678": b"12345678",
    "true": b"true",
    "hello": b"hello",
    "README": b"README",
    "deadbeef\n": b"deadbeef\n",
}


def resolved(data):
    message = ChatMessage(role="user", blocks=[DocumentBlock(data=data, document_mimetype="text/plain")])
    back = ChatMessage.model_validate_json(message.model_dump_json())
    (first,), (second,) = ([block.resolve_document().read() for block in one.blocks] for one in (message, back))
    assert first == second, "JSON changes the bytes now"
    return first


changed = [name for name, data in FILES.items() if resolved(data) != data]
kept = [name for name in FILES if name not in changed]
print(f"{changed} changed, {kept} kept")
assert changed == ["deadbeef", "digest", "12345678", "true"], "other files change now"
assert resolved(b"deadbeef") == base64.b64decode("deadbeef"), "it makes other bytes now"
assert ImageBlock(image=b"deadbeef").resolve_image().read() != b"deadbeef", "images are kept now"
assert all(resolved(base64.b64encode(data)) == data for data in FILES.values()), "encoded data changes now"
PY
