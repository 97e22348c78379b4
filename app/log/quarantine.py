"""Why an entry is kept apart instead of applied, and what may let it in later.

Codes travel in acks and stand in the `quarantine` table, so they never change their meaning.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from app.log.hlc import MAX_OFFSET_MS, wall_milliseconds

if TYPE_CHECKING:
    from collections.abc import Mapping


class RefusalCode(StrEnum):
    """What is wrong with an entry."""

    MALFORMED_HEADER = "malformed_header"
    PAYLOAD_MISMATCH = "payload_mismatch"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    PAYLOAD_MISSING = "payload_missing"
    MALFORMED_PAYLOAD = "malformed_payload"
    BROKEN_CHAIN = "broken_chain"
    BAD_SIGNATURE = "bad_signature"
    FUTURE_STAMP = "future_stamp"
    FORK = "fork"
    GAP = "gap"
    BELOW_TOMBSTONES = "below_tombstones"
    UNPROJECTABLE = "unprojectable"
    OUT_OF_SCOPE = "out_of_scope"


class Retry(StrEnum):
    """When to try an entry again."""

    NEVER = "never"
    WHEN_CLOCK_REACHES = "when_clock_reaches"
    WHEN_SOFTWARE_CHANGES = "when_software_changes"
    WHEN_SENT_AGAIN = "when_sent_again"
    WHEN_OPERATOR_DECIDES = "when_operator_decides"


RETRIES: Final[Mapping[RefusalCode, Retry]] = {
    RefusalCode.MALFORMED_HEADER: Retry.NEVER,
    RefusalCode.PAYLOAD_MISMATCH: Retry.WHEN_SENT_AGAIN,
    RefusalCode.PAYLOAD_TOO_LARGE: Retry.NEVER,
    # A hole of another namespace's scope; the payload may follow when the scope widens.
    RefusalCode.PAYLOAD_MISSING: Retry.WHEN_SENT_AGAIN,
    # A newer node may write registers that this release does not know yet.
    RefusalCode.MALFORMED_PAYLOAD: Retry.WHEN_SOFTWARE_CHANGES,
    RefusalCode.BROKEN_CHAIN: Retry.WHEN_SENT_AGAIN,
    RefusalCode.BAD_SIGNATURE: Retry.WHEN_SENT_AGAIN,
    RefusalCode.FUTURE_STAMP: Retry.WHEN_CLOCK_REACHES,
    RefusalCode.FORK: Retry.WHEN_OPERATOR_DECIDES,
    RefusalCode.GAP: Retry.WHEN_SENT_AGAIN,
    RefusalCode.BELOW_TOMBSTONES: Retry.WHEN_OPERATOR_DECIDES,
    RefusalCode.UNPROJECTABLE: Retry.WHEN_SOFTWARE_CHANGES,
    RefusalCode.OUT_OF_SCOPE: Retry.WHEN_OPERATOR_DECIDES,
}

_CURSOR_STOPS: Final = frozenset(
    {
        RefusalCode.PAYLOAD_MISMATCH,
        RefusalCode.BROKEN_CHAIN,
        RefusalCode.BAD_SIGNATURE,
        RefusalCode.FORK,
        RefusalCode.GAP,
    },
)


def passes_cursor(code: RefusalCode) -> bool:
    """Whether the cursor moves past an entry refused with `code`, once that is durable.

    It stops where the bytes may not be what the origin wrote: to pass would be to give up the
    true entry of that number.
    """
    return code not in _CURSOR_STOPS


@dataclass(frozen=True, slots=True)
class Quarantined:
    """An entry that waits."""

    origin: str
    seq: int
    hlc: int
    code: RefusalCode
    software_version: str


def is_due(waiting: Quarantined, now_ms: int, software_version: str) -> bool:
    """Whether to try the entry again now, without anyone sending or deciding anything."""
    match RETRIES[waiting.code]:
        case Retry.WHEN_CLOCK_REACHES:
            return wall_milliseconds(waiting.hlc) <= now_ms + MAX_OFFSET_MS
        case Retry.WHEN_SOFTWARE_CHANGES:
            return waiting.software_version != software_version
        case _:
            return False
