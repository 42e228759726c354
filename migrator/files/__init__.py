"""File operations that survive crashes and keep files private.

- ``durable``: writes, syncs, renames and removes files; no other module does
- ``reading``: bounded reads of paths that may be anything
- ``copying``: copies files and gives them second names, checked by SHA-256
- ``output``: prepares files, and puts new ones in place without ever overwriting one
- ``replacing``: replaces files that other programs write to without locks, and keeps what those write meanwhile
- ``locks``: takes file locks, and finds out who holds them
- ``owners``: gives what root makes to the owner of its folder
- ``os_errors``: translates errors of the operating system
- ``resources``: finds what ships with the program, and optional packages

Its rule: a file gets its name only when it is complete and on disk, and no existing file is silently overwritten.
"""
