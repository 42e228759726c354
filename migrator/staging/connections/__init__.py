"""Connections to staging databases, by one of two loaders that make the same database.

- ``interface``: what loading and reading back need of a connection
- ``opening``: creates a staging database, or opens a finished one
- ``with_sqlite_utils``: the reference: sqlite-utils on Python's own SQLite, which works everywhere
- ``with_apsw``: the fast one, with an SQLite of its own
- ``choice``: which of them a run uses

Its rule: whatever one loader makes, the other makes too, row by row.
"""
