from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import apsw
import numpy as np
import pytest

from app.domain.errors import BackendError, StoreUnavailableError
from app.domain.memory import Memory
from app.domain.ranking import COSINE_FLOOR, Candidate, Scoring, Weights
from app.domain.recalled import Choose, Chosen, WordHits
from app.domain.timestamps import format_instant
from app.recall.pipeline import Deadlines, Mode, Outcome, RecallPipeline, Request
from app.recall.ports import Vector
from app.recall.sessions import SessionRings
from app.recall.tokens import EstimatedTokens
from app.store.sqlite.coverage import coverages
from app.store.sqlite.fulltext import search_any
from app.store.tables.triggers import FULL_TEXT

NOW = datetime(2026, 6, 12, 9, 0, tzinfo=UTC)
SUBJECTS = ("dog", "engine", "music")
# What a model would know: words that mean the same point the same way.
MEANINGS = {"dog": 0, "puppy": 0, "engine": 1, "motor": 1, "music": 2, "melody": 2}


class StillClock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        self.seconds += 0.001
        return self.seconds


def embed(text: str) -> Vector:
    vector = np.full(len(SUBJECTS), 0.05, dtype=np.float32)
    for word in text.lower().replace("?", "").split():
        if word in MEANINGS:
            vector[MEANINGS[word]] += 1.0
    return vector / np.float32(np.linalg.norm(vector))


class Model:
    """Stands for the remote embedding vendor."""

    def __init__(self, failure: Exception | None = None, answers: bool = True) -> None:
        self.failure = failure
        self.answers = answers
        self.meeting: asyncio.Barrier | None = None

    async def embed_query(self, text: str) -> Vector:
        if self.meeting is not None:
            await self.meeting.wait()
        if self.failure is not None:
            raise self.failure
        if not self.answers:
            await asyncio.Event().wait()
        return embed(text)


@dataclass
class Notes:
    """A real text index and exact vectors over a handful of rows; the scope is a namespace."""

    connection: apsw.Connection = field(default_factory=lambda: apsw.Connection(":memory:"))
    rows: dict[str, tuple[Candidate, str]] = field(default_factory=dict)
    text_answers: bool = True
    vectors_answer: bool = True
    meeting: asyncio.Barrier | None = None

    def __post_init__(self) -> None:
        self.connection.execute(
            "CREATE TABLE memories (id TEXT PRIMARY KEY, title, content, tags, namespace)"
        )
        for statement in FULL_TEXT:
            self.connection.execute(statement)

    def add(self, memory_id: str, content: str, **changes: object) -> None:
        fields: dict[str, object] = {
            "id": memory_id,
            "tier": "mid",
            "namespace": "global",
            "priority": 5,
            "access_count": 0,
            "confidence": 1.0,
            "created_at": NOW,
            "updated_at": NOW,
            "content_bytes": len(content.encode()),
        }
        candidate = Candidate(**(fields | changes))  # type: ignore[arg-type]
        self.rows[memory_id] = (candidate, content)
        self.connection.execute(
            "INSERT INTO memories VALUES (?, '', ?, '', ?)",
            (memory_id, content, candidate.namespace),
        )

    async def search_words(
        self, query: str, scope: str | None, limit: int, *, covers: bool
    ) -> WordHits:
        if not self.text_answers:
            await asyncio.Event().wait()
        if self.meeting is not None:
            await self.meeting.wait()
        where, parameters = ("m.namespace = ?", (scope,)) if scope else ("1", ())
        hits = search_any(self.connection, query, where, parameters, limit)
        return WordHits({hit.id: hit.score for hit in hits}, query if covers else None)

    async def best(
        self, words: WordHits, vector: Vector | None, scope: str | None, limit: int, choose: Choose
    ) -> Chosen:
        if vector is not None and not self.vectors_answer:
            await asyncio.Event().wait()
        near = {} if vector is None else self.near(vector, scope, limit)
        ids = [one for one in dict.fromkeys([*words.scores, *near]) if one in self.rows]
        query = words.prepared
        held = coverages(self.connection, query, ids) if isinstance(query, str) else {}
        candidates = [
            replace(
                self.rows[one][0],
                text_score=words.scores.get(one),
                cosine=near.get(one),
                coverage=held.get(one),
            )
            for one in ids
        ]
        ranked = choose(candidates)
        return Chosen(ranked, [self.memory(one.id) for one in ranked], len(ids), len(near))

    def near(self, vector: Vector, scope: str | None, limit: int) -> dict[str, float]:
        cosines = {
            memory_id: float(embed(content) @ vector)
            for memory_id, (candidate, content) in self.rows.items()
            if scope in (None, candidate.namespace)
        }
        best = sorted(cosines, key=lambda one: -cosines[one])[:limit]
        return {one: cosines[one] for one in best if cosines[one] > COSINE_FLOOR}

    def memory(self, memory_id: str) -> Memory:
        candidate, content = self.rows[memory_id]
        return Memory(
            id=memory_id,
            tier=candidate.tier,
            namespace=candidate.namespace,
            title=memory_id,
            content=content,
            tags=(),
            priority=candidate.priority,
            confidence=candidate.confidence,
            source="api",
            access_count=candidate.access_count,
            created_at=format_instant(candidate.created_at),
            updated_at=format_instant(candidate.updated_at),
        )


def pipeline(
    notes: Notes, model: Model | None = None, **changes: object
) -> RecallPipeline[str | None]:
    return RecallPipeline(
        reader=notes,
        clock=StillClock(),
        counter=EstimatedTokens(),
        sessions=SessionRings(),
        embedder=model,
        **changes,  # type: ignore[arg-type]
    )


def ask(
    query: str, limit: int = 10, scope: str | None = None, **changes: object
) -> Request[str | None]:
    return Request(query, scope, limit, **changes)  # type: ignore[arg-type]


@pytest.fixture
def notes() -> Notes:
    notes = Notes()
    notes.add("dog", "The dog sleeps on the porch")
    notes.add("engine", "The engine needs new oil", namespace="garage")
    notes.add("music", "Loud music until midnight")
    return notes


async def test_without_an_embedder_the_words_answer(notes: Notes) -> None:
    answer = await pipeline(notes).recall(ask("Where does the dog sleep?"))
    assert [row.id for row in answer.rows] == ["dog"]
    assert answer.mode is Mode.KEYWORD
    assert answer.trace.vector.outcome is Outcome.ABSENT
    assert answer.rows[0].cosine is None


async def test_with_an_embedder_other_words_for_the_same_thing_are_found(notes: Notes) -> None:
    answer = await pipeline(notes, Model()).recall(ask("puppy"))
    assert answer.rows[0].id == "dog"
    assert answer.mode is Mode.HYBRID
    assert (answer.trace.text.found, answer.trace.vector.found) == (0, 1)


async def test_a_row_that_both_legs_find_comes_before_one_that_one_leg_finds(notes: Notes) -> None:
    notes.add("hound", "My puppy likes music")
    answer = await pipeline(notes, Model()).recall(ask("dog puppy"))
    assert answer.rows[0].cosine is not None
    assert {row.id for row in answer.rows[:2]} == {"dog", "hound"}
    assert answer.trace.fused >= 2


async def test_one_chance_word_does_not_outrank_what_is_meant(notes: Notes) -> None:
    # Rare here, so the best row by words; but one of the question's six.
    notes.add("chance", "Midnight bakery, midnight bread, midnight")
    question = "my motor stalls abruptly uphill around midnight"
    answer = await pipeline(notes, Model()).recall(ask(question))
    assert answer.rows[0].id == "engine"


async def test_a_row_found_by_its_vector_is_credited_for_its_words(notes: Notes) -> None:
    for number in range(40):
        notes.add(f"crowd{number:02}", "porch porch")
    answer = await pipeline(notes, Model()).recall(ask("porch puppy"))
    assert answer.rows[0].id == "dog"


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        (Model(failure=BackendError("the vendor is down")), Outcome.FAILED),
        (Model(answers=False), Outcome.LATE),
    ],
)
async def test_a_failing_or_late_embedder_costs_the_mode_and_not_the_answer(
    notes: Notes, model: Model, outcome: Outcome
) -> None:
    deadlines = Deadlines(vector_seconds=0.02)
    answer = await pipeline(notes, model, deadlines=deadlines).recall(ask("dog"))
    assert [row.id for row in answer.rows] == ["dog"]
    assert answer.mode is Mode.KEYWORD
    assert answer.trace.vector.outcome is outcome


async def test_a_late_vector_search_costs_the_mode_and_not_the_answer(notes: Notes) -> None:
    notes.vectors_answer = False
    deadlines = Deadlines(vector_seconds=0.02)
    answer = await pipeline(notes, Model(), deadlines=deadlines).recall(ask("dog"))
    assert [row.id for row in answer.rows] == ["dog"]
    assert answer.mode is Mode.KEYWORD
    assert answer.trace.vector.outcome is Outcome.LATE


async def test_when_both_legs_are_late_the_caller_is_told_to_try_again(notes: Notes) -> None:
    notes.text_answers = notes.vectors_answer = False
    deadlines = Deadlines(text_seconds=0.02, vector_seconds=0.02)
    with pytest.raises(StoreUnavailableError):
        await pipeline(notes, Model(), deadlines=deadlines).recall(ask("dog"))


async def test_a_late_text_leg_leaves_the_vectors_to_answer(notes: Notes) -> None:
    notes.text_answers = False
    deadlines = Deadlines(text_seconds=0.02)
    answer = await pipeline(notes, Model(), deadlines=deadlines).recall(ask("motor"))
    assert [row.id for row in answer.rows] == ["engine"]
    assert answer.trace.text.outcome is Outcome.LATE


async def test_without_any_leg_in_time_the_caller_is_told_to_try_again(notes: Notes) -> None:
    notes.text_answers = False
    with pytest.raises(StoreUnavailableError) as raised:
        await pipeline(notes, deadlines=Deadlines(text_seconds=0.02)).recall(ask("dog"))
    assert raised.value.details["retry_after_seconds"] == 1


async def test_the_legs_run_side_by_side(notes: Notes) -> None:
    model = Model()
    notes.meeting = model.meeting = asyncio.Barrier(2)
    answer = await asyncio.wait_for(pipeline(notes, model).recall(ask("dog")), timeout=5)
    assert answer.mode is Mode.HYBRID


async def test_only_rows_in_scope_answer_in_either_leg(notes: Notes) -> None:
    answer = await pipeline(notes, Model()).recall(ask("engine dog music", scope="garage"))
    assert [row.id for row in answer.rows] == ["engine"]


async def test_a_row_deleted_meanwhile_is_left_out(notes: Notes) -> None:
    del notes.rows["dog"]
    answer = await pipeline(notes).recall(ask("dog engine"))
    assert [row.id for row in answer.rows] == ["engine"]


async def test_vectors_at_or_below_the_floor_are_no_match(notes: Notes) -> None:
    answer = await pipeline(notes, Model()).recall(ask("melody"))
    assert [row.id for row in answer.rows] == ["music"]


async def test_the_limit_cuts_the_answer_and_not_the_pool(notes: Notes) -> None:
    for number in range(40):
        notes.add(f"more{number:02}", f"dog number {number}")
    answer = await pipeline(notes).recall(ask("dog", limit=3))
    assert len(answer.rows) == 3
    assert answer.trace.fused == 30
    assert (await pipeline(notes).recall(ask("dog", limit=0))).rows == ()


async def test_a_budget_cuts_and_says_what_it_cost(notes: Notes) -> None:
    for number in range(5):
        notes.add(f"more{number}", "dog " * 10)
    whole = await pipeline(notes).recall(ask("dog", budget_tokens=10_000))
    assert whole.budget is not None
    assert whole.budget.dropped == 0
    half = await pipeline(notes).recall(ask("dog", budget_tokens=whole.tokens_used // 2))
    assert half.budget is not None
    assert 0 < len(half.rows) < len(whole.rows)
    assert half.tokens_used <= whole.tokens_used // 2
    assert half.budget.dropped == len(whole.rows) - len(half.rows)


async def test_a_budget_too_small_for_one_row_gives_one_and_says_so(notes: Notes) -> None:
    answer = await pipeline(notes).recall(ask("dog engine", budget_tokens=1))
    assert len(answer.rows) == 1
    assert answer.budget is not None
    assert answer.budget.overflow


async def test_a_budget_of_nothing_gives_nothing(notes: Notes) -> None:
    answer = await pipeline(notes).recall(ask("dog", budget_tokens=0))
    assert answer.rows == ()
    assert answer.budget is not None
    assert not answer.budget.overflow


async def test_without_a_budget_tokens_are_guessed_from_bytes(notes: Notes) -> None:
    answer = await pipeline(notes).recall(ask("dog"))
    assert answer.tokens_used == len("The dog sleeps on the porch") // 4
    assert answer.budget is None


async def test_a_session_prefers_what_it_was_answered_before() -> None:
    notes = Notes()
    for memory_id in ("a", "b"):
        notes.add(memory_id, f"dog {memory_id}{memory_id}")
    recall = pipeline(notes)
    assert (await recall.recall(ask("dog"))).rows[0].id == "a"
    await recall.recall(ask("bb", session="mine"))
    assert (await recall.recall(ask("dog", session="mine"))).rows[0].id == "b"
    assert (await recall.recall(ask("dog", session="yours"))).rows[0].id == "a"


async def test_the_originals_weights_let_priority_outweigh_words(notes: Notes) -> None:
    for number in range(60):
        notes.add(f"dogs{number:02}", "dog dog dog", priority=1, created_at=NOW - timedelta(days=1))
    notes.add("urgent", "a dog among many other words of no use at all", priority=10, tier="long")
    ours = await pipeline(notes).recall(ask("dog", limit=1))
    legacy = await pipeline(notes, scoring=Scoring.legacy()).recall(ask("dog", limit=1))
    assert ours.rows[0].id.startswith("dog")
    assert legacy.rows[0].id == "urgent"
    assert legacy.trace.weights is Weights.V070


async def test_the_trace_says_where_time_and_rows_came_from(notes: Notes) -> None:
    trace = (await pipeline(notes, Model()).recall(ask("dog"))).trace
    assert trace.text.seconds > 0.0
    assert trace.vector.seconds > 0.0
    assert trace.total_seconds > trace.fetch_seconds > 0.0
    assert (trace.text_weight, trace.vector_weight) == (1.5, 1.0)
