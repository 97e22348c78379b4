"""The use cases: where recall, the store and (later) governance and replication meet.

A service takes values and a caller, asks the store, and returns values. It
knows no HTTP, no command line and no SQL.
"""
