"""The tables: session documents as rows and back, and how a database is opened, changed and brought up to date.

- ``connection``: open a database, transactions, snapshots, copies
- ``pool``: a few connections, shared by threads
- ``errors``: SQLite's errors as ours
- ``schema``: the numbered steps that make the tables
- ``columns``: the columns of each table, and rows with named members
- ``queries``: the SQL statements that several packages use
- ``rows``: one document as rows, and back
- ``documents``: read, insert, replace and delete documents and workspaces
- ``canonical``: stored documents in their canonical form, and their digest
- ``invalid``: stored sessions that make no valid document
- ``quarantine``: what could not be migrated, and why

Its one rule: what :func:`rows.to_rows` takes apart, :func:`rows.from_rows` puts together again, without loss.
"""
