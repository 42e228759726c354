"""A migration after a rollback: the files are authoritative, and SQLite may have what they have lost.

- ``changes``: handles sessions that were written to SQLite after the rollback
- ``kept``: keeps the rows of files that do not show all that the rollback wrote to them
- ``queries``: the SQL statements for all of these
- ``written``: finds what the rollback wrote to a file

Its rule: nothing that a rollback wrote is dropped unless the file proves that it was deleted.
"""
