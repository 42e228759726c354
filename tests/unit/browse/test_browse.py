"""The database in a browser: read-only, only with the key, and easy to read."""

import re
import socket
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from migrator.browse import plugin
from migrator.database.connection import connect_read_only
from migrator.errors import NotInstalled
from migrator.files.resources import EXTRAS
from tests.support.browser import Browser, program
from tests.support.command_line import Migrator
from tests.support.pages import Texts, Visitor, browsing
from tests.support.scene import Document, Scene, chat, copy_fixture
from tests.support.strategies import instance, message

ENGINE = "/home/dev/engine"
HARM = (
    "<script>document.title = 'taken over'</script><img src=x onerror=\"document.title = 'taken over'\">"
    "{{ 7919 * 7907 }}\x1b[31mred\x1b[0m \u202ereversed\u202c \x07 end"
)
AS_TEXT = (
    HARM.replace("\x1b", r"\x1b").replace("\u202e", r"\u202e").replace("\u202c", r"\u202c").replace("\x07", r"\x07")
)
LONG = "a line of the terminal\n" * 60_000


def debate() -> Document:
    document = chat("s-1", task="Who is right about caching?", type="debate", winnerId=2)
    return document | {
        "instances": [
            instance(instanceId=1, agentName="Pragmatist", output="$ make test\nall good"),
            instance(instanceId=2, agentName="Innovator", output=LONG),
        ],
        "chatHistory": [
            message(id="m-1", role="user", content="Begin."),
            message(id="m-2", role="assistant", content="Measure first.\n\n- then cache", instanceId=1),
        ],
    }


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Scene, Visitor]]:
    """The shipped fixture with a debate and hostile text, migrated, and served to a client with the key."""
    from migrator import migrate

    scene = copy_fixture(tmp_path_factory.mktemp("browse") / "a # folder %41 of mine?")
    harmful = chat("harm", workspace=ENGINE, task=HARM, text=HARM)
    harmful["instances"][0] |= {"agentName": HARM, "output": HARM, "branch": HARM}
    scene.write(ENGINE, [debate(), harmful, chat(f"key {HARM}", workspace=ENGINE)])
    migrate(scene.root)
    with browsing(scene.root) as visitor:
        visitor.come_in()
        yield scene, visitor


@pytest.fixture
def visitor(visited: tuple[Scene, Visitor]) -> Visitor:
    return visited[1]


# Starting.


def test_the_printed_address_leads_to_the_recent_sessions(visitor: Visitor) -> None:
    landed = visitor.come_in()
    assert landed.status == 200
    assert "Recent sessions" in landed.body


def test_without_a_database_it_says_how_to_get_one(scene: Scene, migrator: Migrator) -> None:
    outcome = migrator("--data-dir", scene.root, "browse", "--json")
    [problem] = outcome.json["problems"]
    assert (outcome.code, problem["code"].split(".")[0]) == (1, "database")
    assert "'migrator migrate'" in problem["hint"]


def test_without_the_extra_it_says_what_to_install(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasette", None)  # makes importing it fail
    outcome = migrator("--data-dir", scene.root, "browse", "--json")
    [problem] = outcome.json["problems"]
    assert (outcome.code, problem["code"]) == (1, NotInstalled.code)
    assert f'"{sys.executable}" -m pip install "ait42-migrator[browse]"' in problem["hint"]


def test_the_program_of_a_single_file_says_where_it_can_be_had(
    scene: Scene, migrator: Migrator, monkeypatch: pytest.MonkeyPatch, frozen_program: None
) -> None:
    for package in EXTRAS["browse"]:
        monkeypatch.setitem(sys.modules, package, None)
    outcome = migrator("--data-dir", scene.root, "browse", "--json")
    [problem] = outcome.json["problems"]
    assert (outcome.code, problem["code"]) == (1, NotInstalled.code)
    assert 'python -m pip install "ait42-migrator[browse]"' in problem["hint"]
    assert sys.executable not in problem["hint"]  # which is the program itself


def test_a_port_that_is_in_use_is_wrong_usage(scene: Scene, migrator: Migrator) -> None:
    scene.write(ENGINE, [chat("s-1")])
    migrator("--data-dir", scene.root, "migrate")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = migrator("--data-dir", scene.root, "browse", "--json", "--port", str(taken.getsockname()[1]))
    assert (outcome.code, outcome.json["problems"][0]["code"]) == (2, "option.port_unusable")


def test_a_file_that_is_not_a_database_is_refused(scene: Scene, migrator: Migrator) -> None:
    scene.database.write_bytes(b"this is not a database at all, but long enough to be read as a header" * 20)
    outcome = migrator("--data-dir", scene.root, "browse", "--json")
    assert (outcome.code, outcome.json["problems"][0]["code"].split(".")[0]) == (1, "database")


# Access.


@pytest.mark.parametrize("path", ["/", "/history", "/history/sessions.json", "/assets/browse.css", "/-/databases.json"])
def test_without_the_key_nothing_is_shown(path: str, visitor: Visitor) -> None:
    answer = visitor.get_anonymously(path)
    assert answer.status == 403
    assert "<" not in answer.body


def test_a_wrong_key_shows_nothing(visitor: Visitor) -> None:
    assert visitor.get_anonymously("/history?key=guessed").status == 403
    assert visitor.get_anonymously("/history", Cookie="migrator-browse=guessed").status == 403


@pytest.mark.parametrize(
    "other",
    ['prefs={"a": 1, "b": [2]}', "name=Jos\xe9", "x=a,b", "theme=dark mode", "=novalue", "flag", "a[b]=1", "a:b=1",
     "$Version=1", "path=/x", "a@b=c", "secure", 'q="unterminated', "expires=Mon"],
)  # fmt: skip
def test_cookies_of_other_programs_on_this_host_do_not_matter(other: str, visitor: Visitor) -> None:
    key = visitor.cookie()
    for header in (f"{other}; {key}", f"{key}; {other}"):
        answer = visitor.get_anonymously("/history/sessions.json?_size=1", Cookie=header)
        assert answer.status == 200, (header, answer.body)


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("SELECT randomblob(1000000000)", "too big"),
        (
            "SELECT zeroblob(30000000) FROM (SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4 UNION SELECT 5)",
            "MiB",
        ),
        ("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n", "took too long"),
    ],
)
def test_memory_and_time_of_a_query_are_bounded_for_those_with_the_key(
    statement: str, words: str, visitor: Visitor
) -> None:
    answer = visitor.get(f"/history.json?sql={quote(statement)}")
    assert answer.status == 400
    assert words in answer.body


def test_under_another_host_name_nothing_is_shown_even_with_the_key(visitor: Visitor) -> None:
    path = visitor.keyed("/history").removeprefix(visitor.root)
    assert visitor.get_anonymously(path, Host="evil.example").status == 403


def test_the_key_does_not_stay_in_the_address(visitor: Visitor) -> None:
    answer = visitor.get_anonymously(visitor.keyed("/history/sessions").removeprefix(visitor.root))
    assert (answer.status, answer.headers["location"]) == (303, "/history/sessions")
    assert "HttpOnly; SameSite=Strict" in answer.headers["set-cookie"]


def test_pages_are_not_framed_or_cached_and_load_nothing_from_elsewhere(visitor: Visitor) -> None:
    headers = {name.lower(): value for name, value in visitor.get("/history").headers.items()}
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'self'" in headers["content-security-policy"]
    assert headers["cache-control"] == "no-store"


# Read-only.


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM sessions",
        "ATTACH DATABASE '/tmp/other.db' AS other",
        "PRAGMA query_only = OFF",
        "VACUUM INTO '/tmp/x'",
    ],
)
def test_statements_that_write_are_refused(statement: str, visitor: Visitor) -> None:
    assert visitor.get(f"/history.json?sql={quote(statement)}").status == 400


def test_a_connection_of_the_pages_cannot_write(visited: tuple[Scene, Visitor]) -> None:
    with closing(connect_read_only(visited[0].database)) as connection:
        assert connection.execute("SELECT count(*) FROM sessions").fetchone()[0] > 100
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            connection.execute("DELETE FROM sessions")


def test_what_the_app_writes_meanwhile_is_shown(visited: tuple[Scene, Visitor]) -> None:
    scene, visitor = visited
    scene.change("UPDATE sessions SET model = 'written meanwhile' WHERE id = 's-1'")
    assert "written meanwhile" in visitor.get("/history/sessions/s-1").body


# Pages.


@pytest.mark.parametrize(
    "page",
    [
        "/", "/history", "/history/sessions", "/history/instances", "/history/chat_messages", "/history/workspaces",
        "/history/quarantine", "/history/migration_ledger", "/history/migration_runs", "/history/session_complete",
        "/history/sessions/s-1", "/history/instances/1", "/history/workspaces/1", "/history/quarantine/1",
        "/history/chat_messages/m-1", "/history/migration_ledger/1",
        "/history/recent_sessions", "/history/workspaces_at_a_glance", "/history/winners", "/history/agents",
        "/history/said?text=Measure", "/history/set_aside", "/history/sessions?_facet=model",
    ],
)  # fmt: skip
def test_every_page_is_there(page: str, visitor: Visitor) -> None:
    answer = visitor.get(page)
    assert answer.status == 200
    assert "interrupted" not in answer.body


def test_the_tables_have_titles_and_the_facets_that_help(visitor: Visitor) -> None:
    body = visitor.get("/history/sessions").body
    assert "<h1>Sessions</h1>" in body
    assert set(re.findall(r'data-column="(\w+)"', body)) >= {"type", "status", "workspace_id", "task"}
    assert f">{ENGINE}</a>" in body  # the workspace by its path, not its number
    body = visitor.get("/history/session_values").body
    assert all(f"facet-{name}" in body.lower() or f"_facet={name}" in body for name in ("type", "status"))


def test_an_instance_names_its_session_by_its_task(visitor: Visitor) -> None:
    assert ">Who is right about caching?</a>" in visitor.get("/history/instances?session_id=s-1").body


def test_the_page_of_a_session_shows_all_of_it(visitor: Visitor) -> None:
    text = Texts(visitor.get("/history/sessions/s-1").body).shown
    assert "Who is right about caching?" in text
    assert "Measure first.\n\n- then cache" in text
    assert text.index("Begin.") < text.index("Measure first.")
    assert "1 Pragmatist" in text
    assert "winner" in text


def test_a_page_of_a_session_shows_a_long_output_up_to_a_million_characters(visitor: Visitor) -> None:
    body = visitor.get("/history/sessions/s-1").body
    assert f"… {len(LONG) - 1_000_000:,} more characters" in body


def test_a_table_shows_a_glimpse_of_a_long_output(visitor: Visitor) -> None:
    body = visitor.get("/history/instances?session_id=s-1").body
    assert len(body) < 100_000
    assert "more characters" in body


@pytest.mark.parametrize(
    "page",
    [
        "/history/sessions/harm", "/history/instances?session_id=harm", "/history/chat_messages?session_id=harm",
        "/history/sessions?id=harm", "/history/sessions?id__startswith=key", "/history/said?text=taken+over",
        "/history/instances?_facet=branch",
    ],
)  # fmt: skip
def test_stored_texts_are_shown_as_text(page: str, visitor: Visitor) -> None:
    body = visitor.get(page).body
    texts = Texts(body)
    assert "document.title = 'taken over'</script>" in texts.shown
    assert texts.handlers <= {"onclick"}
    assert "<script>document.title" not in body
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", body)


def test_a_missing_row_gets_a_page_that_says_so(visitor: Visitor) -> None:
    answer = visitor.get("/history/sessions/nothing")
    assert answer.status == 404
    assert "Record not found" in answer.body


def test_an_invalid_query_gets_a_page_that_says_so(visitor: Visitor) -> None:
    answer = visitor.get("/history?sql=select+nonsense")
    assert answer.status == 400
    assert "no such column" in answer.body


# Texts.


def test_escape_sequences_are_shown_small() -> None:
    made = str(plugin.whole("\x1b[1mbold\x1b[0m"))
    assert made == (
        '<pre class="stored terminal" dir="auto"><span class="control">\\x1b[1m</span>bold'
        '<span class="control">\\x1b[0m</span></pre>'
    )


def test_many_long_texts_on_one_page_are_shown_as_glimpses_when_it_is_full() -> None:
    first, second, third = map(str, plugin.together(["a" * 3000, None, "b" * 3000], 3000))
    assert "a" * 3000 in first
    assert "more characters" not in first + second
    assert "b" * 600 + '<span class="more">… 2,400 more characters' in third


def test_a_label_is_one_short_line() -> None:
    made = str(plugin.line("first\nsecond  third " + "x" * 500))
    assert made.startswith("first second third xxx")
    assert len(made) == 90


def test_harmful_characters_are_escaped() -> None:
    texts = Texts(str(plugin.whole(HARM)))
    assert texts.shown == AS_TEXT


# In a real browser.


def test_in_a_browser_a_session_reads_well_and_nothing_stored_runs(
    visited: tuple[Scene, Visitor], tmp_path: Path
) -> None:
    program()
    dom = Browser(tmp_path).dom(visited[1].keyed("/history/sessions/harm"))
    assert "taken over" in dom
    assert not re.search(r"<title>[^<]*taken over'?</title>", dom)
    assert '<article class="message from-' in dom


def test_a_browser_contacts_no_other_server(visited: tuple[Scene, Visitor], tmp_path: Path) -> None:
    program()
    asked = Browser(tmp_path).connections(visited[1].keyed("/history/sessions/s-1"))
    assert asked
    assert {address for address in asked if not address.startswith(visited[1].root)} == set()
