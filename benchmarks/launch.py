"""Start one command, wait for it, and write what it used to a file, as JSON.

`python -I -S benchmarks/launch.py RESULT COMMAND …`. A process of its own because Linux counts the peak
memory of whoever starts a process into that process's own peak: so this one imports next to nothing, no
pathlib either, and stays at some 10 MB.
"""

from __future__ import annotations

import json
import os
import sys
import time


def _written_bytes_at_the_end(pid: int) -> int | None:
    """What the finished process wrote, read before it is reaped, for then its /proc entry is gone."""
    if not hasattr(os, "waitid"):
        return None
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    try:
        with open(f"/proc/{pid}/io", encoding="ascii") as lines:
            counters = dict(line.split(": ", 1) for line in lines)
    except OSError:
        return None
    return int(counters["write_bytes"])


def main() -> None:
    """Run the command; its output goes where this process's goes."""
    result, *command = sys.argv[1:]
    started = time.perf_counter()
    pid = os.posix_spawnp(command[0], command, os.environ)
    written_bytes = _written_bytes_at_the_end(pid)
    _, status, usage = os.wait4(pid, 0)
    ended = time.perf_counter()
    figures = {
        "exit_code": os.waitstatus_to_exitcode(status),
        "wall_s": ended - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        # Kibibytes, on macOS bytes.
        "peak_rss_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
        "written_bytes": written_bytes,
    }
    with open(result, "w", encoding="ascii") as stream:
        json.dump(figures, stream)


if __name__ == "__main__":
    main()
