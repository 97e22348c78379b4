"""What SQLite has beside tables and indexes: v0.7.0's checks kept as triggers, and the text index.

The text index reads `memories` by rowid (external content). So a row must never be written by
INSERT OR REPLACE: SQLite then drops the old row without running the delete trigger, and its words
stay behind in the index. Use INSERT ... ON CONFLICT DO UPDATE.
"""

from collections.abc import Iterator
from typing import Final

from sqlalchemy import DDL, Table, event

from app.store.tables.memories import memories, memory_links

_ABORT: Final = "BEGIN SELECT RAISE(ABORT, '{message}'); END"


def _check(name: str, table: str, column: str, bad: str, message: str) -> Iterator[str]:
    body = _ABORT.format(message=message)
    for verb, moment in (("insert", "INSERT"), ("update", f"UPDATE OF {column}")):
        head = f"CREATE TRIGGER {name}_{verb} BEFORE {moment} ON {table} FOR EACH ROW"
        yield f"{head} WHEN {bad} {body}"


MEMORY_CHECKS: Final = (
    *_check(
        "memories_check_tier",
        "memories",
        "tier",
        "NEW.tier NOT IN ('short', 'mid', 'long')",
        "tier must be short, mid or long",
    ),
    *_check(
        "memories_check_priority",
        "memories",
        "priority",
        "NEW.priority NOT BETWEEN 1 AND 10",
        "priority must be from 1 to 10",
    ),
    *_check(
        "memories_check_confidence",
        "memories",
        "confidence",
        "NEW.confidence NOT BETWEEN 0.0 AND 1.0",
        "confidence must be from 0 to 1",
    ),
)

LINK_CHECKS: Final = (
    *_check(
        "memory_links_check_attest_level",
        "memory_links",
        "attest_level",
        "NEW.attest_level NOT IN ('unsigned', 'self_signed', 'peer_attested')",
        "attest_level must be unsigned, self_signed or peer_attested",
    ),
    *_check(
        "memory_links_check_signature",
        "memory_links",
        "attest_level, signature",
        "NEW.attest_level IN ('self_signed', 'peer_attested')"
        " AND (NEW.signature IS NULL OR length(NEW.signature) <> 64)",
        "an attested link needs a signature of 64 bytes",
    ),
)

FULL_TEXT_TABLE: Final = (
    "CREATE VIRTUAL TABLE memories_fts USING fts5(title, content, tags,"
    " content='memories', content_rowid='rowid', tokenize='porter unicode61 remove_diacritics 2')"
)

_FORGET: Final = (
    "INSERT INTO memories_fts(memories_fts, rowid, title, content, tags)"
    " VALUES ('delete', OLD.rowid, OLD.title, OLD.content, OLD.tags);"
)
_LEARN: Final = (
    "INSERT INTO memories_fts(rowid, title, content, tags)"
    " VALUES (NEW.rowid, NEW.title, NEW.content, NEW.tags);"
)
# The writer sets every column of a changed row. Indexing is the dearest part of a write, so WHEN
# leaves it out where the text stayed the same.
FULL_TEXT_TRIGGERS: Final = (
    f"CREATE TRIGGER memories_fts_insert AFTER INSERT ON memories BEGIN {_LEARN} END",
    f"CREATE TRIGGER memories_fts_delete AFTER DELETE ON memories BEGIN {_FORGET} END",
    (
        "CREATE TRIGGER memories_fts_update AFTER UPDATE OF title, content, tags ON memories"
        " WHEN OLD.title IS NOT NEW.title OR OLD.content IS NOT NEW.content"
        " OR OLD.tags IS NOT NEW.tags"
        f" BEGIN {_FORGET} {_LEARN} END"
    ),
)

FULL_TEXT: Final = (FULL_TEXT_TABLE, *FULL_TEXT_TRIGGERS)


def _after_create(statements: tuple[str, ...], table: Table) -> None:
    for statement in statements:
        # DDL formats its text with `%`; SQLAlchemy leaves its constructor without types.
        ddl = DDL(statement.replace("%", "%%"))  # type: ignore[no-untyped-call]
        event.listen(table, "after_create", ddl.execute_if(dialect="sqlite"))


_after_create(MEMORY_CHECKS + FULL_TEXT, memories)
_after_create(LINK_CHECKS, memory_links)
