"""Runs the command line: ``python -m migrator`` is the command ``migrator``."""

from migrator.cli import main

main()
