"""The state before a run, and what there is to do.

- ``source_files``: the files that contain sessions, and their names in the ledger
- ``workspace_paths``: workspace paths that the user gave or that a file proves
- ``ledger``: what was done for each file, and so what is left to do
- ``plan``: all of this together
- ``status``: the plan as users see it

Its one rule: looking changes nothing, and a file is read only if its size, time of change or inode leave a doubt.

The plan and the status take hybrid mode into account: the stores themselves write the files then, so a file that the
ledger knows is not pending, and a migration is never needed.
"""
