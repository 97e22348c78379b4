"""Keeps this node from writing under an origin whose numbers somebody else has seen otherwise.

A store that was set back, or a copy that runs beside its twin, would give numbers away twice. A
peer that knows more of our origin than we do, or other entries under its numbers, proves it; then
we write on under a new epoch, and what was lost comes back from peers like anybody's entries.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from app.log.epochs import EpochReason, used_epochs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.replication.here import Here
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)
RENEWALS_MAX: Final = 16
"""New epochs in one run of a node; more is a peer that lies, and each costs a durable write."""


class OriginGuard:
    """Renews the own origin when it is used up."""

    def __init__(self, store: Store, here: Here) -> None:
        self._store = store
        self._here = here
        self._one_at_a_time = asyncio.Lock()
        self.renewals = 0

    async def compare(self, clock: Mapping[str, int]) -> bool:
        """Look at a peer's clock; whether this node writes under a new origin now.

        Raises:
            StoreUnavailableError: the new origin could not be made durable.
        """
        if clock.get(self._here.origin, 0) <= self._here[self._here.origin]:
            return False
        async with self._one_at_a_time:
            await self._here.refresh()  # we may have written since we last looked
            if clock.get(self._here.origin, 0) <= self._here[self._here.origin]:
                return False
            return await self._renew(EpochReason.PEER_AHEAD, clock)

    async def forked(self, origin: str) -> bool:
        """A peer holds other entries under numbers of `origin`; whether that led to a new one.

        Raises:
            StoreUnavailableError: the new origin could not be made durable.
        """
        async with self._one_at_a_time:
            if origin != self._here.origin:
                return False
            return await self._renew(EpochReason.FORK, {})

    async def _renew(self, reason: EpochReason, clock: Mapping[str, int]) -> bool:
        if self.renewals >= RENEWALS_MAX:
            _LOGGER.error(
                "peers say once more that origin %s is used up (%s); a peer lies, it stays",
                *(self._here.origin, reason.value),
            )
            return False
        self.renewals += 1
        spent = self._here.origin
        origin = await self._store.renew_origin(
            reason, used_epochs([*clock, *self._here.clock, spent])
        )
        await self._here.refresh()
        _LOGGER.error(
            "origin %s is used up (%s), this node writes on as %s", spent, reason.value, origin
        )
        return True
