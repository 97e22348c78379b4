"""The store on one SQLite file: a single writer, concurrent readers, indexes as caches.

Nothing outside the composition root and the registry imports this package.
"""
