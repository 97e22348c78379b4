"""Recall: plan, retrieve from both legs side by side, fuse, trim, and say how it went.

A leg that is late, missing or failing costs its share of the answer, never the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from app.domain.errors import BackendError, FeatureMissingError, StoreUnavailableError
from app.domain.ranking import (
    COSINE_FLOOR,
    BudgetCut,
    Ranked,
    Scoring,
    Weights,
    cut_to_budget,
    rank,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.ranking import Candidate
    from app.domain.sources import Clock
    from app.recall.ports import (
        Fetcher,
        QueryEmbedder,
        ScoredId,
        TextRetriever,
        Vector,
        VectorRetriever,
    )
    from app.recall.sessions import SessionRings
    from app.recall.tokens import TokenCounter

Scope = TypeVar("Scope")

# semantics 5.3 and 5.4: rows that each leg brings for an answer of `limit`.
_TEXT_POOL_FACTOR: Final = 3
_TEXT_POOL_MIN: Final = 30
_VECTOR_POOL_FACTOR: Final = 5
_VECTOR_POOL_MIN: Final = 50
# v0.7.0's keyword formula lets priority outweigh text, so its best row may stand low in the text's
# own order: it needs a deeper pool.
_PRIORITY_POOL_FACTOR: Final = 7
_BYTES_A_TOKEN: Final = 4
_RETRY_AFTER_SECONDS: Final = 1


class Mode(StrEnum):
    """What an answer was made of, in the wire's words."""

    KEYWORD = "keyword"
    HYBRID = "hybrid"


class Outcome(StrEnum):
    """How a leg ended."""

    ANSWERED = "answered"
    LATE = "late"
    FAILED = "failed"
    ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Deadlines:
    """How long an answer waits for each leg; the vector leg's includes embedding the question."""

    text_seconds: float = 10.0
    vector_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Request(Generic[Scope]):
    """One question.

    `namespace` is the asked one, for proximity; the filter itself is in `scope`. `budget_tokens`
    None means no cut; `session` names the caller's session ring.
    """

    query: str
    scope: Scope
    limit: int
    namespace: str | None = None
    session: str | None = None
    budget_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class LegTrace:
    """How one leg went."""

    outcome: Outcome
    found: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an answer came from and where its time went."""

    text: LegTrace
    vector: LegTrace
    fused: int
    weights: Weights
    text_weight: float
    vector_weight: float
    fetch_seconds: float
    total_seconds: float


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, best first. `budget` is there when a budget was asked for."""

    rows: tuple[Ranked, ...]
    mode: Mode
    tokens_used: int
    budget: BudgetCut | None
    trace: Trace


@dataclass(frozen=True, slots=True)
class _Leg:
    hits: Sequence[ScoredId]
    trace: LegTrace
    vector: Vector | None = None


class RecallPipeline(Generic[Scope]):
    """One recall after another over the same ports; holds nothing of a request."""

    def __init__(
        self,
        text: TextRetriever[Scope],
        fetcher: Fetcher,
        clock: Clock,
        counter: TokenCounter,
        sessions: SessionRings,
        vectors: tuple[QueryEmbedder, VectorRetriever[Scope]] | None = None,
        scoring: Scoring | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._text = text
        self._vectors = vectors
        self._fetcher = fetcher
        self._clock = clock
        self._counter = counter
        self._sessions = sessions
        self._scoring = scoring or Scoring()
        self._deadlines = deadlines or Deadlines()

    async def recall(self, request: Request[Scope]) -> Answer:
        """The best rows in scope.

        Raises:
            StoreUnavailableError: the text leg was late and no vector leg could stand in.
        """
        started = self._clock.monotonic()
        if request.limit <= 0 or request.budget_tokens == 0:
            return self._nothing(request)
        text, vector = await asyncio.gather(self._text_leg(request), self._vector_leg(request))
        if text.trace.outcome is Outcome.LATE and vector.trace.outcome is not Outcome.ANSWERED:
            raise StoreUnavailableError(
                "the text search did not answer in time", retry_after_seconds=_RETRY_AFTER_SECONDS
            )
        fetching = self._clock.monotonic()
        candidates = await self._candidates(request, text, vector)
        fetched = self._clock.monotonic()
        mode = Mode.HYBRID if vector.trace.outcome is Outcome.ANSWERED else Mode.KEYWORD
        ranked = rank(
            candidates,
            self._scoring,
            self._clock.now(),
            hybrid=mode is Mode.HYBRID,
            namespace=request.namespace,
            session=self._sessions.recent(request.session),
        )[: request.limit]
        budget = await self._budget(request, ranked)
        rows = tuple(ranked[: budget.kept] if budget else ranked)
        self._sessions.note(request.session, [row.id for row in rows])
        trace = Trace(
            text=text.trace,
            vector=vector.trace,
            fused=len(candidates),
            weights=self._scoring.weights,
            text_weight=self._scoring.text_weight,
            vector_weight=self._scoring.vector_weight,
            fetch_seconds=fetched - fetching,
            total_seconds=self._clock.monotonic() - started,
        )
        return Answer(rows, mode, _tokens(budget, rows, candidates), budget, trace)

    async def _text_leg(self, request: Request[Scope]) -> _Leg:
        started = self._clock.monotonic()
        pool = max(_TEXT_POOL_FACTOR * request.limit, _TEXT_POOL_MIN)
        if self._scoring.weights is Weights.V070:
            pool *= _PRIORITY_POOL_FACTOR
        hits: Sequence[ScoredId] = ()
        outcome = Outcome.ANSWERED
        try:
            async with asyncio.timeout(self._deadlines.text_seconds):
                hits = await self._text.search_text(request.query, request.scope, pool)
        except TimeoutError:
            outcome = Outcome.LATE
        return _Leg(hits, LegTrace(outcome, len(hits), self._clock.monotonic() - started))

    async def _vector_leg(self, request: Request[Scope]) -> _Leg:
        if self._vectors is None:
            return _Leg((), LegTrace(Outcome.ABSENT, 0, 0.0))
        embedder, retriever = self._vectors
        started = self._clock.monotonic()
        pool = max(_VECTOR_POOL_FACTOR * request.limit, _VECTOR_POOL_MIN)
        hits: list[ScoredId] = []
        vector: Vector | None = None
        outcome = Outcome.ANSWERED
        try:
            async with asyncio.timeout(self._deadlines.vector_seconds):
                vector = await embedder.embed_query(request.query)
                found = await retriever.search_vector(vector, request.scope, pool)
                hits = [hit for hit in found if hit.score > COSINE_FLOOR]
        except TimeoutError:
            outcome = Outcome.LATE
        except (BackendError, FeatureMissingError):
            outcome = Outcome.FAILED
        if outcome is not Outcome.ANSWERED:
            vector = None
        seconds = self._clock.monotonic() - started
        return _Leg(hits, LegTrace(outcome, len(hits), seconds), vector)

    async def _candidates(
        self, request: Request[Scope], text: _Leg, vector: _Leg
    ) -> list[Candidate]:
        text_scores = {hit.id: hit.score for hit in text.hits}
        cosines = {hit.id: hit.score for hit in vector.hits}
        ids = list(dict.fromkeys([*text_scores, *cosines]))
        if not ids:
            return []
        # Coverage matters only where fusion weighs words against vectors.
        legs = {text.trace.outcome, vector.trace.outcome}
        fuses = self._scoring.weights is Weights.FUSED and legs == {Outcome.ANSWERED}
        rows = await self._fetcher.candidates(ids, vector.vector, request.query if fuses else None)
        return [
            replace(
                row,
                text_score=text_scores.get(row.id),
                cosine=cosines.get(row.id, row.cosine),
            )
            for row in rows
        ]

    async def _budget(self, request: Request[Scope], ranked: Sequence[Ranked]) -> BudgetCut | None:
        if request.budget_tokens is None:
            return None
        ids = [row.id for row in ranked]
        texts = await self._fetcher.texts(ids)
        counts = [self._counter.count(texts.get(memory_id, "")) for memory_id in ids]
        return cut_to_budget(counts, request.budget_tokens)

    def _nothing(self, request: Request[Scope]) -> Answer:
        absent = LegTrace(Outcome.ABSENT, 0, 0.0)
        scoring = self._scoring
        trace = Trace(
            absent,
            absent,
            0,
            scoring.weights,
            scoring.text_weight,
            scoring.vector_weight,
            fetch_seconds=0.0,
            total_seconds=0.0,
        )
        budget = None if request.budget_tokens is None else cut_to_budget((), request.budget_tokens)
        mode = Mode.KEYWORD if self._vectors is None else Mode.HYBRID
        return Answer((), mode, 0, budget, trace)


def _tokens(
    budget: BudgetCut | None, rows: Sequence[Ranked], candidates: Sequence[Candidate]
) -> int:
    """Counted under a budget; without one v0.7.0's guess of four bytes a token."""
    if budget is not None:
        return budget.tokens_used
    sizes = {candidate.id: candidate.content_bytes for candidate in candidates}
    return sum(sizes[row.id] for row in rows) // _BYTES_A_TOKEN
