"""A state machine calls every store and the model with the same arguments and compares the results."""

import copy
import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from migrator.errors import MigratorError, ValidationError
from migrator.storage import timestamps
from migrator.storage.hybrid.store import HybridStorage
from migrator.storage.json_files import JsonStorage
from migrator.storage.lists.summaries import SessionSummary
from migrator.storage.protocol import SessionFilters, SessionStorage
from migrator.storage.sqlite import SqliteStorage
from tests.support.stores import (
    Flaky,
    Model,
    Opened,
    data_dir,
    open_hybrid_from_json,
    open_hybrid_from_sqlite,
    open_json,
    open_memory,
    open_sqlite,
    prepared,
)
from tests.support.strategies import (
    documents,
    invalid_documents,
    json_values,
    messages,
    same,
    session_statuses,
    texts,
)

WORKSPACES = st.sampled_from(["/work/engine"] * 5 + ["/work/loom"])
STATUSES = session_statuses().filter(lambda status: len(status) < 20)
TYPES = st.sampled_from(["competition", "ensemble", "debate"])
MOMENTS = st.sampled_from(["2025-01-13T10:00:00Z", "2025-01-13T11:00:00.123456789+01:00", "2024-12-31T23:59:60Z"])
SELECTING = st.fixed_dictionaries(
    {
        "status": st.none() | STATUSES | st.lists(STATUSES, max_size=2),
        "session_type": st.none() | TYPES | st.lists(TYPES, max_size=2),
        "created_from": st.none() | MOMENTS,
        "text": st.none() | texts(),
    }
)
FILTERS = st.builds(
    lambda selecting, **others: SessionFilters(**selecting, **others),
    SELECTING,
    created_to=st.none() | st.just("2025-01-13T11:00:00.123456789+01:00"),
    sort_by=st.sampled_from([None, "createdAt", "updatedAt", "duration", "filesChanged"]),
    descending=st.booleans(),
    limit=st.none() | st.integers(0, 3),
    offset=st.integers(0, 2),
)

ORDINALS = st.sampled_from([0, 0, 0, 1, 2])


def pages(store: SessionStorage, path: str, filters: SessionFilters, limit: int) -> Iterator[list[SessionSummary]]:
    """Each page of a list, until one is not full."""
    after = None
    while True:
        page = store.list_sessions(path, filters, after=after, limit=limit)
        yield page
        if len(page) < limit:
            return
        after = page[-1].cursor


# To keep long runs fast, only every third document has unknown members.
# Functions instead of values, because hypothesis prints the strategies that it retries.
@st.composite
def some_documents(draw: st.DrawFn) -> Any:
    return draw(documents(None) if draw(st.integers(0, 2)) else documents())


@st.composite
def some_messages(draw: st.DrawFn) -> Any:
    return draw(messages(None) if draw(st.integers(0, 2)) else messages(json_values()))


def outcome(call: Callable[[], Any]) -> tuple[str, Any]:
    """What a call returned, or the name of its error."""
    try:
        return "returned", call()
    except MigratorError as error:
        return "raised", type(error).__name__


class Agreement(RuleBasedStateMachine):
    template: ClassVar[Path]

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory()
        root = Path(self.place.name)
        self.model = Model()
        self.calls = itertools.count()
        self.flaky = True
        self.stores: dict[str, Opened] = {}
        for number, (name, open_store) in enumerate(
            {
                "json": open_json,
                "sqlite": open_sqlite,
                "memory": open_memory,
                "json → sqlite": open_hybrid_from_json,
                "sqlite → json": open_hybrid_from_sqlite,
                "flaky": self.open_flaky,
            }.items()
        ):
            self.stores[name] = open_store(prepared(self.template, root / str(number)))
        self.clock = patch.object(timestamps, "now", self.now)
        self.clock.start()
        self.ticks = 0

    def open_flaky(self, folder: Path) -> Opened:
        """A hybrid store whose second one fails at every third call."""
        primary, secondary = SqliteStorage(folder / "sessions.db"), JsonStorage(data_dir(folder))
        flaky: Any = Flaky(secondary, lambda name: name != "close" and self.flaky and next(self.calls) % 3 == 1)
        return Opened(HybridStorage(primary, flaky, folder / "hybrid.db"), [primary, secondary])

    def now(self) -> str:
        return f"2026-01-01T00:00:{self.ticks % 60:02}.{self.ticks:06}+00:00"

    def agree(self, expected: Callable[[], Any], call: Callable[[SessionStorage], Any]) -> None:
        self.ticks += 1
        wanted = outcome(expected)
        for name, opened in self.stores.items():
            found = outcome(lambda store=opened.store: call(store))  # type: ignore[misc]
            assert same(list(found), list(wanted)), (name, found, wanted)

    def any_id(self, workspace: str, data: st.DataObject) -> str:
        """Draw mostly existing ids, so that most calls have an effect."""
        present = [document["id"] for document in self.model.get_all_sessions(workspace)]
        session_id: str = data.draw(st.sampled_from(present * 4 + ["s", "t"]), "session id")
        return session_id

    @initialize(workspace=WORKSPACES, documents=st.lists(some_documents(), min_size=2, max_size=4))
    def legacy_file(self, workspace: str, documents: list[Any]) -> None:
        self.model.load(workspace, documents)
        for opened in self.stores.values():
            opened.load(workspace, documents)

    @rule(workspace=WORKSPACES, documents=st.lists(some_documents(), max_size=3))
    def another_legacy_file(self, workspace: str, documents: list[Any]) -> None:
        self.legacy_file(workspace, documents)

    @rule(workspace=WORKSPACES, session=some_documents())
    def create(self, workspace: str, session: Any) -> None:
        self.agree(
            lambda: self.model.create_session(workspace, session),
            lambda store: store.create_session(workspace, session),
        )

    @rule(workspace=WORKSPACES, sessions=st.lists(some_documents(), max_size=3))
    def create_several(self, workspace: str, sessions: Any) -> None:
        self.agree(
            lambda: self.model.create_sessions(workspace, sessions),
            lambda store: store.create_sessions(workspace, sessions),
        )

    @rule(workspace=WORKSPACES, session=some_documents(), data=st.data(), ordinal=ORDINALS)
    def update(self, workspace: str, session: Any, data: st.DataObject, ordinal: int) -> None:
        session = session | {"id": self.any_id(workspace, data)}
        present = [each for each in self.model.get_all_sessions(workspace) if each["id"] == session["id"]]
        expected = copy.deepcopy(data.draw(st.sampled_from([None, session, *present]), "expected"))
        self.agree(
            lambda: self.model.update_session(workspace, session, expected, ordinal),
            lambda store: store.update_session(workspace, session, expected=expected, ordinal=ordinal),
        )

    @rule(workspace=WORKSPACES, data=st.data(), ordinal=ORDINALS)
    def get(self, workspace: str, data: st.DataObject, ordinal: int) -> None:
        session_id = self.any_id(workspace, data)
        self.agree(
            lambda: self.model.get_session(workspace, session_id, ordinal),
            lambda store: store.get_session(workspace, session_id, ordinal=ordinal),
        )

    @rule(workspace=WORKSPACES, data=st.data(), ordinal=st.none() | ORDINALS)
    def delete(self, workspace: str, data: st.DataObject, ordinal: int | None) -> None:
        session_id = self.any_id(workspace, data)
        self.agree(
            lambda: self.model.delete_session(workspace, session_id, ordinal),
            lambda store: store.delete_session(workspace, session_id, ordinal=ordinal),
        )

    @rule(workspace=WORKSPACES, data=st.data(), message=some_messages(), returning=st.booleans(), ordinal=ORDINALS)
    def add(self, workspace: str, data: st.DataObject, message: Any, returning: bool, ordinal: int) -> None:
        session_id = self.any_id(workspace, data)

        def expected() -> Any:
            found = self.model.add_chat_message(workspace, session_id, message, self.now(), ordinal)
            return found if returning else None

        def call(store: SessionStorage) -> Any:
            add: Any = store.add_chat_message if returning else store.append_chat_message
            return add(workspace, session_id, message, ordinal=ordinal)

        self.agree(expected, call)

    @rule(
        workspace=WORKSPACES,
        data=st.data(),
        number=st.integers(-1, 2) | st.sampled_from([1 << 32, (1 << 32) + 1, 1 << 70]),
        status=texts(),
        returning=st.booleans(),
        ordinal=ORDINALS,
    )
    def set_status(
        self, workspace: str, data: st.DataObject, number: int, status: str, returning: bool, ordinal: int
    ) -> None:
        session_id = self.any_id(workspace, data)

        def expected() -> Any:
            found = self.model.update_instance_status(workspace, session_id, number, status, self.now(), ordinal)
            return found if returning else None

        def call(store: SessionStorage) -> Any:
            set_status: Any = store.update_instance_status if returning else store.set_instance_status
            return set_status(workspace, session_id, number, status, ordinal=ordinal)

        self.agree(expected, call)

    @rule(workspace=WORKSPACES, filters=FILTERS)
    def list_them(self, workspace: str, filters: SessionFilters) -> None:
        self.agree(
            lambda: self.model.list_sessions(workspace, filters),
            lambda store: [summary[:-1] for summary in store.list_sessions(workspace, filters)],
        )

    @rule(workspace=WORKSPACES, selecting=SELECTING, limit=st.integers(1, 3))
    def list_pages(self, workspace: str, selecting: Any, limit: int) -> None:
        filters = SessionFilters(**selecting)
        self.agree(
            lambda: self.model.list_sessions(workspace, filters),
            lambda store: [summary[:-1] for page in pages(store, workspace, filters, limit) for summary in page],
        )

    @rule(workspace=WORKSPACES, selecting=SELECTING)
    def iterate(self, workspace: str, selecting: Any) -> None:
        filters = SessionFilters(**selecting)
        self.agree(
            lambda: self.model.search_sessions(workspace, filters),
            lambda store: list(store.iter_sessions(workspace, filters)),
        )

    @rule()
    def list_workspaces(self) -> None:
        self.agree(
            self.model.list_workspaces,
            lambda store: [(found.hash, found.sessions) for found in store.list_workspaces()],
        )

    @rule(workspace=WORKSPACES, filters=FILTERS)
    def search(self, workspace: str, filters: SessionFilters) -> None:
        self.agree(
            lambda: self.model.search_sessions(workspace, filters),
            lambda store: store.search_sessions(workspace, filters),
        )

    @rule(workspace=WORKSPACES, invalid=invalid_documents())
    def refuse(self, workspace: str, invalid: tuple[Any, str]) -> None:
        def refused() -> None:
            raise ValidationError("")

        self.agree(refused, lambda store: store.create_session(workspace, invalid[0]))
        self.agree(refused, lambda store: store.update_session(workspace, invalid[0]))

    @invariant()
    def all_hold_the_same(self) -> None:
        for workspace in ("/work/engine", "/work/loom"):
            self.agree(
                lambda workspace=workspace: self.model.get_all_sessions(workspace),  # type: ignore[misc]
                lambda store, workspace=workspace: store.get_all_sessions(workspace),  # type: ignore[misc]
            )

    def teardown(self) -> None:
        self.clock.stop()
        self.flaky = False
        try:
            for opened in self.stores.values():
                if isinstance(opened.store, HybridStorage):
                    assert opened.store.repair() == 0
                    for workspace, expected in self.model.workspaces.items():
                        for part in opened.parts:
                            assert same(part.get_all_sessions(workspace), expected)
            for name in ("json → sqlite", "sqlite → json"):
                store = self.stores[name].store
                assert isinstance(store, HybridStorage)
                assert (store.stats().failures, store.differences()) == (0, [])
        finally:
            for opened in self.stores.values():
                opened.store.close()
            self.place.cleanup()


@pytest.mark.slow
@pytest.mark.parametrize("steps", [20])
def test_every_store_does_what_the_model_does(template, steps):
    Agreement.template = template
    run_state_machine_as_test(
        Agreement,
        settings=settings(
            max_examples=settings().max_examples // 8,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),  # a long run now and then outgrows what may be drawn
        ),
    )
