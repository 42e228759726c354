"""The commands, one module each, by name; a group's module has its commands.

A command parses, calls one function of the library and prints what that returns. It decides nothing. A module is loaded
when its command is asked for (:mod:`migrator.cli.app`), so it imports what it needs on top.
"""
