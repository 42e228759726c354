"""The database in a browser: Datasette, made to read as a person expects, for its owner alone.

- ``serve``: Datasette over one database, on the loopback interface
- ``auth``: the key without which nothing is shown
- ``site``, ``queries``: titles, columns and the queries to begin with
- ``plugin``: what a cell and the page of a row show

The rule: nothing can be written through it, and nothing that was stored does anything in a page. Needs the extra
``browse``; nothing else imports this package but its command, and the check of all SQL.
"""
