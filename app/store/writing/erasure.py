"""Erasing the content of purged memories from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.canonical import decode
from app.store.tables import log_entries
from app.store.writing.statements import Query, Update

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.writing.port import Transaction

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
    "v070",
)
"""Kinds whose payload may hold content, of the first entity that they name."""

_PAGE: Final = 10_000
_HEADERS: Final = Query(
    "SELECT apply_no, header FROM log_entries WHERE apply_no > ? AND payload IS NOT NULL"  # noqa: S608 - marks only
    f" AND kind IN ({', '.join('?' * len(_CONTENT_KINDS))}) ORDER BY apply_no LIMIT ?"
)
_BLANK: Final = Update(log_entries, "apply_no", ("payload",))


def _first_entity(header: bytes) -> str | None:
    """The first entity that a stored header names."""
    fields = decode(header)
    ids = fields.get("entity_ids") if isinstance(fields, dict) else None
    return cast("str", ids[0]) if isinstance(ids, list) and ids else None


def blank_payloads(transaction: Transaction, purged: Sequence[str]) -> None:
    """Erase the content of purged memories from the log; every hash of the chain stays.

    One pass over the log: erasure is rare, and an index by memory would cost every write.
    """
    ids = set(purged)
    last = 0
    while found := transaction.read(_HEADERS, (last, *_CONTENT_KINDS, _PAGE)):
        last = cast("int", found[-1][0])
        transaction.write(
            _BLANK,
            [(no, None) for no, header in found if _first_entity(cast("bytes", header)) in ids],
        )
