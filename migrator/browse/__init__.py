"""The database in a browser: Datasette, made to read as a person expects, for its owner alone."""
