"""Vector clock: for each origin, the highest contiguous sequence number applied.

A replication cursor is therefore an integer per origin and never a wall-clock
time (design section 2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from typing_extensions import override

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class VectorClock:
    """An immutable map origin → sequence number; absent origins read as 0."""

    __slots__ = ("_heads",)

    def __init__(self, heads: Mapping[str, int] | None = None) -> None:
        self._heads = {origin: seq for origin, seq in (heads or {}).items() if seq > 0}

    def __getitem__(self, origin: str) -> int:
        return self._heads.get(origin, 0)

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, VectorClock) and self._heads == other._heads

    @override
    def __hash__(self) -> int:
        return hash(frozenset(self._heads.items()))

    @override
    def __repr__(self) -> str:
        return f"VectorClock({self._heads!r})"

    def origins(self) -> Iterable[str]:
        """The origins with at least one entry."""
        return self._heads.keys()

    def as_dict(self) -> dict[str, int]:
        """A copy for the wire, sorted by origin."""
        return dict(sorted(self._heads.items()))

    def advanced(self, origin: str, seq: int) -> VectorClock:
        """This clock after `seq` of `origin`.

        Raises:
            ValueError: `seq` is not the next one; a cursor never skips.
        """
        if seq != self[origin] + 1:
            message = f"{origin}: {seq} does not follow {self[origin]}"
            raise ValueError(message)
        return VectorClock({**self._heads, origin: seq})

    def joined(self, other: VectorClock) -> VectorClock:
        """The pointwise maximum."""
        origins = {*self._heads, *other._heads}
        return VectorClock({origin: max(self[origin], other[origin]) for origin in origins})

    def covers(self, other: VectorClock) -> bool:
        """Whether everything in `other` is in this clock too."""
        return all(self[origin] >= seq for origin, seq in other._heads.items())

    def missing_from(self, other: VectorClock) -> dict[str, tuple[int, int]]:
        """What `other` has and this clock lacks: origin → (first, last) sequence number."""
        return {
            origin: (self[origin] + 1, seq)
            for origin, seq in sorted(other._heads.items())
            if seq > self[origin]
        }
