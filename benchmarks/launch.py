"""Starts one command, waits for it, and writes the resources that it used to a file, as JSON.

`python -I -S benchmarks/launch.py RESULT COMMAND …`. It is a process of its own because Linux
counts the peak memory of the process that starts another into the other's peak. So this one imports almost nothing,
not even pathlib, and uses some 10 MB.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time

_LOOK_EVERY = 0.05  # seconds


def _written_bytes_at_the_end(pid: int) -> int | None:
    """Bytes that the finished process wrote, read before it is reaped and its /proc entry vanishes."""
    if not hasattr(os, "waitid"):
        return None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as lines:
            counters = dict(line.split(": ", 1) for line in lines)
    except OSError:
        return None
    return int(counters["write_bytes"])


class Memory(threading.Thread):
    """Samples the memory of the process and its descendants, and keeps the largest sum."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.largest = 0
        self._pid = pid

    def run(self) -> None:
        page = os.sysconf("SC_PAGE_SIZE") if os.path.isdir("/proc/self") else 0
        while page:
            resident = sum(_resident_pages(pid) for pid in _family(self._pid))
            self.largest = max(self.largest, resident * page)
            time.sleep(_LOOK_EVERY)


def _family(pid: int) -> list[int]:
    """The ids of a process and its descendants."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return [pid]
    children: list[int] = []
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", encoding="ascii") as file:
                children += map(int, file.read().split())
        except OSError:
            continue
    return [pid] + [one for child in children for one in _family(child)]


def _resident_pages(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1])
    except (OSError, IndexError):
        return 0


def main() -> None:
    """Run the command with this process's output streams."""
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    memory = Memory(pid)
    memory.start()
    written_bytes = _written_bytes_at_the_end(pid)
    _, status, usage = os.wait4(pid, 0)
    ended = time.perf_counter()
    figures = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_s": ended - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        # Of the largest single process, in kibibytes, on macOS in bytes; of all together where /proc shows it.
        "peak_rss_bytes": max(memory.largest, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)),
        "written_bytes": written_bytes,
    }
    with open(result, "w", encoding="ascii") as stream:
        json.dump(figures, stream)


if __name__ == "__main__":
    main()
