"""Full-text search in tasks, messages and outputs, with an index, or without one by reading every text.

- ``query``: parses what the user typed; says which part of a text is searched
- ``index``: the tables of the index: creating, checking and dropping them
- ``building``: fills them
- ``build``: the operations on the index: build, drop, status, repair
- ``lookup``: a search with the index, and the order of its results
- ``ordering``: the order that filters name
- ``excerpts``: finds the terms in a text and makes the excerpts
- ``find``: a search in the authoritative store
- ``results``: the report of a search
- ``sessions``: lists sessions, and finds one by the beginning of its id
- ``values``: the statuses and types that there are
- ``queries``: all SQL statements of this package

Its rule: the index is optional. If there is none, or it cannot be trusted, every text is read instead.
"""
