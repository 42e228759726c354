"""The stores an app uses: the protocol, and what keeps it.

- ``protocol``: SessionStorage, what every store promises; SessionFilters
- ``json_files``: the app's JSON files
- ``sqlite``: the tables that the migration fills
- ``wrappers``: a store in front of others: read-only, and the fallback to the JSON files that could not be migrated
- ``hybrid``: SQLite with the JSON files kept equal beside it
- ``factory``: opens the one that the app runs on
- ``arguments``, ``filtering``, ``timestamps``: what all of them check and compare in the same way

The rule: a store knows no other one. What concerns two stores is a wrapper.
"""
