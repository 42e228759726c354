"""The SQLite side: connections, schema steps, documents as rows, and every SQL statement by name."""
