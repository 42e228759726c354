"""One run of ``migrate``: plan, load, verify, publish.

- ``run``: lock, plan, dry run, nothing to do
- ``options``: what a run is asked to do
- ``execute``: back up → load → verify → record → publish → write the flag → report
- ``publish``: from the staging database to the real one, by a rename or in one transaction
- ``merge``: merges three versions of a file's sessions
- ``matching``: which session of one version is which of another
- ``post_rollback``: sessions that were written to SQLite after a rollback
- ``run_record``: the ledger's rows, the shares of workspaces, the run's own row
- ``search_index``: finishes the search index after a run
- ``report``: what a run found and did
- ``hybrid_sync``: hybrid mode around a run
- ``dry_run``: a scratch data directory
- ``second_process``: the former place of ``freeze_support``

Its one rule: SQLite becomes authoritative in one instant, after everything in it has been read back and verified.

Hybrid mode is a wrapper around a run (``hybrid_sync.run_in_step``). The merge itself knows of it in three places
(``MergePolicy.mirrored``), because a file that mirrors SQLite has to be read differently: it repeats sessions of the
workspace's other files and leaves out what is invalid.
"""
