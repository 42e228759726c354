"""The receipt of a migration: what was found, what became of it, and how to go back.

- ``facts``: what it tells, gathered from the database, its records and its surroundings
- ``page``, ``plots``: the same as a page for a browser; these need the extra ``report``

The rule: it changes nothing, and every session that was found is in exactly one of its sums.
"""
