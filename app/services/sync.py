"""v0.7.0's sync: taking pushes in, answering pulls, remembering how far a peer was pulled."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError, UnauthenticatedError
from app.domain.timestamps import (
    TimestampError,
    canonical_instant,
    epoch_milliseconds,
    format_instant,
)
from app.log.kinds.v070 import v070_origin
from app.log.quarantine import RefusalCode
from app.replication.v070.nonces import PER_PEER_MAX, SeenNonce
from app.replication.v070.paging import page_of
from app.replication.v070.times import instant_of
from app.replication.v070.wire import COUNTED_LISTS
from app.services.commands.sync import ReceivePush, Unreadable
from app.services.keys import KeyFileError
from app.services.sync_items import Checker
from app.store.protocol import Decided, LocalRow, Needs
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from app.domain.memory import Memory
    from app.domain.sources import Clock
    from app.replication.attestation import PeerScope
    from app.replication.v070.gate import Bindings, SyncGate, SyncPeer, SyncRequest
    from app.replication.v070.wire import PushBody
    from app.services.caller import Caller
    from app.services.commands.sync import Push, Received
    from app.services.keys import KeyDirectory
    from app.services.link_signing import LinkVerifier
    from app.services.new_memory import TierLives
    from app.store.protocol import QuotaLimits, Store, View
    from app.store.sql.selects import SqlValue
    from app.store.sql.sync import SyncPosition

PAGE_ROWS: Final = 500
PAGE_ROWS_MAX: Final = 10_000
ITEMS_MAX: Final = 1_000
NEVER: Final = "1970-01-01T00:00:00.000000+00:00"
"""What stands in a cursor that nothing has moved yet."""
_READ_ROWS_MIN: Final = 100
_DETAIL_CHARACTERS_MAX: Final = 500
_EXAMINED_MAX: Final = 20_000

ScopeStatus = Literal["scoped", "legacy_bypass", "no_allowlist_default_deny"]


@dataclass(frozen=True, slots=True)
class SyncRules:
    """What a node says of itself, and what a push may cost. `limits` None charges nobody."""

    identity: str
    lives: TierLives
    limits: QuotaLimits | None
    items_max: int = ITEMS_MAX


@dataclass(frozen=True, slots=True)
class SincePage:
    """Rows by time. `examined_to` is the last one looked at, shown or not."""

    memories: Sequence[Memory]
    limit: int
    scope_status: ScopeStatus
    examined_to: str | None
    excluded: int = 0
    excluded_private: int = 0


@dataclass(frozen=True, slots=True)
class EnrolledKeys:
    """The keys of peers in the key directory."""

    directory: KeyDirectory

    def public_key(self, peer: str, /) -> Ed25519PublicKey | None:
        """The key of a peer.

        Raises:
            UnauthenticatedError: there is a file, and it is no key.
        """
        try:
            return self.directory.public_key(peer)
        except KeyFileError as error:
            # To take it for none would switch the signature off.
            raise UnauthenticatedError("x_memory_sig_no_enrolled_key") from error


class SyncService:
    """The use cases of v0.7.0's wire."""

    def __init__(
        self, store: Store, clock: Clock, gate: SyncGate, links: LinkVerifier, rules: SyncRules
    ) -> None:
        self._store = store
        self._clock = clock
        self._gate = gate
        self._checker = Checker(links)
        self.rules = rules
        self._loading: asyncio.Task[None] | None = None

    def join(self, bindings: Bindings) -> None:
        """Believe what the mesh knows of certificates and keys."""
        self._gate.bindings = bindings

    # -- who sends -------------------------------------------------------------------------

    async def admit(self, request: SyncRequest) -> SyncPeer:
        """The peer behind a request.

        Raises:
            UnauthenticatedError: with v0.7.0's tag as its message.
            ForbiddenError: the header names another peer than the certificate.
        """
        if self._loading is None or (self._loading.done() and self._loading.exception()):
            self._loading = asyncio.create_task(self._load_nonces())
        await asyncio.shield(self._loading)
        return self._gate.admit(request, epoch_milliseconds(self._clock.now()))

    async def _load_nonces(self) -> None:
        kept = await self._store.kept_nonces(2 * PER_PEER_MAX)
        seen = (SeenNonce(one.peer_id, one.fingerprint, one.last_touch) for one in kept)
        self._gate.nonces.load(seen)

    # -- push ------------------------------------------------------------------------------

    async def push(self, peer: SyncPeer, body: PushBody) -> Received:
        """Take a push in, all of it or, when a quota ends it, the memories up to there.

        Raises:
            InvalidInputError: no agent id, too long a list, or an id that can be none.
            ForbiddenError: the sender is not the peer's to name.
            StoreUnavailableError: nothing was kept, and the same request may come again.
        """
        try:
            validate_agent_id(body.sender_agent_id, reserved_allowed=True)
            self._gate.check_sender(peer, body.sender_agent_id)
            self._check_sizes(body)
            push = await self._checker.push(body)
            rows = _nonce_rows(peer, format_instant(self._clock.now()))
            # Over the control socket comes the owner of the file: nobody's quota.
            limits = None if peer.is_local else self.rules.limits
            scope = self._granted(peer)
            return await self.receive(
                push,
                rows=rows,
                limits=limits,
                dry_run=bool(body.dry_run),
                # Where an operator named namespaces, they hold for writes as on the mesh's lanes.
                scope=scope if scope is not None and scope.allowed_namespaces else None,
            )
        except Exception:
            if peer.seen is not None:
                self._gate.nonces.forget(peer.seen)
            raise

    async def receive(
        self,
        push: Push,
        *,
        rows: Sequence[LocalRow] = (),
        limits: QuotaLimits | None = None,
        dry_run: bool = False,
        scope: PeerScope | None = None,
    ) -> Received:
        """Take checked items in, and `rows` of this node's own with them.

        `limits` None charges nobody, `scope` None lets everything in.

        Raises:
            StoreUnavailableError: nothing was kept.
        """
        led = await self._store.namespaces_led_by(push.deletions) if push.deletions else ()
        command = ReceivePush(push, self.rules.lives, limits, led, rows, scope, dry_run)
        return (await self._store.submit(command)).result

    def _check_sizes(self, body: PushBody) -> None:
        for name in COUNTED_LISTS:
            if len(getattr(body, name) or ()) > self.rules.items_max:
                raise InvalidInputError(
                    f"sync_push limited to {self.rules.items_max} {name} per request",
                    fields=[name],
                )

    # -- since -----------------------------------------------------------------------------

    async def since(
        self, peer: SyncPeer, caller: Caller, since: str | None, limit: int | None
    ) -> SincePage:
        """A page of live rows updated after `since`, whole groups of equal times.

        Raises:
            InvalidInputError: `since` is no RFC 3339 time, or `limit` is negative.
        """
        wanted = PAGE_ROWS if limit is None else limit
        if wanted < 0:
            raise InvalidInputError("limit must be >= 0", fields=["limit"])
        wanted = min(wanted, PAGE_ROWS_MAX)
        if since is not None:
            must.instant(since, "since")
        if peer.seen is not None:
            await self._keep_nonce(peer)
        status = self._scope(peer)
        if status == "no_allowlist_default_deny":
            return SincePage((), wanted, status, since)
        scope = self._granted(peer) if status == "scoped" else None
        walk = _Walk(scope, peer, caller, wanted, since)
        while wanted and not walk.is_full:
            now = format_instant(self._clock.now())
            count = max(wanted - len(walk.shown), _READ_ROWS_MIN)
            found = await self._store.updated_after(MemoryFilter(now=now), walk.read_to, count)
            walk.take(found.memories, found.until)
            if found.until is None:
                break
        return walk.page(status)

    def _scope(self, peer: SyncPeer) -> ScopeStatus:
        rules = self._gate.rules
        if peer.is_local:
            return "legacy_bypass"
        if self._granted(peer) is not None:
            return "scoped"
        return "legacy_bypass" if rules.sync_trust_peer else "no_allowlist_default_deny"

    def _granted(self, peer: SyncPeer) -> PeerScope | None:
        name = peer.name
        return None if name is None else self._gate.rules.attestation.scope_of(name)

    async def _keep_nonce(self, peer: SyncPeer) -> None:
        await self._store.submit(_KeepRows(_nonce_rows(peer, format_instant(self._clock.now()))))

    # -- what was pulled -------------------------------------------------------------------

    async def take(
        self,
        peer: str,
        rows: Sequence[object],
        links: Sequence[object] = (),
        *,
        pulled_to: str | None = None,
        owner: str | None = None,
        dry_run: bool = False,
    ) -> Received:
        """Merge rows of a peer, and with them remember how far it was pulled.

        Rows that cannot be stored are put aside with the reason, so that the cursor may pass
        them. Nobody's quota is charged. With `owner` rows that are new here become that agent's.

        Raises:
            StoreUnavailableError: nothing was kept, the cursor stands.
        """
        push = await self._checker.rows(peer, rows, links, owner)
        now = format_instant(self._clock.now())
        kept: list[LocalRow] = []
        if pulled_to is not None and not dry_run:
            kept.append(
                LocalRow(
                    "sync_state",
                    self._key(peer),
                    {"last_seen_at": pulled_to, "last_pulled_at": now},
                )
            )
            kept += [
                _put_aside(peer, row, item, now)
                for row, item in zip(rows, push.memories, strict=True)
                if isinstance(item, Unreadable)
            ]
        return await self.receive(push, rows=kept, dry_run=dry_run)

    async def position(self, peer: str) -> SyncPosition:
        """How far this node has come with a peer that it pulls from and pushes to."""
        found = await self._store.sync_position(self.rules.identity, peer)
        return replace(found, pulled_to=None) if found.pulled_to == NEVER else found

    async def note_pushed(self, peer: str, pushed_to: str) -> None:
        """The peer has every own row up to this time."""
        known = await self.position(peer)
        values = {
            "last_seen_at": known.pulled_to or NEVER,
            "last_pulled_at": known.pulled_at or NEVER,
            "last_pushed_at": pushed_to,
        }
        await self._store.submit(_KeepRows((LocalRow("sync_state", self._key(peer), values),)))

    def _key(self, peer: str) -> dict[str, SqlValue]:
        return {"agent_id": self.rules.identity, "peer_id": peer}


@dataclass(frozen=True, slots=True)
class V070Here:
    """This node's side of what it exchanges with one v0.7.0 peer."""

    sync: SyncService
    peer: str

    async def pulled_to(self) -> str | None:
        """See `Local`."""
        return (await self.sync.position(self.peer)).pulled_to

    async def pushed_to(self) -> str | None:
        """See `Position`."""
        return (await self.sync.position(self.peer)).pushed_to

    async def note_pushed(self, pushed_to: str) -> None:
        """See `Position`."""
        await self.sync.note_pushed(self.peer, pushed_to)

    async def take(self, rows: Sequence[object], pulled_to: str | None) -> int:
        """See `Local`."""
        received = await self.sync.take(self.peer, rows, pulled_to=pulled_to)
        return received.count("memories", "new", "updated")


class _Walk:
    """A walk through rows by time, judging each."""

    def __init__(
        self,
        scope: PeerScope | None,
        peer: SyncPeer,
        caller: Caller,
        limit: int,
        since: str | None,
    ) -> None:
        """`scope` None: nothing is said of the peer, so that it is trusted or nobody."""
        self._scope = scope
        self._peer = peer
        self._caller = caller
        self._limit = limit
        self._since = since
        self._at = None if since is None else instant_of(since)
        self.read_to = None if since is None else canonical_instant(since)
        self.shown: list[Memory] = []
        self.is_full = False
        self._examined = 0
        self._excluded = 0
        self._excluded_private = 0

    def take(self, rows: Sequence[Memory], until: str | None) -> None:
        """Judge the next rows; none of them is later than `until`."""
        for row in page_of(rows, self._at, None if until is None else instant_of(until)):
            is_enough = len(self.shown) >= self._limit or self._examined >= _EXAMINED_MAX
            if is_enough and self.shown and row.at != self._at:
                self.is_full = True
                return
            self._at, self._since = row.at, row.memory.updated_at
            self._examined += 1
            self._judge(row.memory)
        if self._since is not None:
            self.read_to = canonical_instant(self._since)

    def _judge(self, memory: Memory) -> None:
        if self._scope is not None and not self._scope.covers(memory.namespace):
            self._excluded += 1
        elif not self._may_see(memory):
            self._excluded_private += 1
        else:
            self.shown.append(memory)

    def _may_see(self, memory: Memory) -> bool:
        if self._scope is None and self._peer.is_proven:
            return True
        peer = self._peer.name
        return (
            memory.metadata.get("federation_share") is True
            or self._caller.sees(memory)
            or (peer is not None and peer in {memory.owner, memory.inbox_target})
        )

    def page(self, status: ScopeStatus) -> SincePage:
        """What was found."""
        return SincePage(
            self.shown,
            self._limit,
            status,
            self._since,
            self._excluded,
            self._excluded_private,
        )


@dataclass(frozen=True, slots=True)
class _KeepRows:
    """Local rows and nothing else."""

    rows: Sequence[LocalRow]

    @property
    def needs(self) -> Needs:
        return Needs()

    def decide(self, view: View) -> Decided[None]:
        del view
        return Decided(lambda _: None, rows=self.rows)


def _nonce_rows(peer: SyncPeer, now: str) -> tuple[LocalRow, ...]:
    rows = [_nonce_row(one, None) for one in peer.gone]
    if peer.seen is not None:
        rows.append(_nonce_row(peer.seen, now))
    return tuple(rows)


def _put_aside(peer: str, row: object, item: Unreadable, now: str) -> LocalRow:
    """What cannot be stored, in quarantine: under the peer, and a number made of its bytes."""
    content = msgspec.json.encode(row)
    number = int.from_bytes(sha256(content).digest()[:8], "big") >> 1
    return LocalRow(
        "log_quarantine",
        {"origin": v070_origin(peer), "seq": number},
        {
            "code": RefusalCode.UNPROJECTABLE.value,
            "detail": f"{item.code}: {item.id}"[:_DETAIL_CHARACTERS_MAX],
            "entry": content,
            "received_at": now,
            "retry_at": None,
        },
    )


def _nonce_row(seen: SeenNonce, inserted_at: str | None) -> LocalRow:
    key: dict[str, SqlValue] = {"peer_id": seen.peer, "fingerprint": seen.fingerprint}
    if inserted_at is None:
        return LocalRow("federation_nonce_cache", key, None)
    return LocalRow(
        "federation_nonce_cache", key, {"last_touch": seen.seen_ms, "inserted_at": inserted_at}
    )


def parse_since(text: str | None) -> str | None:
    """The parameter; empty is absent, and a `+` that an unescaped query made a space is one again.

    Raises:
        InvalidInputError: no RFC 3339 time.
    """
    if not text:
        return None
    repaired = text
    if len(text) > len("+00:00") and text[-len("+00:00")] == " ":
        repaired = f"{text[:-6]}+{text[-5:]}"
    try:
        canonical_instant(repaired)
    except TimestampError as error:
        raise InvalidInputError(f"invalid since: '{text}'", fields=["since"]) from error
    return repaired
