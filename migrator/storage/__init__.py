"""The stores: one protocol, the legacy JSON files, SQLite, both at once, and the flag that chooses."""
