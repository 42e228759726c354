"""The migration report ("receipt" in the code): what was found, what became of it, and how to go back.

- ``facts``: gathers everything that the report says
- ``page``: renders it as an HTML page (needs the extra ``report``)
- ``plots``: draws the page's plots (needs the extra ``report``)

Its rule: it changes nothing, and every session that was found is counted in exactly one of its sums.
"""
