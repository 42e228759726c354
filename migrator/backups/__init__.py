"""Backups: copies of the source files and of the database, in plain folders that need no tool to read.

- ``manifest``: the folder of a backup: its name, its list of files, its checksums
- ``catalog``: lists, finds and verifies backups
- ``list_again``: makes a backup usable again that lost files or its listing
- ``create``: backs up source files: copies, syncs, verifies
- ``copy_files``: copies the files, in one process or two
- ``disk_space``: checks that the backup and the database will fit
- ``database_copy``: copies the database before it is changed
- ``reverted``: brings back the record of a rollback that reverting the schema removed
- ``restore``: puts files back in their places
- ``restore_database``: puts a database back in its place
- ``prune``: removes backups that are no longer needed
- ``last_copies``: finds the sessions that a backup holds and nothing else does
- ``queries``: the SQL statements for that

Its rule: a folder gets a backup's name only when the backup is complete.
"""
