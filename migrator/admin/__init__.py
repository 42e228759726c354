"""What an administrator does to a database.

schema_steps    apply and undo schema steps, after a backup
query_check     prepare every named statement against a fresh schema
switch_backend  let the app run on another store

Its rule: nothing is changed before a copy of it is taken, and nothing that would lose data.
"""
