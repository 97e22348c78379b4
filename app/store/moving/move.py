"""A move: everything of one store into an empty one, page by page, and proved at the end.

The source is read in one snapshot. Each page is a transaction of the target, which also notes how
far the move is: killed at any moment, the same move goes on where it was. Until the comparison at
the end has found no difference, the target is marked unfinished and no node opens it.

Every origin of the source, its own too, is a foreign one in the target, known up to its head. So
the two stores never both append to one log, and the target's node could follow the source's.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

from app.domain.errors import ConflictError, StoreOpenError
from app.domain.timestamps import format_instant
from app.store import tables as t
from app.store.moving import record
from app.store.moving.compare import differences, whole_digest
from app.store.moving.record import Place
from app.store.moving.show import memory_page, record_page, write_page
from app.store.moving.tables import COPIED, OWN, SEEDED, STATES
from app.store.schema import UNFINISHED_MOVE
from app.store.writing.pages import Listing, count, listing, pages
from app.store.writing.port import BatchError, BrokenConstraintError, RaceError
from app.store.writing.statements import Change, Insert, Query, Replace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Table

    from app.domain.sources import Clock
    from app.store.moving.port import Seen, Target
    from app.store.writing.port import Reader, Row, Transaction

    Report = Callable[[str, int, int], None]
    Put = Callable[[Transaction], None]

_HEADS: Final = Query(
    "SELECT origin, head_seq, head_hash, head_hlc, floor_seq, floor_hash, origin_no"
    " FROM log_origins ORDER BY origin"
)
_OWN_ORIGINS: Final = Query("SELECT origin FROM log_origins WHERE is_self = 1")
_IDENTITIES: Final = (
    Query("SELECT store_id, node_id, epoch, boot_token FROM store_identity"),
    Query("SELECT node_id, epoch, boot_token FROM node_leases ORDER BY node_id"),
)
_STORE: Final = Query("SELECT store_id FROM store_identity")
_STATELESS: Final = Query(
    "SELECT id FROM (SELECT id FROM memories UNION ALL SELECT id FROM archived_memories) AS shown"
    " WHERE NOT EXISTS (SELECT 1 FROM memory_state AS s WHERE s.id = shown.id) LIMIT 1"
)
_DIMENSIONS: Final = Query(
    "SELECT dim, count(*) FROM memory_vectors GROUP BY dim ORDER BY count(*) DESC, dim"
)
_ORIGIN_COLUMNS: Final = (
    "origin",
    "head_seq",
    "head_hash",
    "head_hlc",
    "floor_seq",
    "floor_hash",
    "is_self",
)
_NUMBERED: Final = (t.log_entries, t.log_signatures)
"""Tables whose rows name an origin by this store's number of it."""
_ORIGIN: Final = Insert(t.log_origins, _ORIGIN_COLUMNS, Replace(("origin",), _ORIGIN_COLUMNS[1:]))
_CLEAR_SEEDS: Final = tuple(Change(f"DELETE FROM {name}") for name in sorted(SEEDED))  # noqa: S608 - declared names


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a move did. `rows` are those of the source, by table."""

    rows: Mapping[str, int]
    batches: int
    was_resumed: bool = False
    was_there: bool = False
    """Whether the target held all of it before, so that nothing was written."""
    digest: bytes = b""
    differences: Sequence[str] = field(default=())
    """What differs in the end; then the target stays unfinished."""


def dimension_of(source: Seen) -> int | None:
    """That of most of the store's vectors; None without any."""
    found = source.reader.read(_DIMENSIONS, ())
    return cast("int", found[0][0]) if found else None


def rows_of(reader: Reader) -> Mapping[str, int]:
    """How many rows there are to move, by table; tables without any are left out."""
    counted = {table.name: count(reader, table) for table in (*STATES, *COPIED)}
    return {name: rows for name, rows in counted.items() if rows}


def check_source(source: Seen) -> None:
    """Let pass what can be moved whole.

    Raises:
        StoreOpenError: a memory has no state, so the move would lose it.
    """
    found = source.reader.read(_STATELESS, ())
    if found:
        raise StoreOpenError(
            f"memory {cast('str', found[0][0])} of the source could not be adopted from v0.7.0 and"
            " has no state: delete it, or correct it in v0.7.0, before the move",
            reason="not_adopted",
        )


def occupation(target: Reader) -> str | None:
    """The name of a table that has rows in a store that should have none; None if it is empty."""
    spared = {table.name for table in OWN} | SEEDED | {t.log_origins.name, t.digest_buckets.name}
    for table in t.metadata.tables.values():
        if table.name not in spared and target.read(_any_of(table), ())[0][0]:
            return table.name
    return None


@cache
def _any_of(table: Table) -> Query:
    return Query(f"SELECT EXISTS (SELECT 1 FROM {table.name})")  # noqa: S608 - declared names


class Move:
    """One run of a move. `runner` is unlike that of any other run."""

    def __init__(
        self,
        source: Seen,
        target: Target,
        clock: Clock,
        runner: str,
        report: Report,
        rows_a_page: int,
    ) -> None:
        self._source = source
        self._target = target
        self._clock = clock
        self._runner = runner
        self._report = report
        self._rows_a_page = rows_a_page
        self._rows = rows_of(source.reader)
        self._total = sum(self._rows.values())
        self._origin_numbers: dict[int, int] = {}
        self._place = Place()

    def run(self) -> Outcome:
        """Move what is not there yet, compare, and release the target.

        Raises:
            ConflictError: the target holds something else, or another process is at it.
            StoreOpenError: the source is damaged.
            StoreUnavailableError: a database cannot be used now; the same move goes on later.
        """
        was_resumed = self._target.is_unfinished
        if was_resumed:
            self._go_on()
        else:
            if self._is_there():
                return Outcome(self._rows, 0, was_there=True, digest=whole_digest(self._source))
            self._begin()
        self._number_origins()
        self._copy()
        self._report("indexing", 0, 0)
        self._target.settle()
        with self._target.seen() as now:
            found = tuple(differences(self._source, now, self._report))
            digest = whole_digest(now)
        if not found:
            with self._transaction() as transaction:
                record.drop(transaction, self._runner)
        return Outcome(
            self._rows, self._place.batches, was_resumed, digest=digest, differences=found
        )

    # -- beginning -------------------------------------------------------------------------

    def _is_there(self) -> bool:
        """Whether the target holds all of it already; False if it is empty."""
        with self._target.seen() as found:
            occupied = occupation(found.reader)
            if occupied is None:
                self._check_own_origins(found.reader)
                return False
            if next(differences(self._source, found, self._report), None) is None:
                return True
        raise ConflictError(
            f"the target holds other data already (table {occupied}): a store moves into an empty"
            " one only"
        )

    def _check_own_origins(self, target: Reader) -> None:
        moved = {row[0] for row in self._source.reader.read(_HEADS, ())}
        for row in target.read(_OWN_ORIGINS, ()):
            origin = cast("str", row[0])
            if origin in moved:
                raise ConflictError(
                    f"the target writes as {origin}, which the source knows already; two copies of"
                    " an origin must never both write: move into a new store"
                )

    def _begin(self) -> None:
        with self._transaction() as transaction:
            record.create(transaction, self._source_id(), self._mark(), self._runner)
            self._target.clear_way(transaction)
            for statement in _CLEAR_SEEDS:
                transaction.write(statement, [()])
            heads = self._source.reader.read(_HEADS, ())
            transaction.write(_ORIGIN, [(*row[:-1], 0) for row in heads])

    def _go_on(self) -> None:
        with self._target.seen() as found:
            known = record.read(found.reader)
        if known.source != self._source_id():
            raise ConflictError(
                "the target holds the unfinished move of another store: name that one, or an empty"
                " target"
            )
        if known.mark != self._mark():
            raise ConflictError(
                "the source was in use after this move had begun, so what was moved is of the past:"
                " remove the target and start again"
            )
        self._place = known.place
        with self._transaction() as transaction:
            record.take(transaction, self._runner)

    def _source_id(self) -> str:
        found = self._source.reader.read(_STORE, ())
        return cast("str", found[0][0]) if found else "none"

    def _mark(self) -> str:
        """What changes whenever somebody opens the source or writes to it."""
        read = self._source.reader.read
        seen = (
            [tuple(row) for query in (*_IDENTITIES, _HEADS) for row in read(query, ())],
            sorted(self._rows.items()),
            whole_digest(self._source),
        )
        return sha256(repr(seen).encode()).hexdigest()

    def _number_origins(self) -> None:
        with self._target.seen() as found:
            there = {row[0]: row[-1] for row in found.reader.read(_HEADS, ())}
        self._origin_numbers = {
            cast("int", row[-1]): cast("int", there[row[0]])
            for row in self._source.reader.read(_HEADS, ())
        }

    # -- copying ---------------------------------------------------------------------------

    def _copy(self) -> None:
        vectors, *others = COPIED
        plan = (vectors, *STATES, *others)
        names = [table.name for table in plan]
        first = 0 if self._place.table is None else names.index(self._place.table)
        after = self._place.after
        for table in plan[first:]:
            listed = listing(table)
            for page in pages(self._source.reader, listed, after, self._rows_a_page):
                self._page(listed, page)
            after = None

    def _page(self, listed: Listing, page: Sequence[Row]) -> None:
        put = self._put(listed, page)
        place = Place(
            listed.table.name,
            listed.key_of(page[-1]),
            self._place.rows + len(page),
            self._place.batches + 1,
        )
        with self._transaction(listed.table.name) as transaction:
            record.advance(transaction, self._runner, place)
            put(transaction)
        self._place = place
        self._report("moving", place.rows, self._total)

    def _put(self, listed: Listing, page: Sequence[Row]) -> Put:
        """What writes a page; the page is looked at before there is a transaction."""
        if listed.table in STATES:
            is_memory = listed.table is t.memory_state
            states = memory_page(self._source.reader, page) if is_memory else record_page(page)
            now = format_instant(self._clock.now())
            return lambda transaction: write_page(transaction, states, now)
        if listed.table is t.log_entries:
            _check_entries(listed, page)
        rows = self._renumbered(listed, page) if listed.table in _NUMBERED else page
        return lambda transaction: transaction.write(_copying(listed), rows)

    def _renumbered(self, listed: Listing, page: Sequence[Row]) -> Sequence[Row]:
        """Rows with the target's numbers of their origins."""
        place = listed.columns.index("origin_no")
        found: list[Row] = []
        for row in page:
            changed = list(row)
            changed[place] = self._origin_numbers[cast("int", row[place])]
            found.append(changed)
        return found

    @contextmanager
    def _transaction(self, what: str = UNFINISHED_MOVE) -> Iterator[Transaction]:
        try:
            with self._target.begin() as transaction:
                yield transaction
        except (BrokenConstraintError, RaceError) as error:
            raise ConflictError(
                f"the target does not take rows of {what}: {error.meaning.message}"
            ) from error
        except BatchError as error:
            raise error.meaning from error


def _check_entries(listed: Listing, page: Sequence[Row]) -> None:
    payload, payload_hash = map(listed.columns.index, ("payload", "payload_hash"))
    for row in page:
        data = cast("bytes | None", row[payload])
        if data is not None and sha256(data).digest() != row[payload_hash]:
            raise StoreOpenError(
                f"log entry {cast('int', row[0])} of the source does not have its hash",
                reason="damaged",
            )


@cache
def _copying(listed: Listing) -> Insert:
    conflict = None
    if listed.table is t.tombstones:  # the engine has written one with its state
        conflict = Replace(
            listed.columns[: listed.key_columns], listed.columns[listed.key_columns :]
        )
    return Insert(listed.table, listed.columns, conflict)
