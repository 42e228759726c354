"""The worker: another process of this program, to use a second processor.

It may be missing: where it can't be started, or dies, the caller does its part. Jobs and results are pickles over
pipes. It ends as soon as the pipe does, so that it never works on during the next run.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from queue import SimpleQueue
from typing import Any, BinaryIO, Protocol, Self

from migrator.progress import OnProgress
from migrator.worker.gc_pause import without_collector
from migrator.worker.limits import Limits

# The same modules from the same places (-P: and nothing from the folder that we happen to run in).
_START = (
    "import pickle, sys; sys.path[:], preload = pickle.load(open(0, 'rb', buffering=0, closefd=False)); "
    "from migrator.worker.process import serve; serve(preload)"
)
_FROZEN_START = "--worker"
_PROGRESS_STEP = 1 << 18  # bytes between two messages of progress
_PIPE = 1 << 20  # bytes
_PATIENCE = 5.0  # seconds that its end may take once it is told

_LOG = logging.getLogger("migrator")


class Job(Protocol):
    """Something to do that can be sent to another process."""

    def run(self, on_progress: OnProgress) -> Any:
        """Do it; what it returns is sent back."""


def freeze_support() -> bool:
    """For a frozen program, first thing in its main: lets a worker be started, as this very program.

    :returns: True in the worker, when its work is done and the program has to end
    """
    if sys.argv[1:] == [_FROZEN_START]:
        with open(0, "rb", buffering=0, closefd=False) as questions:
            _, preload = pickle.load(questions)  # noqa: S301 - our own module path
        serve(preload)
        return True
    WorkerProcess.is_frozen_start_supported = True
    return False


def processors() -> int:
    """How many processors we may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(_name: str, _size: int, _sessions: int) -> None:
    pass


class WorkerProcess:
    """The worker, as seen from the process that started it.

    :param process: its standard input and output are pipes
    :param preload: modules that it loads at once
    """

    is_frozen_start_supported = False  # by :func:`freeze_support`, without which the whole program would start again

    def __init__(self, process: subprocess.Popen[bytes], preload: Sequence[str] = ()) -> None:
        self._process = process
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._submitted = self._finished = 0
        self._submitting = threading.Lock()  # threads submit, too
        self._results: dict[int, Any] = {}
        with suppress(ImportError, AttributeError, OSError):  # neither end should wait until the other finds time
            import fcntl

            for pipe in (process.stdin, process.stdout):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)  # type: ignore[arg-type]
        self._jobs.put((sys.path, preload))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._talk, daemon=True).start()

    @classmethod
    def start(cls, preload: Sequence[str] = ()) -> Self | None:
        """Start one; None where there is no way to have it."""
        command = cls.command()
        if command is None:
            return None
        try:
            process = subprocess.Popen(  # noqa: S603 - this very program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what fails there is done, and reported, here
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return None
        _LOG.debug("A second process helps.")
        return cls(process, preload)

    @classmethod
    def command(cls) -> list[str] | None:
        """How to start a worker, or None where that can't be known: within a program that embeds us."""
        if getattr(sys, "frozen", False):
            return [sys.executable, _FROZEN_START] if cls.is_frozen_start_supported else None
        if not os.path.basename(sys.executable or "").lower().startswith(("python", "pypy")):
            return None
        return [sys.executable, "-P", "-c", _START]

    def submit(self, job: Job) -> int:
        """Let it do a job after the ones that it has already; returns the job's id, for :meth:`result`."""
        with self._submitting:
            self._jobs.put(job)
            self._submitted += 1
            return self._submitted

    def result(self, job_id: int, on_progress: OnProgress = _ignore) -> Any:
        """Wait for the end of a job; returns what the job returned, or None where it failed, in whatever way."""
        while job_id not in self._results and self._take(self._messages.get(), on_progress):
            pass
        return self._results.pop(job_id, None)

    def done(self, job_id: int, on_progress: OnProgress = _ignore) -> bool:
        """Whether there is no need to wait for the end of a job."""
        while job_id not in self._results:
            if self._messages.empty():  # an exception for that would be felt: it is asked after every small file
                return False
            if not self._take(self._messages.get_nowait(), on_progress):
                return True
        return True

    def _take(self, message: tuple[str, Any], on_progress: OnProgress) -> bool:
        """Note what it says; False where it is gone."""
        kind, value = message
        if kind == "progress":
            for name, size, sessions in value:
                on_progress(name, size, sessions)
        elif kind == "result":
            self._finished += 1
            self._results[self._finished] = value
        else:
            _LOG.debug("The second process is gone; its part is done here.")
            self._messages.put(message)  # for the next call
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


# Returns the worker, for so many bytes in so many files; None where it is not worth while or can't be had.
WorkerFor = Callable[[int, int], WorkerProcess | None]


@contextmanager
def worker_if_worthwhile(
    limits: Limits, preload: Sequence[str] = (), kind: type[WorkerProcess] = WorkerProcess
) -> Iterator[WorkerFor]:
    """Ask it, within the block, for the worker: that is started when there is enough to do, and stopped in the end."""
    worker: WorkerProcess | None = None

    def worker_for(size: int, files: int) -> WorkerProcess | None:
        nonlocal worker
        if worker is None and limits.is_worth_a_worker(size, files) and (limits.processors or processors()) > 1:
            worker = kind.start(preload)
        return worker

    try:
        yield worker_for
    finally:
        if worker is not None:
            worker.stop()


def _send(stream: BinaryIO | Any, value: Any) -> None:
    pickle.dump(value, stream)
    stream.flush()


def serve(preload: Sequence[str] = ()) -> None:
    """Be the worker: load the modules, then do the jobs that come in on standard input until that ends."""
    import signal  # of the two processes, only this one has a use for it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other one decides what an interrupt means
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
            result = jobs.get().run(progress.add)
            progress.send()
            _send(answers, ("result", result))


def _receive(questions: BinaryIO, jobs: SimpleQueue[Job]) -> None:
    """Queue what comes in; when nothing can come any more the other process is dead, and this one ends at once."""
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            jobs.put(pickle.load(questions))  # noqa: S301 - what our own process says
    os._exit(1)


class _Progress:
    """Progress in steps that are worth a message."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._steps: list[tuple[str, int, int]] = []
        self._name, self._size, self._sessions, self._unsent = "", 0, 0, 0

    def add(self, name: str, size: int, sessions: int) -> None:
        if name != self._name:
            self._note()
            self._name = name
        self._size += size
        self._sessions += sessions
        self._unsent += size
        if self._unsent >= _PROGRESS_STEP:
            self.send()

    def send(self) -> None:
        self._note()
        if self._steps:
            _send(self._answers, ("progress", self._steps))
        self._steps, self._unsent = [], 0

    def _note(self) -> None:
        if self._name:
            self._steps.append((self._name, self._size, self._sessions))
        self._name, self._size, self._sessions = "", 0, 0
