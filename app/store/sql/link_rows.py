"""Rows of `memory_links` as links."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.domain.memory import MemoryLink
from app.store.tables import memory_links

if TYPE_CHECKING:
    from app.store.sql.selects import Record

LINK_NAMES: Final = (
    "source_id",
    "target_id",
    "relation",
    "created_at",
    "valid_from",
    "valid_until",
    "observed_by",
    "attest_level",
    "signature",
)
"""Named as the fields of a link; those of the key come first."""

LINK_KEY: Final = LINK_NAMES[:3]
LINK_COLUMNS: Final = tuple(memory_links.c[name] for name in LINK_NAMES)


def link_of(row: Record) -> MemoryLink:
    """A row that has `LINK_COLUMNS`."""
    optional = cast("dict[str, str | None]", row)
    return MemoryLink(
        source_id=cast("str", row["source_id"]),
        target_id=cast("str", row["target_id"]),
        relation=cast("str", row["relation"]),
        created_at=cast("str", row["created_at"]),
        valid_from=optional["valid_from"],
        valid_until=optional["valid_until"],
        observed_by=optional["observed_by"],
        attest_level=optional["attest_level"],
        signature=cast("bytes | None", row["signature"]),
    )
