"""A page of rows by time that loses none: whole groups of equal times, and where it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.replication.v070.times import Instant, instant_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from app.domain.memory import Memory


@dataclass(frozen=True, slots=True)
class TimedRow:
    """A row and the time of its last update."""

    at: Instant
    memory: Memory


def page_of(
    rows: Iterable[Memory], since: Instant | None, until: Instant | None
) -> Sequence[TimedRow]:
    """Rows after `since` and before `until`, by time, then id."""
    timed = (TimedRow(instant_of(one.updated_at), one) for one in rows)
    chosen = [
        one
        for one in timed
        if (since is None or one.at > since) and (until is None or one.at < until)
    ]
    return sorted(chosen, key=lambda one: (one.at, one.memory.id))
