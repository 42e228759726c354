"""What surrounds the program, as it is somewhere else: a disk that is full, another user, a frozen program."""

import sys
from collections.abc import Callable
from types import SimpleNamespace

import pytest

FillDisk = Callable[[], None]


@pytest.fixture
def fill_disk(monkeypatch: pytest.MonkeyPatch) -> FillDisk:
    """From the call on, no disk has any space left."""
    full = SimpleNamespace(total=100, used=100, free=0)
    return lambda: monkeypatch.setattr("shutil.disk_usage", lambda _: full)


@pytest.fixture
def become_another_user(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From the call on, this process is user 12345's."""
    return lambda: monkeypatch.setattr("os.getuid", lambda: 12345)


@pytest.fixture
def frozen_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process is a frozen program."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)


@pytest.fixture
def break_migrate(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """From the call on, ``migrate`` has a bug that raises ZeroDivisionError with the text given."""

    def broken(text: str) -> None:
        def run(*_: object, **__: object) -> None:
            raise ZeroDivisionError(text)

        monkeypatch.setattr("migrator.cli.commands.migrate.run_migration", run)

    return broken
