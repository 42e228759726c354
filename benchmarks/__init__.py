"""Benchmarks: what a migration costs, compared with alternatives and with the least possible work."""
