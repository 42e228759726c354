#!/bin/sh
# LangChain's convert_to_openai_messages turns a valid conversation into one that OpenAI's format does not allow: the
# user's next words come before the result of the tool, and calls that could not be parsed vanish, while their results
# stay.
#
# Seen with langchain-core 1.8.3: in Anthropic's format, a turn of the user has the result of a tool and then a text. It
# becomes a message of the user, followed by a message of the tool, so that the message with tool_calls and its answer
# are no longer neighbours; the member is_error is gone. A turn with results alone is right. An AIMessage with
# invalid_tool_calls becomes {"role": "assistant", "content": ""}, and the ToolMessage that answers it follows, with the
# id of a call that is nowhere.
#
# Output: ['assistant calls 1', 'user', 'tool 1'], alone ['assistant calls 1', 'tool 1'], split ['assistant calls 1',
# 'tool 1', 'user'], invalid ['assistant', 'tool 9']
#
# Why it matters: conversations are stored, exported and given to other models in this format. Who reads them sees words
# of the user that answer a result which comes later, and results without a call; that the tool failed is nowhere, and
# an interface that checks the order refuses the session. Split such turns before, results first, and look for
# invalid_tool_calls.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'langchain-core==1.8.3'
"$folder/venv/bin/python" -W ignore - <<'PY'
from langchain_core.messages import AIMessage, ToolMessage, convert_to_openai_messages

CALL = {"type": "tool_use", "id": "1", "name": "look", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "1", "content": "no such file", "is_error": True}
TEXT = {"type": "text", "text": "Then write it anew."}


def told(messages):
    """What each message is, and which calls it makes or answers."""
    lines = []
    converted = convert_to_openai_messages(messages)
    assert "error" not in str(converted), "it tells of errors now"
    for message in converted:
        calls = [call["id"] for call in message.get("tool_calls", [])]
        parts = [message["role"], *(["calls", *calls] if calls else []), message.get("tool_call_id", "")]
        lines.append(" ".join(filter(None, parts)))
    return lines


def turn(*content):
    return [{"role": "assistant", "content": [CALL]}, {"role": "user", "content": list(content)}]


both, alone = told(turn(RESULT, TEXT)), told(turn(RESULT))
split = told([*turn(RESULT), {"role": "user", "content": [TEXT]}])
broken = {"name": "look", "args": "{", "id": "9", "error": "not JSON"}
invalid = told([AIMessage("", invalid_tool_calls=[broken]), ToolMessage("not JSON", tool_call_id="9", status="error")])
print(f"{both}, alone {alone}, split {split}, invalid {invalid}")
assert alone == ["assistant calls 1", "tool 1"], "a result alone is converted differently now"
assert split == ["assistant calls 1", "tool 1", "user"], "splitting the turn does not help now"
assert both == ["assistant calls 1", "user", "tool 1"], "the result comes first now"
assert invalid == ["assistant", "tool 9"], "invalid calls are kept now"
PY
