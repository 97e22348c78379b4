"""Erasing the content of purged memories from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.canonical import decode
from app.store.sqlite.stored import json_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    import apsw

_CONTENT_KINDS: Final = (
    "store",
    "update",
    "promote",
    "restore",
    "agent",
    "alias",
    "consolidate",
    "standard_set",
    "embedding",
)
"""Kinds whose payload may hold content, of the first entity that they name."""


def _first_entity(header: bytes) -> str | None:
    """The first entity that a stored header names."""
    fields = decode(header)
    ids = fields.get("entity_ids") if isinstance(fields, dict) else None
    return cast("str", ids[0]) if isinstance(ids, list) and ids else None


def blank_payloads(connection: apsw.Connection, purged: Sequence[str]) -> None:
    """Erase the content of purged memories from the log; every hash of the chain stays.

    One pass over the log: erasure is rare, and an index by memory would cost every write.
    """
    ids = set(purged)
    marks = ", ".join("?" * len(_CONTENT_KINDS))
    found = [
        cast("int", apply_no)
        for apply_no, header in connection.execute(
            "SELECT apply_no, header FROM log_entries"  # noqa: S608 - marks only
            f" WHERE payload IS NOT NULL AND kind IN ({marks})",
            _CONTENT_KINDS,
        )
        if _first_entity(cast("bytes", header)) in ids
    ]
    connection.execute(
        "UPDATE log_entries SET payload = NULL WHERE apply_no IN (SELECT value FROM json_each(?))",
        (json_array(found),),
    )
