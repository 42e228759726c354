"""Administration of the database and of the storage backend.

- ``schema_steps``: applies and reverts schema steps, with a backup first
- ``switch_backend``: switches the app between JSON, SQLite and hybrid mode
- ``query_check``: prepares every SQL statement against a fresh schema

Its rule: a database that holds data is copied before it is changed, and no change loses data.
"""
