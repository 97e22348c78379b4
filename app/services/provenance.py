"""How far a recalled memory can be trusted, in three words (http-api 3.3, `Accept-Provenance`)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from app.domain.timestamps import TimestampError, format_instant, parse_instant

if TYPE_CHECKING:
    from datetime import datetime

    from app.domain.memory import Memory

CONFIRMED: Final = 0.95  # semantics 5.2
LIKELY: Final = 0.7
_FRESH: Final = timedelta(days=1)
_WARM: Final = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Provenance:
    """`latest_link_attest_level` is that of the newest link at the row, None without one."""

    confidence_tier: str
    freshness_state: str
    latest_link_attest_level: str | None


def provenance_of(memory: Memory, level: str | None, now: datetime) -> Provenance:
    return Provenance(confidence_tier(memory.confidence), freshness(memory, now), level)


def confidence_tier(confidence: float) -> str:
    if confidence >= CONFIRMED:
        return "confirmed"
    return "likely" if confidence >= LIKELY else "ambiguous"


def freshness(memory: Memory, now: datetime) -> str:
    """By the last change: within a day fresh, within a week warm, else stale (our thresholds)."""
    if memory.expires_at is not None and memory.expires_at <= format_instant(now):
        return "expired"
    try:
        age = now - parse_instant(memory.updated_at)
    except TimestampError:  # foreign text is kept as it came
        return "stale"
    if age <= _FRESH:
        return "fresh"
    return "warm" if age <= _WARM else "stale"
