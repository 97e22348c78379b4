"""Types of setting values: what each accepts, and how it is brought into range.

`ValueError` here means "outside its range" and follows the key's own policy; a
wrong type is refused by the type itself.
"""

from __future__ import annotations

import math
import re
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, Field, Strict, StringConstraints

from app.domain.peer_url import peer_url

I64_MAX: Final = 2**63 - 1
TEN_YEARS_SECONDS: Final = 315_360_000
UNLIMITED: Final = "unlimited"

Flag = Annotated[bool, Strict()]
Whole = Annotated[int, Strict()]
Number = Annotated[float, Strict()]
NonEmpty = Annotated[str, StringConstraints(min_length=1)]

Positive = Annotated[int, Strict(), Field(gt=0, le=I64_MAX)]
NotNegative = Annotated[int, Strict(), Field(ge=0, le=I64_MAX)]


def _limit(value: object) -> object:
    return None if value == UNLIMITED else value


Limit = Annotated[Positive | None, BeforeValidator(_limit)]
"""A positive whole number, or the word `unlimited` (None inside)."""


def _page_size(value: object) -> object:
    if value == UNLIMITED:
        msg = "a page always has a size: give a whole number above 0"
        raise ValueError(msg)
    return value


PageSize = Annotated[Positive, BeforeValidator(_page_size)]


def _lifetime(seconds: int | None) -> int | None:
    if seconds is None or seconds <= 0:
        return None
    return min(seconds, TEN_YEARS_SECONDS)


Lifetime = Annotated[Whole | None, AfterValidator(_lifetime)]
"""Seconds until a row expires. 0 and below: never (None). At most ten years."""

Extension = Annotated[
    Whole, AfterValidator(lambda seconds: min(max(seconds, 0), TEN_YEARS_SECONDS))
]
"""Seconds that a read adds to a row's life. Below 0 counts as 0."""

Retention = Annotated[
    Whole, Field(gt=0), AfterValidator(lambda seconds: min(seconds, TEN_YEARS_SECONDS))
]
"""Seconds above 0, at most ten years."""


SomeRetention = Annotated[Whole | None, AfterValidator(_lifetime)]
"""As `Retention`; unset, 0 and below leave the choice to the next pattern."""


def _half_life(days: float) -> float:
    if math.isnan(days):
        msg = "a half-life is a number"
        raise ValueError(msg)
    return min(max(days, 0.1), 36_500.0)


HalfLife = Annotated[Number, AfterValidator(_half_life)]
"""Days, brought into 0.1 .. 36500."""

_DURATION: Final = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        msg = "expected a whole number and a unit, such as 30m, 24h or 7d"
        raise ValueError(msg)
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        msg = "longer than any memory can be old"
        raise ValueError(msg) from None


Duration = Annotated[timedelta, Strict(), BeforeValidator(_duration)]
"""`<int><unit>`, the unit one of s, m, h, d, w."""

_AGENT_ID: Final = re.compile(r"[A-Za-z0-9_\-:@./]{1,128}")


def _agent_id(text: str) -> str:
    if _AGENT_ID.fullmatch(text) is None or ".." in text or text.startswith("/"):
        msg = (
            "an agent id has 1 to 128 letters, digits or _ - : @ . / , "
            "does not begin with / and holds no .."
        )
        raise ValueError(msg)
    return text


AgentId = Annotated[str, AfterValidator(_agent_id)]

PeerUrl = Annotated[str, AfterValidator(peer_url)]
"""A peer's base address, in one spelling."""

_EMBEDDING_MODEL_ALIASES: Final = {
    "nomic_embed_v15": "nomic-embed-text-v1.5",
    "mini_lm_l6_v2": "all-MiniLM-L6-v2",
}

EmbeddingModel = Annotated[
    NonEmpty, AfterValidator(lambda name: _EMBEDDING_MODEL_ALIASES.get(name, name))
]
"""A model's name; the two names of v0.6 are made the current ones."""

Share = Annotated[Number, Field(ge=0.0, le=1.0)]

Tier = Literal["keyword", "semantic", "smart", "autonomous"]
