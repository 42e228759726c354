"""The stores that an app uses: one protocol and its implementations.

- ``protocol``: SessionStorage, the interface of every store; SessionFilters
- ``json_files``: the store on the app's JSON files
- ``sqlite``: the store on the tables that the migration fills
- ``sqlite_access``: its connections and transactions
- ``wrappers``: stores in front of others: read-only, and the fallback to JSON files that could not be migrated
- ``hybrid``: SQLite as the authoritative store, with the JSON files kept equal
- ``factory``: opens the store that the app runs on
- ``migrated``: which workspaces SQLite is authoritative for
- ``lists``: lists of sessions and workspaces, and pages of them
- ``arguments``: checks the arguments of every store's methods
- ``filtering``: applies SessionFilters, for every store
- ``timestamps``: reads, compares and writes RFC 3339 timestamps

Its rule: a store knows no other store. Whatever involves two stores is a wrapper.
"""
