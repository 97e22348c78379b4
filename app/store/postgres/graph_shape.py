"""The graph's vertices and edges, written set by set from the tables that they show.

AGE keeps each label in a table, and rows put there by plain SQL are vertices and edges like any
other. Its own MERGE looks through the whole label for each row: 9 ms a vertex among 10,000.
"""

from __future__ import annotations

import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final, cast

from app.domain.memory import RELATIONS
from app.store.postgres.graph_names import VERTEX_LABEL

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

Link = tuple[str, str, str]
"""Source, target and relation."""

_INSTANT: Final = 'to_char({0}, \'YYYY-MM-DD"T"HH24:MI:SS.US"+00:00"\')'
_VERTEX: Final = "ag_catalog.agtype_build_map('id', m.id, 'namespace', m.namespace)"
_EDGE: Final = (
    "ag_catalog.agtype_build_map('relation', l.relation,"
    f" 'valid_from', {_INSTANT.format('coalesce(l.valid_from, l.created_at)')},"
    f" 'valid_until', {_INSTANT.format('l.valid_until')}, 'observed_by', l.observed_by)"
)
_NUMBER: Final = (
    b"SELECT n.oid::bigint FROM pg_namespace AS n JOIN pg_class AS c ON c.relnamespace = n.oid"
    b" WHERE n.nspname = %s AND c.relname = '_ag_label_vertex'"
)
_LENT: Final = (
    b"SELECT NOT pg_has_role(n.nspowner, 'USAGE')"
    b" AND cardinality(%(labels)s::text[]) = (SELECT count(DISTINCT c.relname) FROM pg_class AS c"
    b" JOIN pg_index AS i ON i.indrelid = c.oid"
    b" WHERE c.relnamespace = n.oid AND c.relname = ANY (%(labels)s)"
    b" AND i.indisunique AND NOT i.indisprimary)"
    b" FROM pg_namespace AS n WHERE n.nspname = %(graph)s"
)
_ADJACENT: Final = (
    b"SELECT source_id, target_id, relation FROM memory_links"
    b" WHERE source_id = ANY (%(ids)s) OR target_id = ANY (%(ids)s)"
)


def _key_of(vertex: str) -> str:
    return (
        f"ag_catalog.agtype_access_operator(VARIADIC ARRAY[{vertex}properties,"
        " '\"id\"'::ag_catalog.agtype])"
    )


def _as_key(text: str) -> str:
    return f"to_json({text})::text::ag_catalog.agtype"


class GraphShape:
    """Writes one graph. Its name is a plain word; the transaction is `make_ready`."""

    def __init__(self, graph: str) -> None:
        self._graph = graph
        self._vertices = f'"{graph}"."{VERTEX_LABEL}"'
        self._edges = f'"{graph}"._ag_label_edge'

    def number(self, connection: psycopg.Connection) -> int | None:
        """AGE's number of the graph as it is now; a graph made anew has another.

        It is that of the graph's schema, which every role may read.
        """
        row = connection.execute(_NUMBER, (self._graph,)).fetchone()
        return None if row is None else cast("int", row[0])

    def make(self, connection: psycopg.Connection) -> None:
        """Show every memory and link in a graph that holds nothing else.

        A graph of another role's, which this one may only write to, is emptied instead of dropped.
        """
        if self._is_lent(connection):
            self._run(connection, f"DELETE FROM {self._edges}")  # noqa: S608 - plain words
            self._run(connection, f"DELETE FROM {self._vertices}")  # noqa: S608 - plain words
        else:
            if self.number(connection) is not None:
                connection.execute(b"SELECT ag_catalog.drop_graph(%s, true)", (self._graph,))
            self.create(connection)
        self._run(
            connection,
            f"INSERT INTO {self._vertices} (properties) SELECT {_VERTEX} FROM memories AS m",  # noqa: S608 - plain words
        )
        self._run(connection, f"ANALYZE {self._vertices}")
        for relation in RELATIONS:
            label = self._label(relation)
            self._run(connection, self._insert_edges(label, "l.relation = %s"), (relation,))
            self._run(connection, f"ANALYZE {label}")

    def create(self, connection: psycopg.Connection) -> None:
        """Make it with every label and without rows; there must be none of the name."""
        connection.execute(b"SELECT ag_catalog.create_graph(%s)", (self._graph,))
        connection.execute(b"SELECT ag_catalog.create_vlabel(%s, %s)", (self._graph, VERTEX_LABEL))
        self._run(connection, f"CREATE UNIQUE INDEX ON {self._vertices} ({_key_of('')})")
        for relation in RELATIONS:
            connection.execute(b"SELECT ag_catalog.create_elabel(%s, %s)", (self._graph, relation))
            self._run(
                connection, f"CREATE UNIQUE INDEX ON {self._label(relation)} (start_id, end_id)"
            )

    def _is_lent(self, connection: psycopg.Connection) -> bool:
        """Whether the graph is another's, and whole."""
        row = connection.execute(
            _LENT, {"graph": self._graph, "labels": [VERTEX_LABEL, *RELATIONS]}
        ).fetchone()
        return row is not None and bool(row[0])

    def show(
        self, connection: psycopg.Connection, ids: Sequence[str], links: Iterable[Link]
    ) -> bool:
        """Make vertices and edges what the tables say now of these memories and links.

        Whether the graph was written to: AGE takes even a statement without rows for a change.
        """
        shown = set(links)
        differing = self._differing(connection, list(ids)) if ids else []
        if differing:
            self._remove_gone(connection, differing)
            fresh = self._add_vertices(connection, differing)
            if fresh:
                found = connection.execute(_ADJACENT, {"ids": fresh})
                shown.update(cast("list[Link]", found.fetchall()))
        by_relation: defaultdict[str, list[Link]] = defaultdict(list)
        for one in shown:
            by_relation[one[2]].append(one)
        for relation in RELATIONS:
            if relation in by_relation:
                self._show_edges(connection, relation, by_relation[relation])
        return bool(differing or shown)

    def touch(self, connection: psycopg.Connection) -> None:
        """Change nothing, so that AGE takes the graph to be changed.

        Its memory of a graph is cleared by the statement that changes it, not by the commit: a
        reader that looks in between keeps the old graph, and goes on with it after the commit.
        """
        self._run(
            connection,
            f"UPDATE {self._vertices} SET properties = properties WHERE false",  # noqa: S608 - plain words
        )

    def _differing(self, connection: psycopg.Connection, ids: list[str]) -> list[str]:
        found = connection.execute(
            (
                "SELECT given.id FROM unnest(%s::text[]) AS given(id)"  # noqa: S608 - plain words
                " LEFT JOIN memories AS m ON m.id = given.id"
                f" LEFT JOIN {self._vertices} AS v ON {_key_of('v.')} = {_as_key('given.id')}"
                " WHERE (m.id IS NULL) <> (v.id IS NULL)"
                f" OR (m.id IS NOT NULL AND v.properties <> {_VERTEX})"
            ).encode(),
            (ids,),
        )
        return [str(row[0]) for row in found]

    def _remove_gone(self, connection: psycopg.Connection, ids: list[str]) -> None:
        gone = connection.execute(
            (
                f"SELECT v.id::text FROM unnest(%s::text[]) AS given(id) JOIN {self._vertices} AS v"  # noqa: S608 - plain words
                f" ON {_key_of('v.')} = {_as_key('given.id')}"
                " WHERE NOT EXISTS (SELECT 1 FROM memories AS m WHERE m.id = given.id)"
            ).encode(),
            (ids,),
        ).fetchall()
        if gone:
            numbers = [row[0] for row in gone]
            for end in ("start_id", "end_id"):
                self._run(
                    connection,
                    f"DELETE FROM {self._edges} WHERE {end} = ANY (%s::ag_catalog.graphid[])",  # noqa: S608 - plain words
                    (numbers,),
                )
            self._run(
                connection,
                f"DELETE FROM {self._vertices} WHERE id = ANY (%s::ag_catalog.graphid[])",  # noqa: S608 - plain words
                (numbers,),
            )

    def _add_vertices(self, connection: psycopg.Connection, ids: list[str]) -> list[str]:
        """Bring the live ones up to date; those that were not there."""
        same = f"{_key_of('v.')} = {_as_key('m.id')}"
        self._run(
            connection,
            f"UPDATE {self._vertices} AS v SET properties = {_VERTEX} FROM memories AS m"  # noqa: S608 - plain words
            f" WHERE m.id = ANY (%s) AND {same} AND v.properties <> {_VERTEX}",
            (ids,),
        )
        made = connection.execute(
            (
                f"INSERT INTO {self._vertices} AS made (properties)"  # noqa: S608 - plain words
                f" SELECT {_VERTEX} FROM memories AS m WHERE m.id = ANY (%s)"
                f" AND NOT EXISTS (SELECT 1 FROM {self._vertices} AS v WHERE {same})"
                f" RETURNING {_key_of('made.')}"
            ).encode(),
            (ids,),
        ).fetchall()
        return [str(json.loads(row[0])) for row in made]

    def _show_edges(
        self, connection: psycopg.Connection, relation: str, links: Sequence[Link]
    ) -> None:
        label = self._label(relation)
        pairs = ([one[0] for one in links], [one[1] for one in links])
        given = "unnest(%s::text[], %s::text[]) AS given(source_id, target_id)"
        same = "l.source_id = given.source_id AND l.target_id = given.target_id"
        self._run(
            connection,
            f"DELETE FROM {label} AS e USING {given}, {self._vertices} AS a, {self._vertices} AS b"  # noqa: S608 - plain words
            f" WHERE {_key_of('a.')} = {_as_key('given.source_id')}"
            f" AND {_key_of('b.')} = {_as_key('given.target_id')}"
            " AND e.start_id = a.id AND e.end_id = b.id AND NOT EXISTS ("
            f"SELECT 1 FROM memory_links AS l WHERE {same} AND l.relation = %s)",
            (*pairs, relation),
        )
        self._run(
            connection,
            self._insert_edges(label, "l.relation = %s", f"{given} JOIN", f"ON {same}")
            + " ON CONFLICT (start_id, end_id) DO UPDATE SET properties = excluded.properties",
            (*pairs, relation),
        )

    def _insert_edges(self, label: str, condition: str, given: str = "", on: str = "") -> str:
        return (
            f"INSERT INTO {label} (start_id, end_id, properties)"  # noqa: S608 - plain words
            f" SELECT a.id, b.id, {_EDGE} FROM {given} memory_links AS l {on}"
            f" JOIN {self._vertices} AS a ON {_key_of('a.')} = {_as_key('l.source_id')}"
            f" JOIN {self._vertices} AS b ON {_key_of('b.')} = {_as_key('l.target_id')}"
            f" WHERE {condition}"
        )

    def _label(self, relation: str) -> str:
        return f'"{self._graph}"."{relation}"'

    def _run(
        self, connection: psycopg.Connection, statement: str, values: Sequence[object] = ()
    ) -> None:
        connection.execute(statement.encode(), values)
