"""The deep check of a migrated database, and what it can repair.

run             all checks in order, and their report
source_check    one migrated file against SQLite, the ledger, its backup and itself
data_dir_check  what lies around the database
findings        what a check finds, with verify's sentence for each kind, and the commands that fix it
repair          what can be made again from what is proven to be right

Its rule: one thing that can't be checked is broken, and keeps nothing else from being checked.
"""
