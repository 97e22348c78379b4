"""A real PostgreSQL 18 with pgvector and AGE, for tests and for development.

`python -m tools.postgres` starts one and keeps it until it is interrupted.
"""
