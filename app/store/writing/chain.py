"""The end of the own log, between batches."""

from __future__ import annotations

from dataclasses import dataclass

from app.log.entry import GENESIS_HASH


@dataclass(frozen=True, slots=True)
class Head:
    """The end of one origin's chain."""

    origin_no: int
    origin: str
    seq: int = 0
    hash: bytes = GENESIS_HASH
    hlc: int = 0


@dataclass(frozen=True, slots=True)
class Chain:
    """Where the next entry goes on; moved by committed batches only."""

    own: Head
    last_hlc: int
    """The highest stamp issued or observed."""
