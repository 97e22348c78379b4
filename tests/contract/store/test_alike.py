"""Two stores of the same rows, one on each database: what is asked of both is answered alike."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from app.domain.memory import MemoryLink
from app.domain.timestamps import format_instant
from app.log import drafts
from app.store.protocol import Store, StoreStatus
from app.store.sql.archive import ArchivePosition
from app.store.sql.filters import MemoryFilter, Viewer
from app.store.sql.links import LinkFilter
from app.store.sql.memories import ListPosition
from app.store.sql.records import InboxQuery, LinkPosition, MemoryPosition
from tests.contract.store.conftest import (
    MODEL,
    START,
    PostgresStores,
    Put,
    Say,
    SqliteStores,
    TurnedClock,
    memory,
    new_database,
)

NOW = format_instant(START)
LATER = format_instant(START + timedelta(days=3))
EVERYTHING = MemoryFilter(now=NOW)
WORDS = (
    *("file", "socket", "naïve", "Café", "open-file", "os.path", "index", "世界"),
    *("running", "ran", "the", "of", "a", "e-mail"),
)
QUERIES = (
    "file",
    "the file",
    "open-file",
    "file open",
    "open(file)",
    "path os.path",
    "CAFE naive",
    "runs",
    "e-mail index",
    "世界",
    "under_score",
    "nothing like this",
    "food",
    '"quoted" AND file*',
    "it's",
    "?!",
)
FILTERS = {
    "everything": EVERYTHING,
    "expired by then": MemoryFilter(now=LATER),
    "namespace": MemoryFilter(now=NOW, namespaces=("n1",)),
    "namespaces": MemoryFilter(now=NOW, namespaces=("n1", "n0/deep")),
    "prefix": MemoryFilter(now=NOW, namespace_prefix="n0"),
    "tier": MemoryFilter(now=NOW, tier="long"),
    "tag": MemoryFilter(now=NOW, tags=("food", "a'b")),
    "owner": MemoryFilter(now=NOW, owner="bob"),
    "priority": MemoryFilter(now=NOW, min_priority=6),
    "since": MemoryFilter(now=NOW, since=format_instant(START + timedelta(minutes=20))),
    "until": MemoryFilter(now=NOW, until=format_instant(START + timedelta(minutes=20))),
    "source": MemoryFilter(now=NOW, source_uri="file:///3"),
    "source prefix": MemoryFilter(now=NOW, source_uri_prefix="file:///1"),
    "kinds": MemoryFilter(now=NOW, kinds=("claim", "event")),
    "no kinds": MemoryFilter(now=NOW, kinds=()),
    "citations": MemoryFilter(now=NOW, has_citations=True),
    "confidence": MemoryFilter(now=NOW, confidence_min=0.3, confidence_below=0.8),
    "not atomised": MemoryFilter(now=NOW, include_atomised=False),
    "metadata": MemoryFilter(now=NOW, metadata_equals=(("topic", "t1"),)),
    "title": MemoryFilter(now=NOW, title="file 0"),
    "ids": MemoryFilter(now=NOW, ids=("m001", "m002", "none")),
    "viewer": MemoryFilter(now=NOW, viewer=Viewer("bob")),
    "request rows": MemoryFilter(now=NOW, viewer=Viewer("bob", owns_request_rows=True)),
    "position": MemoryFilter(now=NOW, viewer=Viewer("bob"), position="n0/deep"),
}


@dataclass
class Both:
    sqlite: Store
    postgres: Store

    async def do(self, command: object) -> None:
        for store in (self.sqlite, self.postgres):
            await store.submit(command)  # type: ignore[arg-type]

    async def asked(self, ask: Callable[[Store], Awaitable[object]]) -> object:
        """The answer of both."""
        here, there = await ask(self.sqlite), await ask(self.postgres)
        assert here == there
        return here


@pytest.fixture
async def both(
    request: pytest.FixtureRequest, tmp_path: Path, clock: TurnedClock
) -> AsyncIterator[Both]:
    files = SqliteStores(clock, folder=tmp_path, inline=False)
    servers = PostgresStores(clock, create=new_database(request))
    try:
        found = Both(files.open(), servers.open())
        await fill(found)
        yield found
    finally:
        await files.close_all()
        await servers.close_all()


async def fill(both: Both, count: int = 40) -> None:
    chance = Random(11)
    for number in range(count):
        at = format_instant(START + timedelta(minutes=number, microseconds=number % 3))
        row = memory(
            f"m{number:03}",
            title=f"{chance.choice(WORDS)} {number}",
            content=" ".join(chance.choices(WORDS, k=chance.randint(1, 12))),
            namespace=("n0", "n1", "n0/deep", "n2")[number % 4],
            tags=(("food", "a'b"), ("under_score", 'q"x'), ())[number % 3],
            tier=("short", "mid", "long")[number % 3],
            priority=number % 10 + 1,
            confidence=number % 7 / 7,
            created_at=at,
            updated_at=at,
            expires_at=format_instant(START + timedelta(days=2)) if number % 5 == 0 else None,
            memory_kind=("observation", "claim", "event")[number % 3],
            source_uri=f"file:///{number}" if number % 2 else None,
            citations=({"uri": "x:1", "n": [1, None, 1.5]},) if number % 6 == 0 else (),
            metadata={
                "agent_id": ("alice", "bob", "anonymous:req-1")[number % 3],
                "topic": f"t{number % 2}",
                "scope": ("private", "team", "collective", "odd")[number % 4],
                "deep": {"é": [True, None, 0.1, 10**12]},
            },
        )
        await both.do(Put(row))
    links = [
        MemoryLink(
            source_id=f"m{number:03}",
            target_id=f"m{number * 2:03}",
            relation=("related_to", "supersedes")[number % 2],
            created_at=format_instant(START + timedelta(hours=number)),
            valid_from=NOW if number % 2 else None,
            observed_by="alice",
            attest_level="unsigned",
        )
        for number in range(1, 15)
    ]
    await both.do(Say(lambda _: drafts.link(links, "alice")))
    gone = drafts.archive(("m038", "m039"), "alice", NOW, "archive")
    await both.do(Say(lambda _: gone))
    standard = drafts.standard_set("n1", "m001", "n0", NOW, (), "alice")
    await both.do(Say(lambda _: standard))
    alias = drafts.alias(memory("m003"), ("Third", "3rd"), "alice", NOW, new=False)
    await both.do(Say(lambda _: alias))


async def test_search_finds_equal_sets(both: Both) -> None:
    for query in QUERIES:
        for chosen in FILTERS.values():

            async def found(store: Store) -> set[str]:
                hits = await store.search_text(query, chosen, 1_000, every_term=True)  # noqa: B023
                return {hit.id for hit in hits}

            await both.asked(found)


async def test_recall_finds_and_scores_the_same_rows(both: Both) -> None:
    for query in QUERIES:
        for chosen in FILTERS.values():
            hits = [
                {
                    hit.id: hit.score
                    for hit in await store.search_text(query, chosen, 1_000, every_term=False)
                }
                for store in (both.sqlite, both.postgres)
            ]
            assert hits[0] == pytest.approx(hits[1], rel=1e-4, abs=1e-6), query


async def test_a_question_is_covered_alike(both: Both) -> None:
    ids = [f"m{number:03}" for number in range(40)]
    for query in QUERIES:
        held = [
            {one.id: one.coverage for one in await store.weighed(ids, None, query)}
            for store in (both.sqlite, both.postgres)
        ]
        assert held[0] == pytest.approx(held[1], rel=1e-4, abs=1e-6), query


async def test_titles_and_waiting_texts_are_alike(both: Both) -> None:
    bob = Viewer("bob")
    for word in WORDS:

        async def titled(store: Store) -> list[str]:
            rows = await store.titled_like([word], bob, "n1", NOW)  # noqa: B023
            return sorted(row.id for row in rows)

        await both.asked(titled)
    await both.asked(lambda store: store.unembedded(MODEL, 100))
    await both.asked(lambda store: store.unembedded_count(MODEL, NOW))


@pytest.mark.parametrize("name", FILTERS)
async def test_reads_by_filter_are_alike(both: Both, name: str) -> None:
    chosen = FILTERS[name]
    ids = [f"m{number:03}" for number in (5, 3, 38, 12)]
    links = LinkFilter(open_at=NOW, not_ended_by=NOW, since=NOW, until=LATER)
    reads: Sequence[Callable[[Store], Awaitable[object]]] = (
        lambda store: store.get("m003", chosen),
        lambda store: store.get_many(ids, chosen),
        lambda store: store.resolve_id("m003", chosen),
        lambda store: store.list_memories(chosen, 7, 2),
        lambda store: store.list_memories(chosen, 7, 0, ListPosition(5, LATER, "m010")),
        lambda store: store.oldest_first(chosen, 9, 1),
        lambda store: store.holds_tag("food", chosen),
        lambda store: store.ids_of(chosen, 5, "m004"),
        lambda store: store.links_around("m004", chosen),
        lambda store: store.outbound(["m001", "m004"], LinkFilter(), chosen, 10),
        lambda store: store.outbound(["m001", "m004"], links, chosen, 10),
        lambda store: store.neighbours(["m004", "m006"], LinkFilter(), chosen),
        lambda store: store.entity_by_alias("Third", chosen),
        lambda store: store.namespace_sizes(chosen),
        lambda store: store.namespace_sizes(chosen, 2),
        lambda store: store.about_topic("t1", chosen, 10),
        lambda store: store.memories_after(chosen, None, 8),
        lambda store: store.memories_after(chosen, MemoryPosition(NOW, "m000"), 8),
        lambda store: store.vector_counts(chosen),
    )
    for read in reads:
        await both.asked(read)


async def test_other_reads_are_alike(both: Both) -> None:
    ids = [f"m{number:03}" for number in range(0, 40, 3)]
    reads: Sequence[Callable[[Store], Awaitable[object]]] = (
        lambda store: store.namespaces_led_by(["m001", "m002"]),
        lambda store: store.latest_attest_levels(ids),
        lambda store: store.links_between("m002", "m004"),
        lambda store: store.links_among(ids, "related_to"),
        lambda store: store.aliases_of("m003"),
        lambda store: store.archived(None, 5, 0),
        lambda store: store.archived("n2", 5, 0, ArchivePosition(LATER, "m000")),
        lambda store: store.archived_ids(Viewer("bob"), None, 5),
        lambda store: store.archived_ids(Viewer("alice", sees_everything=True), LATER, 5),
        lambda store: store.archive_counts(),
        lambda store: store.standards(["n0", "n1"]),
        lambda store: store.subscription("none"),
        lambda store: store.subscriptions_of("alice"),
        lambda store: store.quota("alice", "n0"),
        lambda store: store.quotas(None),
        lambda store: store.inbox(InboxQuery(("n0", "n1"), NOW, unread_only=True, since=NOW), 5, 0),
        lambda store: store.links_after(NOW, None, 5),
        lambda store: store.links_after(NOW, LinkPosition("m004", "m008", "related_to"), 5),
        lambda store: store.activity(),
        lambda store: store.archived_before(LATER, 5),
        lambda store: store.dangling_standards(5),
    )
    for read in reads:
        await both.asked(read)

    async def reached(store: Store) -> set[str]:
        return set(await store.reached(["m001"], "supersedes"))

    await both.asked(reached)
    counts = [await s.statistics(NOW, LATER, MODEL) for s in (both.sqlite, both.postgres)]
    assert counts[0].by_namespace == counts[1].by_namespace
    assert (counts[0].total, counts[0].live, counts[0].expiring_soon, counts[0].links) == (
        (counts[1].total, counts[1].live, counts[1].expiring_soon, counts[1].links)
    )
    assert counts[0].without_vector == counts[1].without_vector
    assert counts[0].misshapen_vectors == counts[1].misshapen_vectors == 0


async def test_a_store_says_what_it_is(both: Both) -> None:
    found: StoreStatus = await both.postgres.status()
    assert found.backend == "postgres"
    assert found.details["embedding_backlog"] == 38
    await both.postgres.check()
    await both.postgres.refresh()
