"""Finds what is wrong and what to do about it; changes nothing.

- ``doctor``: runs all checks and makes the report
- ``machine``: checks programs, permissions, file system, locks and disk space
- ``data``: checks the database, the files and the backups
- ``summing``: sums up findings that say the same of several files
- ``database_users``: finds which processes have a database open or locked
- ``support_report``: gathers what helps someone else to find a problem, without the user's data
- ``redaction``: decides which texts of it may be shown

Its rule: a check that cannot be carried out is a finding, too.
"""
