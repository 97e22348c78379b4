"""Walks and paths by Cypher, over the graph that Apache AGE holds.

AGE says which memories a way may lead to, the tables say which links and memories the caller may
see: conditions on links within a pattern of variable length are more than AGE can state.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar, cast

from app.domain.errors import AiMemoryError
from app.store.postgres.graph_names import VERTEX_LABEL, graph_of, make_ready
from app.store.sql.links import linked_memory_of, links_inside, outbound_links

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence

    import psycopg

    from app.store.postgres.pool import Readers
    from app.store.sql.filters import MemoryFilter
    from app.store.sql.links import LinkedMemory, LinkFilter

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

_TIMEOUT_MS: Final = 1_000
"""AGE looks at every way, and a dense graph has millions: then the tables answer instead."""

_NODES_MAX: Final = 5_000
_LINKS_MAX: Final = 20_000
_PATHS_MAX: Final = 10_000

_GRAPH_ROWS_MAX: Final = 100_000
"""Each connection reads the whole graph anew after every change of it: 60,000 rows take 40 ms."""

# Both in the reader's one snapshot: what it reads of the tables is what the graph shows.
_IN_STEP: Final = (
    b"SELECT NOT EXISTS (SELECT 1 FROM log_origins AS o LEFT JOIN graph_cursors AS c"
    b" ON c.origin_no = o.origin_no AND c.graph ="
    b" (SELECT oid::bigint FROM pg_namespace WHERE nspname = %s)"
    b" WHERE c.seq IS NULL OR c.seq < o.head_seq)"
    b" AND NOT EXISTS (SELECT 1 FROM graph_waiting AS w WHERE NOT EXISTS ("
    b"SELECT 1 FROM log_quarantine AS q WHERE q.origin = w.origin AND q.seq = w.seq"
    b" AND q.retry_at IS NOT NULL))"
    b" AND %s >= (SELECT coalesce(sum(t.reltuples), 0) FROM pg_class AS t"
    b" JOIN pg_namespace AS g ON t.relnamespace = g.oid WHERE t.relkind = 'r' AND g.nspname = %s)"
)


@dataclass(frozen=True, slots=True)
class GraphUse:
    """Which questions AGE is asked, by their greatest number of links."""

    walks: Container[int]
    paths: Container[int]


NEVER: Final = GraphUse(walks=(), paths=())
WHERE_FASTER: Final = GraphUse(walks=(), paths=range(1, 4))
ALWAYS: Final = GraphUse(walks=range(1, 6), paths=range(1, 8))


class GraphReads:
    """Asks AGE. None is no answer: the graph is behind, too large or too dense, or AGE failed."""

    def __init__(self, readers: Readers, schema: str, use: GraphUse) -> None:
        self._readers = readers
        self._graph = graph_of(schema)
        self._use = use

    async def links_within(
        self, source_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[LinkedMemory] | None:
        """See `LinkReads.links_within`."""
        if depth not in self._use.walks:
            return None

        def read(connection: psycopg.Connection) -> Sequence[LinkedMemory] | None:
            near = self._nodes_within(connection, source_id, depth - 1)
            if near is None:
                return None
            statement = outbound_links(near, links, chosen, _LINKS_MAX + 1)
            rows = self._readers.fetch(connection, statement)
            return None if len(rows) > _LINKS_MAX else [linked_memory_of(row) for row in rows]

        return await self._asked("walk", source_id, read)

    async def paths_between(
        self, source_id: str, target_id: str, depth: int, links: LinkFilter, chosen: MemoryFilter
    ) -> Sequence[Sequence[str]] | None:
        """See `LinkReads.paths_between`."""
        if depth not in self._use.paths:
            return None

        def read(connection: psycopg.Connection) -> Sequence[Sequence[str]] | None:
            ways = self._ways(connection, source_id, target_id, depth)
            if ways is None:
                return None
            ids = list({one for way in ways for one in way})
            if not ids:
                return ()
            rows = self._readers.fetch(connection, links_inside(ids, links, chosen))
            steps = {frozenset((row["source_id"], row["target_id"])) for row in rows}
            return sorted(
                (way for way in ways if all(frozenset(step) in steps for step in pairwise(way))),
                key=lambda way: (len(way), way),
            )

        return await self._asked("find_paths", source_id, read)

    def _nodes_within(
        self, connection: psycopg.Connection, source_id: str, depth: int
    ) -> list[str] | None:
        """Where ways of up to `depth` links lead, the source included."""
        if depth == 0:
            pattern = f"(b:{VERTEX_LABEL}) WHERE b.id = $source"
        else:
            pattern = f"(a:{VERTEX_LABEL})-[*1..{depth}]->(b:{VERTEX_LABEL}) WHERE a.id = $source"
        found = self._cypher(
            connection, f"MATCH {pattern} RETURN DISTINCT b.id", {"source": source_id}, _NODES_MAX
        )
        return None if found is None else list({source_id, *cast("list[str]", found)})

    def _ways(
        self, connection: psycopg.Connection, source_id: str, target_id: str, depth: int
    ) -> set[tuple[str, ...]] | None:
        """Node by node; a pattern never takes an edge twice, but may a node."""
        # AGE before 1.6 knows no list comprehension. Beyond the end of a way there is null.
        ids = ", ".join(f"way[{place}].id" for place in range(depth + 1))
        found = self._cypher(
            connection,
            f"MATCH p = (a:{VERTEX_LABEL})-[*1..{depth}]-(b:{VERTEX_LABEL})"
            f" WHERE a.id = $source AND b.id = $target WITH nodes(p) AS way RETURN [{ids}]",
            {"source": source_id, "target": target_id},
            _PATHS_MAX,
        )
        if found is None:
            return None
        ways = {
            tuple(one for one in way if one is not None)
            for way in cast("list[list[str | None]]", found)
        }
        return {way for way in ways if len(set(way)) == len(way)}

    def _cypher(
        self,
        connection: psycopg.Connection,
        query: str,
        values: dict[str, str],
        most: int,
    ) -> list[object] | None:
        """One column of an answer, None if it is longer than `most`; values go as parameters."""
        rows = connection.execute(
            (
                "SELECT found FROM ag_catalog.cypher("  # noqa: S608 - our own query
                f"'{self._graph}', $$ {query} LIMIT {most + 1} $$, %s)"
                " AS (found ag_catalog.agtype)"
            ).encode(),
            (json.dumps(values),),
        ).fetchall()
        return None if len(rows) > most else [json.loads(row[0]) for row in rows]

    async def _asked(
        self, operation: str, source_id: str, read: Callable[[psycopg.Connection], T | None]
    ) -> T | None:
        def in_step(connection: psycopg.Connection) -> T | None:
            row = connection.execute(
                _IN_STEP, (self._graph, _GRAPH_ROWS_MAX, self._graph)
            ).fetchone()
            if row is None or not row[0]:
                return None
            make_ready(connection)
            connection.execute(f"SET LOCAL statement_timeout = {_TIMEOUT_MS}".encode())
            return read(connection)

        try:
            return await self._readers.run(in_step)
        except AiMemoryError as error:
            _LOGGER.warning(
                "op=%s source_id=%s backend=age fallback=cte error=%s",
                operation,
                source_id,
                error.message,
            )
            return None
