"""The PostgreSQL store: addresses, connections, errors and the schema."""
