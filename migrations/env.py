"""What Alembic runs: the ladder, on the connection and in the transaction that the caller gives.

The caller is `app.store.schema` (or a test), so there is no configuration file and no address of a
database here. Forward only: no revision states how to go back.
"""

from alembic import context

from app.store.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    # Several stores may share a database: each has its own rung, in its own schema.
    version_table_schema=context.config.attributes.get("schema"),
)
with context.begin_transaction():
    context.run_migrations()
