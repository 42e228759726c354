"""Expects errors by their code, since their words may change."""

from typing import TypeVar

import pytest

from migrator.errors import MigratorError

E = TypeVar("E", bound=MigratorError)


def raises(kind: type[E], code: str) -> pytest.RaisesExc[E]:
    """Expect an error of this class with this code within the block."""
    return pytest.RaisesExc(kind, check=lambda error: error.code == code)
