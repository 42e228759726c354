"""What a search finds, whichever way it was found."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from migrator.report import Report
from migrator.storage.filtering import Filtering

Found = TypeVar("Found")
MOST_EXCERPTS = 3  # of one session


@dataclass(frozen=True)
class FoundText:
    """One text that has what was looked for.

    :ivar kind: ``task``, ``message`` or ``output``
    :ivar place: of a message its role and time, of an output its instance; empty for a task
    :ivar text: a part of it in one line, … where it goes on
    :ivar marks: begin and end of each place within ``text``
    """

    kind: str
    place: str
    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FoundSession(Report):
    """One session with texts that have what was looked for.

    :ivar session: the members that lists show
    :ivar texts: how many of its texts have it
    :ivar excerpts: the first few of them, the task before messages before outputs
    """

    workspace: str
    session: Mapping[str, Any]
    texts: int
    excerpts: tuple[FoundText, ...]

    @property
    def rank(self) -> tuple[bool, int, str]:
        """Best first: found in the task, then found in the most texts, then the newest."""
        return any(text.kind == "task" for text in self.excerpts), self.texts, self.session["updatedAt"]

    def to_json(self) -> dict[str, Any]:
        told = super().to_json()
        return {"workspace": told.pop("workspace"), **told.pop("session"), **told}


@dataclass(frozen=True)
class SearchReport(Report):
    """What a search found.

    :ivar sessions: in order, as many as were asked for
    :ivar more: there are more than these
    :ivar method: ``index``, or ``scan`` where every text was read
    :ivar notes: what the user should know
    """

    sessions: tuple[FoundSession, ...]
    more: bool
    method: str
    notes: tuple[str, ...] = ()


def searchable_texts(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Kind, place and text of everything that is searched of a session, in the order in which it is shown."""
    texts = [("task", "", document["task"])]
    texts += [
        ("message", message_place(message["role"], message["timestamp"]), message["content"])
        for message in document["chatHistory"]
    ]
    texts += [
        ("output", output_place(instance["instanceId"], instance["agentName"]), instance["output"])
        for instance in document["instances"]
        if instance.get("output")
    ]
    return texts


def message_place(role: str, timestamp: str) -> str:
    """Which message it is, for people."""
    return f"{role}, {timestamp}"


def output_place(number: int, agent: str) -> str:
    """Whose output it is, for people."""
    return f"instance {number}, {agent}" if agent else f"instance {number}"


def sort_by_filters(found: Iterable[tuple[Mapping[str, Any], Found]], filtering: Filtering) -> list[Found]:
    """What belongs to each of these summaries, in the order that the filters name."""
    return [each["found"] for each in filtering.sort([{**summary, "found": one} for summary, one in found])]
