"""The program of the single file: the same commands; it can start itself as the worker, and ends when told.

Such a file is two processes: a launcher that unpacks what is in it, and its child, which does the work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from migrator.cli import main
from migrator.worker.process import freeze_support

_LOOK = 0.2  # seconds between two looks at the launcher


def end_with_launcher() -> None:
    """Let this process be interrupted when its launcher is gone, killed by whoever started it.

    On Windows nothing tells that a parent is gone; there the child works on, to an end that is whole.
    """
    launcher = os.getppid()
    threading.Thread(target=_watch, args=(launcher,), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_LOOK)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__" and not freeze_support():
    if getattr(sys, "frozen", False):
        end_with_launcher()
    main()
