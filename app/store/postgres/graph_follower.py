"""What keeps Apache AGE's graph in step with the log: a follower, one at a time a store.

A step reads what was committed since and shows what the tables now say of whatever those entries
name; the order of entries does not matter, nor does showing one twice. Its cursors move in a second
transaction, which every reader of the graph looks at: see `GraphShape.touch`.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, cast

import psycopg

from app.domain.errors import EntryRefusedError
from app.log.canonical import CanonicalError, decode
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.kinds.links import split_link_key
from app.store.postgres.age import AgeState, is_age_there, look_for_age, why_no_graph
from app.store.postgres.connection import Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.graph_names import graph_of, make_ready
from app.store.postgres.graph_shape import GraphShape
from app.store.postgres.statements import key_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from app.store.postgres.connection import PostgresOptions
    from app.store.postgres.graph_shape import Link

_LOGGER = logging.getLogger(__name__)

BATCH_ENTRIES: Final = 500
_NEVER: Final = -1
_RESTED_CALLS: Final = 60

_LOCK: Final = b"SELECT pg_try_advisory_xact_lock(hashtext('graph of ' || current_schema()))"
_HEADS: Final = (
    b"SELECT o.origin_no, o.origin, o.head_seq, coalesce(c.seq, 0), coalesce(c.graph, %s)"
    b" FROM log_origins AS o LEFT JOIN graph_cursors AS c USING (origin_no) ORDER BY 1"
)
_ENTRIES: Final = (
    b"SELECT seq, kind, payload FROM log_entries WHERE origin_no = %s AND seq > %s AND seq <= %s"
    b" ORDER BY seq LIMIT %s"
)
_ASIDE: Final = b"SELECT origin, seq FROM log_quarantine WHERE retry_at IS NOT NULL"
_SETTLED: Final = (
    b"SELECT w.origin, w.seq, e.kind, e.payload FROM graph_waiting AS w"
    b" JOIN log_origins AS o USING (origin)"
    b" JOIN log_entries AS e ON e.origin_no = o.origin_no AND e.seq = w.seq"
    b" WHERE NOT EXISTS (SELECT 1 FROM log_quarantine AS q WHERE q.origin = w.origin"
    b" AND q.seq = w.seq AND q.retry_at IS NOT NULL) LIMIT %s"
)
_WAITS: Final = b"SELECT 1 FROM graph_waiting LIMIT 1"
_WAIT: Final = (
    b"INSERT INTO graph_waiting (origin, seq) SELECT * FROM unnest(%s::text[], %s::bigint[])"
    b" ON CONFLICT DO NOTHING"
)
_WAITED: Final = (
    b"DELETE FROM graph_waiting USING unnest(%s::text[], %s::bigint[]) AS done(origin, seq)"
    b" WHERE graph_waiting.origin = done.origin AND graph_waiting.seq = done.seq"
)
_MOVE: Final = (
    b"INSERT INTO graph_cursors (origin_no, graph, seq) VALUES (%s, %s, %s)"
    b" ON CONFLICT (origin_no) DO UPDATE SET graph = excluded.graph, seq = CASE"
    b" WHEN graph_cursors.graph = excluded.graph THEN greatest(graph_cursors.seq, excluded.seq)"
    b" ELSE excluded.seq END"
)


class LogGapError(Exception):
    """The log no longer holds what the graph has yet to show."""


@dataclass(frozen=True, slots=True)
class _Head:
    origin_no: int
    origin: str
    head: int
    seq: int
    graph: int


@dataclass(slots=True)
class _Step:
    """What one step showed; empty when there was nothing."""

    graph: int = _NEVER
    reached: dict[int, int] = field(default_factory=dict)
    settled: list[tuple[str, int]] = field(default_factory=list)
    changed: bool = True
    is_full: bool = False
    """Whether more may have been there than one step takes."""

    def __bool__(self) -> bool:
        return bool(self.reached or self.settled)


class GraphFollower:
    """Follows with a connection of its own; for one thread at a time.

    `state` is what the last look at the database showed.
    """

    def __init__(self, options: PostgresOptions, state: AgeState) -> None:
        self.state = state
        self._told: str | None = None
        self._options = options
        self._preamble = Preamble.writing(options)
        self._making = Preamble.migrating(options.url, lock_seconds=options.lock_seconds)
        self._graph = graph_of(options.url.schema)
        self._shape = GraphShape(self._graph)
        self._connection: psycopg.Connection | None = None
        self._make_anew = False
        self._rests = 0

    def follow(self) -> None:
        """Show all that is committed by now; at once if there is no AGE or another node is at it.

        Raises:
            StoreOpenError, StoreUnavailableError: the server cannot be used now; it is safe to go
                on later, and reads do without the graph until then.
        """
        if self._rests > 0:
            self._rests -= 1
            return
        self._tell()
        with explaining(self._options.url):
            while self._step():
                pass

    def close(self) -> None:
        """Disconnect."""
        if self._connection is not None:
            self._connection.close()

    def _step(self) -> bool:
        try:
            shown = self._show()
        except (psycopg.ProgrammingError, psycopg.InternalError, LogGapError) as error:
            if self._make_anew:
                self._give_up_for_now(error)
                return False
            # AGE's library keeps what it knew for as long as the connection lasts.
            self.close()
            # Somebody's hand, an old form, or a log that was cut: what stands there is no basis.
            _LOGGER.warning("the graph is made anew (%s)", type(error).__name__)
            self._make_anew = True
            return True
        if shown is None or not shown:
            return False
        with self._alone(self._preamble) as connection:
            if connection is None:
                return True  # another node has gone on from here, or will
            self._move(connection, shown)
        self._make_anew = False
        self.state = AgeState("age")
        # What was committed meanwhile is left to the next call: small steps under load cost most.
        return shown.is_full

    def _give_up_for_now(self, error: Exception) -> None:
        connection = self._opened()
        with transaction(connection, self._preamble):
            self.state = AgeState("cte", why_no_graph(connection, self._graph, error))
        self._rests = _RESTED_CALLS
        self._tell()

    def _tell(self) -> None:
        """Say once what keeps AGE from being used."""
        if self.state.reason != self._told:
            self._told = self.state.reason
            if self._told is not None:
                _LOGGER.warning("links are walked by recursive queries: %s", self._told)

    def _show(self) -> _Step | None:
        connection = self._opened()
        with transaction(connection, self._preamble):
            if is_age_there(connection):
                if not self._make_anew:
                    self.state = AgeState("age")
            else:
                # Why is a longer question, and the answer rarely changes.
                if self.state.backend == "age":
                    self.state = look_for_age(connection)
                return None
            heads = _heads(connection)
            anew = self._make_anew or not self._is_of_this_graph(connection, heads)
            behind = any(one.graph == _NEVER or one.seq < one.head for one in heads)
            if not anew and not behind and connection.execute(_WAITS).fetchone() is None:
                return None
        with self._alone(self._making if anew else self._preamble) as free:
            if free is None:
                return None
            make_ready(free)
            heads = _heads(free)
            if self._make_anew or not self._is_of_this_graph(free, heads):
                return self._all(free, heads)
            return self._next(free, heads)

    def _is_of_this_graph(self, connection: psycopg.Connection, heads: Sequence[_Head]) -> bool:
        """Whether the cursors speak of the graph that is there; those of new origins will."""
        graph = self._shape.number(connection)
        known = [one.graph for one in heads if one.graph != _NEVER]
        return graph is not None and bool(known) and all(one == graph for one in known)

    def _all(self, connection: psycopg.Connection, heads: Sequence[_Head]) -> _Step:
        connection.execute(b"DELETE FROM graph_waiting")
        self._wait(connection, _aside(connection))
        self._shape.make(connection)
        graph = cast("int", self._shape.number(connection))
        return _Step(graph, {one.origin_no: one.head for one in heads})

    def _next(self, connection: psycopg.Connection, heads: Sequence[_Head]) -> _Step:
        graph = cast("int", self._shape.number(connection))
        step = _Step(graph)
        ids: dict[str, None] = {}
        links: set[Link] = set()
        for origin, seq, kind, payload in connection.execute(_SETTLED, (BATCH_ENTRIES,)):
            step.settled.append((origin, seq))
            _name(kind, payload, ids, links)
        room = BATCH_ENTRIES
        passed: set[tuple[str, int]] = set()
        for one in heads:
            if one.seq >= one.head and one.graph == graph:
                continue
            seq = one.seq
            for found, kind, payload in connection.execute(
                _ENTRIES, (one.origin_no, one.seq, one.head, room)
            ):
                if found != seq + 1:
                    raise LogGapError
                seq = found
                passed.add((one.origin, seq))
                _name(kind, payload, ids, links)
                room -= 1
            if seq < one.head and room > 0:
                raise LogGapError
            step.reached[one.origin_no] = seq
            if room <= 0:
                break
        step.is_full = room <= 0 or len(step.settled) == BATCH_ENTRIES
        self._wait(connection, passed & _aside(connection))
        step.changed = self._shape.show(connection, list(ids), links)
        return step

    def _wait(self, connection: psycopg.Connection, aside: set[tuple[str, int]]) -> None:
        if aside:
            connection.execute(_WAIT, tuple(map(list, zip(*aside, strict=True))))

    def _move(self, connection: psycopg.Connection, shown: _Step) -> None:
        make_ready(connection)
        if self._shape.number(connection) != shown.graph:
            return
        if shown.changed:
            self._shape.touch(connection)
        for origin_no, seq in sorted(shown.reached.items()):
            connection.execute(_MOVE, (origin_no, shown.graph, seq))
        if shown.settled:
            connection.execute(_WAITED, tuple(map(list, zip(*shown.settled, strict=True))))

    @contextmanager
    def _alone(self, preamble: Preamble) -> Iterator[psycopg.Connection | None]:
        """A transaction beside which nobody else follows; None if somebody does."""
        connection = self._opened()
        with transaction(connection, preamble):
            row = connection.execute(_LOCK).fetchone()
            yield connection if row is not None and row[0] else None

    def _opened(self) -> psycopg.Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self._options)
        return self._connection


def _heads(connection: psycopg.Connection) -> list[_Head]:
    return [_Head(*row) for row in connection.execute(_HEADS, (_NEVER,)).fetchall()]


def _aside(connection: psycopg.Connection) -> set[tuple[str, int]]:
    return set(cast("list[tuple[str, int]]", connection.execute(_ASIDE).fetchall()))


def _name(kind: str, payload: bytes | None, ids: dict[str, None], links: set[Link]) -> None:
    """Collect the memories and links that an entry writes, as the tables' keys."""
    known = KINDS.get(kind)
    if known is None or payload is None:
        return
    try:
        fields = decode(payload)
        effects = known.effects(fields, Stamp(0, "")) if isinstance(fields, dict) else ()
    except (CanonicalError, EntryRefusedError):
        return  # it had no effect on the tables either
    for key, _ in effects:
        if key.kind == "memory":
            ids[key_text(key.key)] = None
        elif key.kind == "link":
            source_id, target_id, relation = split_link_key(key.key)
            links.add((key_text(source_id), key_text(target_id), relation))
