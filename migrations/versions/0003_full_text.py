"""The full-text index in our analysis; the one that v0.7.0 left in a file is replaced."""

from alembic import op
from sqlalchemy.engine import Connection

from app.store.ladder import dispatch, run_script

revision = "0003_full_text"
down_revision = "0002_node"


def upgrade() -> None:
    dispatch(
        op.get_bind(),
        sqlite=replace_index,
        postgresql=run_script(revision, "postgresql"),
    )


def replace_index(connection: Connection) -> None:
    """Drop what reads or feeds the old index, whatever its triggers are called, and index anew."""
    feeders = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master"
        " WHERE type = 'trigger' AND instr(lower(sql), 'memories_fts')"
    )
    for name in feeders.scalars().all():
        quoted = name.replace('"', '""')
        connection.exec_driver_sql(f'DROP TRIGGER "{quoted}"')
    connection.exec_driver_sql("DROP TABLE IF EXISTS memories_fts")
    run_script(revision, "sqlite")(connection)
    connection.exec_driver_sql("INSERT INTO memories_fts(memories_fts) VALUES ('rebuild')")
