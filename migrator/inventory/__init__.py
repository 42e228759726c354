"""The state before a run, and what there is to do.

- ``location``: which data directory and which database
- ``source_files``: the files that contain sessions, and their names in the ledger
- ``unknown_files``: entries of ``sessions/`` that are not the app's files, and files to adopt
- ``workspace_paths``: workspace paths that the user gave or that a file proves
- ``ledger``: the record of what was done with each file, and what is left to do
- ``deletions``: sessions that a file lost: quarantined, or held until the user decides
- ``late_writes``: what other programs wrote to files while they were replaced
- ``plan``: the sources, the ledger and the paths together, as the plan of a run
- ``status``: what ``migrator status`` reports

Its rule: looking changes nothing (``deletions`` changes rows, for its callers), and a file is read only if its size,
time of change or inode leave a doubt.

The plan and the status take hybrid mode into account: the stores themselves write the files then, so a file that the
ledger knows is not pending, and a migration is never needed.
"""
