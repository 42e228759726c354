"""Hybrid mode: dual write with shadow reads. SQLite answers; the JSON files are kept equal and compared.

- ``store``: HybridStorage, the wrapper of two stores
- ``json_secondary``: the JSON store that never overwrites another program's changes
- ``written_files``: which contents of the files SQLite has, recorded in the database
- ``journal``: records which workspaces the second store may lack, and the differences that were found
- ``status``: the current state, with a warning if the journal is damaged
- ``locks``: locks that keep the order of writes the same in both stores, and the backoff after failures
- ``queries``: the journal's SQL statements

Its rule: errors of the second store never reach the caller.
"""
