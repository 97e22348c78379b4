from __future__ import annotations

import math
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.ranking import (
    Candidate,
    HalfLives,
    Scoring,
    Weights,
    cosine_weight,
    cut_to_budget,
    decay,
    importance,
    keyword_score,
    namespace_proximity,
    rank,
    remember,
    search_score,
)

NOW = datetime(2026, 6, 12, 9, 0, tzinfo=UTC)
NO_DECAY = Scoring(half_lives=None)
EVERY_SCORING = (
    Scoring(),
    NO_DECAY,
    Scoring.legacy(),
    Scoring(weights=Weights.V070),
)

finite = st.floats(0.0, 100.0, allow_nan=False)
cosines = st.floats(-1.0, 1.0, allow_nan=False)
instants = st.integers(0, 4000).map(lambda days: NOW - timedelta(days=days))


def row(memory_id: str = "a", **changes: object) -> Candidate:
    plain = Candidate(
        id=memory_id,
        tier="mid",
        namespace="team/project",
        priority=5,
        access_count=0,
        confidence=1.0,
        created_at=NOW,
        updated_at=NOW,
        content_bytes=400,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


candidates = st.builds(
    Candidate,
    id=st.uuids().map(str),
    tier=st.sampled_from(["short", "mid", "long"]),
    namespace=st.sampled_from(["global", "a/b/c", "a/b", "a"]),
    priority=st.integers(1, 10),
    access_count=st.integers(0, 1_000_000),
    confidence=st.floats(0.0, 1.0),
    created_at=instants,
    updated_at=instants,
    content_bytes=st.integers(0, 65_536),
    text_score=st.none() | finite,
    cosine=st.none() | cosines,
    coverage=st.none() | st.floats(0.0, 1.0),
)
pools = st.lists(candidates, max_size=12, unique_by=lambda candidate: candidate.id)


@given(pools, st.sampled_from(EVERY_SCORING), st.booleans())
def test_every_candidate_is_ranked_once_best_first_with_a_finite_score(
    pool: list[Candidate], scoring: Scoring, hybrid: bool
) -> None:
    ranked = rank(pool, scoring, NOW, hybrid=hybrid, namespace="a/b/c")
    assert sorted(each.id for each in ranked) == sorted(each.id for each in pool)
    scores = [each.score for each in ranked]
    assert scores == sorted(scores, reverse=True)
    assert all(math.isfinite(score) for score in scores)


@given(pools.filter(bool), st.sampled_from(EVERY_SCORING), finite, st.booleans())
def test_a_better_text_score_never_costs_a_row_its_place(
    pool: list[Candidate], scoring: Scoring, gain: float, hybrid: bool
) -> None:
    better = replace(pool[0], text_score=(pool[0].text_score or 0.0) + gain)
    before = [each.id for each in rank(pool, scoring, NOW, hybrid=hybrid)]
    after = [each.id for each in rank([better, *pool[1:]], scoring, NOW, hybrid=hybrid)]
    assert after.index(better.id) <= before.index(better.id)


@given(pools.filter(bool), st.sampled_from(EVERY_SCORING), st.floats(0.0, 1.0))
def test_a_nearer_vector_never_costs_a_row_its_place(
    pool: list[Candidate], scoring: Scoring, gain: float
) -> None:
    nearer = replace(pool[0], cosine=min((pool[0].cosine or 0.0) + gain, 1.0))
    before = [each.id for each in rank(pool, scoring, NOW, hybrid=True)]
    after = [each.id for each in rank([nearer, *pool[1:]], scoring, NOW, hybrid=True)]
    assert after.index(nearer.id) <= before.index(nearer.id)


@given(pools.filter(bool), st.floats(0.0, 1.0))
def test_holding_more_of_the_question_never_costs_a_row_its_place(
    pool: list[Candidate], gain: float
) -> None:
    poor = replace(pool[0], coverage=pool[0].coverage or 0.0)
    rich = replace(poor, coverage=min((poor.coverage or 0.0) + gain, 1.0))
    before = [each.id for each in rank([poor, *pool[1:]], Scoring(), NOW, hybrid=True)]
    after = [each.id for each in rank([rich, *pool[1:]], Scoring(), NOW, hybrid=True)]
    assert after.index(rich.id) <= before.index(rich.id)


@given(pools)
def test_our_scores_lie_between_0_and_1_before_the_session_boost(pool: list[Candidate]) -> None:
    for scoring in (Scoring(), NO_DECAY):
        for each in rank(pool, scoring, NOW, hybrid=True):
            assert 0.0 <= each.score <= 1.0 + 1e-9


@given(st.sampled_from(["short", "mid", "long", "unknown"]), instants, instants)
def test_decay_lies_in_0_to_1_and_only_falls_with_age(
    tier: str, one: datetime, other: datetime
) -> None:
    older, newer = sorted((one, other))
    half_lives = HalfLives()
    assert 0.0 <= decay(tier, older, NOW, half_lives) <= decay(tier, newer, NOW, half_lives) <= 1.0


@pytest.mark.parametrize(("tier", "days"), [("short", 7), ("mid", 30), ("long", 365)])
def test_a_score_is_halved_after_one_half_life(tier: str, days: int) -> None:
    assert decay(tier, NOW - timedelta(days=days), NOW, HalfLives()) == pytest.approx(0.5)
    assert decay(tier, NOW - timedelta(days=days), NOW, None) == 1.0


def test_half_lives_are_clamped() -> None:
    assert HalfLives(short=0.0).of("short") == 0.1
    assert HalfLives(long=1e9).of("long") == 36_500.0


def test_a_row_from_the_future_is_not_more_than_new() -> None:
    assert decay("mid", NOW + timedelta(days=9), NOW, HalfLives()) == 1.0


def test_the_original_keyword_score_adds_up_as_specified() -> None:
    held = row(text_score=4.0, priority=7, access_count=80, confidence=0.5, tier="long")
    held = replace(held, updated_at=NOW - timedelta(days=10))
    assert search_score(held, NOW) == pytest.approx(4.0 + 3.5 + 5.0 + 1.0 + 0.5)
    assert keyword_score(held, NOW) == pytest.approx(search_score(held, NOW) + 3.0)


def test_the_original_blend_adds_up_as_specified() -> None:
    text = row("text", text_score=10.0, cosine=0.4)
    far = row("far", cosine=0.6, content_bytes=5_000)
    best = keyword_score(text, NOW)
    ranked = rank([text, far], Scoring(weights=Weights.V070), NOW, hybrid=True)
    assert [each.id for each in ranked] == ["text", "far"]
    assert ranked[0].score == pytest.approx(0.5 * 0.4 + 0.5 * best / best)
    assert ranked[1].score == pytest.approx(0.15 * 0.6)


def test_the_originals_vector_share_falls_with_the_length_of_the_text() -> None:
    assert [cosine_weight(size) for size in (0, 500, 2_750, 5_000, 65_536)] == pytest.approx(
        [0.5, 0.5, 0.325, 0.15, 0.15]
    )


def test_legacy_scoring_switches_decay_off_and_ours_keeps_it() -> None:
    old = row(text_score=5.0, created_at=NOW - timedelta(days=300))
    new = row("b", text_score=4.9)
    ours = rank([old, new], Scoring(), NOW, hybrid=True)
    legacy = rank([old, new], Scoring.legacy(), NOW, hybrid=True)
    assert [each.id for each in ours] == ["b", "a"]
    assert [each.id for each in legacy] == ["a", "b"]


def test_both_legs_count_in_ours_and_text_counts_more() -> None:
    pool = [
        row("text", text_score=8.0),
        row("vector", cosine=0.7),
        row("both", text_score=7.0, cosine=0.65),
    ]
    assert [each.id for each in rank(pool, Scoring(), NOW, hybrid=True)] == [
        "both",
        "text",
        "vector",
    ]


def test_beside_vectors_words_count_by_what_they_cover_and_not_by_the_pools_best() -> None:
    pool = [
        row("chance", text_score=9.0, coverage=0.2, cosine=0.3),
        row("meant", text_score=4.0, coverage=0.4, cosine=0.6),
    ]
    assert rank(pool, Scoring(), NOW, hybrid=True)[0].id == "meant"
    assert rank(pool, Scoring(), NOW, hybrid=False)[0].id == "chance"
    legacy = replace(Scoring.legacy(), half_lives=None)
    plain = [replace(each, coverage=None) for each in pool]
    assert rank(pool, legacy, NOW, hybrid=True) == rank(plain, legacy, NOW, hybrid=True)


def test_importance_decides_between_equally_relevant_rows_and_not_against_relevance() -> None:
    plain, urgent = row("plain", text_score=5.0, priority=1), row("urgent", text_score=5.0)
    urgent = replace(urgent, priority=10)
    assert rank([plain, urgent], Scoring(), NOW, hybrid=False)[0].id == "urgent"
    relevant = replace(plain, text_score=6.0)
    assert rank([relevant, urgent], Scoring(), NOW, hybrid=False)[0].id == "plain"
    assert importance(urgent) > importance(plain)


def test_equal_scores_come_in_the_order_of_their_ids() -> None:
    pool = [row(memory_id, text_score=3.0) for memory_id in "cab"]
    assert [each.id for each in rank(pool, Scoring(), NOW, hybrid=False)] == ["a", "b", "c"]


def test_rows_of_ancestor_namespaces_count_less_and_flat_questions_do_not_care() -> None:
    assert namespace_proximity("a/b/c", "a/b/c") == 1.0
    assert namespace_proximity("a/b/c", "a") == pytest.approx(1 / 1.6)
    assert namespace_proximity("a/b", "a/b/c") == 1.0
    assert namespace_proximity("flat", "a/b/c") == 1.0
    assert namespace_proximity(None, "a/b/c") == 1.0


def test_rows_recalled_before_in_the_session_get_their_boost() -> None:
    pool = [row("a", text_score=5.0), row("b", text_score=4.9)]
    ranked = rank(pool, NO_DECAY, NOW, hybrid=False, session=frozenset({"b"}))
    assert [each.id for each in ranked] == ["b", "a"]
    without = {each.id: each.score for each in rank(pool, NO_DECAY, NOW, hybrid=False)}
    assert ranked[0].score == pytest.approx(without["b"] + 0.05)


@given(st.lists(st.lists(st.integers(0, 99).map(str), max_size=60), max_size=6))
def test_a_session_keeps_its_newest_fifty_ids_each_once(answers: list[list[str]]) -> None:
    ring: deque[str] = deque()
    for ids in answers:
        remember(ring, ids)
    told = [memory_id for ids in answers for memory_id in ids]
    newest_first = list(dict.fromkeys(reversed(told)))
    assert list(reversed(ring)) == newest_first[:50]


@given(st.lists(st.integers(0, 500), max_size=30), st.integers(0, 3_000))
def test_a_budget_is_never_exceeded_except_by_a_lone_first_row(
    counts: list[int], budget: int
) -> None:
    cut = cut_to_budget(counts, budget)
    assert cut.tokens_used == sum(counts[: cut.kept])
    assert cut.kept + cut.dropped == len(counts)
    assert cut.tokens_remaining == max(budget - cut.tokens_used, 0)
    if cut.overflow:
        assert cut.kept == 1
        assert counts[0] > budget > 0
    else:
        assert cut.tokens_used <= budget
        assert cut.kept >= min(1, len(counts)) or budget == 0
        # Greedy: the next one did not fit.
        assert budget == 0 or cut.kept == len(counts) or cut.tokens_used + counts[cut.kept] > budget


def test_a_budget_of_nothing_keeps_nothing_and_is_no_overflow() -> None:
    cut = cut_to_budget([5, 5], 0)
    assert (cut.kept, cut.dropped, cut.overflow) == (0, 2, False)


def test_a_row_after_the_first_misfit_is_not_squeezed_in() -> None:
    cut = cut_to_budget([10, 50, 5], 20)
    assert (cut.kept, cut.tokens_used, cut.tokens_remaining) == (1, 10, 10)
