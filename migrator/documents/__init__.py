"""Session documents and their JSON.

- :mod:`~migrator.documents.document`: a document's shape, normal form, canonical form and digest
- :mod:`~migrator.documents.exact_json`: JSON without loss, read and written
- :mod:`~migrator.documents.app_format`: the app's exact file format, written and split
- :mod:`~migrator.documents.array_reader`: any JSON array as a stream, in bounded memory
- :mod:`~migrator.documents.validation`: whether a JSON value is a session, and why not
- :mod:`~migrator.documents.parsing`: from bytes to a session, or to the reasons why there is none
- :mod:`~migrator.documents.structs`: the app's structs, decoded in one step where a session has exactly their members

The rule: whatever the bytes, nothing in them is lost without a word, and two documents are the same exactly when their
canonical forms are.
"""
