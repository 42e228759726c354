#!/bin/sh
# LlamaIndex's SimpleChatStore takes and returns messages, but cannot be written to a file any more, with the pydantic
# that pip installs next to it.
#
# Seen with llama-index-core 0.14.25: with pydantic 2.14.4, persist() of a store with one message raises
# PydanticSerializationError ("'index_key' is expected to be an integer or a string"); an empty store is written. With
# pydantic 2.13.4 the store is written, and read back as it was. llama-index-core hands pydantic's serializer a second
# argument, which 2.14 takes for the key of an item.
#
# Output: pydantic 2.14.4 PydanticSerializationError, 2.13.4 read back
#
# Why it matters: the conversation goes on as ever, and only at its end, when it is to be stored, all of it is lost. It
# begins with an upgrade of pydantic, which any other package may bring; a test with an empty store passes. Pin pydantic
# below 2.14, and let a test store a message.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/look.py" <<'PY'
import pathlib
import sys

import pydantic
from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store import SimpleChatStore
from pydantic_core import PydanticSerializationError

file = pathlib.Path(sys.argv[1])
SimpleChatStore().persist(str(file))
file.unlink()
store = SimpleChatStore()
store.add_message("s1", ChatMessage(role="user", content="hello"))
assert store.get_messages("s1")[0].content == "hello"
try:
    store.persist(str(file))
except PydanticSerializationError as error:
    assert "index_key" in str(error)
    found = "PydanticSerializationError"
else:
    back = SimpleChatStore.from_persist_path(str(file))
    found = "read back" if back.get_messages("s1") == store.get_messages("s1") else "differs"
print(f"pydantic {pydantic.VERSION} {found}")
expected = {"2.14.4": "PydanticSerializationError", "2.13.4": "read back"}
assert found == expected[pydantic.VERSION], "it stores messages differently now"
PY
python3 -m venv "$folder/venv"
for pinned in 2.14.4 2.13.4; do
    "$folder/venv/bin/python" -m pip install -qq 'llama-index-core==0.14.25' "pydantic==$pinned"
    "$folder/venv/bin/python" -W ignore "$folder/look.py" "$folder/chats.json"
done
