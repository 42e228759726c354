"""A second process of this program, to use a second processor.

It is a help that may be missing: where it can't be started, or dies, its part is done here. It is told what to do, and
answers, in pickles over pipes; it ends as soon as the pipe does, so that it never works on beside the next run.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from queue import SimpleQueue
from typing import Any, BinaryIO, Protocol

from migrator.worker.gc_pause import without_collector

# The same modules from the same places (-P: and nothing from the folder that we happen to run in).
_START = (
    "import pickle, sys; sys.path[:], preload = pickle.load(open(0, 'rb', buffering=0, closefd=False)); "
    "from migrator.worker.process import serve; serve(preload)"
)
_FROZEN_START = "--second-process"
_PROGRESS_STEP = 1 << 18  # bytes between two messages of progress
WORTH_A_SECOND_PROCESS = 24 << 20  # bytes of files; below that it costs more than it brings
_COST_OF_A_FILE = 6 << 10  # bytes that could be migrated in the time that a file takes, however small it is
_PIPE = 1 << 20  # bytes
_PATIENCE = 5.0  # seconds that its end may take once it is told

_LOG = logging.getLogger("migrator")

Seen = Callable[[str, int], None]
SeenSeveral = Callable[[str, int, int], None]


def is_worth_it(size: int, files: int = 0) -> bool:
    """Whether so many bytes, in so many files, are worth a second process."""
    return size + files * _COST_OF_A_FILE >= WORTH_A_SECOND_PROCESS


def half_of(sizes: Sequence[int]) -> int:
    """How many of the first ones are about half of all."""
    half, number = sum(sizes) // 2, 0
    while number < len(sizes) and half > sizes[number] // 2:
        half -= sizes[number]
        number += 1
    return number


class Job(Protocol):
    """Something to do that can be sent to another process."""

    def run(self, seen: Seen) -> Any:
        """
        :param seen: called with a source's name and a number of bytes that are done of it
        """
        ...


class _Frozen:
    """What is known of the frozen program that we are part of, if we are."""

    supported = False


def freeze_support() -> bool:
    """For a frozen program, first thing in its main: lets a second process be started, as this very program.

    :returns: True in that second process, when its work is done and the program has to end
    """
    if sys.argv[1:] == [_FROZEN_START]:
        with open(0, "rb", buffering=0, closefd=False) as questions:
            _, preload = pickle.load(questions)  # noqa: S301 - the module path of the first process is ours already
        serve(preload)
        return True
    _Frozen.supported = True
    return False


def command() -> list[str] | None:
    """How to start the second process, or None where that can't be told: within a program that embeds us."""
    if getattr(sys, "frozen", False):
        return [sys.executable, _FROZEN_START] if _Frozen.supported else None
    if not os.path.basename(sys.executable or "").lower().startswith(("python", "pypy")):
        return None
    return [sys.executable, "-P", "-c", _START]


def processors() -> int:
    """How many processors we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignored(_name: str, _size: int, _sessions: int) -> None:
    pass


class SecondProcess:
    """The second process, as seen from the first."""

    def __init__(self, process: subprocess.Popen[bytes], preload: Sequence[str] = ()) -> None:
        self._process = process
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._given = self._done = 0
        self._giving = threading.Lock()  # a thread may have something for it, too
        self._results: dict[int, Any] = {}
        _widen(process)
        self._jobs.put((sys.path, preload))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._talk, daemon=True).start()

    def give(self, job: Job) -> int:
        """Let it do a job after the ones that it has already; :meth:`result` waits for its end.

        :returns: a ticket for the result
        """
        with self._giving:
            self._jobs.put(job)
            self._given += 1
            return self._given

    def result(self, ticket: int, seen: SeenSeveral = _ignored) -> Any:
        """Wait for the end of a job.

        :param seen: called with a source's name, and how many bytes and sessions are done of it
        :returns: what the job has come to; None where it failed, in whatever way
        """
        while ticket not in self._results and self._take(self._messages.get(), seen):
            pass
        return self._results.pop(ticket, None)

    def is_done(self, ticket: int, seen: SeenSeveral = _ignored) -> bool:
        """Whether there is no need to wait for the end of a job."""
        while ticket not in self._results:
            if self._messages.empty():  # an exception for that would be felt: it is asked after every small file
                return False
            if not self._take(self._messages.get_nowait(), seen):
                return True
        return True

    def _take(self, message: tuple[str, Any], seen: SeenSeveral) -> bool:
        """Note what it says; False where it is gone."""
        kind, value = message
        if kind == "seen":
            for name, size, sessions in value:
                seen(name, size, sessions)
        elif kind == "done":
            self._done += 1
            self._results[self._done] = value
        else:
            _LOG.debug("The second process is gone; its part is done here.")
            self._messages.put(message)  # for whoever asks next
            return False
        return True

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._jobs.put(None)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        # What was killed may have been but the launcher of a frozen program; its child ends with the pipe.
        self._listener.join(_PATIENCE)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()

    def _talk(self) -> None:
        """Send what there is to send; it is read only when the job before it is done."""
        with suppress(OSError, ValueError):  # that it is dead is found when a result is asked for
            while (job := self._jobs.get()) is not None:
                _send(self._process.stdin, job)

    def _listen(self) -> None:
        stream = self._process.stdout
        with suppress(EOFError, OSError, pickle.UnpicklingError, ValueError):
            while stream is not None:
                self._messages.put(pickle.load(stream))  # noqa: S301 - what our own process says
        self._messages.put(("gone", None))


def _widen(process: subprocess.Popen[bytes]) -> None:
    """Give the pipes room, where the system lets us: neither end should wait until the other one finds time."""
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        for pipe in (process.stdin, process.stdout):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)  # type: ignore[arg-type]


# Gives the second process, for so many bytes in so many files, or None where it is not worth it or can't be had.
Helper = Callable[[int, int], SecondProcess | None]


@contextmanager
def second_process(*, wanted: bool, preload: Sequence[str] = ()) -> Iterator[SecondProcess | None]:
    """A second process for the length of the block; None where there is no use for it or no way to have it.

    :param preload: modules that it loads at once
    """
    start = command() if wanted and processors() > 1 else None
    if start is None:
        yield None
        return
    try:
        process = subprocess.Popen(  # noqa: S603 - this very program
            start,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # what fails there is done, and told of, here
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
    except OSError:
        yield None
        return
    _LOG.debug("A second process helps.")
    second = SecondProcess(process, preload)
    try:
        yield second
    finally:
        second.stop()


@contextmanager
def stopped_on_failure(second: SecondProcess | None) -> Iterator[None]:
    """Where the block fails, it is ended before anybody clears away what it may still be writing."""
    try:
        yield
    except BaseException:
        if second is not None:
            second.stop()
        raise


@contextmanager
def help_on_demand(preload: Sequence[str] = ()) -> Iterator[Helper]:
    """Whom to ask, within the block, for a second process: it is started when there is enough to do for it."""
    with ExitStack() as stack:
        second: SecondProcess | None = None

        def helper(size: int, files: int) -> SecondProcess | None:
            nonlocal second
            if second is None:
                second = stack.enter_context(second_process(wanted=is_worth_it(size, files), preload=preload))
            return second

        yield helper


def _send(stream: BinaryIO | Any, value: Any) -> None:
    pickle.dump(value, stream)
    stream.flush()


def serve(preload: Sequence[str] = ()) -> None:
    """Be the second process: do what comes in on standard input until that ends.

    :param preload: modules to load while the first process is busy with other things
    """
    import signal  # of the two processes, only this one has a use for it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first one decides what an interrupt means
    standard_input, standard_output, standard_error = range(3)
    answers = os.fdopen(os.dup(standard_output), "wb")
    os.dup2(standard_error, standard_output)  # nothing that prints can spoil the answers
    jobs: SimpleQueue[Job] = SimpleQueue()
    threading.Thread(target=_receive, args=(os.fdopen(standard_input, "rb"), jobs), daemon=True).start()
    for name in preload:
        import_module(name)
    with suppress(OSError), without_collector():
        while True:
            progress = _Progress(answers)
            result = jobs.get().run(progress.seen)
            progress.tell()
            _send(answers, ("done", result))


def _receive(questions: BinaryIO, jobs: SimpleQueue[Job]) -> None:
    """Queue what comes in; when nothing can come any more the first process is dead, and so is this one at once."""
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            jobs.put(pickle.load(questions))  # noqa: S301 - what our own process says
    os._exit(1)


class _Progress:
    """Progress in steps that are worth a message."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._seen: list[tuple[str, int, int]] = []
        self._name, self._size, self._sessions, self._untold = "", 0, 0, 0

    def seen(self, name: str, size: int) -> None:
        if name != self._name:
            self._note()
            self._name = name
        self._size += size
        self._sessions += 1
        self._untold += size
        if self._untold >= _PROGRESS_STEP:
            self.tell()

    def tell(self) -> None:
        self._note()
        if self._seen:
            _send(self._answers, ("seen", self._seen))
        self._seen, self._untold = [], 0

    def _note(self) -> None:
        if self._sessions:
            self._seen.append((self._name, self._size, self._sessions))
        self._size = self._sessions = 0
