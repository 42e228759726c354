"""Shows the database in a browser, with Datasette, to its owner only.

- ``serve``: runs Datasette for one database on the loopback interface
- ``auth``: requires a secret key for every page
- ``site``: titles, descriptions of columns, and settings of Datasette
- ``queries``: all SQL statements, including the example queries
- ``plugin``: renders cells and the pages of single rows

Its rule: the pages cannot write to the database, and stored text cannot run or load anything in a page. The package
needs the extra ``browse``; only its command and the check of all SQL import it.
"""
