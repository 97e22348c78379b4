"""What the two steps of a recall hand to one another: the words' hits, then the rows chosen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from app.domain.memory import Memory
    from app.domain.ranking import Candidate, Ranked

Choose: TypeAlias = "Callable[[Sequence[Candidate]], Sequence[Ranked]]"
"""Pure: from every row found to those that answer, best first. May be called in any thread."""


@dataclass(frozen=True, slots=True)
class WordHits:
    """What the text leg found: a score (above 0, larger is better) by id.

    `prepared` is for the store that made it, which gets the hits back as they are.
    """

    scores: Mapping[str, float] = field(default_factory=dict)
    prepared: object = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rows that answer, and how many there were to choose from.

    `near` counts those that the vectors found. `memories` are the whole rows of
    `ranked` in its order, without those that went away meanwhile.
    """

    ranked: Sequence[Ranked]
    memories: Sequence[Memory]
    found: int
    near: int
