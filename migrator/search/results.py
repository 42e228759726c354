"""The report of a search, with or without the index."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from migrator.errors import Message
from migrator.report import Report
from migrator.storage.filtering import Filtering

Found = TypeVar("Found")
Rank = tuple[bool, int, str, str, str]
MOST_EXCERPTS = 3  # of one session


def rank_of(session: Mapping[str, Any], workspace: str, *, in_task: bool, matches: int) -> Rank:
    """Return the sort key, best last: a match in the task, then more matching texts, then a later update.

    What is the same in all of these is sorted by names, so that the order is the same with and without an index.
    """
    return in_task, matches, session["updatedAt"], workspace, session["id"]


@dataclass(frozen=True)
class FoundText:
    """A text that matches.

    :ivar kind: ``task``, ``message`` or ``output``
    :ivar place: role and time of a message, or the instance of an output; empty for a task
    :ivar text: an excerpt in one line, with … where the text continues
    :ivar marks: begin and end of each match within ``text``
    """

    kind: str
    place: str
    text: str
    marks: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class FoundSession(Report):
    """A session with texts that match.

    :ivar session: the members that lists show
    :ivar texts: how many of its texts match
    :ivar excerpts: excerpts of the first few: the task, then messages, then outputs
    """

    workspace: str
    session: Mapping[str, Any]
    texts: int
    excerpts: tuple[FoundText, ...]

    @property
    def rank(self) -> Rank:
        """The sort key, best last."""
        in_task = any(text.kind == "task" for text in self.excerpts)
        return rank_of(self.session, self.workspace, in_task=in_task, matches=self.texts)

    def to_json(self) -> dict[str, Any]:
        members = super().to_json()
        return {"workspace": members.pop("workspace"), **members.pop("session"), **members}


@dataclass(frozen=True)
class SearchReport(Report):
    """What a search found.

    :ivar sessions: in order, at most as many as were requested
    :ivar more: whether there are more
    :ivar method: ``index``, or ``scan`` if every text was read
    :ivar notes: messages for the user
    :ivar errors: what cannot be read of a damaged database
    """

    sessions: tuple[FoundSession, ...]
    more: bool
    method: str
    notes: tuple[str, ...] = ()
    errors: tuple[Message, ...] = ()

    @property
    def exit_code(self) -> int:
        return 3 if self.errors else 0


def searchable_texts(document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return kind, place and text of everything in a session that is searched, in the order of the results."""
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
    """Describe a message for people."""
    return f"{role}, {timestamp}"


def output_place(number: int, agent: str) -> str:
    """Describe an output for people."""
    return f"instance {number}, {agent}" if agent else f"instance {number}"


def sort_by_filters(found: Iterable[tuple[Mapping[str, Any], Found]], filtering: Filtering) -> list[Found]:
    """Sort items by their summaries, in the order that the filters name."""
    return [each["found"] for each in filtering.sort([{**summary, "found": one} for summary, one in found])]
