"""Walks and paths on PostgreSQL: Apache AGE's graph beside queries of the tables."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar

import psycopg

from app.bootstrap.sources import SystemClock, SystemRandomness
from app.domain.memory import RELATIONS
from app.services.caller import Caller
from app.services.commands.links import Ends
from app.services.graph import FoundPaths, GraphService, Walk, Walked
from app.store.postgres import schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.graph_reads import ALWAYS, NEVER, GraphUse
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from bench.measurement import Finding, Measurement, MeasurementError, Options, Spread, ratios
from tools.postgres.errors import NoPostgresError
from tools.postgres.obtain import obtain

NODES_DEFAULT = 10_000
LINKS_A_NODE = 5
WALK_DEPTHS = range(1, 6)
PATH_DEPTHS = range(1, 5)  # at 5 AGE takes a second and is given up on
WALK_LIMITS = (200, 1_000)
QUESTIONS = 10
SEED = 20_260_601
READER = Caller("bench")

T = TypeVar("T", bound=Walked | FoundPaths)
Ask = Callable[[GraphService, str, str], Awaitable[T]]


@dataclass(frozen=True)
class Sides:
    """The same database, asked in both ways."""

    tables: GraphService
    age: GraphService
    age_store: PostgresStore
    url: str


def run(options: Options) -> tuple[Finding, ...]:
    node_count = options.rows or NODES_DEFAULT
    try:
        with obtain(os.environ, lambda line: print(f"postgres: {line}", file=sys.stderr)) as server:
            name = f"ai_memory_bench_graph_{os.getpid()}"
            server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
            try:
                return asyncio.run(_measured(server.url(name), node_count, options.repeats))
            finally:
                server.execute(f"DROP DATABASE {name} WITH (FORCE)")
    except NoPostgresError as error:
        raise MeasurementError(str(error)) from error


async def _measured(url: str, node_count: int, repeats: int) -> tuple[Finding, ...]:
    schema.migrate(PostgresUrl.parse(url), lambda _: None)
    ids = _fill(url, node_count)
    chance = Random(SEED)
    pairs = [(one, two) for one, two in (chance.sample(ids, 2) for _ in range(QUESTIONS))]
    async with _sides(url) as sides:
        started = time.perf_counter()
        await sides.age_store.follow_graph()
        built = time.perf_counter() - started
        findings: list[Finding] = []
        for limit in WALK_LIMITS:
            for depth in WALK_DEPTHS:
                subject = f"walk of depth {depth}, {limit} rows at most"
                ask = _walk(depth, limit)
                findings.extend(await _compared(subject, ask, sides, pairs, repeats))
        for depth in PATH_DEPTHS:
            subject = f"paths of up to {depth} links"
            findings.extend(await _compared(subject, _paths(depth), sides, pairs, repeats))
        cold = [await _after_a_change(sides, pair, number) for number, pair in enumerate(pairs)]
        return (
            *findings,
            Finding("AGE, first walk of depth 3 after a link was made", "ms", Spread.of(cold)),
            Finding("making the whole graph", "1/s", Spread.of([len(ids) / built])),
        )


@asynccontextmanager
async def _sides(url: str) -> AsyncIterator[Sides]:
    stores = [_opened(url, use) for use in (NEVER, ALWAYS)]
    clock = SystemClock()
    try:
        tables, age = stores
        yield Sides(GraphService(tables, clock), GraphService(age, clock), age, url)
    finally:
        for store in stores:
            await store.close()


def _opened(url: str, use: GraphUse) -> PostgresStore:
    options = WriteOptions(PostgresOptions(PostgresUrl.parse(url), most=2, least=2))
    return PostgresStore(options, SystemClock(), SystemRandomness(), graph_use=use)


def _fill(url: str, node_count: int) -> Sequence[str]:
    """Rows as the log would show them; what is measured reads nothing else."""
    chance = Random(SEED)
    ids = [f"{number:08x}-0000-4000-8000-{number:012x}" for number in range(node_count)]
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    links: set[tuple[str, str, str]] = set()
    while len(links) < node_count * LINKS_A_NODE:
        near, far = chance.sample(ids, 2)
        links.add((near, far, chance.choice(RELATIONS)))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS age")
        with connection.cursor() as cursor:
            into = "COPY memories (id, tier, title, content, created_at, updated_at, metadata)"
            with cursor.copy(f"{into} FROM STDIN") as rows:
                scope = '{"agent_id": "bench", "scope": "collective"}'
                for one in ids:
                    rows.write_row((one, "mid", f"title of {one}", one, begin, begin, scope))
            into = "COPY memory_links (source_id, target_id, relation, created_at, valid_from)"
            with cursor.copy(f"{into} FROM STDIN") as rows:
                for number, link in enumerate(sorted(links)):
                    since = begin + timedelta(minutes=number)
                    rows.write_row((*link, since, since))
        connection.execute("ANALYZE")
    return ids


def _walk(depth: int, limit: int) -> Ask[Walked]:
    return lambda service, near, _: service.walk(Walk(near, depth, limit), READER)


def _paths(depth: int) -> Ask[FoundPaths]:
    return lambda service, near, far: service.find_paths(Ends(near, far), depth, 10, READER)


async def _compared(
    subject: str, ask: Ask[T], sides: Sides, pairs: Sequence[tuple[str, str]], repeats: int
) -> Sequence[Finding]:
    left_to_tables = 0
    for near, far in pairs:  # also fills the caches of both
        by_tables = await ask(sides.tables, near, far)
        by_age = await ask(sides.age, near, far)
        if _told(by_tables) != _told(by_age):
            raise MeasurementError(f"{subject}: AGE and the tables answer differently")
        left_to_tables += by_age.backend != "age"
    tables: list[float] = []
    age: list[float] = []
    for _ in range(repeats):
        tables.append(await _p50(ask, sides.tables, pairs))
        age.append(await _p50(ask, sides.age, pairs))
    left = f", {left_to_tables} of {len(pairs)} left to the tables" if left_to_tables else ""
    return (
        Finding(f"{subject}, tables", "ms", Spread.of(tables)),
        Finding(f"{subject}, AGE{left}", "ms", Spread.of(age)),
        Finding(f"{subject}, AGE / tables", "x", ratios(age, tables)),
    )


def _told(answer: Walked | FoundPaths) -> Sequence[object]:
    return list(answer.reached if isinstance(answer, Walked) else answer.paths)


async def _p50(ask: Ask[T], service: GraphService, pairs: Sequence[tuple[str, str]]) -> float:
    took = []
    for near, far in pairs:
        started = time.perf_counter()
        await ask(service, near, far)
        took.append(time.perf_counter() - started)
    return 1_000 * statistics.median(took)


async def _after_a_change(sides: Sides, pair: tuple[str, str], number: int) -> float:
    """Milliseconds; whatever changes the graph makes AGE read all of it anew."""
    with psycopg.connect(sides.url, autocommit=True) as connection:
        connection.execute(
            f'UPDATE memory_graph."Memory" SET properties = properties WHERE false AND {number} = 0'
        )
    started = time.perf_counter()
    await sides.age.walk(Walk(pair[0], 3, 200), READER)
    return 1_000 * (time.perf_counter() - started)


MEASUREMENT = Measurement(
    "graph",
    "10,000 memories, 50,000 links of six relations at random, PostgreSQL and the program on one"
    " machine: a walk or a search for paths through the service, AGE's graph beside the tables."
    " Both gave the same answers to every question. p50 of 10 questions a round.",
    run,
)
