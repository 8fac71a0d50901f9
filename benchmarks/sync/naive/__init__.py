"""The peer: the same endpoint as a good engineer would write it in a day.

Django REST framework and the ORM, protobuf and zstd as in the product, one transaction
a sync, pgvector's HNSW for the answer. No codes, no links, no statistics.
"""
