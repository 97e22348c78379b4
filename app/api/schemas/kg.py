"""The knowledge graph on the wire (http-api 3.5)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from pydantic import AliasChoices, Field

from app.api.schemas.body import Body
from app.api.schemas.filters import plain
from app.api.schemas.links import SOURCE
from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.memory import Memory
from app.services.commands.links import Ends, Invalidated
from app.services.duplicates import DuplicateCheck, Probe
from app.services.graph import FoundPaths, Reached, Walk, Walked
from app.store.sql.links import LinkedMemory

OBSERVERS_MAX = 1_000
_WALK_ROWS = 200
_PATH_LENGTH = 4
_PATHS = 10
_THRESHOLD = 0.85


class WalkBody(Body):
    """An outbound walk; every link on the way must fit."""

    source_id: str = Field(validation_alias=SOURCE, description="Where to start; also `from`.")
    max_depth: int | None = Field(default=None, description="1 (default) to 5 links.")
    valid_at: str | None = Field(
        default=None, description="Only links valid then, RFC 3339; else those not ended by now."
    )
    allowed_agents: list[str] | None = Field(
        default=None, description="Only links that one of these observed; [] finds nothing."
    )
    limit: int | None = Field(default=None, description="Rows, 1 to 1000, default 200.")
    include_invalidated: bool | None = Field(default=None, description="Ended links, too.")
    to: str | None = Field(default=None, description="Only ways that end at this memory.")
    rel_types: list[str] | None = Field(default=None, description="Only these relations.")

    def walk(self) -> Walk:
        return Walk(
            source_id=self.source_id,
            depth_max=1 if self.max_depth is None else self.max_depth,
            limit=_WALK_ROWS if self.limit is None else self.limit,
            valid_at=self.valid_at,
            observers=None if self.allowed_agents is None else _observers(self.allowed_agents),
            relations=None if self.rel_types is None else list(dict.fromkeys(self.rel_types)),
            target_id=None if self.to is None else must.memory_id(self.to, "to"),
            include_invalidated=self.include_invalidated is True,
        )


class InvalidateBody(Body):
    """Whose validity ends, and when."""

    source_id: str
    target_id: str
    relation: str = Field(examples=["related_to"])
    valid_until: str | None = Field(default=None, description="RFC 3339; default is now.")

    def ends(self) -> Ends:
        return Ends(self.source_id, self.target_id)


class PathsBody(Body):
    """Two memories."""

    source_id: str = Field(
        validation_alias=AliasChoices("source_id", "from_id"), description="Also `from_id`."
    )
    target_id: str = Field(
        validation_alias=AliasChoices("target_id", "to_id"), description="Also `to_id`."
    )
    max_depth: int | None = Field(default=None, description="1 to 7 links, default 4.")
    max_results: int | None = Field(default=None, description="1 to 50, default 10.")

    def ends(self) -> Ends:
        return Ends(self.source_id, self.target_id)

    @property
    def length_max(self) -> int:
        return _PATH_LENGTH if self.max_depth is None else self.max_depth

    @property
    def paths_max(self) -> int:
        return _PATHS if self.max_results is None else self.max_results


class ProbeBody(Body):
    """A memory that is not stored yet."""

    title: str
    content: str
    namespace: str | None = Field(default=None, description="Look here only; default everywhere.")
    threshold: float | None = Field(
        default=None, description="Similarity of a duplicate, 0.5 to 1, default 0.85."
    )

    def probe(self) -> Probe:
        threshold = _THRESHOLD if self.threshold is None else self.threshold
        return Probe(self.title, self.content, self.namespace, threshold)


class EventRow(msgspec.Struct):
    """A dated fact: a link, and what it leads to."""

    target_id: str
    relation: str
    valid_from: str | None
    valid_until: str | None
    observed_by: str | None
    title: str
    target_namespace: str


class ReachedRow(EventRow):
    """A way's last link; `path` is the ids along it, joined by `->`."""

    depth: int
    path: str


class WalkedBody(msgspec.Struct):
    """Where the walk led, nearest first."""

    source_id: str
    max_depth: int
    memories: list[ReachedRow]
    paths: list[str]
    count: int
    backend: str | msgspec.UnsetType = msgspec.UNSET
    """`age` or `cte`, where a store has a choice."""


class TimelineBody(msgspec.Struct):
    """Facts by the beginning of their validity."""

    source_id: str
    events: list[EventRow]
    count: int


class InvalidatedBody(msgspec.Struct):
    """The validity has ended."""

    found: bool
    source_id: str
    target_id: str
    relation: str
    valid_until: str
    previous_valid_until: str | None


class FoundPathsBody(msgspec.Struct):
    """Paths, shortest first, each with both ends."""

    source_id: str
    target_id: str
    paths: Sequence[Sequence[str]]
    count: int
    backend: str | msgspec.UnsetType = msgspec.UNSET
    """`age` or `cte`, where a store has a choice."""


class NearestRow(msgspec.Struct):
    """The memory that comes nearest."""

    id: str
    title: str
    namespace: str
    similarity: float


class DuplicateBody(msgspec.Struct):
    """`nearest` is shown below the threshold, too; `suggested_merge` only for a duplicate."""

    is_duplicate: bool
    threshold: float
    nearest: NearestRow | None
    suggested_merge: str | None
    candidates_scanned: int


def event_row(linked: LinkedMemory) -> EventRow:
    link = linked.link
    return EventRow(
        target_id=link.target_id,
        relation=link.relation,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        observed_by=link.observed_by,
        title=linked.title,
        target_namespace=linked.namespace,
    )


def walked_body(walk: Walk, walked: Walked) -> WalkedBody:
    rows = [_reached_row(one) for one in walked.reached]
    paths = list(dict.fromkeys(row.path for row in rows))
    return WalkedBody(
        walk.source_id,
        walk.depth_max,
        rows,
        paths,
        len(rows),
        walked.backend or msgspec.UNSET,
    )


def found_paths_body(asked: PathsBody, found: FoundPaths) -> FoundPathsBody:
    return FoundPathsBody(
        asked.source_id,
        asked.target_id,
        found.paths,
        len(found.paths),
        found.backend or msgspec.UNSET,
    )


def _reached_row(reached: Reached) -> ReachedRow:
    link = reached.linked.link
    return ReachedRow(
        target_id=link.target_id,
        relation=link.relation,
        valid_from=link.valid_from,
        valid_until=link.valid_until,
        observed_by=link.observed_by,
        title=reached.linked.title,
        target_namespace=reached.linked.namespace,
        depth=reached.depth,
        path="->".join(reached.path),
    )


def invalidated_body(asked: InvalidateBody, done: Invalidated) -> InvalidatedBody:
    return InvalidatedBody(
        found=True,
        source_id=asked.source_id,
        target_id=asked.target_id,
        relation=asked.relation,
        valid_until=done.valid_until,
        previous_valid_until=done.previous_valid_until,
    )


def duplicate_body(check: DuplicateCheck) -> DuplicateBody:
    nearest = check.nearest
    return DuplicateBody(
        is_duplicate=check.is_duplicate,
        threshold=check.threshold,
        nearest=None if nearest is None else _nearest_row(nearest, check.similarity),
        suggested_merge=nearest.id if nearest is not None and check.is_duplicate else None,
        candidates_scanned=check.candidates_scanned,
    )


def _nearest_row(memory: Memory, similarity: float) -> NearestRow:
    return NearestRow(memory.id, memory.title, memory.namespace, similarity)


def _observers(agents: Sequence[str]) -> Sequence[str]:
    if len(agents) > OBSERVERS_MAX:
        raise InvalidInputError(
            f"too many allowed_agents (max {OBSERVERS_MAX})", fields=["allowed_agents"]
        )
    return [plain(one, "allowed_agents") for one in agents]
