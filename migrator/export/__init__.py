"""From SQLite back to JSON files.

- ``rollback``: writes every workspace back to JSON and makes JSON authoritative
- ``workspace_files``: prepares all files of a rollback, then puts them in place
- ``session_file``: writes one file, reads it back, and checks what is in its way
- ``rollback_notes``: the messages of a rollback
- ``unchanged``: finds the source files whose sessions have not changed since the migration
- ``hybrid_files``: updates the JSON files in hybrid mode
- ``to_folder``: exports workspaces into a folder

Its rule: a file counts once it has been read back, and none takes its place before all are prepared.
"""
