"""Items in as few pushes as a v0.7.0 node takes, and which of them it really has now.

Its answer counts what it skipped and does not say which. So a push that was not taken whole is
sent again by halves, until the culprit stands alone; merging makes the rest of it harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from app.replication.ports import Failure, PeerCallError
from app.replication.v070.wire import LISTS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from app.replication.v070.client import PushReply, V070Client
    from app.replication.v070.outgoing import Item

BODY_BYTES_MAX: Final = 1_900_000
"""Below the 2 MiB that its router takes."""
LIST_ITEMS_MAX: Final = 500
_MALFORMED: Final = frozenset({400, 422})
_POSTGRES_LISTS: Final = frozenset({"memories", "deletions", "links"})
"""What a v0.7.0 node on PostgreSQL applies of what it acknowledges."""
_ORDER: Final = {name: place for place, name in enumerate(LISTS)}


class Refusals(dict[int, str]):
    """Place of an item → why the peer does not have it."""


class Sender:
    """Sends items in the name of this node."""

    def __init__(self, client: V070Client, identity: str) -> None:
        self._client = client
        self._identity = identity
        self.pushes = 0

    async def send(self, items: Sequence[Item]) -> Refusals:
        """Send them all; those that were refused, by their place.

        Raises:
            PeerCallError: the peer cannot be reached, or takes nothing from this node.
        """
        refused = Refusals()
        places = sorted(range(len(items)), key=lambda place: _ORDER[items[place].list])
        waiting = list(_chunks(items, places))
        while waiting:
            chunk = waiting.pop(0)
            code = await self._push(items, chunk, refused)
            if code is None:
                continue
            if len(chunk) == 1:
                refused[chunk[0]] = code
                continue
            middle = len(chunk) // 2
            waiting[:0] = [chunk[:middle], chunk[middle:]]
        return refused

    async def _push(
        self, items: Sequence[Item], chunk: Sequence[int], refused: Refusals
    ) -> str | None:
        """None when every item is accounted for, else why they are not."""
        chosen = [items[place] for place in chunk]
        self.pushes += 1
        try:
            reply = await self._client.push(_body(self._identity, chosen), chosen[0].key)
        except PeerCallError as error:
            if error.failure is Failure.TOO_LARGE or error.status in _MALFORMED:
                return error.failure.value
            raise
        if reply.results is not None and len(reply.results) == len(chunk):
            refused.update(_by_results(chunk, reply))
            return None
        return _verdict(chosen, reply)


def _verdict(chosen: Sequence[Item], reply: PushReply) -> str | None:
    """What v0.7.0's counts say: taken whole, or why not."""
    if reply.dry_run:
        return "dry_run"
    if reply.quota_refused:
        raise PeerCallError(Failure.THROTTLED, "the peer's quota is used up")
    if reply.skipped:
        return "skipped"
    if reply.ids is not None and not all(one.key in reply.ids for one in chosen):
        return "id_drift"
    drops = reply.unsupported_on_postgres or reply.storage_backend == "postgres"
    if drops and any(one.list not in _POSTGRES_LISTS for one in chosen):
        return "unsupported_on_postgres"
    return None


def _by_results(chunk: Sequence[int], reply: PushReply) -> Mapping[int, str]:
    """Results stand in the order of the lists, which is that of the items."""
    assert reply.results is not None
    return {
        place: one.code or "skipped"
        for place, one in zip(chunk, reply.results, strict=True)
        if one.status == "skipped"
    }


def _chunks(items: Sequence[Item], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """As many items as a push takes, in their order."""
    chunk: list[int] = []
    size, counts = 0, dict.fromkeys(LISTS, 0)
    for place in places:
        item = items[place]
        is_full = size + len(item.json) > BODY_BYTES_MAX or counts[item.list] >= LIST_ITEMS_MAX
        if chunk and is_full:
            yield chunk
            chunk, size, counts = [], 0, dict.fromkeys(LISTS, 0)
        chunk.append(place)
        size += len(item.json) + 1
        counts[item.list] += 1
    if chunk:
        yield chunk


def _body(identity: str, chosen: Sequence[Item]) -> bytes:
    lists: dict[str, list[bytes]] = {"memories": []}
    for item in chosen:
        lists.setdefault(item.list, []).append(item.json)
    parts = [b'{"sender_agent_id":' + msgspec.json.encode(identity)]
    parts.append(b',"sender_clock":{"entries":{}},"dry_run":false')
    for name, members in lists.items():
        parts.append(f',"{name}":['.encode() + b",".join(members) + b"]")
    return b"".join(parts) + b"}"
