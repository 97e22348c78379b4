"""Simple paths between two memories, shortest first, in a graph that is read as it is needed.

Both ends grow a ball of known neighbours, the smaller frontier first. When the radii add up to a
length, every path of that length lies inside what is known: its first half in one ball, its second
in the other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from app.store.sql.links import Edge

LOOKS_MAX: Final = 500_000
"""Looks at one neighbour, over all lengths: about 0.1 s. A denser tangle shows fewer paths."""


@dataclass(slots=True)
class Ball:
    """What is known around one end: nodes by distance, and the outermost ones."""

    start: str
    frontier: list[str]
    known: set[str]
    radius: int = 0

    def absorb(self, edges: Iterable[Edge]) -> None:
        """Take what the frontier is linked with: the radius grows by one."""
        reached = dict.fromkeys(edge.far for edge in edges if edge.far not in self.known)
        self.known.update(reached)
        self.frontier = list(reached)
        self.radius += 1


@dataclass(slots=True)
class PathSearch:
    """Alternate `next_ball` and `learn` until `is_done`, then read `paths`."""

    source_id: str
    target_id: str
    length_max: int
    paths_max: int
    paths: list[Sequence[str]] = field(default_factory=list)
    _looks_left: int = LOOKS_MAX
    _adjacent: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _balls: tuple[Ball, Ball] = field(init=False)

    def __post_init__(self) -> None:
        self._balls = (
            Ball(self.source_id, [self.source_id], {self.source_id}),
            Ball(self.target_id, [self.target_id], {self.target_id}),
        )
        if self.source_id == self.target_id:
            self.paths.append((self.source_id,))

    @property
    def length(self) -> int:
        """Paths up to this many links have been looked for."""
        return sum(ball.radius for ball in self._balls)

    @property
    def is_done(self) -> bool:
        # A ball that cannot grow holds all that its end can reach: with no way into the other
        # one there is none at all, and with one, the paths so far may still not be all.
        return (
            self.source_id == self.target_id
            or self.length >= self.length_max
            or len(self.paths) >= self.paths_max
            or self._looks_left <= 0
            or any(not ball.frontier and not self._meets(ball) for ball in self._balls)
        )

    def _meets(self, ball: Ball) -> bool:
        return self.source_id in ball.known and self.target_id in ball.known

    def next_ball(self) -> Ball:
        """Whose frontier's neighbours to read next."""
        near, far = self._balls
        return near if len(near.frontier) <= len(far.frontier) else far

    def learn(self, ball: Ball, edges: Sequence[Edge]) -> None:
        """The neighbours of a ball's frontier; finds the paths of the next length."""
        for edge in edges:
            self._adjacent[edge.near].add(edge.far)
            self._adjacent[edge.far].add(edge.near)
        ball.absorb(edges)
        distances = self._distances(self.length)
        if self.source_id in distances:
            for path in self._of_length(self.length, distances):
                self.paths.append(path)
                if len(self.paths) >= self.paths_max:
                    return

    def _distances(self, most: int) -> dict[str, int]:
        """Links from a node to the target through what is known, up to `most`."""
        found, level = {self.target_id: 0}, [self.target_id]
        for distance in range(1, most + 1):
            level = list(
                dict.fromkeys(
                    other
                    for node in level
                    for other in self._adjacent.get(node, ())
                    if other not in found
                )
            )
            found.update(dict.fromkeys(level, distance))
        return found

    def _of_length(self, length: int, distances: dict[str, int]) -> Iterator[Sequence[str]]:
        """Simple paths with exactly `length` links, in the order of their ids."""
        path = [self.source_id]
        choices = [self._onward(path, length, distances)]
        while choices and self._looks_left > 0:
            node = next(choices[-1], None)
            if node is None:
                choices.pop()
                path.pop()
            elif len(path) == length:
                yield (*path, node)
            else:
                path.append(node)
                choices.append(self._onward(path, length, distances))

    def _onward(self, path: list[str], length: int, distances: dict[str, int]) -> Iterator[str]:
        left = length - len(path)
        adjacent = self._adjacent.get(path[-1], set())
        self._looks_left -= 1 + len(adjacent)
        fitting = (
            node
            for node in adjacent
            # The target only ends a path; any other node must still have a way to it.
            if node not in path
            and distances.get(node, length) <= left
            and (node == self.target_id) == (left == 0)
        )
        return iter(sorted(fitting))
