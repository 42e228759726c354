"""The thorough check of a migrated database, and what it can repair.

- ``run``: runs all checks in order and makes the report
- ``source_check``: compares one migrated file with SQLite, the ledger, its backup and the file itself
- ``data_dir_check``: checks the files around the database
- ``findings``: what a check finds, verify's text for each code, and the commands that fix things
- ``repair``: remakes what can be remade from something that is known to be right

Its rule: what cannot be checked counts as broken, and does not stop the other checks.
"""
