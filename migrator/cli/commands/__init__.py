"""The commands: one module each, named after the command; the module of a group has all commands of the group.

- ``migrate``, ``rollback``, ``backend``: move the history into SQLite and back, or switch the backend
- ``status``, ``report``, ``verify``, ``doctor``: show and check the current state
- ``sessions``, ``browse``, ``search_index``: look at sessions and search them
- ``export``, ``backups``, ``quarantine``: sessions as JSON files, copies of files, and invalid or conflicting sessions
- ``deletions``: sessions that a file lost and that wait for a decision
- ``schema``, ``completion``, ``help``: the steps of the database schema, completion in the shell, and help

Its rule: a command parses, calls the library and prints what that returns. Its module is loaded when the command is
used (:mod:`migrator.cli.app`), so all its imports are at the top.
"""
