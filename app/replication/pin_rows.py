"""Bindings in the store's table `peer_pins`: a `PinStore`."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import select

from app.domain.errors import AiMemoryError
from app.domain.timestamps import format_instant, parse_instant
from app.replication.pins import PeerPin
from app.store.protocol import Decided, LocalRow, Needs
from app.store.tables import peer_pins

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.store.protocol import Store, View

_TABLE: Final = "peer_pins"
_PINNED: Final = "pinned"
_RETRY_SECONDS: Final = 1.0
_LOGGER = logging.getLogger(__name__)


async def read_pins(store: Store) -> Sequence[PeerPin]:
    """Every binding that was kept.

    Raises:
        StoreUnavailableError: the store cannot be read.
    """
    rows = await store.select(select(*peer_pins.c).where(peer_pins.c.state == _PINNED))
    return [
        PeerPin(
            node_id=cast("str", row["node_id"]),
            name=cast("str", row["name"]),
            public_key=cast("bytes", row["public_key"]),
            fingerprint=cast("str | None", row["fingerprint"]),
            first_seen=parse_instant(cast("str", row["first_seen"])),
            last_seen=parse_instant(cast("str", row["last_seen"])),
            url=cast("str | None", row["url"]),
        )
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class _Write:
    """Rows of this node alone, without an entry."""

    rows: tuple[LocalRow, ...]

    @property
    def needs(self) -> Needs:
        return Needs()

    def decide(self, view: View) -> Decided[None]:
        del view
        return Decided(lambda _: None, rows=self.rows)


class PinRows:
    """Writes behind: a hello is not kept waiting, and one that is lost comes again."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, PeerPin | None] = {}
        self._rung = asyncio.Event()

    def put(self, pin: PeerPin) -> None:
        self._note(pin.node_id, pin)

    def drop(self, node_id: str) -> None:
        self._note(node_id, None)

    async def run(self) -> None:
        """Write what is noted, for ever."""
        while True:
            await self._rung.wait()
            try:
                await self.flush()
            except AiMemoryError as error:
                _LOGGER.warning("bindings of peers are not kept yet: %s", error.message)
                await asyncio.sleep(_RETRY_SECONDS)

    async def flush(self) -> None:
        """Write what is noted by now.

        Raises:
            AiMemoryError: the store cannot write; it stays noted.
        """
        self._rung.clear()
        if not self._waiting:
            return
        taken, self._waiting = self._waiting, {}
        try:
            await self._store.submit(_Write(tuple(_row(*one) for one in taken.items())))
        except BaseException:
            self._waiting = {**taken, **self._waiting}
            self._rung.set()
            raise

    def _note(self, node_id: str, pin: PeerPin | None) -> None:
        self._waiting[node_id] = pin
        self._rung.set()


def _row(node_id: str, pin: PeerPin | None) -> LocalRow:
    key = {"node_id": node_id}
    if pin is None:
        return LocalRow(_TABLE, key, None)
    return LocalRow(
        _TABLE,
        key,
        {
            "name": pin.name,
            "fingerprint": pin.fingerprint,
            "public_key": pin.public_key,
            "url": pin.url,
            "first_seen": format_instant(pin.first_seen),
            "last_seen": format_instant(pin.last_seen),
            "state": _PINNED,
        },
    )
