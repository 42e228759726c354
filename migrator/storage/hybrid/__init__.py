"""Hybrid mode: dual write with shadow reads. SQLite answers, the JSON files are kept equal and compared.

- ``store``: HybridStorage, the wrapper of two stores
- ``json_secondary``: JSON files that never overwrite what another program wrote
- ``journal``: what the second store may lack, and what the comparisons found
- ``locks``: one order of writes for both stores; how long a failing one is left alone

The rule: what the second store does, or fails to do, never reaches the caller.
"""
