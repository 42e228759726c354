"""Runs command lines in processes of their own, hundreds of them, with a watch on what they change.

The modules are loaded once, here; each command runs in a fork of this process. It is the real program with the real
files: only what stands between it and the operating system is ours. Requests come as JSON, a line each.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.torture.points import Fault, Point, Watch, points_in

CHECKOUT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = ("migrator.__main__", "migrator.browse")  # a start of its own; a server, which changes nothing
PATIENCE = 10.0  # seconds that a worker process may take to find that it is alone
SECOND = "from tests.torture.launcher import watch_second; watch_second({!r}); "


@dataclass(frozen=True)
class Ended:
    """How a process ended.

    :ivar code: its exit code; a negative number is that of the signal that ended it
    :ivar outlived: processes that it had started were there for some seconds more
    :ivar seconds: how long it took
    """

    code: int
    out: str
    err: str
    outlived: bool = False
    meanwhile: int | None = None
    seconds: float = 0.0

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Job:
    """What a process is to do.

    :ivar arguments: of the command line; or, after ``call``, a function of ``tests.torture.programs`` and its arguments
    :ivar watched: the data directory to watch
    :ivar two: use the worker process, however little there is to do
    :ivar in_second: it is the worker process that is watched, and to which the fault happens
    :ivar kill_after: seconds until it is killed, if it is still there
    :ivar kill_at: the number of the watched step before which it is killed
    :ivar meanwhile: what another process does at that step, in place of the kill: the step waits for its end
    :ivar limits: what the resources of the process are limited to, by the names of the module ``resource``
    """

    arguments: tuple[str, ...]
    watched: str | None = None
    log: str | None = None
    fault: Fault | None = None
    two: bool = False
    in_second: bool = False
    kill_after: float | None = None
    kill_at: int | None = None
    meanwhile: tuple[str, ...] = ()
    limits: tuple[tuple[str, int], ...] = ()
    patch: str | None = None


class Launcher:
    """The process that runs the others."""

    def __init__(self, scratch: Path) -> None:
        self.scratch = scratch
        environment = {
            name: value
            for name, value in os.environ.items()
            if name not in ("AIT42_DATA_DIR", "MIGRATOR_DATABASE_URL", "DATABASE_URL", "STORAGE_BACKEND")
        }
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.launcher", str(scratch)],
            cwd=CHECKOUT,
            env=environment | {"HOME": str(scratch)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # an interrupt of the tests does not reach the command under test
        )

    def run(self, *arguments: str | Path, **options: Any) -> Ended:
        """Run one command line to its end, however it comes."""
        return self.run_job(Job(tuple(map(str, arguments)), **options))

    def run_job(self, job: Job) -> Ended:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        fault = job.fault.record() if job.fault else None
        self._server.stdin.write(json.dumps(vars(job) | {"fault": fault}) + "\n")
        self._server.stdin.flush()
        return Ended(**json.loads(self._server.stdout.readline()))

    def points(self, root: Path, *arguments: str | Path, **options: Any) -> tuple[Ended, list[tuple[Point, bool]]]:
        """Run one command line undisturbed; also returns the points that it came by."""
        log = self.scratch / "points"
        log.unlink(missing_ok=True)
        ended = self.run(*arguments, watched=str(root), log=str(log), **options)
        return ended, list(points_in(log))

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(timeout=60)
        assert self._server.stdout is not None
        self._server.stdout.close()


def serve(scratch: Path) -> None:
    """Do what comes in on standard input until that ends."""
    import migrator.cli.app
    from migrator.documents import validation

    for module in pkgutil.walk_packages(migrator.__path__, "migrator."):
        if not module.name.startswith(LEFT_OUT):
            importlib.import_module(module.name)
    validation.problems({})  # loads what explains, which a process without rights could not
    gc.collect()
    gc.freeze()  # a search for garbage in a fork would copy all of these modules
    signal.signal(signal.SIGINT, signal.default_int_handler)  # even if the parent process ignores it
    out, err = scratch / "out", scratch / "err"
    for line in sys.stdin:
        record = json.loads(line)
        fault = Fault.of(record["fault"]) if record["fault"] else None
        job = Job(**record | {"fault": fault, "arguments": tuple(record["arguments"])})
        (scratch / "go").unlink(missing_ok=True)
        started = time.perf_counter()
        child = os.fork()
        if child == 0:
            _be_the_process(job, out, err)
        meanwhile = _meanwhile(child, job, scratch) if job.meanwhile else None
        if job.kill_after is not None:
            time.sleep(job.kill_after)
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        answer = {
            "code": os.waitstatus_to_exitcode(status),
            "seconds": time.perf_counter() - started,
            "outlived": _outlived(child),
            "meanwhile": meanwhile,
            "out": out.read_text(encoding="utf-8", errors="replace"),
            "err": err.read_text(encoding="utf-8", errors="replace"),
        }
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _meanwhile(child: int, job: Job, scratch: Path) -> int | None:
    """Run the other process while the first one waits; returns its exit code, None where the first never waited."""
    pause, go = scratch / "pause", scratch / "go"
    while not pause.exists():
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
            return None
        time.sleep(0.001)
    other = os.fork()
    if other == 0:
        _be_the_process(Job(job.meanwhile), scratch / "other-out", scratch / "other-err")
    _, status = os.waitpid(other, 0)
    pause.unlink()
    go.touch()
    return os.waitstatus_to_exitcode(status)


def _outlived(leader: int) -> bool:
    """Whether processes that a dead one had started are still there after a while."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.002)
    os.killpg(leader, signal.SIGKILL)
    return True


def _be_the_process(job: Job, out: Path, err: Path) -> None:
    """Be a process that runs one command line, and end."""
    code = 70
    try:
        os.setsid()  # whatever it starts is known by its group
        for descriptor, path in ((1, out), (2, err)):
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, descriptor)
            os.close(file)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
        for name, limit in job.limits:
            import resource

            resource.setrlimit(getattr(resource, name), (limit, limit))
        _prepare(job)
        code = _run(job.arguments)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 - whatever it is, it ends this process, and no other
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _prepare(job: Job) -> None:
    from migrator.worker.limits import LIMITS
    from migrator.worker.process import WorkerProcess

    if job.two:
        vars(LIMITS).update(worker_size=0, processors=2)  # of this process alone, whatever it calls
    if job.patch:
        importlib.import_module("tests.torture.programs").__dict__[job.patch]()
    if job.watched and job.log:
        if job.in_second:
            watched = json.dumps([job.watched, job.log, job.fault.record() if job.fault else None])
            start = WorkerProcess.command()
            assert start is not None
            watching = f"import sys; sys.path.insert(0, {str(CHECKOUT)!r}); {SECOND.format(watched)}{start[-1]}"
            WorkerProcess.command = lambda: [*start[:-1], watching]  # type: ignore[method-assign]
        else:
            pause = Path(job.log).with_name("pause") if job.meanwhile else None
            Watch(Path(job.watched), Path(job.log), job.fault, job.kill_at, pause).install()


def watch_second(watched: str) -> None:
    """Watch this process, which is a second one."""
    root, log, fault = json.loads(watched)
    Watch(Path(root), Path(log), Fault.of(fault) if fault else None).install()


def _run(arguments: Sequence[str]) -> int:
    if arguments[0] == "call":
        return _call(*arguments[1:])
    from migrator.cli.app import run

    return run(arguments)


def _call(name: str, *arguments: str) -> int:
    """Run a program that uses the library, and fails as programs should."""
    from migrator.errors import MigratorError

    try:
        getattr(importlib.import_module("tests.torture.programs"), name)(*arguments)
    except MigratorError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("The program was interrupted.\n")
        return 130
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
