"""A column of search terms on PostgreSQL, so that both stores find the same; nothing on SQLite."""

from alembic import op
from sqlalchemy.engine import Connection

from app.store.ladder import dispatch, run_script
from app.store.postgres.lexemes import search_text

revision = "0005_search"
down_revision = "0004_shared_schema"

BATCH_ROWS = 500


def upgrade() -> None:
    dispatch(op.get_bind(), sqlite=run_script(revision, "sqlite"), postgresql=add_terms)


def add_terms(connection: Connection) -> None:
    """Add the columns, work out the terms of the rows that are there, and index them."""
    run_script(revision, "postgresql")(connection)
    after = ""
    while batch := _rows_after(connection, after):
        for memory_id, title, content, tags in batch:
            text = search_text(title, content, tags)
            connection.exec_driver_sql(
                "UPDATE memories SET search = %s::tsvector, search_tokens = %s WHERE id = %s",
                (text.literal, text.token_count, memory_id),
            )
        after = batch[-1][0]
    # Last, because a row that is indexed already is dear to change. Small pending lists: a search
    # reads all of one, and a write that fills it empties it.
    connection.exec_driver_sql(
        "CREATE INDEX memories_search_gin ON memories USING gin (search)"
        " WITH (gin_pending_list_limit = 256)"
    )
    # Who holds a word in the title, without a look at everybody who holds it anywhere. It has
    # statistics of its own: where many titles hold a word, the planner walks the newest rows.
    connection.exec_driver_sql(
        "CREATE INDEX memories_titles_gin ON memories USING gin (ts_filter(search, '{a}'))"
        " WITH (gin_pending_list_limit = 256)"
    )


def _rows_after(connection: Connection, after: str) -> list[tuple[str, str, str, str]]:
    rows = connection.exec_driver_sql(
        "SELECT id, title, content, tags::text FROM memories WHERE id > %s ORDER BY id LIMIT %s",
        (after, BATCH_ROWS),
    )
    return [(one, title, content, tags) for one, title, content, tags in rows]
