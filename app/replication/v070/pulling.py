"""Everything that a v0.7.0 node has and this one lacks, page after page.

Its cursor is a time, and its pages end anywhere. So of a full page the last group of equal times
is left for the next one, rows dated in the far future are looked at again until their time has
come, and the cursor is kept in the transaction that keeps the rows. It is never kept later than a
moment ago: what others write meanwhile, by clocks that are behind, would lie before it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from app.replication.ports import Failure, PeerCallError
from app.replication.v070.times import TimestampError, instant_of, is_ahead

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.replication.v070.client import SinceReply, V070Client

SETTLED_SECONDS: Final = 5
"""How old a time must be for nothing earlier to be written any more."""
PAGE_ROWS: Final = 500
PAGE_ROWS_MAX: Final = 10_000
_LOGGER = logging.getLogger(__name__)


class Local(Protocol):
    """This node's side of a pull."""

    async def pulled_to(self) -> str | None:
        """The cursor: the peer's own text of the last time that was taken over."""
        ...

    async def take(self, rows: Sequence[object], pulled_to: str | None) -> int:
        """Merge rows as they came and move the cursor, in one transaction.

        Rows that nobody can read are put aside, so that they stop nothing. Returns how many
        changed something.

        Raises:
            StoreUnavailableError: nothing was kept, the cursor stands.
        """
        ...


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a page may be taken now."""

    rows: Sequence[object]
    pulled_to: str | None
    is_last: bool
    """Whether the peer has nothing more, or nothing that may be taken yet."""
    is_one_time: bool = False
    """The page is full of one time: only a larger one can get past it."""


class Puller:
    """Pulls from one peer."""

    def __init__(
        self,
        client: V070Client,
        local: Local,
        now: Callable[[], str],
        page_rows: int = PAGE_ROWS,
    ) -> None:
        self._client = client
        self._local = local
        self._now = now
        self._page_rows = page_rows

    async def pull(self, *, everything: bool = False) -> int:
        """Pull until nothing is left; how many rows changed something here.

        `everything`: from the first row on, for what came to the peer late and so lies before the
        cursor, which stands then.

        Raises:
            PeerCallError: the peer cannot be reached, or gives nothing to this node.
            StoreUnavailableError: this node cannot write now.
        """
        cursor = None if everything else await self._local.pulled_to()
        changed, limit, limit_max = 0, self._page_rows, PAGE_ROWS_MAX
        while True:
            try:
                reply = await self._client.since(cursor, limit)
            except PeerCallError as error:
                if error.failure is not Failure.TOO_LARGE or limit == 1:
                    raise
                limit_max = limit - 1
                limit = max(1, limit // 4)
                continue
            cut = cut_page(reply, cursor, limit, self._now())
            if cut.is_one_time and limit < limit_max:
                limit = min(limit * 4, limit_max)
                continue
            if cut.is_one_time:
                _LOGGER.warning(
                    "%s has %d rows or more of one time, %s: those behind them cannot be asked for",
                    self._client.url,
                    limit,
                    cut.pulled_to,
                )
            kept = None if everything else settled(cut, self._now())
            if cut.rows or kept is not None:
                changed += await self._local.take(cut.rows, kept)
            if cut.is_last:
                return changed
            cursor, limit = cut.pulled_to, min(self._page_rows, limit_max)


def cut_page(reply: SinceReply, cursor: str | None, limit: int, now: str) -> Cut:
    """What of a page may be taken, and where the next one starts."""
    rows = reply.memories
    is_ours = reply.next_since is not None
    is_full = len(rows) >= limit
    times = [_time(one) for one in rows]
    for place, time in enumerate(times):
        if time is not None and _is_ahead(time, now):
            # Everything behind it is later still; it will be asked for again.
            return Cut(rows[:place], _last(times[:place], cursor), is_last=True)
    if is_ours:
        # Such a page never ends inside of a group, and says how far it looked.
        is_last = reply.next_since == cursor or not rows
        return Cut(rows, reply.next_since, is_last=is_last)
    if not is_full:
        return Cut(rows, _last(times, cursor), is_last=True)
    last = _last(times, None)
    kept = len(rows)
    while kept and times[kept - 1] in {None, last}:
        kept -= 1
    if not kept:
        return Cut(rows, _last(times, cursor), is_last=False, is_one_time=True)
    return Cut(rows[:kept], _last(times[:kept], cursor), is_last=False)


def settled(cut: Cut, now: str) -> str | None:
    """The cursor that may be kept: the last time before which nothing will be written any more.

    None: the one that is kept already.
    """
    ends = [time for row in cut.rows if (time := _time(row)) is not None]
    if cut.pulled_to is not None and (not ends or cut.pulled_to != ends[-1]):
        ends.append(cut.pulled_to)
    limit = instant_of(now).microseconds - SETTLED_SECONDS * 1_000_000
    found = None
    for time in ends:
        if not _is_before(time, limit):
            break
        found = time
    return found


def _is_before(time: str, microseconds: int) -> bool:
    try:
        return instant_of(time).microseconds <= microseconds
    except TimestampError:
        return True


def _time(row: object) -> str | None:
    found = row.get("updated_at") if isinstance(row, dict) else None
    return found if isinstance(found, str) else None


def _is_ahead(time: str, now: str) -> bool:
    try:
        return is_ahead(time, now)
    except TimestampError:
        return False


def _last(times: Sequence[str | None], default: str | None) -> str | None:
    """The last time of a page, in the peer's own text: what it compares with."""
    return next((one for one in reversed(times) if one is not None), default)
