"""The quarantine: invalid sessions, conflicts and deleted sessions.

- ``items``: lists, shows and exports them, and finds those that a command names
- ``conflict``: finds the session in SQLite that a quarantined version conflicts with
- ``deletions``: decides about sessions that a file lost and that are not deleted yet
- ``dismiss``: takes them out for good
- ``retry``: validates them again and puts them back

Its rule: what leaves the quarantine becomes a session in SQLite, or is kept in the backups.
"""
