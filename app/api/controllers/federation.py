"""How the mesh is, and whom it trusts."""

from __future__ import annotations

import msgspec
from litestar import Controller, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from app.log.kinds.member import LEFT
from app.replication.status import MeshStatus, OriginLag, PeerStatus
from app.services.bundle import Services
from app.services.caller import Caller
from app.services.federation import LEAVING_MEANS
from app.services.peers import KnownPeer


class LagBody(msgspec.Struct):
    """Entries of one origin that somebody lacks; `seconds` is the age of the oldest, if known."""

    origin: str
    entries: int
    seconds: float | None


class PeerBody(msgspec.Struct):
    """One configured peer, as this node sees it."""

    url: str
    node_id: str | None
    identity: str | None
    software: str | None
    state: str
    failure: str | None
    detail: str | None
    heard_seconds_ago: float | None
    clock_offset_ms: int | None
    clock_is_off: bool
    round_trip_ms: float | None
    watermark: int
    clock: dict[str, int]
    lag_entries: int
    lag_seconds: float | None
    lags: list[LagBody]
    blocked: dict[str, str]
    pushed_batches: int
    pushed_entries: int
    pushed_bytes: int
    digests_equal: bool | None
    compared_seconds_ago: float | None


class MemberBody(msgspec.Struct):
    """A node that belongs, or belonged, to the fleet: `joined`, `left` or `expired`."""

    node_id: str
    state: str
    since: str
    identity: str | None
    is_self: bool
    silent_seconds: float | None


class FederationStatusBody(msgspec.Struct, omit_defaults=True):
    """This node's part of the mesh; without peers there is little to say."""

    enabled: bool
    nodes: int
    quorum_writes: int
    digest: str
    node_id: str | None = None
    origin: str | None = None
    identity: str | None = None
    clock: dict[str, int] | None = None
    max_clock_offset_ms: int | None = None
    peers: list[PeerBody] | None = None
    lacks: list[LagBody] | None = None
    truncated: dict[str, int] | None = None
    quarantined: int | None = None
    quarantine_codes: dict[str, int] | None = None
    waiting_writes: int | None = None
    renewals: int | None = None
    received_entries: int | None = None
    received_known: int | None = None
    pulled_entries: int | None = None
    repairs: int | None = None
    repaired_buckets: int | None = None
    repaired_states: int | None = None
    snapshots: int | None = None
    scrubs: int | None = None
    damaged_rows: int | None = None
    mended_rows: int | None = None
    fetched_vectors: int | None = None
    members: list[MemberBody] | None = None
    warnings: list[str] | None = None
    log_truncated_entries: int | None = None
    dropped_tombstones: int | None = None


class ScrubBody(msgspec.Struct):
    """Begun; the status tells how it went."""

    state: str = "begun"


class PeersBody(msgspec.Struct):
    """Bound peers, and those that wait to be accepted."""

    peers: list[KnownPeer]
    count: int


class LeftBody(msgspec.Struct):
    """What became of this node's membership, and what that means."""

    node_id: str
    identity: str
    state: str
    message: str


class PeerChoice(msgspec.Struct):
    """One peer: its node id or the beginning of it, its name, or its address."""

    peer: str


class FederationController(Controller):
    """For operators and their monitoring."""

    path = "/api/v1/federation"
    tags = ("Federation",)

    @get("/status", summary="The mesh as this node sees it")
    async def status(self, services: NamedDependency[Services]) -> FederationStatusBody:
        """Peers, lag, clocks, quarantine; `digest` is equal on nodes that hold the same."""
        federation = services.federation
        body = FederationStatusBody(
            enabled=federation.is_enabled,
            nodes=federation.nodes,
            quorum_writes=federation.default_needed,
            digest=(await federation.digest()).hex(),
        )
        status = await federation.status()
        return body if status is None else _filled(body, status)

    @get("/peers", summary="Whom this node takes for its peers")
    async def peers(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> PeersBody:
        """Keys and certificates that are bound, and those that wait for an operator (admins)."""
        found = list(services.federation.peers.all(caller))
        return PeersBody(found, len(found))

    @post("/accept", status_code=200, summary="Bind a peer's changed key or certificate")
    async def accept(
        self,
        data: JSONBody[PeerChoice],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> KnownPeer:
        """What the peer showed and was refused with holds from now on (admins)."""
        return services.federation.peers.accept(caller, data.peer)

    @post("/scrub", status_code=202, summary="Check all stored rows now, and mend them")
    async def scrub(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> ScrubBody:
        """What the node does once a day; `scrubs`, `damaged_rows`, `mended_rows` tell (admins)."""
        services.federation.scrub(caller)
        return ScrubBody()

    @post("/forget", status_code=200, summary="Bind a peer no longer")
    async def forget(
        self,
        data: JSONBody[PeerChoice],
        services: NamedDependency[Services],
        caller: NamedDependency[Caller],
    ) -> KnownPeer:
        """The node's next hello counts as its first (admins)."""
        return services.federation.peers.forget(caller, data.peer)

    @post("/leave", status_code=200, summary="Leave the fleet")
    async def leave(
        self, services: NamedDependency[Services], caller: NamedDependency[Caller]
    ) -> LeftBody:
        """Peers wait for this node no longer; it talks to none until it is restarted (admins)."""
        mesh = await services.federation.leave(caller)
        return LeftBody(mesh.here.node_id, mesh.options.identity, LEFT, LEAVING_MEANS)


def _filled(body: FederationStatusBody, status: MeshStatus) -> FederationStatusBody:
    body.node_id = status.node_id
    body.origin = status.origin
    body.identity = status.identity
    body.clock = dict(status.clock)
    body.max_clock_offset_ms = status.max_offset_ms
    body.peers = [_peer(one) for one in status.peers]
    body.lacks = [_lag(one) for one in status.lacks]
    body.truncated = dict(status.truncated)
    body.quarantined = status.quarantined
    body.quarantine_codes = dict(status.quarantine_codes)
    body.waiting_writes = status.waiting_writes
    body.renewals = status.renewals
    body.received_entries = status.received.entries
    body.received_known = status.received.known
    body.pulled_entries = status.pulled.entries
    body.repairs = status.repaired.repairs
    body.repaired_buckets = status.repaired.buckets
    body.repaired_states = status.repaired.rows
    body.snapshots = status.snapshots.finished
    body.scrubs = status.scrubbed.scrubs
    body.damaged_rows = status.scrubbed.damaged
    body.mended_rows = status.scrubbed.mended
    body.fetched_vectors = status.fetched.vectors
    body.members = [
        MemberBody(
            one.node_id,
            one.state,
            one.since,
            one.identity,
            one.is_self,
            one.silent_seconds,
        )
        for one in status.members
    ]
    body.warnings = list(status.warnings)
    body.log_truncated_entries = status.log_truncated.entries
    body.dropped_tombstones = status.forgotten.tombstones
    return body


def _lag(lag: OriginLag) -> LagBody:
    return LagBody(lag.origin, lag.entries, lag.seconds)


def _peer(peer: PeerStatus) -> PeerBody:
    ages = [lag.seconds for lag in peer.lags if lag.seconds is not None]
    return PeerBody(
        url=peer.url,
        node_id=peer.node_id,
        identity=peer.identity,
        software=peer.software,
        state=peer.state,
        failure=peer.failure,
        detail=peer.detail,
        heard_seconds_ago=peer.heard_seconds_ago,
        clock_offset_ms=peer.clock_offset_ms,
        clock_is_off=peer.is_clock_off,
        round_trip_ms=peer.round_trip_ms,
        watermark=peer.watermark,
        clock=dict(peer.clock),
        lag_entries=sum(lag.entries for lag in peer.lags),
        lag_seconds=max(ages, default=None),
        lags=[_lag(one) for one in peer.lags],
        blocked=dict(peer.blocked),
        pushed_batches=peer.pushed.batches,
        pushed_entries=peer.pushed.entries,
        pushed_bytes=peer.pushed.bytes,
        digests_equal=peer.digests_equal,
        compared_seconds_ago=peer.compared_seconds_ago,
    )
