"""The quarantine: invalid sessions and conflicts.

- ``items``: lists, shows and exports them
- ``conflict``: finds the session in SQLite that a quarantined version conflicts with
- ``retry``: validates them again and puts them back

Its rule: what leaves the quarantine becomes a session in SQLite, or is kept in the backups.
"""
