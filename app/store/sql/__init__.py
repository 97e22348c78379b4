"""Reads that both databases can run, written once in SQLAlchemy Core.

A class a table group, each a part of `app.store.protocol.Store`. What a dialect
says differently is an expression in `expressions.py`.
"""
