"""The receipt of a migration: what was found, what became of it, and how to go back."""
