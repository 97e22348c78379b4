"""Recall and search: from a question and its filters to scored memories (http-api 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.memory import MEMORY_KINDS
from app.domain.ranking import search_score
from app.domain.timestamps import format_instant
from app.recall.pipeline import Answer, RecallPipeline, Request
from app.services.provenance import CONFIRMED, LIKELY, Provenance, provenance_of
from app.services.tag_filter import read_tags
from app.store.consistency import may_lag
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import timedelta

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.observability.metrics import Metrics
    from app.services.caller import Caller
    from app.services.touches import Touches
    from app.store.protocol import Store

RECALL_LIMIT: Final = 10
RECALL_LIMIT_MAX: Final = 50
SEARCH_POOL: Final = 1_000
"""Rows that a search scores; `total` counts no further."""

_BANDS: Final[Mapping[str, tuple[float | None, float | None]]] = {
    "confirmed": (CONFIRMED, None),
    "likely": (LIKELY, CONFIRMED),
    "ambiguous": (None, LIKELY),
}


@dataclass(frozen=True, slots=True)
class ScopeDefaults:
    """What `session_default` fills in where a question says nothing."""

    namespace: str | None = None
    since: timedelta | None = None
    tier: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """One recall. `kinds` None is every kind; unknown words among them are dropped."""

    context: str
    namespace: str | None = None
    limit: int | None = None
    tags: str | None = None
    since: str | None = None
    until: str | None = None
    as_agent: str | None = None
    budget_tokens: int | None = None
    session_default: bool = False
    session_id: str | None = None
    has_citations: bool = False
    source_uri_prefix: str | None = None
    kinds: Sequence[str] | None = None
    include_archived: bool = False
    confidence_tier: str | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A memory of an answer, its counters as they were before the recall."""

    memory: Memory
    score: float


@dataclass(frozen=True, slots=True)
class Recalled:
    """An answer with its memories."""

    rows: Sequence[Scored]
    answer: Answer


@dataclass(frozen=True, slots=True)
class Found:
    """A page of a search and how many rows fit in all."""

    rows: Sequence[Memory]
    total: int
    scores: Sequence[float] = field(default=())


@dataclass(frozen=True, slots=True)
class Searched:
    """One search: words that must all be there, a source, or both."""

    query: str | None = None
    source_uri: str | None = None
    as_agent: str | None = None
    include_archived: bool = False


class RecallService:
    """Reads by relevance. A recall leaves touches behind; a search does not."""

    def __init__(
        self,
        store: Store,
        pipeline: RecallPipeline[MemoryFilter],
        clock: Clock,
        touches: Touches,
        metrics: Metrics,
        defaults: ScopeDefaults | None = None,
    ) -> None:
        self._store = store
        self._pipeline = pipeline
        self._clock = clock
        self._touches = touches
        self._metrics = metrics
        self._defaults = defaults or ScopeDefaults()

    @may_lag
    async def recall(self, asked: Question, caller: Caller) -> Recalled:
        """The memories that answer a context best.

        Raises:
            InvalidInputError: a blank context or a malformed filter.
        """
        started = self._clock.monotonic()
        if not asked.context.strip():
            raise InvalidInputError("context cannot be empty", fields=["context"])
        if asked.budget_tokens is not None and asked.budget_tokens < 0:
            raise InvalidInputError(
                f"budget_tokens must not be negative (got {asked.budget_tokens})",
                fields=["budget_tokens"],
            )
        question = self._with_defaults(asked) if asked.session_default else asked
        scope = await read_tags(self._store, self._scope(question, asked, caller))
        answer = await self._pipeline.recall(
            Request(
                query=question.context,
                scope=scope,
                limit=_limit(question.limit),
                namespace=question.namespace,
                session=_session(question.session_id, caller),
                budget_tokens=question.budget_tokens,
            )
        )
        memories = answer.memories
        self._touches.note(memories)
        self._metrics.recall_total.labels(answer.mode.value).inc()
        self._metrics.recall_latency_seconds.labels(answer.mode.value).observe(
            self._clock.monotonic() - started
        )
        scores = {row.id: round(row.score, 3) for row in answer.rows}
        return Recalled([Scored(one, scores[one.id]) for one in memories], answer)

    @may_lag
    async def provenance(self, memories: Sequence[Memory]) -> Mapping[str, Provenance]:
        """How far each row can be trusted, by id."""
        levels = await self._store.latest_attest_levels([memory.id for memory in memories])
        now = self._clock.now()
        return {one.id: provenance_of(one, levels.get(one.id), now) for one in memories}

    @may_lag
    async def search(
        self, asked: Searched, chosen: MemoryFilter, caller: Caller, limit: int, offset: int = 0
    ) -> Found:
        """Memories that hold every word, best first; by source alone, oldest first.

        Raises:
            InvalidInputError: neither words nor a source, or a malformed one.
        """
        if not asked.query and not asked.source_uri:
            raise InvalidInputError("q or source_uri is required", fields=["q", "source_uri"])
        visible = replace(
            chosen,
            now=format_instant(self._clock.now()),
            viewer=caller.viewer(),
            position=_position(asked.as_agent, caller),
            source_uri=_source_filter(asked.source_uri),
            include_atomised=asked.include_archived,
        )
        scope = await read_tags(self._store, visible)
        if not asked.query:
            page = await self._store.oldest_first(scope, limit, offset)
            return Found(page.memories, page.total)
        return await self._by_words(asked.query, scope, limit, offset)

    async def _by_words(self, query: str, scope: MemoryFilter, limit: int, offset: int) -> Found:
        hits = await self._store.search_text(query, scope, SEARCH_POOL, every_term=True)
        texts = {hit.id: hit.score for hit in hits}
        now = self._clock.now()
        scored = [
            (search_score(replace(row, text_score=texts[row.id]), now), row.id)
            for row in await self._store.candidates(list(texts))
        ]
        scored.sort(key=lambda one: (-one[0], one[1]))
        page = scored[offset : offset + limit]
        rows = await self._store.get_many([one[1] for one in page], MemoryFilter(now=scope.now))
        by_id = {memory_id: score for score, memory_id in page}
        return Found(rows, len(scored), [round(by_id[row.id], 3) for row in rows])

    def _with_defaults(self, asked: Question) -> Question:
        defaults = self._defaults
        since = asked.since
        if since is None and defaults.since is not None:
            since = format_instant(self._clock.now() - defaults.since)
        return replace(
            asked,
            namespace=asked.namespace or defaults.namespace,
            since=since,
            limit=asked.limit or defaults.limit,
        )

    def _scope(self, question: Question, asked: Question, caller: Caller) -> MemoryFilter:
        low, high = _band(question.confidence_tier)
        return MemoryFilter(
            now=format_instant(self._clock.now()),
            viewer=caller.viewer(),
            position=_position(question.as_agent, caller),
            namespaces=_upwards(question.namespace),
            tier=self._defaults.tier if asked.session_default else None,
            tags=(question.tags,) if question.tags else (),
            since=None if not question.since else must.instant(question.since, "since"),
            until=None if not question.until else must.instant(question.until, "until"),
            source_uri_prefix=question.source_uri_prefix or None,
            kinds=_known_kinds(question.kinds),
            has_citations=question.has_citations,
            confidence_min=low,
            confidence_below=high,
            include_atomised=question.include_archived,
        )


def _upwards(namespace: str | None) -> Sequence[str]:
    """A hierarchical namespace and its ancestors; a flat one alone (http-api 3.3)."""
    if not namespace:
        return ()
    levels = namespace.split("/")
    return tuple("/".join(levels[:depth]) for depth in range(len(levels), 0, -1))


def _position(as_agent: str | None, caller: Caller) -> str:
    """Where the position rule looks from: `as_agent`, else the caller's own id."""
    return must.namespace(as_agent, "as_agent") if as_agent else caller.agent_id


def _limit(asked: int | None) -> int:
    if asked is not None and asked < 0:
        raise InvalidInputError(f"limit must not be negative (got {asked})", fields=["limit"])
    return min(asked or RECALL_LIMIT, RECALL_LIMIT_MAX)


def _session(session_id: str | None, caller: Caller) -> str | None:
    return f"{caller.agent_id}\x00{session_id}" if session_id else None


def _known_kinds(words: Sequence[str] | None) -> Sequence[str] | None:
    if words is None or "all" in words:
        return None
    return tuple(word for word in words if word in MEMORY_KINDS)


def _band(word: str | None) -> tuple[float | None, float | None]:
    if not word:
        return None, None
    band = _BANDS.get(word)
    if band is None:
        raise InvalidInputError(
            f"invalid confidence_tier '{word}' — must be one of: {', '.join(_BANDS)}",
            fields=["confidence_tier"],
        )
    return band


def _source_filter(uri: str | None) -> str | None:
    if not uri:
        return None
    try:
        return must.source_uri(uri)
    except InvalidInputError as error:
        raise InvalidInputError(
            f"invalid source_uri filter: {error.message}", fields=["source_uri"]
        ) from error
