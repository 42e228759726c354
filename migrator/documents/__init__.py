"""Session documents and their JSON.

- ``document``: a document's shape, normal form, canonical form and digest
- ``exact_json``: reads and writes JSON without loss
- ``app_format``: writes and splits files in the app's exact format
- ``array_reader``: reads any JSON array as a stream, in bounded memory
- ``validation``: checks whether a JSON value is a session, and says why not
- ``parsing``: turns bytes into a session, or into the reasons why they are not one
- ``structs``: decodes sessions that have exactly the app's members, in one step

Its rule: nothing is lost silently, whatever the bytes. Two documents are equal if their canonical forms are.
"""
