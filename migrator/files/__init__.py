"""The file system, durably: everything that is written is private, and has its name only when it is on the disk.

- ``durable``: write, sync, rename, remove; the only module that does
- ``reading``: bounded reads of what may be anything
- ``copying``: copies and second names, with SHA-256
- ``output``: prepared files take their places: new ones refuse what exists, others keep a copy of it
- ``locks``: taking a file lock, and who has one
- ``os_errors``: the operating system's errors as ours

One rule: nothing that has a name is overwritten unseen.
"""
