"""Which node is bound to which key and certificate.

A binding is made once, by the first hello whose sender proves its key, and is logged. From then
on the key is the node: a new certificate is bound when the pinned key vouches for it, a new key
only by an operator, be it that the key lies in the key folder under the node's name, that a
credential of a trusted issuer vouches for it, or that the offer is accepted by hand.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol

from app.domain.ed25519 import is_public_key
from app.replication.ports import UntrustedPeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import datetime

    from app.replication.ports import Caller

PINS_MAX: Final = 1_000
OFFERS_MAX: Final = 100
_SHOWN_DIGITS: Final = 12
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerPin:
    """A node as it is known here."""

    node_id: str
    name: str
    """Who it says to be; empty if it never said."""
    public_key: bytes
    fingerprint: str | None
    """SHA-256 of the certificate that it shows as a client, in hexadecimal digits."""
    first_seen: datetime
    last_seen: datetime
    url: str | None = None


class PinStore(Protocol):
    """Where bindings outlive the process. Both methods return at once and write later."""

    def put(self, pin: PeerPin) -> None:
        """Keep a binding, in place of the node's earlier one."""
        ...

    def drop(self, node_id: str) -> None:
        """Forget a node."""
        ...


class Vouchers(Protocol):
    """What an operator says of keys beforehand."""

    def enrolled(self, name: str) -> bytes | None:
        """The key in the key folder under this name."""
        ...

    def vouched(self, name: str, public_key: bytes) -> bool:
        """Whether a valid credential binds this key to this name."""
        ...


class PeerTrust:
    """The bindings in force: a `Trust`."""

    def __init__(
        self,
        pins: Iterable[PeerPin],
        store: PinStore,
        vouchers: Vouchers,
        now: Callable[[], datetime],
        *,
        names_count: bool = False,
        enrolment_required: bool = False,
    ) -> None:
        """Begin with `pins`, what was bound before.

        `names_count`: names decide what nodes may do, so no two share one and none changes.
        `enrolment_required`: only nodes are bound for whose key an operator has vouched.
        """
        self._pins = {pin.node_id: pin for pin in pins}
        self._by_fingerprint = {
            pin.fingerprint: pin.node_id for pin in self._pins.values() if pin.fingerprint
        }
        self._offers: dict[str, PeerPin] = {}
        self._store = store
        self._vouchers = vouchers
        self._now = now
        self._names_count = names_count
        self._enrolment_required = enrolment_required

    def admit(self, caller: Caller, node_id: str, public_key: bytes, name: str = "") -> None:
        """A hello of `caller`, who says to be `node_id`: check it, and bind it if it is new.

        `caller.node_id` is the node that `public_key` proved to be, by a signed request.

        Raises:
            UntrustedPeerError: `key_invalid`, `node_id_mismatch`, `certificate_bound`,
                `key_changed`, `key_not_enrolled`, `peer_not_enrolled`, `name_taken`,
                `name_changed` or `too_many_peers`.
        """
        if not is_public_key(public_key):
            raise UntrustedPeerError("key_invalid", f"{node_id} shows 32 bytes that are no key")
        proven = caller.node_id
        if proven is not None and proven != node_id:
            raise UntrustedPeerError(
                "node_id_mismatch", f"{caller.address} is {proven} and says to be {node_id}"
            )
        now = self._now()
        known = self._pins.get(node_id)
        offer = PeerPin(
            node_id,
            name or ("" if known is None else known.name),
            public_key,
            caller.fingerprint or (None if known is None else known.fingerprint),
            now if known is None else known.first_seen,
            now,
            None if known is None else known.url,
        )
        try:
            self._check(offer, known)
        except UntrustedPeerError as refused:
            self._remember(offer, refused)
            raise
        if known is None or _is_other(offer, known):
            self._bind(offer)

    def bind_certificate(self, fingerprint: str, node_id: str) -> None:
        """A node proved its pinned key over a certificate that nobody is bound to: bind it, too.

        Raises:
            UntrustedPeerError: `peer_unknown`, or `certificate_bound` to another node.
        """
        known = self._pins.get(node_id)
        if known is None:
            raise UntrustedPeerError("peer_unknown", f"{node_id} never said hello")
        self._require_free(fingerprint, node_id)
        if known.fingerprint != fingerprint:
            self._bind(replace(known, fingerprint=fingerprint, last_seen=self._now()))

    def node_of(self, caller: Caller) -> str:
        """The node behind a caller that said hello before.

        Raises:
            UntrustedPeerError: `peer_unknown`.
        """
        found = caller.node_id
        if caller.fingerprint is not None:
            found = self._by_fingerprint.get(caller.fingerprint)
        if found is None or found not in self._pins:
            raise UntrustedPeerError("peer_unknown", f"{caller.address} must say hello first")
        return found

    def bound_to(self, fingerprint: str) -> PeerPin | None:
        """Who shows this certificate."""
        node_id = self._by_fingerprint.get(fingerprint)
        return None if node_id is None else self._pins[node_id]

    def key_of(self, node_id: str) -> bytes | None:
        """The pinned public key of a node, if one is known."""
        pin = self._pins.get(node_id)
        return None if pin is None else pin.public_key

    def name_of(self, node_id: str) -> str:
        """Who a node says to be; empty if it never said."""
        pin = self._pins.get(node_id)
        return "" if pin is None else pin.name

    def note_url(self, node_id: str, url: str) -> None:
        """Remember where a node answers, for people."""
        pin = self._pins.get(node_id)
        if pin is not None and pin.url != url:
            self._pins[node_id] = noted = replace(pin, url=url)
            self._store.put(noted)

    @property
    def pins(self) -> Sequence[PeerPin]:
        """Every binding in force."""
        return list(self._pins.values())

    @property
    def offers(self) -> Sequence[PeerPin]:
        """What was refused because something else is bound, the latest of each node."""
        return list(self._offers.values())

    def accept(self, named: str) -> PeerPin:
        """Bind what was offered and refused; whatever stands against it is forgotten.

        Args:
            named: a node id, the beginning of one, a name or an address.

        Raises:
            KeyError: nothing was offered under that name, or by more than one node.
        """
        found = [
            offer
            for offer in self._offers.values()
            if offer.node_id.startswith(named) or named in {offer.name, offer.url}
        ]
        if len(found) != 1 or not named:
            raise KeyError(named)
        offer = found[0]
        holder = self._by_fingerprint.get(offer.fingerprint or "")
        if holder is not None and holder != offer.node_id:
            self.forget(holder)
        self._bind(offer)
        return offer

    def forget(self, node_id: str) -> None:
        """Bind a node no longer; its next hello is a first one."""
        pin = self._pins.pop(node_id, None)
        self._offers.pop(node_id, None)
        if pin is not None:
            if pin.fingerprint is not None:
                del self._by_fingerprint[pin.fingerprint]
            self._store.drop(node_id)
            _LOGGER.warning("peer %s (%s) is bound no longer", node_id, pin.name)

    def _check(self, offer: PeerPin, known: PeerPin | None) -> None:
        if offer.fingerprint is not None:
            self._require_free(offer.fingerprint, offer.node_id)
        is_vouched = self._is_vouched(offer)
        if self._enrolment_required and not is_vouched:
            raise UntrustedPeerError(
                "peer_not_enrolled", f"nobody has vouched for the key of {offer.name}"
            )
        if known is None:
            if len(self._pins) >= PINS_MAX:
                raise UntrustedPeerError("too_many_peers", f"{PINS_MAX} peers are bound already")
            if self._names_count:
                self._require_own_name(offer)
            return
        if self._names_count and offer.name != known.name and not is_vouched:
            raise UntrustedPeerError(
                "name_changed", f"{offer.node_id} was {known.name} and says to be {offer.name}"
            )
        if known.public_key != offer.public_key and not (is_vouched and offer.name == known.name):
            raise UntrustedPeerError(
                "key_changed",
                f"{offer.node_id} shows another key than before:"
                f" `ai-memory federation accept {offer.node_id}` if that is right",
            )

    def _is_vouched(self, offer: PeerPin) -> bool:
        enrolled = self._vouchers.enrolled(offer.name) if offer.name else None
        if enrolled is not None and enrolled != offer.public_key:
            raise UntrustedPeerError(
                "key_not_enrolled", f"{offer.name} has another key in the key folder"
            )
        return enrolled is not None or self._vouchers.vouched(offer.name, offer.public_key)

    def _require_free(self, fingerprint: str, node_id: str) -> None:
        holder = self._by_fingerprint.get(fingerprint)
        if holder is not None and holder != node_id:
            raise UntrustedPeerError(
                "certificate_bound",
                f"the certificate of {holder} was shown by {node_id}:"
                f" `ai-memory federation accept {node_id}` if that is right",
            )

    def _require_own_name(self, offer: PeerPin) -> None:
        for pin in self._pins.values():
            if pin.name == offer.name and pin.node_id != offer.node_id:
                raise UntrustedPeerError(
                    "name_taken", f"{offer.node_id} says to be {offer.name}, who is {pin.node_id}"
                )

    def _bind(self, pin: PeerPin) -> None:
        before = self._pins.get(pin.node_id)
        if before is not None and before.fingerprint is not None:
            del self._by_fingerprint[before.fingerprint]
        self._pins[pin.node_id] = pin
        if pin.fingerprint is not None:
            self._by_fingerprint[pin.fingerprint] = pin.node_id
        self._offers.pop(pin.node_id, None)
        self._store.put(pin)
        _LOGGER.warning(
            "peer %s (%s) is bound: key %s, certificate %s",
            pin.node_id,
            pin.name,
            pin.public_key.hex()[:_SHOWN_DIGITS],
            (pin.fingerprint or "none")[:_SHOWN_DIGITS],
        )

    def _remember(self, offer: PeerPin, refused: UntrustedPeerError) -> None:
        if refused.code in {"key_changed", "certificate_bound", "name_changed"}:
            self._offers.pop(offer.node_id, None)
            if len(self._offers) >= OFFERS_MAX:
                self._offers.pop(next(iter(self._offers)))
            self._offers[offer.node_id] = offer
        _LOGGER.warning("peer refused: %s: %s", refused.code, refused.message)


def _is_other(offer: PeerPin, known: PeerPin) -> bool:
    return (offer.name, offer.public_key, offer.fingerprint) != (
        known.name,
        known.public_key,
        known.fingerprint,
    )
