"""A real browser without a window: the system's Chromium. Tests that need it are skipped if there is none."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
NETWORK = ("http", "https", "ws", "wss", "ftp")
# Where the browser asks on its own account, whatever page it shows.
ITS_OWN = ("google.com", "googleapis.com", "gvt1.com", "microsoft.com")


def program() -> str:
    """Where the browser is: ``$BROWSER_FOR_TESTS``, else the first that is found."""
    found = os.environ.get("BROWSER_FOR_TESTS") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip(f"no browser: install one of {', '.join(NAMES)} (Debian: apt-get install chromium)")
    return found


@dataclass(frozen=True)
class Browser:
    """Looks at pages, each time with a profile of its own."""

    folder: Path

    def dom(self, url: str, *options: str) -> str:
        """The page's elements as they are when it is loaded and its scripts, if any, ran."""
        return self._run(url, "--dump-dom", *options)

    def connections(self, url: str) -> list[str]:
        """Every address of the network that the browser asked for to show the page."""
        log = self.folder / "net-log.json"
        self._run(url, "--dump-dom", f"--log-net-log={log}")
        events: list[dict[str, Any]] = json.loads(log.read_text(encoding="utf-8"))["events"]
        asked = {str(event.get("params", {}).get("url", "")) for event in events}
        parts = {address: urlsplit(address) for address in asked}
        return sorted(
            address
            for address, part in parts.items()
            if part.scheme in NETWORK and not (part.hostname or "").endswith(ITS_OWN)
        )

    def picture(self, url: str, *, dark: bool = False, width: int = 1100, height: int = 2400) -> Path:
        """The page as a PNG, in a new file."""
        target = self.folder / f"picture-{len(list(self.folder.glob('picture-*')))}.png"
        scheme = f"--blink-settings=preferredColorScheme={0 if dark else 1}"
        self._run(url, f"--screenshot={target}", f"--window-size={width},{height}", "--hide-scrollbars", scheme)
        return target

    def pdf(self, url: str, target: Path) -> bytes:
        """The page as it is printed."""
        self._run(url, f"--print-to-pdf={target}", "--no-pdf-header-footer")
        return target.read_bytes()

    def _run(self, url: str, *options: str) -> str:
        profile = self.folder / "profile"
        shutil.rmtree(profile, ignore_errors=True)
        ended = subprocess.run(
            [
                program(),
                "--headless=new",
                "--no-sandbox",  # which needs rights that a container does not give
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                f"--user-data-dir={profile}",
                *options,
                url,
            ],
            capture_output=True,
            timeout=100,
            check=True,
        )
        return ended.stdout.decode()
