"""Backups: copies of the source files and of the database, plain folders that people can read without any tool.

- ``manifest``: the folder of a backup, its listing, and its name, which it gets last
- ``catalog``: list, find and verify backups
- ``create``: a backup of source files, synced and verified; ``copy_files``: the copying, by one process or two
- ``disk_space``: whether backup and database will fit
- ``database_copy``: a copy of the database before it is changed
- ``restore``: files back to their places; ``restore_database``: a database back to its place
- ``prune``: remove what nobody needs

One rule: a folder that has a backup's name is whole.
"""
