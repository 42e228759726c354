"""From SQLite to JSON files.

rollback         every workspace in JSON again, and JSON the authority
workspace_files  all files of a rollback, prepared and then put in place
session_file     one file: written, read back, and what may stand in its way
rollback_notes   what a rollback has to say
unchanged        which sources are as they were migrated
hybrid_files     the files of hybrid mode, a kind of workspace files of their own
to_folder        copies of workspaces in a folder

Its rule: a file counts when it was read back, and none takes its place before all are prepared.
"""
