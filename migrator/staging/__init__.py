"""Staging: source files are loaded into a database that nobody else knows of, and verified there.

- ``pipeline``: load all sources, then compare every session with its file, by one process or two
- ``partition``: which process loads what; ``shard``: a part of the database that is filled by itself, and its job
- ``loader``: one file into rows, fast as long as it is app-formatted, else carefully; ``results``: what became of it
- ``row_writer``: rows inserted in batches, under other keys where theirs are taken
- ``readback``: read sessions back out of the database and compare them with the files
- ``database``: the staging database, its indexes built late; ``connection``: APSW; ``queries``: the SQL

One rule: what is loaded fast is a guess, and counts only when it was read back as the bytes of its file.
"""
