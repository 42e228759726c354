"""The main module of the single-file program, which has the same commands and can start itself as the worker.

A single-file program runs as two processes: a launcher that unpacks it, and its child, which does the work.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

from migrator.cli import main
from migrator.worker.process import freeze_support

_INTERVAL = 0.2  # seconds between two checks of the launcher


def end_with_launcher() -> None:
    """Interrupt this process when its launcher was killed.

    On Windows a process does not notice that its parent is gone; there, the child completes its work.
    """
    launcher = os.getppid()
    threading.Thread(target=_watch, args=(launcher,), daemon=True).start()


def _watch(launcher: int) -> None:
    while os.getppid() == launcher:
        time.sleep(_INTERVAL)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__" and not freeze_support():
    if getattr(sys, "frozen", False):
        end_with_launcher()
    main()
