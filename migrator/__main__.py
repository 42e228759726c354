"""``python -m migrator``: the same program as the command ``migrator``."""

from migrator.cli import main

main()
