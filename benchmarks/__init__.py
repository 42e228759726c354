"""Measurements: what a migration costs, beside what a user would do instead and beside the limit."""
