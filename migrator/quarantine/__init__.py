"""Invalid sessions and conflicts, kept apart.

items     list, show and export them
conflict  which of SQLite's sessions a version is in conflict with
retry     validate them again, and put them back

Its rule: what leaves the quarantine is a session in SQLite, or is kept in the backups.
"""
