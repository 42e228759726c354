"""Merges a file that SQLite has sessions of, or that an older build of the app has changed.

- ``merge``: merges the sessions of one file, in two parts: before the write lock is taken, and under it
- ``decision``: what happens to a session that the three versions have in different ways
- ``invalid``: the file's elements that are not sessions
- ``matching``: finds which sessions of two versions of a file are the same
- ``merge_base``: reads the version that both sides started from, from backup copies
- ``prepared``: what is prepared before the write lock is taken
- ``queries``: the SQL statements

Its rule: under the write lock nothing is parsed, and only what has changed meanwhile is compared again.
"""
