"""Session documents and their JSON.

- :mod:`~migrator.documents.document`: a document's shape, normal form, canonical form and digest
- :mod:`~migrator.documents.exact_json`: reads and writes JSON without loss
- :mod:`~migrator.documents.app_format`: writes and splits files in the app's exact format
- :mod:`~migrator.documents.array_reader`: reads any JSON array as a stream, in bounded memory
- :mod:`~migrator.documents.validation`: checks whether a JSON value is a session, and says why not
- :mod:`~migrator.documents.parsing`: turns bytes into a session, or into the reasons why they are not one
- :mod:`~migrator.documents.structs`: decodes sessions that have exactly the app's members, in one step

One rule: nothing is lost silently, whatever the bytes. Two documents are equal if their canonical forms are.
"""
