"""SQLite builds the text that the app would write for a stored document, or marks it as incomplete."""

from collections.abc import Sequence
from contextlib import closing
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from migrator.database import schema
from migrator.database.canonical import CanonicalDocument, canonical_files, canonical_range
from migrator.database.documents import insert_document, read_document
from migrator.documents.document import canonical_bytes
from tests.support.strategies import documents, message, session, texts

SOURCE, WORKSPACE, HASH = 1, 1, "aaaaaaaaaaaaaaaa"
# Every character that JSON writes in another way, and neighbours of those.
DELICATE = "".join(map(chr, range(0x21))) + "\"\\/'\x7f\x80\u2028\u2029\ufeff\uffff\U0001f600"


def read_as_text(stored: Sequence[Any]) -> list[tuple[CanonicalDocument, bytes]]:
    """Each document as SQLite builds it, and its canonical form as Python makes it."""
    with closing(schema.fresh()) as database:
        database.execute("INSERT INTO workspaces (id, workspace_path, workspace_hash) VALUES (1, '/w', ?)", (HASH,))
        for position, document in enumerate(stored):
            insert_document(
                database, document, workspace_id=1, workspace_hash=HASH, position=position, source_id=SOURCE
            )
        by_range = list(canonical_range(database, SOURCE, 0, len(stored)))
        assert [found.text for found in canonical_files(database, SOURCE, SOURCE)] == [found.text for found in by_range]
        pairs = []
        for found in by_range:
            whole = read_document(database, found.stored.key)
            assert whole is not None
            pairs.append((found, whole.canonical_bytes()))
        return pairs


@given(st.lists(documents(), max_size=4))
def test_sqlite_builds_the_canonical_form_or_marks_it_incomplete(stored: list[Any]) -> None:
    """JSON functions end a text at NUL, so a rescued id or role with a NUL in it is cut off."""
    known = {"id", "role", "content", "timestamp", "instanceId"}
    for (found, expected), document in zip(read_as_text(stored), stored, strict=True):
        chat = document["chatHistory"]
        assert expected == canonical_bytes(document)
        if all(
            message.keys() <= known and "\0" not in document["id"] + message["id"] + message["role"] for message in chat
        ):
            assert found.text == expected
        elif found.text != expected:
            assert not found.whole


@given(texts())
def test_any_text_is_serialized_as_python_does(text: str) -> None:
    document = session(chatHistory=[message(id="a", content=DELICATE + text), message(id="b", content=text + DELICATE)])
    [(found, expected)] = read_as_text([document])
    assert found.text == expected


def test_a_session_without_messages_is_whole() -> None:
    [(found, expected)] = read_as_text([session(chatHistory=[])])
    assert found.whole
    assert found.text == expected


def test_taken_ids_and_empty_contents_are_serialized_as_they_were() -> None:
    chat = [message(id="a", content=""), message(id="a", content="x"), message(id="", content="y")]
    for found, expected in read_as_text([session(id="one", chatHistory=chat), session(id="two", chatHistory=chat)]):
        assert found.text == expected


def test_a_text_that_looks_like_an_empty_chat_is_not_mistaken_for_it() -> None:
    text = '"chatHistory": []'
    [(found, expected)] = read_as_text([session(task=text, chatHistory=[message(content=text)])])
    assert found.text == expected
