"""One run of ``migrate``: look, load, verify, publish.

- ``run``: lock, plan, dry run, nothing to do
- ``options``: what a run is asked to do, and how files are merged
- ``execute``: back up → load → verify → record → publish → write the flag → report
- ``publish``: from the staging database to the real one, by a rename or in one transaction
- ``merge``: three versions of a file's sessions become one
- ``matching``: which session of one version is which of another
- ``post_rollback``: what was written to SQLite after a rollback
- ``run_record``: the ledger's rows, the shares of workspaces, the run's own row
- ``search_index``: the index when a run is done
- ``report``: what a run found and did
- ``hybrid_sync``: hybrid mode around a run
- ``dry_run``: a scratch data directory

Its one rule: SQLite becomes authoritative in one instant, after everything it holds was read back.

Hybrid mode is a wrapper around a run (``hybrid_sync.run_in_step``). Where merging itself has to know of it
(``MergePolicy.mirrored``, three places), that is because a file which mirrors SQLite repeats sessions of other files
and leaves out what is invalid: the same file means something else then.
"""
