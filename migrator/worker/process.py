"""The worker process, which uses a second processor.

It may be missing: if it cannot be started, or dies, the caller does its part. Jobs and results are pickles sent over
pipes. It ends as soon as its pipe is closed, so that it never runs on into the next run.
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

# Import the same modules from the same places; -P keeps the current folder out of the path.
_START = (
    "import pickle, sys; sys.path[:], preload = pickle.load(open(0, 'rb', buffering=0, closefd=False)); "
    "from migrator.worker.process import serve; serve(preload)"
)
_FROZEN_START = "--worker"
_PROGRESS_STEP = 1 << 18  # bytes between two progress messages
_PIPE = 1 << 20  # bytes
_STOP_TIMEOUT = 5.0  # seconds to wait for its end after killing it

_LOG = logging.getLogger("migrator")


class Job(Protocol):
    """A task that can be sent to another process."""

    def run(self, on_progress: OnProgress) -> Any:
        """Do the task; the result is sent back."""


def freeze_support() -> bool:
    """Let a frozen program start itself as the worker; call this first in its main.

    :returns: True in the worker, after its work is done: then the program must end
    """
    if sys.argv[1:] == [_FROZEN_START]:
        with open(0, "rb", buffering=0, closefd=False) as questions:
            _, preload = pickle.load(questions)  # noqa: S301 - sent by our own process
        serve(preload)
        return True
    WorkerProcess.is_frozen_start_supported = True
    return False


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _ignore(_name: str, _size: int, _sessions: int) -> None:
    pass


class WorkerProcess:
    """The worker, as seen by the process that started it.

    :param process: its standard input and output are pipes
    :param preload: modules that it imports at once
    """

    is_frozen_start_supported = False  # set by :func:`freeze_support`; otherwise the whole program would start again

    def __init__(self, process: subprocess.Popen[bytes], preload: Sequence[str] = ()) -> None:
        self._process = process
        self._jobs: SimpleQueue[Any] = SimpleQueue()
        self._messages: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._submitted = self._finished = 0
        self._submitting = threading.Lock()  # several threads may submit
        self._results: dict[int, Any] = {}
        with suppress(ImportError, AttributeError, OSError):  # large pipes, so that neither end waits for the other
            import fcntl

            for pipe in (process.stdin, process.stdout):
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE)  # type: ignore[arg-type]
        self._jobs.put((sys.path, preload))
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        threading.Thread(target=self._send_jobs, daemon=True).start()

    @classmethod
    def start(cls, preload: Sequence[str] = ()) -> Self | None:
        """Start a worker; returns None if that is not possible."""
        command = cls.command()
        if command is None:
            return None
        try:
            process = subprocess.Popen(  # noqa: S603 - our own program
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # what fails there is done again here, which reports the error
                creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
            )
        except OSError:
            return None
        _LOG.debug("Started a worker process.")
        return cls(process, preload)

    @classmethod
    def command(cls) -> list[str] | None:
        """Return the command that starts a worker; None if it is unknown, inside a program that embeds migrator."""
        if getattr(sys, "frozen", False):
            return [sys.executable, _FROZEN_START] if cls.is_frozen_start_supported else None
        if not os.path.basename(sys.executable or "").lower().startswith(("python", "pypy")):
            return None
        return [sys.executable, "-P", "-c", _START]

    def submit(self, job: Job) -> int:
        """Queue a job for the worker, and return the job's id for :meth:`result`."""
        with self._submitting:
            self._jobs.put(job)
            self._submitted += 1
            return self._submitted

    def result(self, job_id: int, on_progress: OnProgress = _ignore) -> Any:
        """Wait for a job, and return its result; None if it failed in any way."""
        while job_id not in self._results and self._take(self._messages.get(), on_progress):
            pass
        return self._results.pop(job_id, None)

    def done(self, job_id: int, on_progress: OnProgress = _ignore) -> bool:
        """Whether :meth:`result` would return at once."""
        while job_id not in self._results:
            if self._messages.empty():  # faster than an exception: this is called after every small file
                return False
            if not self._take(self._messages.get_nowait(), on_progress):
                return True
        return True

    def _take(self, message: tuple[str, Any], on_progress: OnProgress) -> bool:
        """Process a message from the worker; returns False if the worker is gone."""
        kind, value = message
        if kind == "progress":
            for name, size, sessions in value:
                on_progress(name, size, sessions)
        elif kind == "result":
            self._finished += 1
            self._results[self._finished] = value
        else:
            _LOG.debug("The worker process ended early; this process does its part.")
            self._messages.put(message)  # for the next call
            return False
        return True

    def stop(self) -> None:
        """Kill the worker, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        self._jobs.put(None)
        if self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.close()
        # The killed process may only be the launcher of a frozen program; its child ends with the pipe.
        self._listener.join(_STOP_TIMEOUT)
        if self._process.stdout is not None and not self._listener.is_alive():
            self._process.stdout.close()

    def _send_jobs(self) -> None:
        """Send jobs as they are submitted; this may block until the worker reads them."""
        with suppress(OSError, ValueError):  # a dead worker is noticed when a result is requested
            while (job := self._jobs.get()) is not None:
                _send(self._process.stdin, job)

    def _listen(self) -> None:
        stream = self._process.stdout
        with suppress(EOFError, OSError, pickle.UnpicklingError, ValueError):
            while stream is not None:
                self._messages.put(pickle.load(stream))  # noqa: S301 - sent by our own process
        self._messages.put(("gone", None))


# Given a number of bytes and of files, returns the worker; None if it is not worthwhile or cannot be started.
WorkerFor = Callable[[int, int], WorkerProcess | None]


@contextmanager
def worker_if_worthwhile(
    limits: Limits, preload: Sequence[str] = (), kind: type[WorkerProcess] = WorkerProcess
) -> Iterator[WorkerFor]:
    """Give the block a function that returns the worker, which is started once there is enough to do."""
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
    """Run as the worker: import the modules, then do the jobs that arrive on standard input until it ends."""
    import signal  # only this process needs it

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the other process handles interrupts
    standard_input, standard_output, standard_error = range(3)
    answers = os.fdopen(os.dup(standard_output), "wb")
    os.dup2(standard_error, standard_output)  # so that a print cannot corrupt the answers
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
    """Queue incoming jobs; when the pipe ends, the other process is dead and this one ends at once."""
    with suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            jobs.put(pickle.load(questions))  # noqa: S301 - sent by our own process
    os._exit(1)


class _Progress:
    """Collects progress, and sends it in large enough steps."""

    def __init__(self, answers: BinaryIO) -> None:
        self._answers = answers
        self._steps: list[tuple[str, int, int]] = []
        self._name, self._size, self._sessions, self._unsent = "", 0, 0, 0

    def add(self, name: str, size: int, sessions: int) -> None:
        """Count bytes and sessions of a file as done."""
        if name != self._name:
            self._note()
            self._name = name
        self._size += size
        self._sessions += sessions
        self._unsent += size
        if self._unsent >= _PROGRESS_STEP:
            self.send()

    def send(self) -> None:
        """Send what was counted since the last time."""
        self._note()
        if self._steps:
            _send(self._answers, ("progress", self._steps))
        self._steps, self._unsent = [], 0

    def _note(self) -> None:
        if self._name:
            self._steps.append((self._name, self._size, self._sessions))
        self._name, self._size, self._sessions = "", 0, 0
