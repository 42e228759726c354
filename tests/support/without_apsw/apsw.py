"""Takes the place of APSW where this folder is on the path: as if it were not installed."""

raise ModuleNotFoundError("No module named 'apsw'", name="apsw")
