"""The loaders that can be used here."""

from migrator.staging.connections.choice import apsw_problem
from migrator.staging.connections.interface import LoaderName

LOADERS: list[LoaderName] = ["sqlite-utils"] if apsw_problem() else ["apsw", "sqlite-utils"]
