"""Re-hashing an SQLite file; see `app.store.writing.scrub`."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from app.store.sqlite.transaction import SqliteReader
from app.store.writing import scrub as engine
from app.store.writing.scrub import ScrubReport

if TYPE_CHECKING:
    from collections.abc import Callable

    import apsw

__all__ = ["ScrubReport", "scrub"]


def scrub(connection: apsw.Connection, progress: Callable[[int, int], None]) -> ScrubReport:
    """Check every state, projection, digest and chain, in one snapshot."""
    connection.execute("BEGIN")
    try:
        kept = connection.execute("SELECT bucket, digest FROM digest_buckets").fetchall()
        return engine.scrub(
            SqliteReader(connection), dict(cast("list[tuple[int, bytes]]", kept)), progress
        )
    finally:
        connection.execute("ROLLBACK")
