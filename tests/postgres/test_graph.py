"""The graph of Apache AGE: it follows the log, and answers as the tables do."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random
from urllib.parse import quote

import msgspec
import pytest

from app.api.schemas.kg import PathsBody, found_paths_body, walked_body
from app.domain.memory import RELATIONS, MemoryLink
from app.domain.timestamps import format_instant
from app.log import drafts
from app.log.entry import GENESIS_HASH, Draft, seal
from app.log.hlc import pack
from app.services.caller import Caller
from app.services.commands.links import Ends
from app.services.graph import FoundPaths, GraphService, Walk, Walked
from app.store.postgres import schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.graph_names import graph_of
from app.store.postgres.graph_reads import ALWAYS, WHERE_FASTER, GraphUse
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import Receipt, View
from app.store.sql.filters import MemoryFilter
from app.store.sql.links import LinkFilter
from tests.contract.store.conftest import (
    START,
    Change,
    Put,
    Say,
    SeededRandomness,
    TurnedClock,
    archive,
    delete,
    memory,
    purge,
    restore,
)
from tests.postgres.fixtures import Ask

ALICE = Caller("alice")
BOB = Caller("bob")
PEER = "00112233445566aa.1"
NOW_MS = int(START.timestamp() * 1000)
# AGE before 1.6 casts only scalars to text.
SAID = "ag_catalog.agtype_out(properties)::text"
VERTICES = f'SELECT {SAID} FROM memory_graph."Memory"'
EDGES = """
    SELECT ag_catalog.agtype_out(a.properties)::text::jsonb ->> 'id',
        ag_catalog.agtype_out(b.properties)::text::jsonb ->> 'id',
        ag_catalog.agtype_out(e.properties)::text::jsonb ->> 'relation'
    FROM memory_graph._ag_label_edge AS e
    JOIN memory_graph."Memory" AS a ON a.id OPERATOR(ag_catalog.=) e.start_id
    JOIN memory_graph."Memory" AS b ON b.id OPERATOR(ag_catalog.=) e.end_id ORDER BY 1, 2, 3
"""
SHOWN = """
    SELECT source_id, target_id, relation FROM memory_links
    WHERE source_id IN (SELECT id FROM memories) AND target_id IN (SELECT id FROM memories)
    ORDER BY 1, 2, 3
"""


@dataclass
class Graphs:
    """Stores on one database that ask AGE whatever can be asked."""

    url: str
    clock: TurnedClock = field(default_factory=TurnedClock)
    running: list[PostgresStore] = field(default_factory=list)

    def open(self, use: GraphUse = ALWAYS) -> PostgresStore:
        store = PostgresStore(
            WriteOptions(PostgresOptions(PostgresUrl.parse(self.url), most=3, least=1)),
            self.clock,
            SeededRandomness(len(self.running) + 1),
            graph_use=use,
        )
        self.running.append(store)
        return store

    async def close(self, store: PostgresStore) -> None:
        self.running.remove(store)
        await store.close()

    def service(self, store: PostgresStore) -> GraphService:
        return GraphService(store, self.clock)


@pytest.fixture
async def graphs(postgres_database: str, ask: Ask) -> AsyncIterator[Graphs]:
    ask(postgres_database, "CREATE EXTENSION age")
    found = Graphs(postgres_database)
    yield found
    for store in list(found.running):
        await found.close(store)


@pytest.fixture
def age(graphs: Graphs) -> PostgresStore:
    return graphs.open()


async def put(store: PostgresStore, *ids: str, **fields: object) -> None:
    for answer in await store.submit_all([Put(memory(one, **fields)) for one in ids]):
        assert isinstance(answer, Receipt), answer


def edge(source_id: str, target_id: str, relation: str = "related_to", **facts: object):
    plain = MemoryLink(
        source_id=source_id,
        target_id=target_id,
        relation=relation,
        created_at=format_instant(START),
        valid_from=format_instant(START),
        observed_by="alice",
    )
    return replace(plain, **facts)  # type: ignore[arg-type]  # the fields' own names


def linked(*links: MemoryLink) -> Say:
    return Say(lambda _view: drafts.link(links, "alice"))


def unlinked(*links: MemoryLink) -> Say:
    return Say(lambda _view: drafts.unlink(links, "alice"))


async def walked(graphs: Graphs, store: PostgresStore, depth: int = 5) -> Walked:
    return await graphs.service(store).walk(Walk("a", depth, limit=1_000), ALICE)


async def backend(graphs: Graphs, store: PostgresStore) -> str | None:
    return (await walked(graphs, store)).backend


def in_step(graphs: Graphs, ask: Ask) -> bool:
    return ask(graphs.url, EDGES) == ask(graphs.url, SHOWN)


# --- following ---------------------------------------------------------------------------------


async def test_the_graph_shows_what_is_live_and_linked(graphs: Graphs, age, ask: Ask):
    await age.follow_graph()
    await put(age, "a", "b", "c")
    await age.submit(linked(edge("a", "b"), edge("b", "c", "supersedes"), edge("a", "gone")))
    assert await backend(graphs, age) == "cte"  # the graph is behind, the answer is not
    await age.follow_graph()
    assert ask(graphs.url, EDGES) == [("a", "b", "related_to"), ("b", "c", "supersedes")]
    assert ask(graphs.url, f"{VERTICES} WHERE {SAID} LIKE '%\"a\"%'") == [
        ('{"id": "a", "namespace": "global"}',)
    ]
    assert await backend(graphs, age) == "age"
    found = ask(
        f"{graphs.url}&options={quote('-csession_preload_libraries=age -csearch_path=ag_catalog')}",
        "SELECT found FROM cypher('memory_graph',"
        " $$ MATCH (a:Memory)-[e:supersedes]->(b) RETURN [a.id, b.id, e.valid_from] $$)"
        " AS (found agtype)",
    )
    assert found == [(f'["b", "c", "{format_instant(START)}"]',)]


async def test_every_change_of_life_reaches_the_graph(graphs: Graphs, age, ask: Ask):
    links = [edge("a", "b"), edge("b", "c"), edge("c", "a", "contradicts"), edge("d", "a")]
    steps: list[Say | Change] = [
        linked(*links),
        archive("b"),
        restore("b"),
        Change("a", {"namespace": "elsewhere"}),
        unlinked(links[0]),
        linked(links[0]),
        delete("c"),
        Say(
            lambda view: drafts.invalidate(links[0], view.now, "alice"),
        ),
        purge("d"),
    ]
    await put(age, "a", "b", "c", "d")
    await age.follow_graph()
    for step in steps:
        await age.submit(step)
        await age.follow_graph()
        assert in_step(graphs, ask)
        assert await backend(graphs, age) == "age"
    assert ask(graphs.url, "SELECT count(*) FROM memory_graph.related_to") == [(1,)]
    assert ask(graphs.url, VERTICES + " ORDER BY 1") == [
        ('{"id": "a", "namespace": "elsewhere"}',),
        ('{"id": "b", "namespace": "global"}',),
    ]


async def test_following_again_changes_nothing_and_costs_no_write(graphs: Graphs, age, ask: Ask):
    await put(age, "a", "b")
    await age.submit(linked(edge("a", "b")))
    await age.follow_graph()
    before = ask(graphs.url, "SELECT xmin::text, * FROM graph_cursors")
    await age.follow_graph()
    assert ask(graphs.url, "SELECT xmin::text, * FROM graph_cursors") == before
    # A crash between the graph's commit and the cursor's shows the same entries once more.
    ask(graphs.url, "UPDATE graph_cursors SET seq = 0")
    assert await backend(graphs, age) == "cte"
    await age.follow_graph()
    assert ask(graphs.url, EDGES) == [("a", "b", "related_to")]
    assert ask(graphs.url, 'SELECT count(*) FROM memory_graph."Memory"') == [(2,)]
    assert ask(graphs.url, "SELECT xmin::text, * FROM graph_cursors") != before


async def test_several_nodes_log_and_one_follows(graphs: Graphs, age, ask: Ask):
    other = graphs.open()
    await asyncio.gather(
        *(
            put(store, f"{name}{step}")
            for step in range(20)
            for name, store in (("a", age), ("b", other))
        )
    )
    await asyncio.gather(
        *(
            store.submit(linked(edge(f"a{step}", f"b{step}")))
            for step in range(20)
            for store in (age, other)
        ),
        *(store.follow_graph() for _ in range(5) for store in (age, other)),
    )
    await age.follow_graph()
    assert len(ask(graphs.url, EDGES)) == 20
    assert in_step(graphs, ask)


async def test_what_the_graph_has_not_shown_yet_is_not_cut_off_the_log(graphs: Graphs, age):
    await put(age, "a", "b")
    await age.follow_graph()
    origin = age.identity.origin
    assert await age.followed() == {origin: 2}
    await put(age, "c")
    assert await age.followed() == {origin: 2}
    await age.follow_graph()
    assert await age.followed() == {origin: 3}


async def test_a_store_that_is_older_than_its_graph_is_shown_whole(
    postgres_database: str, ask: Ask
):
    graphs = Graphs(postgres_database)
    store = graphs.open()
    try:
        await put(store, "a", "b", "c")
        await store.submit(linked(edge("a", "b"), edge("b", "c", "derived_from")))
        await store.follow_graph()
        assert [store.graph_backend, await backend(graphs, store)] == ["cte", "cte"]
        ask(postgres_database, "CREATE EXTENSION age")
        await store.follow_graph()
        assert [store.graph_backend, await backend(graphs, store)] == ["age", "age"]
        assert in_step(graphs, ask)
    finally:
        await graphs.close(store)


@pytest.mark.parametrize(
    "harm",
    [
        "SELECT ag_catalog.drop_graph('memory_graph', true)",
        "SELECT drop_label('memory_graph', 'related_to')",
        "SELECT drop_graph('memory_graph', true); SELECT create_graph('memory_graph')",
    ],
)
async def test_a_graph_that_was_harmed_answers_nothing_and_is_made_anew(
    graphs: Graphs, age, ask: Ask, harm: str
):
    await put(age, "a", "b")
    await age.submit(linked(edge("a", "b")))
    await age.follow_graph()
    ask(graphs.url, f"SET search_path = ag_catalog, public; {harm}")
    found = await walked(graphs, age)
    assert [one.path for one in found.reached] == [("a", "b")]
    await put(age, "c")
    await age.submit(linked(edge("b", "c")))
    await age.follow_graph()
    found = await walked(graphs, age)
    assert [one.path for one in found.reached] == [("a", "b"), ("a", "b", "c")]
    assert found.backend == "age"
    assert in_step(graphs, ask)


async def test_an_entry_that_takes_effect_later_is_shown_then(graphs: Graphs, age, ask: Ask):
    await put(age, "a", "b")
    await age.follow_graph()
    later = pack(NOW_MS + 3_600_000)
    entry = seal(drafts.link([edge("a", "b")], "alice"), PEER, 1, later, GENESIS_HASH)
    await age.append_foreign([entry])
    await age.follow_graph()
    assert ask(graphs.url, EDGES) == []
    assert await backend(graphs, age) == "age"
    graphs.clock.turn(hours=2)
    assert await age.retry_quarantine() == 1
    assert await backend(graphs, age) == "cte"
    await age.follow_graph()
    assert ask(graphs.url, EDGES) == [("a", "b", "related_to")]
    assert await backend(graphs, age) == "age"


async def test_what_changes_no_vertex_leaves_the_graph_alone(graphs: Graphs, age, ask: Ask):
    await put(age, "a", "b")
    await age.submit(linked(edge("a", "b")))
    await age.follow_graph()
    marked = (
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " $$ BEGIN RAISE 'written to'; END $$;"
        ' CREATE TRIGGER refuse BEFORE INSERT OR UPDATE OR DELETE ON memory_graph."Memory"'
        " FOR EACH STATEMENT EXECUTE FUNCTION refuse()"
    )
    ask(graphs.url, marked)
    graph = "SELECT graphid FROM ag_catalog.ag_graph"
    before = ask(graphs.url, graph)
    await age.submit(Change("a", {"content": "other words"}))
    await age.follow_graph()
    assert await backend(graphs, age) == "age"
    assert ask(graphs.url, graph) == before


async def test_a_log_that_was_cut_is_no_way_to_go_on(graphs: Graphs, age, ask: Ask):
    await age.follow_graph()
    await put(age, "a", "b")
    await age.submit(linked(edge("a", "b")))
    ask(graphs.url, "DELETE FROM log_entries WHERE seq < 3")
    await age.follow_graph()
    assert in_step(graphs, ask)
    assert await backend(graphs, age) == "age"


async def test_readers_never_keep_a_graph_from_before_a_commit(graphs: Graphs, age, ask: Ask):
    """AGE keeps a graph in each connection, and is told of a change before it is committed."""
    await put(age, *"abcdefgh")
    await age.follow_graph()
    seen: list[int] = []
    for number, far in enumerate("bcdefgh", 1):
        await age.submit(linked(edge("a", far)))
        await asyncio.gather(age.follow_graph(), *(walked(graphs, age, 2) for _ in range(20)))
        answers = await asyncio.gather(*(walked(graphs, age, 2) for _ in range(4)))
        assert {one.backend for one in answers} == {"age"}
        seen.extend(len(one.reached) for one in answers)
        assert seen[-4:] == [number] * 4


async def test_stores_of_one_database_have_graphs_of_their_own(graphs: Graphs, age, ask: Ask):
    tail = "options=-csearch_path%3Dother"
    beside = Graphs(graphs.url + ("&" if "?" in graphs.url else "?") + tail)
    schema.migrate(PostgresUrl.parse(beside.url), lambda _: None)
    other = beside.open()
    try:
        for one, store, far in ((graphs, age, "b"), (beside, other, "c")):
            await put(store, "a", far)
            await store.submit(linked(edge("a", far)))
            await store.follow_graph()
            assert [each.path for each in (await walked(one, store)).reached] == [("a", far)]
            assert await backend(one, store) == "age"
    finally:
        await beside.close(other)
    names = ask(graphs.url, "SELECT name FROM ag_catalog.ag_graph ORDER BY 1")
    assert names == [("memory_graph",), ("memory_graph_other",)]
    assert len({graph_of(one) for one in ("public", 'a"b', "A", "$$", "x" * 60, "a-b")}) == 6


async def test_where_age_fails_the_tables_answer(
    graphs: Graphs, age, ask: Ask, caplog: pytest.LogCaptureFixture
):
    await put(age, "a", "b")
    await age.submit(linked(edge("a", "b")))
    await age.follow_graph()
    cypher = "FUNCTION ag_catalog.cypher(name, cstring, ag_catalog.agtype)"
    ask(graphs.url, f"ALTER {cypher} RENAME TO taken")
    found = await walked(graphs, age, 2)
    assert ([one.path for one in found.reached], found.backend) == ([("a", "b")], "cte")
    assert "backend=age fallback=cte" in caplog.text
    ask(graphs.url, "ALTER FUNCTION ag_catalog.create_graph(name) RENAME TO taken_too")
    ask(graphs.url, "SELECT ag_catalog.drop_graph('memory_graph', true)")
    await age.follow_graph()
    assert age.graph_backend == "cte"
    assert "cannot be kept" in caplog.text
    assert (await walked(graphs, age, 2)).backend == "cte"


# --- answers -----------------------------------------------------------------------------------


async def random_graph(store: PostgresStore, chance: Random) -> list[str]:
    """Memories of two agents, links that hold at different times, some of them ended."""
    ids = ["a", *(f"n{number}" for number in range(30))]
    rows = [
        memory(
            one,
            metadata={
                "agent_id": chance.choice(["alice", "bob"]),
                "scope": chance.choice(["private", "collective", "collective"]),
            },
            expires_at=chance.choice([None, None, format_instant(START + timedelta(minutes=5))]),
        )
        for one in ids
    ]
    assert all(isinstance(one, Receipt) for one in await store.submit_all(list(map(Put, rows))))
    links = {}
    for _ in range(80):
        near, far = chance.sample(ids, 2)
        begin = START + timedelta(minutes=chance.randrange(-60, 60))
        one = edge(
            near,
            far,
            chance.choice(RELATIONS),
            valid_from=format_instant(begin),
            valid_until=chance.choice([None, None, format_instant(begin + timedelta(minutes=40))]),
            observed_by=chance.choice(["alice", "bob"]),
        )
        links[near, far, one.relation] = one
    await store.submit(linked(*links.values()))
    return ids


Answer = Walked | FoundPaths
Asked = Callable[[GraphService], Awaitable[Answer]]


def questions(ids: Sequence[str], chance: Random) -> list[Asked]:
    def walk(plain: Walk, caller: Caller) -> Asked:
        return lambda service: service.walk(plain, caller)

    def paths(ends: Ends, depth: int, most: int, caller: Caller) -> Asked:
        return lambda service: service.find_paths(ends, depth, most, caller)

    asked: list[Asked] = []
    for _ in range(25):
        caller = chance.choice([ALICE, BOB])
        plain = Walk(
            chance.choice(ids),
            chance.randint(1, 5),
            chance.choice([3, 20, 1_000]),
            valid_at=chance.choice([None, format_instant(START + timedelta(minutes=10))]),
            observers=chance.choice([None, None, ["alice"], []]),
            relations=chance.choice([None, None, list(RELATIONS[:3])]),
            target_id=chance.choice([None, None, chance.choice(ids)]),
            include_invalidated=chance.choice([True, False]),
        )
        asked.append(walk(plain, caller))
        near, far = chance.sample(ids, 2)
        asked.append(paths(Ends(near, far), chance.randint(1, 5), chance.choice([2, 50]), caller))
    return asked


@pytest.mark.parametrize("seed", range(4))
async def test_both_ways_give_equal_answers(graphs: Graphs, age, seed: int):
    chance = Random(seed)
    asked = questions(await random_graph(age, chance), chance)
    service = graphs.service(age)
    graphs.clock.turn(minutes=10)
    by_tables = [await one(service) for one in asked]
    await age.follow_graph()
    by_age = [await one(service) for one in asked]

    assert list(map(told, by_age)) == list(map(told, by_tables))
    assert {one.backend for one in by_tables if told(one)} == {"cte"}
    assert {one.backend for one in by_age if told(one)} == {"age"}


def told(answer: Answer) -> list[object]:
    return list(answer.reached if isinstance(answer, Walked) else answer.paths)


def test_an_answer_says_what_gave_it_where_there_was_a_choice():
    asked = Walk("a")
    bodies = [msgspec.to_builtins(walked_body(asked, Walked((), one))) for one in ("age", None)]
    assert [one.get("backend") for one in bodies] == ["age", None]
    ends = PathsBody(source_id="a", target_id="b")
    bodies = [
        msgspec.to_builtins(found_paths_body(ends, FoundPaths((), one))) for one in ("cte", None)
    ]
    assert [one.get("backend") for one in bodies] == ["cte", None]


HOSTILE = (
    "a' $$) RETURN 1 //",
    '"}) DETACH DELETE (b) //',
    "$source",
    '\\" OR true //',
    "a$$; DROP TABLE memories; --",
    "%s %b {}",
    "\u2028\U0001f600",
)


async def test_what_ids_hold_is_never_read_as_a_query(graphs: Graphs, age, ask: Ask):
    said: list[Draft] = [
        drafts.store(memory(one, title=str(number)), "alice") for number, one in enumerate(HOSTILE)
    ]
    said.append(drafts.link([edge(one, HOSTILE[0]) for one in HOSTILE[1:]], "alice"))

    def saying(draft: Draft) -> Say:
        def make(_view: View) -> Draft:
            return draft

        return Say(make)

    for draft in said:
        await age.submit(saying(draft))
    await age.follow_graph()
    assert in_step(graphs, ask)
    assert len(ask(graphs.url, EDGES)) == len(HOSTILE) - 1
    everything = MemoryFilter(now=format_instant(START))
    for one in HOSTILE[1:]:
        near = await age.links_within(one, 3, LinkFilter(), everything)
        assert near is not None
        assert [each.link.target_id for each in near] == [HOSTILE[0]]
        paths = await age.paths_between(one, HOSTILE[0], 3, LinkFilter(), everything)
        assert paths == [(one, HOSTILE[0])]
    assert await age.links_within("' OR true //", 3, LinkFilter(), everything) == []
    assert ask(graphs.url, "SELECT count(*) FROM memories") == [(len(HOSTILE),)]


async def test_age_is_asked_what_it_answers_faster(graphs: Graphs):
    store = graphs.open(WHERE_FASTER)
    await put(store, "a", "b")
    await store.submit(linked(edge("a", "b")))
    await store.follow_graph()
    service = graphs.service(store)
    paths = [await service.find_paths(Ends("a", "b"), depth, 5, ALICE) for depth in (3, 4)]
    assert [(list(one.paths), one.backend) for one in paths] == [
        ([("a", "b")], "age"),
        ([("a", "b")], "cte"),
    ]
    assert await backend(graphs, store) == "cte"


async def test_a_dense_graph_is_left_to_the_tables(graphs: Graphs, age):
    ids = [f"n{number}" for number in range(60)]
    await put(age, *ids)
    await age.submit(linked(*(edge(one, two) for one in ids for two in ids if one != two)))
    await age.follow_graph()
    service = graphs.service(age)
    walk = await service.walk(Walk("n0", 5, limit=10), ALICE)
    paths = await service.find_paths(Ends("n0", "n1"), 6, 5, ALICE)
    assert (len(walk.reached), walk.backend) == (10, "cte")
    assert (len(paths.paths), paths.backend) == (5, "cte")
