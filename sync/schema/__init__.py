"""The API in OpenAPI's words, for people and for generators of clients.

The views read their bodies without serializers, so nothing here is derived from them:
it is written beside them, and tests hold real requests and replies against it
(tests/sync/contract.py). One module a subject, each with its ``schemas()`` and its
``operations()``; ``document.py`` puts them together.
"""
