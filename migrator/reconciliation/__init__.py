"""What is put right in the database before a run or a rollback uses it.

- ``moved``: sessions that another program moved to another workspace than that of their file
- ``readmit``: quarantined sessions that are valid by the rules of this version
- ``queries``: the SQL statements of both

Its rule: each of them is a change of rows only, and finds out fast that there is nothing to do.
"""
