"""One run of ``migrate``: plan, load, verify, publish.

- ``run``: one run from the plan to the report; takes the lock, and returns at once if there is nothing to do
- ``options``: the options of a run
- ``execute``: back up → load → verify → record → publish → write the flag → report
- ``publish``: makes the staging database the real one, or copies its rows into that in one transaction
- ``merging``: merges three versions of a file's sessions (a package)
- ``adoption``: a merge without a base (a package)
- ``rolled_back``: a migration after a rollback (a package)
- ``run_record``: the ledger's rows, the shares of workspaces, the run's own row
- ``search_index``: finishes the search index after a run
- ``report``: the report of a run, and its messages
- ``hybrid_sync``: what a run does before and after its work in hybrid mode
- ``dry_run``: a temporary data directory, in which a dry run works

Its rule: SQLite becomes authoritative in one instant, after everything in it has been read back and verified.

Hybrid mode is a wrapper around a run (``hybrid_sync.run_in_step``). The merge itself knows of it in three places
(``MergePolicy.mirrored``), because a file that mirrors SQLite has to be read differently: it repeats sessions of the
workspace's other files and leaves out what is invalid.
"""
