"""Documents are read from the rows of one file or several, as the app would write them."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.database import queries, schema
from migrator.database.documents import (
    insert_document,
    read_document,
    read_documents,
    read_source,
    require_stored,
)
from migrator.documents.document import canonical_bytes
from migrator.errors import TransactionError
from tests.support.strategies import documents, message, session, texts

SOURCE, HASH = 1, "aaaaaaaaaaaaaaaa"
# Every character that JSON writes in another way, and neighbours of those.
DELICATE = "".join(map(chr, range(0x21))) + "\"\\/'\x7f\x80\u2028\u2029\ufeff\uffff\U0001f600"


def read_back(stored: Sequence[Any]) -> list[bytes]:
    """The canonical form of each document, in each way of reading it."""
    with closing(schema.fresh()) as database:
        database.execute("INSERT INTO workspaces (id, workspace_path, workspace_hash) VALUES (1, '/w', ?)", (HASH,))
        for position, document in enumerate(stored):
            insert_document(
                database, document, workspace_id=1, workspace_hash=HASH, position=position, source_id=SOURCE
            )
        found = list(read_documents(database, queries.DOCUMENTS_OF_RANGE, SOURCE, 0, len(stored)))
        of_files = list(read_documents(database, queries.DOCUMENTS_OF_FILES, SOURCE, SOURCE))
        assert of_files == found == list(read_source(database, SOURCE))
        assert [read_document(database, one.key) for one in found] == found
        return [one.canonical_bytes() for one in found]


@given(st.lists(documents(), max_size=4))
def test_a_document_is_read_in_the_canonical_form_it_was_written_in(stored: list[Any]) -> None:
    assert read_back(stored) == [canonical_bytes(document) for document in stored]


@given(texts())
def test_any_text_comes_back(text: str) -> None:
    document = session(chatHistory=[message(id="a", content=DELICATE + text), message(id="b", content=text + DELICATE)])
    assert read_back([document]) == [canonical_bytes(document)]


def test_taken_ids_and_empty_contents_come_back() -> None:
    chat = [message(id="a", content=""), message(id="a", content="x"), message(id="", content="y")]
    stored = [session(id="one", chatHistory=chat), session(id="two", chatHistory=chat), session(chatHistory=[])]
    assert read_back(stored) == [canonical_bytes(document) for document in stored]


@pytest.mark.parametrize("change", ["UPDATE chat_messages SET content = 'other'", "DELETE FROM sessions"])
def test_a_document_that_does_not_read_back_as_it_was_written_is_refused(
    database: sqlite3.Connection, change: str
) -> None:
    document = session(chatHistory=[message()])
    key = insert_document(database, document, workspace_id=1, workspace_hash=HASH, position=0)
    require_stored(database, key, document)
    database.execute(change)
    with pytest.raises(TransactionError) as refused:
        require_stored(database, key, document)
    assert refused.value.code == "session.readback_failed"
