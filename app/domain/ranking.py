"""How recalled rows are scored, ordered and cut. Pure arithmetic over at most a few hundred rows.

Two sets of weights. `Weights.FUSED` is ours (ADR "recall fusion" tells how it was chosen);
`Weights.V070` is v0.7.0's, formula by formula (semantics 5.3 to 5.6), for `legacy_scoring`.
Every score is finite, and never falls when a leg's score rises.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from app.domain.memory import PRIORITY_MAX

if TYPE_CHECKING:
    from collections import deque
    from collections.abc import Collection, Sequence
    from datetime import datetime

_SECONDS_A_DAY: Final = 86_400.0

# semantics 5.3
_PRIORITY_WEIGHT: Final = 0.5
_ACCESS_WEIGHT: Final = 0.1
_ACCESSES_COUNTED_MAX: Final = 50
_CONFIDENCE_WEIGHT: Final = 2.0
_TIER_BONUS: Final = {"short": 0.0, "mid": 1.0, "long": 3.0}
_RECENCY_PER_DAY: Final = 0.1

# semantics 5.5
_SHORT_CONTENT_BYTES: Final = 500
_LONG_CONTENT_BYTES: Final = 5_000
_SHORT_COSINE_WEIGHT: Final = 0.50
_LONG_COSINE_WEIGHT: Final = 0.15
_HALF_LIFE_DAYS: Final = {"short": 7.0, "mid": 30.0, "long": 365.0}
_HALF_LIFE_DAYS_MIN: Final = 0.1
_HALF_LIFE_DAYS_MAX: Final = 36_500.0

# semantics 5.6
_PROXIMITY_PER_LEVEL: Final = 0.3
_SESSION_BOOST: Final = 0.05
_SESSION_RING: Final = 50

COSINE_FLOOR: Final = 0.2  # semantics 5.4: below it a vector says nothing

_COSINE_SPAN_MIN: Final = 0.05
_REPETITION_WEIGHT: Final = 0.1
_TIER_IMPORTANCE: Final = {"short": 0.0, "mid": 0.5, "long": 1.0}


class Weights(StrEnum):
    """Which formula makes one score of two legs."""

    FUSED = "fused"
    V070 = "v070"


@dataclass(frozen=True, slots=True)
class HalfLives:
    """Days after which a row's score is halved, by tier; clamped to 0.1 - 36,500."""

    short: float = _HALF_LIFE_DAYS["short"]
    mid: float = _HALF_LIFE_DAYS["mid"]
    long: float = _HALF_LIFE_DAYS["long"]

    def of(self, tier: str) -> float:
        days = self.long if tier == "long" else self.short if tier == "short" else self.mid
        return min(max(days, _HALF_LIFE_DAYS_MIN), _HALF_LIFE_DAYS_MAX)


@dataclass(frozen=True, slots=True)
class Scoring:
    """Everything about scoring that an operator may change.

    `half_lives` None switches decay off, as v0.7.0's `legacy_scoring = true` does. The other
    weights count under `Weights.FUSED` only; `importance_weight` (0 to 1) is the share of a score
    that priority, confidence, use and tier decide.
    """

    weights: Weights = Weights.FUSED
    half_lives: HalfLives | None = field(default_factory=HalfLives)
    text_weight: float = 1.5
    vector_weight: float = 1.0
    importance_weight: float = 0.1

    @staticmethod
    def legacy() -> Scoring:
        """v0.7.0 under `legacy_scoring = true`: its weights, no decay."""
        return Scoring(weights=Weights.V070, half_lives=None)


@dataclass(frozen=True, slots=True)
class Candidate:
    """What scoring needs of one row.

    `text_score` is the text leg's (larger is better; None: that leg did not find it), `coverage`
    the share of the question that the row's words hold (0..1; None: not asked), `cosine` the
    similarity to the query (None: no vector).
    """

    id: str
    tier: str
    namespace: str
    priority: int
    access_count: int
    confidence: float
    created_at: datetime
    updated_at: datetime
    content_bytes: int
    text_score: float | None = None
    cosine: float | None = None
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A row's place in an answer."""

    id: str
    score: float
    cosine: float | None


@dataclass(frozen=True, slots=True)
class BudgetCut:
    """How many of the first rows fit, and what they cost in tokens."""

    kept: int
    tokens_used: int
    tokens_remaining: int
    dropped: int
    overflow: bool


def rank(
    candidates: Sequence[Candidate],
    scoring: Scoring,
    now: datetime,
    *,
    hybrid: bool,
    namespace: str | None = None,
    session: Collection[str] = (),
    limit: int | None = None,
) -> list[Ranked]:
    """Best first; equal scores by id, so that two nodes with the same rows answer alike."""
    relevance = _v070 if scoring.weights is Weights.V070 else _fused
    scores = relevance(candidates, scoring, now, hybrid=hybrid)
    ranked = [
        (
            -score * namespace_proximity(namespace, candidate.namespace)
            - (_SESSION_BOOST if candidate.id in session else 0.0),
            candidate.id,
            candidate.cosine,
        )
        for candidate, score in zip(candidates, scores, strict=True)
    ]
    ranked.sort()  # ids differ, so cosines are never compared
    return [Ranked(one, -negated, cosine) for negated, one, cosine in ranked[:limit]]


def search_score(candidate: Candidate, now: datetime) -> float:
    """The order of `/search` (http-api 3.3): v0.7.0's keyword score without the tier bonus."""
    importance = (
        _PRIORITY_WEIGHT * candidate.priority
        + _ACCESS_WEIGHT * min(candidate.access_count, _ACCESSES_COUNTED_MAX)
        + _CONFIDENCE_WEIGHT * candidate.confidence
    )
    recency = 1.0 / (1.0 + _RECENCY_PER_DAY * age_days(candidate.updated_at, now))
    return (candidate.text_score or 0.0) + importance + recency


def keyword_score(candidate: Candidate, now: datetime) -> float:
    """v0.7.0's keyword score of recall (semantics 5.3)."""
    return search_score(candidate, now) + _TIER_BONUS.get(candidate.tier, 0.0)


def cosine_weight(content_bytes: int) -> float:
    """v0.7.0's share of the vector in the blend (semantics 5.5): long texts blur their vector."""
    span = _LONG_CONTENT_BYTES - _SHORT_CONTENT_BYTES
    along = min(max((content_bytes - _SHORT_CONTENT_BYTES) / span, 0.0), 1.0)
    return _SHORT_COSINE_WEIGHT + along * (_LONG_COSINE_WEIGHT - _SHORT_COSINE_WEIGHT)


def age_days(instant: datetime, now: datetime) -> float:
    """Days since `instant`; a stamp from the future is new, not negative."""
    return max((now - instant).total_seconds() / _SECONDS_A_DAY, 0.0)


def decay(tier: str, created_at: datetime, now: datetime, half_lives: HalfLives | None) -> float:
    """exp(-ln 2 * age / half-life), in 0..1 (semantics 5.5); 1 when decay is off."""
    if half_lives is None:
        return 1.0
    return math.exp(-math.log(2.0) * age_days(created_at, now) / half_lives.of(tier))


def namespace_proximity(asked: str | None, held: str) -> float:
    """1 / (1 + 0.3 * levels above the asked one), for a hierarchical namespace (semantics 5.6)."""
    if asked is None or "/" not in asked:
        return 1.0
    levels = max(asked.count("/") - held.count("/"), 0)
    return 1.0 / (1.0 + _PROXIMITY_PER_LEVEL * levels)


def remember(ring: deque[str], ids: Sequence[str]) -> None:
    """Note what a session was answered, keeping its newest 50 ids (semantics 5.6)."""
    for memory_id in ids:
        if memory_id in ring:
            ring.remove(memory_id)
        ring.append(memory_id)
    while len(ring) > _SESSION_RING:
        ring.popleft()


def cut_to_budget(token_counts: Sequence[int], budget_tokens: int) -> BudgetCut:
    """Take rows in order until the next would not fit (semantics 5.6, http-api 3.3).

    A budget above 0 keeps at least the first row; only then may the sum exceed it (`overflow`).
    A budget of 0 keeps nothing and is no overflow.
    """
    kept = used = 0
    for count in token_counts if budget_tokens > 0 else ():
        if used + count > budget_tokens:
            break
        used += count
        kept += 1
    overflow = budget_tokens > 0 and kept == 0 and len(token_counts) > 0
    if overflow:
        kept, used = 1, token_counts[0]
    return BudgetCut(
        kept=kept,
        tokens_used=used,
        tokens_remaining=max(budget_tokens - used, 0),
        dropped=len(token_counts) - kept,
        overflow=overflow,
    )


def _v070(
    candidates: Sequence[Candidate], scoring: Scoring, now: datetime, *, hybrid: bool
) -> list[float]:
    keyword = [
        keyword_score(candidate, now) if candidate.text_score is not None else 0.0
        for candidate in candidates
    ]
    if not hybrid:
        return keyword
    best = max(1.0, *keyword) if keyword else 1.0
    scores: list[float] = []
    for candidate, score in zip(candidates, keyword, strict=True):
        weight = cosine_weight(candidate.content_bytes)
        blended = weight * (candidate.cosine or 0.0) + (1.0 - weight) * score / best
        faded = decay(candidate.tier, candidate.created_at, now, scoring.half_lives)
        scores.append(blended * faded)
    return scores


def _fused(
    candidates: Sequence[Candidate], scoring: Scoring, now: datetime, *, hybrid: bool
) -> list[float]:
    best_text = max((candidate.text_score or 0.0 for candidate in candidates), default=0.0)
    best_cosine = max((candidate.cosine or 0.0 for candidate in candidates), default=0.0)
    text_weight = max(scoring.text_weight, 0.0)
    vector_weight = max(scoring.vector_weight, 0.0) if hybrid else 0.0
    whole = text_weight + vector_weight
    weight = unit(scoring.importance_weight)
    scores: list[float] = []
    for candidate in candidates:
        text = text_share(candidate.text_score, best_text)
        if hybrid and candidate.coverage is not None:
            text = covered_share(candidate.coverage, text)
        vector = vector_share(candidate.cosine, best_cosine)
        relevance = (text_weight * text + vector_weight * vector) / whole if whole else text
        weighed = relevance * (1.0 - weight + weight * importance(candidate))
        faded = decay(candidate.tier, candidate.created_at, now, scoring.half_lives)
        scores.append(weighed * faded)
    return scores


def unit(value: float) -> float:
    """Cut to 0..1."""
    return 0.0 if value < 0.0 else 1.0 if value > 1.0 else value  # noqa: FURB136 - calls cost more


def text_share(score: float | None, best: float) -> float:
    """0..1: of the best text score in the pool. As in v0.7.0, a best below 1 counts as 1."""
    if not score or score < 0.0:
        return 0.0
    return score / best if best > 1.0 else score


def covered_share(coverage: float, text: float) -> float:
    """0..1: what the row holds of the question; repeated words only decide between equals.

    Beside vectors the best of the pool must not count as a full match: a question in other words
    than its answer's has a best row too, by chance.
    """
    return unit(coverage) * (1.0 - _REPETITION_WEIGHT + _REPETITION_WEIGHT * text)


def vector_share(cosine: float | None, best: float) -> float:
    """0..1: how far above the floor, of how far the nearest row is."""
    if cosine is None or cosine <= COSINE_FLOOR:
        return 0.0
    span = max(best - COSINE_FLOOR, _COSINE_SPAN_MIN)
    return min((cosine - COSINE_FLOOR) / span, 1.0)


def importance(candidate: Candidate) -> float:
    """0..1: the mean of what v0.7.0's keyword score adds up, each on its own scale."""
    return (
        unit(candidate.priority / PRIORITY_MAX)
        + unit(candidate.confidence)
        + unit(candidate.access_count / _ACCESSES_COUNTED_MAX)
        + _TIER_IMPORTANCE.get(candidate.tier, 0.0)
    ) / 4.0
