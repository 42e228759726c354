"""Every test here starts from an empty data directory and calls the command line in this process."""

from tests.command_line import alone, migrator, scene

__all__ = ["alone", "migrator", "scene"]
