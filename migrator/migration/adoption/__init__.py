"""A merge without a base, of what is not one of the app's files.

- ``additions``: adds to SQLite what it lacks of an adopted file
- ``branch``: makes files to adopt of a database of an earlier branch of the app
- ``queries``: the SQL statements, and those of the counts that publishing records

Its rule: nothing in SQLite is deleted or replaced; what differs goes to quarantine.
"""
