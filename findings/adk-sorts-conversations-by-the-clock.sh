#!/bin/sh
# The three session services of Google's Agent Development Kit return one conversation in three orders: those that store
# it sort by timestamp, and one of them by the events' random ids where timestamps are equal.
#
# Seen with google-adk 2.13.0: three events with one timestamp and the ids c, a and b, then a call, and its response
# with a time that is 0.1 seconds earlier, as after the clock was set. InMemorySessionService returns them as they were
# appended, SqliteSessionService with the response before the call, and DatabaseSessionService, in SQLite, too, sorts
# the three by their ids as well. With num_recent_events=1, the last event is the call.
#
# Output: memory c a b call response, sqlite c a b response call, database a b c response call
#
# Why it matters: a resumed conversation is another one than the model had, with answers before their questions, and a
# response that stands before its call may be refused. Tests use the service in memory, which is right. Events that are
# imported from an archive often have times in whole seconds, and many are equal. Give each event a later timestamp than
# the one before, and append it then.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install -qq 'google-adk==2.13.0' 'SQLAlchemy==2.1.9' 'aiosqlite==0.22.1' \
    'greenlet==3.5.6'
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import asyncio

from google.adk.events import Event
from google.adk.sessions import DatabaseSessionService, InMemorySessionService
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

WHO = {"app_name": "app", "user_id": "user", "session_id": "s1"}
EVENTS = {"c": 1000.5, "a": 1000.5, "b": 1000.5, "call": 2000.5, "response": 2000.4}
RISING = {name: 1000.5 + number for number, name in enumerate(EVENTS)}


async def order(service, events):
    session = await service.create_session(**WHO)
    for name, at in events.items():
        content = types.Content(role="user", parts=[types.Part(text=name)])
        await service.append_event(session, Event(id=name, author="user", timestamp=at, content=content))
    whole = await service.get_session(**WHO)
    recent = await service.get_session(**WHO, config=GetSessionConfig(num_recent_events=1))
    return [event.id for event in whole.events], [event.id for event in recent.events]


async def orders(number, events):
    services = {
        "memory": InMemorySessionService(),
        "sqlite": SqliteSessionService(f"sqlite{number}.db"),
        "database": DatabaseSessionService(f"sqlite+aiosqlite:///database{number}.db"),
    }
    return {name: await order(service, events) for name, service in services.items()}


found = asyncio.run(orders(1, EVENTS))
rising = asyncio.run(orders(2, RISING))
print(", ".join(f"{name} {' '.join(whole)}" for name, (whole, _) in found.items()))
assert found["memory"] == (["c", "a", "b", "call", "response"], ["response"]), "memory sorts events now"
assert found["sqlite"] == (["c", "a", "b", "response", "call"], ["call"]), "SqliteSessionService sorts otherwise now"
assert found["database"] == (["a", "b", "c", "response", "call"], ["call"]), "ids no longer decide"
assert set(map(str, rising.values())) == {str((list(EVENTS), ["response"]))}, "rising times do not help now"
PY
