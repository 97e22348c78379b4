"""Why an entry is kept apart instead of applied, and what may let it in later.

Codes travel in acks and stand in the `quarantine` table, so they never change their meaning.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


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


BOUND_TO_RELEASE: Final = frozenset({RefusalCode.MALFORMED_PAYLOAD})
"""What another release may understand: a newer node may write what this one does not know.

A stamp of the future comes due by itself; all else is sent again, or is an operator's to decide.
"""

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
