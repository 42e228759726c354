"""Loads source files into a staging database that the app does not use, and verifies it there.

- ``pipeline``: loads all sources, then compares every session with its file, in one process or two
- ``partition``: divides the files between the processes
- ``shard``: a part of the database that is loaded separately, and the job that loads it
- ``loader``: loads one file, fast while it is app-formatted and carefully otherwise
- ``results``: the result of loading a file
- ``plain_messages``: a session's messages as plain values, from which rows are inserted directly
- ``row_writer``: inserts rows in batches, under new keys if theirs are taken
- ``readback``: reads sessions back from the database and compares them with the files
- ``database``: the staging database, whose indexes are built last
- ``connections``: opens it, with APSW or sqlite-utils
- ``queries``: the SQL statements of this package

Its rule: fast loading is only an assumption; it counts once the sessions were read back and equal their file.
"""
