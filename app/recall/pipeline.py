"""Recall: embed the question beside the search for its words, fuse, trim, and say how it went.

A leg that is late, missing or failing costs its share of the answer, never the answer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from app.domain.errors import BackendError, FeatureMissingError, StoreUnavailableError
from app.domain.ranking import (
    BudgetCut,
    Ranked,
    Scoring,
    Weights,
    cut_to_budget,
    rank,
)
from app.domain.recalled import WordHits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory
    from app.domain.ranking import Candidate
    from app.domain.recalled import Chosen
    from app.domain.sources import Clock
    from app.recall.ports import QueryEmbedder, RecallReader, Vector
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
    """How one leg went; the vector leg's seconds are those of embedding the question."""

    outcome: Outcome
    found: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Trace:
    """Where an answer came from and where its time went; `fetch` includes the vector search."""

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
    """Rows, best first, and those of them that still exist as whole memories, in the same order.

    `budget` is there when a budget was asked for.
    """

    rows: tuple[Ranked, ...]
    memories: Sequence[Memory]
    mode: Mode
    tokens_used: int
    budget: BudgetCut | None
    trace: Trace


@dataclass(frozen=True, slots=True)
class _Words:
    hits: WordHits
    trace: LegTrace


@dataclass(frozen=True, slots=True)
class _Meaning:
    """The question's vector; None if there is none, for the reason that `outcome` tells."""

    vector: Vector | None
    outcome: Outcome
    seconds: float


class RecallPipeline(Generic[Scope]):
    """One recall after another over the same ports; holds nothing of a request."""

    def __init__(
        self,
        reader: RecallReader[Scope],
        clock: Clock,
        counter: TokenCounter,
        sessions: SessionRings,
        embedder: QueryEmbedder | None = None,
        scoring: Scoring | None = None,
        deadlines: Deadlines | None = None,
    ) -> None:
        self._reader = reader
        self._embedder = embedder
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
        # The embedding first: it takes longest, and needs this thread only to be started.
        meaning, words = await asyncio.gather(self._embedded(request), self._by_words(request))
        fetching = self._clock.monotonic()
        meaning, chosen = await self._chosen(request, words, meaning)
        fetched = self._clock.monotonic()
        ranked = chosen.ranked
        memories = chosen.memories
        budget = self._budget(request, ranked, memories)
        if budget is not None:
            ranked = ranked[: budget.kept]
            kept = {row.id for row in ranked}
            memories = [one for one in memories if one.id in kept]
        self._sessions.note(request.session, [row.id for row in ranked])
        trace = Trace(
            text=words.trace,
            vector=LegTrace(meaning.outcome, chosen.near, meaning.seconds),
            fused=chosen.found,
            weights=self._scoring.weights,
            text_weight=self._scoring.text_weight,
            vector_weight=self._scoring.vector_weight,
            fetch_seconds=fetched - fetching,
            total_seconds=self._clock.monotonic() - started,
        )
        mode = Mode.KEYWORD if meaning.vector is None else Mode.HYBRID
        return Answer(tuple(ranked), memories, mode, _tokens(budget, memories), budget, trace)

    async def _by_words(self, request: Request[Scope]) -> _Words:
        started = self._clock.monotonic()
        pool = max(_TEXT_POOL_FACTOR * request.limit, _TEXT_POOL_MIN)
        fuses = self._scoring.weights is Weights.FUSED
        if not fuses:
            pool *= _PRIORITY_POOL_FACTOR
        hits = WordHits()
        outcome = Outcome.ANSWERED
        try:
            async with asyncio.timeout(self._deadlines.text_seconds):
                hits = await self._reader.search_words(
                    request.query,
                    request.scope,
                    pool,
                    # Coverage matters only where fusion weighs words against vectors.
                    covers=fuses and self._embedder is not None,
                )
        except TimeoutError:
            outcome = Outcome.LATE
        seconds = self._clock.monotonic() - started
        return _Words(hits, LegTrace(outcome, len(hits.scores), seconds))

    async def _embedded(self, request: Request[Scope]) -> _Meaning:
        if self._embedder is None:
            return _Meaning(None, Outcome.ABSENT, 0.0)
        started = self._clock.monotonic()
        vector: Vector | None = None
        outcome = Outcome.ANSWERED
        try:
            async with asyncio.timeout(self._deadlines.vector_seconds):
                vector = await self._embedder.embed_query(request.query)
        except TimeoutError:
            outcome = Outcome.LATE
        except (BackendError, FeatureMissingError):
            outcome = Outcome.FAILED
        return _Meaning(vector, outcome, self._clock.monotonic() - started)

    async def _chosen(
        self, request: Request[Scope], words: _Words, meaning: _Meaning
    ) -> tuple[_Meaning, Chosen]:
        """The rows that answer, by words alone if the vectors are late."""
        if meaning.vector is not None:
            left = max(self._deadlines.vector_seconds - meaning.seconds, 0.0)
            started = self._clock.monotonic()
            try:
                async with asyncio.timeout(left):
                    return meaning, await self._best(request, words, meaning.vector)
            except TimeoutError:
                seconds = meaning.seconds + self._clock.monotonic() - started
                meaning = _Meaning(None, Outcome.LATE, seconds)
        if words.trace.outcome is Outcome.LATE:
            raise StoreUnavailableError(
                "the text search did not answer in time", retry_after_seconds=_RETRY_AFTER_SECONDS
            )
        return meaning, await self._best(request, words, None)

    async def _best(self, request: Request[Scope], words: _Words, vector: Vector | None) -> Chosen:
        def choose(candidates: Sequence[Candidate]) -> Sequence[Ranked]:
            return rank(
                candidates,
                self._scoring,
                now,
                hybrid=vector is not None,
                namespace=request.namespace,
                session=recent,
                limit=request.limit,
            )

        now, recent = self._clock.now(), self._sessions.recent(request.session)
        pool = max(_VECTOR_POOL_FACTOR * request.limit, _VECTOR_POOL_MIN)
        return await self._reader.best(words.hits, vector, request.scope, pool, choose)

    def _budget(
        self, request: Request[Scope], ranked: Sequence[Ranked], memories: Sequence[Memory]
    ) -> BudgetCut | None:
        if request.budget_tokens is None:
            return None
        contents = {one.id: one.content for one in memories}
        counts = [self._counter.count(contents.get(row.id, "")) for row in ranked]
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
        mode = Mode.KEYWORD if self._embedder is None else Mode.HYBRID
        return Answer((), (), mode, 0, budget, trace)


def _tokens(budget: BudgetCut | None, memories: Sequence[Memory]) -> int:
    """Counted under a budget; without one v0.7.0's guess of four bytes a token."""
    if budget is not None:
        return budget.tokens_used
    return sum(len(one.content.encode()) for one in memories) // _BYTES_A_TOKEN
