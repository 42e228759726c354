"""Full-text search: what was said in tasks, messages and outputs, found through an index, or by reading every text.

- ``query``: what was typed, as terms; what of a text is searched
- ``index``, ``build``: the tables of the index, filled in short transactions; building and dropping it as operations
- ``lookup``: a search through the index, and which sessions come first
- ``excerpts``: the text around what was found
- ``find``, ``results``: a search in whichever store is authoritative, and what it finds
- ``sessions``: lists of sessions, and one by the beginning of its id
- ``queries``: every SQL statement of the above

The rule: the index is never needed. Without one, or with one that can't be trusted, every text is read instead.
"""
