"""What a client means by `tags` (http-api 7.2 row 20)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from app.store.protocol import Store
    from app.store.sql.filters import MemoryFilter


async def read_tags(store: Store, chosen: MemoryFilter) -> MemoryFilter:
    """`a,b` is the tag `a,b` if a row in reach has it, else both tags."""
    if len(chosen.tags) != 1 or "," not in chosen.tags[0]:
        return chosen
    text = chosen.tags[0]
    if await store.holds_tag(text, replace(chosen, tags=())):
        return chosen
    return replace(chosen, tags=tuple(part for tag in text.split(",") if (part := tag.strip())))
