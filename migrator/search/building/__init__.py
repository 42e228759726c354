"""Builds the search index while the app works.

- ``turns``: runs work in short transactions, with pauses in which others write
- ``gradual``: indexes a few texts, in the database itself
- ``bulk``: indexes many texts: in pieces, which are then brought into the database
- ``pieces``: a piece: an index of some texts in a file of its own, built in either process
- ``segments``: the two records in which FTS5 says of what its index consists
- ``emptying``: empties the tables of an index that is used no more
- ``queries``: all SQL statements of this package

Its rule: at any moment, the tables of the index contain the texts up to the marks in ``search_index``, as they are now.
"""
