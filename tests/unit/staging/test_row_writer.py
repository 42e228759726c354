"""Rows of sources that are loaded one after another are inserted, except those of forgotten sources."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from migrator.database.quarantine import quarantine_row
from migrator.database.rows import to_rows
from migrator.documents.parsing import Rejected
from migrator.staging.connections.interface import LoaderName
from migrator.staging.database import StagingDatabase
from migrator.worker.limits import Limits
from tests.support.loaders import LOADERS
from tests.support.strategies import instance, message, session


class Item(NamedTuple):
    """A session or, if it is not valid, a quarantined element, of ``size`` bytes."""

    valid: bool
    size: int


sources = st.lists(
    st.tuples(st.lists(st.builds(Item, st.booleans(), st.integers(0, 4000)), max_size=4), st.booleans()), max_size=8
)


@given(loaded=sources, loader=st.sampled_from(LOADERS))
def test_forgotten_sources_have_no_rows_and_all_others_have_theirs_once(
    loaded: list[tuple[list[Item], bool]], loader: LoaderName
) -> None:
    """Each source has some items and may be forgotten in the end; a batch is full after a few items."""
    limits = Limits(batch=6000)
    with TemporaryDirectory() as folder, StagingDatabase(Path(folder, "staging.db"), loader, limits) as staging:
        sessions: list[str] = []
        quarantined: list[str] = []
        for number, (items, taken_back) in enumerate(loaded, 1):
            staging.rows.begin_source()
            for position, item in enumerate(items):
                name = f"{number}.{position}"
                if item.valid:
                    document = session(
                        id=name, instances=[instance()], chatHistory=[message(id=name)], runtimeMix=["claude"]
                    )
                    rows = to_rows(document, workspace_id=1, position=position, source_id=number)
                    staging.rows.add(rows, None, item.size, ("h", position))
                else:
                    row = quarantine_row(number, "h", position, Rejected("invalid", name.encode(), []))
                    staging.rows.quarantine(row, item.size)
                if not taken_back:
                    (sessions if item.valid else quarantined).append(name)
            if taken_back:
                staging.rows.forget_source()
        staging.rows.flush()

        def names(sql: str) -> list[str]:
            return [name for (name,) in staging.connection.execute(sql)]

        for table in ("session_runtime_mix", "instances", "chat_messages"):
            assert names(f"SELECT session_id FROM {table} ORDER BY rowid") == sessions
        assert names("SELECT id FROM sessions ORDER BY rowid") == sessions
        assert names("SELECT raw FROM quarantine ORDER BY rowid") == quarantined
