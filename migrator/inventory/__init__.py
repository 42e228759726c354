"""What there is before a run, and what it leaves to do.

source_files     which files hold sessions, and what the ledger calls them
workspace_paths  workspace paths that the user or a file gives
ledger           what was done for each file, and so what is left to do
plan             all of it together
status           the plan as users see it

Its rule: looking changes nothing, and a file is read only where its size and time of change leave a doubt.

The plan and the status ask for hybrid mode: there the stores themselves write the files, so that a file which the
ledger knows is not pending work, and a migration is never needed.
"""
