"""``migrator browse`` as a process of its own, and a client that reads its pages."""

import json
import os
import signal
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.scene import start

SECONDS = 60.0  # after which a process that hangs is killed


@dataclass(frozen=True)
class Answer:
    """What came back for one address."""

    status: int
    headers: dict[str, str]
    body: str


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:  # the answer itself is wanted
        return None


class Visitor:
    """Looks at pages, keeping cookies.

    :param address: what the command printed
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self.root = "{0.scheme}://{0.netloc}".format(urlsplit(address))
        self._following = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
        self._stopping = urllib.request.build_opener(_NoRedirect)

    def come_in(self) -> Answer:
        """Open the printed address."""
        return self._get(self._following, self.address)

    def get(self, path: str) -> Answer:
        return self._get(self._following, self.root + path)

    def get_anonymously(self, path: str, **headers: str) -> Answer:
        """Without the cookie, and without following anything."""
        return self._get(self._stopping, self.root + path, **headers)

    def cookie(self) -> str:
        """The cookie with the key, as a browser sends it."""
        answer = self.get_anonymously(self.keyed("/").removeprefix(self.root))
        return answer.headers["set-cookie"].partition(";")[0]

    def post(self, path: str, content: str) -> Answer:
        request = urllib.request.Request(self.root + path, data=content.encode())
        return _answered(self._following, request)

    def keyed(self, path: str) -> str:
        """An address of a page that has the key in it."""
        return f"{self.root}{path}?{urlsplit(self.address).query}"

    def _get(self, opener: urllib.request.OpenerDirector, address: str, **headers: str) -> Answer:
        return _answered(opener, urllib.request.Request(address, headers=headers))


def _answered(opener: urllib.request.OpenerDirector, request: urllib.request.Request) -> Answer:
    try:
        with opener.open(request, timeout=SECONDS) as response:
            return Answer(response.status, dict(response.headers), response.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, dict(error.headers), error.read().decode())


class Texts(HTMLParser):
    """What a page shows, and the elements that it has."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.shown = ""
        self.scripts = 0
        self.handlers: set[str] = set()
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.handlers |= {name for name, _ in attrs if name.startswith("on")}

    def handle_data(self, data: str) -> None:
        self.shown += data


@contextmanager
def browsing(data_dir: Path, *options: str) -> Iterator[Visitor]:
    """The command at work, ended by an interrupt as a person ends it; it must end well, and print nothing more."""
    process = start("--data-dir", data_dir, "browse", "--json", *options)
    killing = threading.Timer(SECONDS, process.kill)
    killing.start()
    try:
        assert process.stdout is not None
        printed = ""
        while not printed.endswith("}\n"):
            line = process.stdout.readline()
            assert line, process.communicate()[1]
            printed += line
        visitor = Visitor(json.loads(printed)["address"])
        yield visitor
        if os.name == "nt":  # which has no interrupt for one process alone
            return
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=SECONDS)
        ended = (process.returncode, rest, errors)
        assert ended == (0, "", ""), ended
    finally:
        killing.cancel()
        process.kill()
        process.communicate()
