"""Lists of sessions and workspaces: light rows instead of documents, and pages of them.

- ``summaries``: SessionSummary and WorkspaceSummary
- ``paging``: where a page begins, as a cursor says it
- ``rows``: reads summaries, and finds sessions, in the database
- ``queries``: the SQL statements for that

Its rule: no list reads the texts of instances or messages.
"""
