"""Full-text search in tasks, messages and outputs, in either store."""

import pytest

from migrator import SessionFilters, migrate, resolve_data_dir, rollback
from migrator.admin.switch_backend import switch_backend
from migrator.search.find import search_texts
from migrator.search.results import SearchReport
from tests.support.scene import Scene, chat
from tests.support.strategies import instance, message

ENGINE, SHOP = "/home/dev/engine", "/home/dev/shop"


@pytest.fixture
def filled(scene: Scene) -> Scene:
    scene.write(
        ENGINE,
        [
            chat("in-task", task="Fix the login", updatedAt="2025-01-01T00:00:00Z"),
            chat("in-chat", text="the login form", updatedAt="2025-01-02T00:00:00Z", status="failed"),
            chat("twice", text="login, then a timeout", updatedAt="2025-01-03T00:00:00Z")
            | {"chatHistory": [message(id="a", content="login"), message(id="b", content="login timeout")]},
        ],
    )
    output = instance(worktreePath=f"{SHOP}/.worktrees/competition-x/instance-1", output="\x1b[31mlogin\x1b[0m\n会議")
    scene.write(SHOP, [chat("in-output", workspace=SHOP) | {"instances": [output], "type": "debate"}])
    return scene


def search(
    scene: Scene, words: str, filters: SessionFilters | None = None, *, workspace: str | None = None
) -> SearchReport:
    return search_texts(resolve_data_dir(scene.root), words, filters, workspace=workspace)


def found_in(report: SearchReport) -> list[str]:
    return [found.session["id"] for found in report.sessions]


@pytest.fixture(params=["json", "sqlite", "hybrid", "rolled back"])
def store(request: pytest.FixtureRequest, filled: Scene) -> Scene:
    if request.param != "json":
        migrate(filled.root)
    if request.param == "hybrid":
        switch_backend(resolve_data_dir(filled.root), "hybrid")
    if request.param == "rolled back":
        rollback(filled.root)
    return filled


def test_every_kind_of_text_is_searched_and_a_task_ranks_first(store: Scene) -> None:
    report = search(store, "login")
    assert found_in(report) == ["in-task", "twice", "in-output", "in-chat"]
    assert [[text.kind for text in found.excerpts] for found in report.sessions] == [
        ["task"],
        ["message", "message"],
        ["output"],
        ["message"],
    ]
    assert [found.texts for found in report.sessions] == [1, 2, 1, 1]


def test_all_words_have_to_be_in_one_text(store: Scene) -> None:
    [found] = search(store, "timeout login").sessions
    assert found.session["id"] == "twice"
    assert [text.text for text in found.excerpts] == ["login timeout"]


@pytest.mark.parametrize("word", ["会議", "会", "議"])
def test_a_short_word_of_a_script_without_spaces_is_found(store: Scene, word: str) -> None:
    [found] = search(store, word).sessions
    assert found.session["id"] == "in-output"


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        (SessionFilters(status="failed"), ["in-chat"]),
        (SessionFilters(session_type="debate"), ["in-output"]),
        (SessionFilters(text="IN-T"), ["in-task"]),
        (SessionFilters(created_from="2030-01-01T00:00:00Z"), []),
        (SessionFilters(sort_by="updatedAt", limit=2), ["in-task", "in-chat"]),
        (SessionFilters(sort_by="updatedAt", descending=True, limit=1, offset=1), ["twice"]),
        (SessionFilters(limit=0), []),
    ],
)
def test_the_filters_of_a_store_narrow_it(store: Scene, filters: SessionFilters, ids: list[str]) -> None:
    assert found_in(search(store, "login", filters)) == ids


def test_a_search_can_be_limited_to_one_workspace(store: Scene) -> None:
    assert found_in(search(store, "login", workspace=SHOP)) == ["in-output"]


def test_in_every_store_words_are_whole_and_other_scripts_are_found_anywhere(store: Scene) -> None:
    store.write(SHOP, [chat("in-output", workspace=SHOP), chat("mixed", workspace=SHOP, text="API設計のｶﾞｲﾄﾞ")])
    if "sessions.db" in {path.name for path in store.root.iterdir()}:
        migrate(store.root)
    assert [found_in(search(store, words)) for words in ("API", "設計", "ガイド", "PI")] == [["mixed"]] * 3 + [[]]


def test_it_says_which_texts_are_not_searched_to_the_end(filled: Scene) -> None:
    filled.write(ENGINE, [chat("long", text=f"{'word ' * 200_000}needle"), chat("short", text="needle")])
    for _ in range(2):
        report = search(filled, "needle")
        assert found_in(report) == ["short"]
        assert any("1,000,000" in note for note in report.notes)
        assert not search(filled, "needle", workspace=SHOP).notes
        migrate(filled.root)


def test_it_says_whether_there_is_more(store: Scene) -> None:
    assert search(store, "login", SessionFilters(limit=3)).more
    assert not search(store, "login", SessionFilters(limit=4)).more


@pytest.mark.parametrize("words", ['"', '""', "*", "()", "a AND", 'NEAR("', "task:", "-x", "^a", "\0", "{}", "日*"])
def test_operators_and_quotes_are_not_errors(store: Scene, words: str) -> None:
    assert search(store, words).sessions == ()


def test_a_search_without_a_letter_or_digit_gets_a_note(store: Scene) -> None:
    [note] = search(store, "->").notes
    assert note


def test_a_file_that_cannot_be_read_hides_none_of_the_others(filled: Scene) -> None:
    torn = filled.write("/home/dev/torn", [chat("torn", workspace="/home/dev/torn")])
    torn.write_bytes(torn.read_bytes()[:-10])
    report = search(filled, "login")
    assert len(report.sessions) == 4
    [note] = report.notes
    assert torn.name in note


def test_after_a_migration_a_truncated_file_hides_none_of_the_others_either(filled: Scene) -> None:
    torn = filled.write("/home/dev/torn", [chat("torn", workspace="/home/dev/torn")])
    torn.write_bytes(torn.read_bytes()[:-10])
    migrate(filled.root)
    report = search(filled, "login")
    assert len(report.sessions) == 4
    assert any(torn.stem in note for note in report.notes)


def test_a_workspace_that_failed_to_migrate_is_searched_in_its_file(filled: Scene) -> None:
    lost = "/home/dev/lost"
    file = filled.write(lost, [chat("lost", workspace=lost, text="login")])
    whole = file.read_bytes()
    file.write_bytes(whole[:-10])
    migrate(filled.root)
    file.write_bytes(whole)
    assert "lost" in found_in(search(filled, "login"))


def test_nothing_is_found_in_an_unknown_workspace(store: Scene) -> None:
    assert search(store, "login", workspace="/home/dev/nowhere").sessions == ()
