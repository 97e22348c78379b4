"""Reads on streaming replicas, as far as those have come; the primary answers all else.

Whether a replica has come far enough is asked in the message that begins the read, of the same
snapshot: has it the lease of this node's connection to the primary, and the entries that must be
seen? That holds on every timeline, where two positions in the write-ahead log cannot be compared.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, TypeVar

from psycopg import sql
from typing_extensions import override

from app.domain.errors import StoreClosedError, StoreOpenError, StoreUnavailableError
from app.store.consistency import allowed_lag
from app.store.postgres.connection import Preamble
from app.store.postgres.pool import Readers
from app.store.protocol import ReplicaReads

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from app.domain.sources import Clock
    from app.store.postgres.connection import PostgresOptions

T = TypeVar("T")
_LOGGER = logging.getLogger(__name__)

REST_SECONDS: Final = 5.0
"""How long a replica that failed is left alone."""
_BEHIND_SECONDS: Final = 0.01
"""The same for one that has not come far enough: under a burst of writes hardly any would have."""
_ACQUIRE_SECONDS_MAX: Final = 2.0
_KEPT: Final = 64
"""Preambles kept: making one costs 50 us, and many reads share it."""

Entries = tuple[tuple[str, int], ...]
"""Origins, each with a sequence number."""


class BehindError(Exception):
    """The replica does not show what must be seen."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far this node's writes have come.

    `boot_token` was written when it connected to the primary: whoever has it has everything before.
    `last` is the last entry that it committed since, (origin, sequence number).
    """

    node_id: str
    boot_token: str
    last: tuple[str, int] | None = None

    @property
    def entries(self) -> Entries:
        return () if self.last is None else (self.last,)


@dataclass(frozen=True, slots=True)
class ReachedPreamble(Preamble):
    """Begins a transaction only where the position is reached."""

    @override
    def begin(self, connection: psycopg.Connection) -> None:
        cursor = connection.execute(self.text, prepare=False)
        while cursor.nextset():
            pass
        if cursor.fetchone() != (True,):
            raise BehindError


@lru_cache(maxsize=_KEPT)
def _reached(begin: Preamble, position: Position, entries: Entries) -> ReachedPreamble:
    """`begin`, if the position's lease and these entries are there."""
    conditions = [
        sql.SQL("(SELECT boot_token FROM node_leases WHERE node_id = {}) = {}").format(
            sql.Literal(position.node_id), sql.Literal(position.boot_token)
        )
    ]
    conditions.extend(
        sql.SQL("(SELECT head_seq FROM log_origins WHERE origin = {}) >= {}").format(
            sql.Literal(origin), sql.Literal(seq)
        )
        for origin, seq in entries
    )
    asked = sql.SQL("; SELECT {}").format(sql.SQL(" AND ").join(conditions))
    return ReachedPreamble(begin.text + asked.as_bytes(None))


@dataclass(slots=True)
class _Counts:
    """See `ReplicaReads`. Counted in the event loop alone."""

    replica: int = 0
    behind: int = 0
    failed: int = 0
    primary: int = 0


class ReplicaReaders(Readers):
    """Reads where the replicas are; none need be there at the beginning."""

    def __init__(self, options: PostgresOptions, *, inline: bool = False) -> None:
        waiting = replace(
            options,
            acquire_seconds=min(options.acquire_seconds, _ACQUIRE_SECONDS_MAX),
            read_only=True,
        )
        super().__init__(waiting, inline=inline, must_answer=False)


class RoutedReaders(Readers):
    """Reads of the primary, but for those that may lag."""

    def __init__(
        self,
        options: PostgresOptions,
        replicas: PostgresOptions,
        position: Callable[[], Position],
        clock: Clock,
        *,
        inline: bool = False,
    ) -> None:
        """Connect to the primary; to the replicas when they are there.

        Raises:
            StoreOpenError, StoreUnavailableError: of the primary, as `connect`.
        """
        super().__init__(options, inline=inline)
        self._replicas = ReplicaReaders(replicas, inline=inline)
        self._position = position
        self._clock = clock
        self._not_before = clock.monotonic()
        self._problem: str | None = None
        self._location = str(replicas.url)
        self._counts = _Counts()

    def told(self) -> ReplicaReads:
        """What became of reads that might have gone to a replica."""
        counts = self._counts
        return ReplicaReads(
            self._location,
            counts.replica,
            counts.behind,
            counts.failed,
            counts.primary,
            self._problem,
        )

    @override
    async def run(
        self, function: Callable[[psycopg.Connection], T], begin: Preamble | None = None
    ) -> T:
        """`function` of a replica's connection if it may lag and one has come far enough."""
        lag = allowed_lag()
        if lag is None:
            return await super().run(function, begin)
        if self._clock.monotonic() < self._not_before:
            self._counts.primary += 1
            return await super().run(function, begin)
        position = self._position()
        seen = position.entries if lag.seen is None else tuple(lag.seen.as_dict().items())
        reached = _reached(self._replicas.preamble, position, seen)
        try:
            found = await self._replicas.run(function, reached)
        except StoreClosedError:
            raise
        except BehindError:
            self._counts.behind += 1
            self._rest(_BEHIND_SECONDS)
        except (StoreUnavailableError, StoreOpenError) as error:
            self._counts.failed += 1
            self._rest(REST_SECONDS)
            self._note(error.message)
        else:
            self._counts.replica += 1
            self._note(None)
            return found
        return await super().run(function, begin)

    @override
    def close(self) -> None:
        super().close()
        self._replicas.close()

    def _rest(self, seconds: float) -> None:
        self._not_before = self._clock.monotonic() + seconds

    def _note(self, problem: str | None) -> None:
        if problem == self._problem:
            return
        self._problem = problem
        if problem is None:
            _LOGGER.info("reads go to the replicas again")
        else:
            _LOGGER.warning("reads go to the primary, because a replica failed: %s", problem)
