"""Reads what can be read of a damaged database.

- ``access``: reads from the database or, if it is damaged, from a readable copy of it; says what is missing there
- ``copy``: copies all rows that can be read to a new database, around the pages that cannot
- ``completion``: takes what is missing of a session from the backup copy of its file
- ``intact``: checks the tables of sessions
- ``losses``: finds out from the indexes which sessions have lost rows
- ``queries``: the SQL statements for all of these

Its rule: the damaged database is only read.
"""
