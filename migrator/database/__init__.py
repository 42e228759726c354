"""The database: opens it, keeps its tables up to date, and stores session documents as rows.

- ``connection``: open a database; transactions, snapshots, copies
- ``registry``: knows the connections of this process: for forks, and for logs that were removed
- ``pool``: a small pool of connections, shared by threads
- ``errors``: translates SQLite's errors to the errors of this package
- ``schema``: the numbered steps that create and change the tables
- ``columns``: the columns of each table, and rows with named members
- ``queries``: the SQL statements that several packages use
- ``quarantine_queries``: those that list the quarantine, and those for sessions that files lost
- ``rows``: converts one document to rows and back
- ``documents``: reads, inserts, replaces and deletes documents and workspaces
- ``canonical``: reads documents in their canonical form, as bytes
- ``invalid``: reads stored sessions that are no longer valid documents
- ``quarantine``: the items that could not be migrated, and why

Its rule: :func:`rows.from_rows` restores exactly what :func:`rows.to_rows` was given.
"""
