"""Whom this node takes for its peers, and an operator's say in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import FeatureMissingError, NotFoundError
from app.domain.timestamps import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from app.replication.pins import PeerPin, PeerTrust
    from app.services.caller import Caller


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A node that is bound, or one that waits because something else is."""

    node_id: str
    name: str
    public_key: str
    """In hexadecimal digits."""
    fingerprint: str | None
    """SHA-256 of its client certificate, in hexadecimal digits."""
    url: str | None
    first_seen: str
    last_seen: str
    state: str
    """`bound`, or `offered`: refused until it is accepted."""


class PeerService:
    """For admins. `trust` None: this node is none of a mesh. `changed` hears of every decision."""

    def __init__(self, trust: PeerTrust | None, changed: Callable[[], None] = lambda: None) -> None:
        self._trust = trust
        self._changed = changed

    def all(self, caller: Caller) -> Sequence[KnownPeer]:
        """Bound peers, then those that wait.

        Raises:
            AdminRequiredError: the caller is no admin.
            FeatureMissingError: this node is none of a mesh.
        """
        trust = self._require(caller)
        return [
            *(_shown(pin, "bound") for pin in trust.pins),
            *(_shown(pin, "offered") for pin in trust.offers),
        ]

    def accept(self, caller: Caller, named: str) -> KnownPeer:
        """Bind what waits under a node id or its beginning, a name or an address.

        Raises:
            NotFoundError: nothing waits under that name, or more than one node does.
        """
        trust = self._require(caller)
        try:
            accepted = trust.accept(named)
        except KeyError:
            raise NotFoundError(f"no single peer waits under {named!r}") from None
        self._changed()
        return _shown(accepted, "bound")

    def forget(self, caller: Caller, named: str) -> KnownPeer:
        """Bind a node no longer: its next hello counts as its first.

        Raises:
            NotFoundError: nobody is bound under that name, or more than one node is.
        """
        trust = self._require(caller)
        found = [
            pin
            for pin in trust.pins
            if named and (pin.node_id.startswith(named) or named in {pin.name, pin.url})
        ]
        if len(found) != 1:
            raise NotFoundError(f"no single peer is bound under {named!r}")
        trust.forget(found[0].node_id)
        self._changed()
        return _shown(found[0], "forgotten")

    def _require(self, caller: Caller) -> PeerTrust:
        caller.require_admin()
        if self._trust is None:
            raise FeatureMissingError("this node is none of a mesh, or is not running")
        return self._trust


def _shown(pin: PeerPin, state: str) -> KnownPeer:
    return KnownPeer(
        node_id=pin.node_id,
        name=pin.name,
        public_key=pin.public_key.hex(),
        fingerprint=pin.fingerprint,
        url=pin.url,
        first_seen=format_instant(pin.first_seen),
        last_seen=format_instant(pin.last_seen),
        state=state,
    )
