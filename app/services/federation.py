"""The mesh as people and monitoring see it."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final

from app.domain.errors import FeatureMissingError
from app.log.digest import folded
from app.log.kinds.member import MEMBERSHIPS
from app.services.peers import PeerService

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from app.log.cursor import VectorClock
    from app.observability.metrics import Metrics
    from app.replication.durability import Outcome
    from app.replication.mesh import Mesh
    from app.replication.pins import PeerTrust
    from app.replication.status import MeshStatus
    from app.services.caller import Caller
    from app.store.protocol import Store


_NO_MESH: Final = "this node is none of a mesh, or is not running"
LEAVING_MEANS: Final = (
    "Its peers keep nothing for this node any more and it sends and takes nothing. It keeps its"
    " memories and serves them, and its writes wait for nobody. Take away --quorum-peers before the"
    " next start: with peers it joins again."
)


class FederationService:
    """Answers for a node with peers, and for one without. The mesh joins once it is made."""

    def __init__(self, store: Store, metrics: Metrics) -> None:
        self._store = store
        self._metrics = metrics
        self.mesh: Mesh | None = None
        self.peers = PeerService(None)
        self._met: asyncio.Task[None] | None = None

    def join(self, mesh: Mesh, met: asyncio.Task[None], trust: PeerTrust | None = None) -> None:
        """The node has peers; `met` is done when each was tried once."""
        self.mesh, self._met = mesh, met
        mesh.receiver.timed = self._metrics.apply_seconds.observe
        self.peers = PeerService(trust, mesh.trust_changed)

    async def met(self) -> None:
        """Wait until a write may be made: not before a peer had a chance to know this origin."""
        if self._met is not None and not self._met.done():
            await asyncio.wait([self._met])

    @property
    def is_enabled(self) -> bool:
        """Whether this node has peers."""
        return self.mesh is not None

    @property
    def nodes(self) -> int:
        """N: this node and its peers."""
        return 1 if self.mesh is None else self.mesh.nodes

    @property
    def default_needed(self) -> int:
        """Copies that a write needs whose request asks for nothing."""
        return 1 if self.mesh is None else self.mesh.default_needed

    async def wait(self, origin: str, seqs: Collection[int], needed: int) -> Outcome:
        """Await copies of what a request wrote; see `Mesh.wait`."""
        assert self.mesh is not None
        loop = asyncio.get_running_loop()
        began = loop.time()
        outcome = await self.mesh.wait(origin, seqs, needed)
        if needed > 1:
            metrics = self._metrics
            metrics.quorum_ack_seconds.observe(loop.time() - began)
            metrics.quorum_ack_total.labels("ok" if outcome.is_met else "fail").inc()
            if outcome.reason is not None:
                metrics.quorum_failures_total.labels(outcome.reason).inc()
                metrics.federation_partial_quorum_total.inc()
        return outcome

    async def missing(self, seen: VectorClock) -> Mapping[str, int]:
        """What of `seen` did not arrive here in time: origin → last number of it that is here.

        Empty without peers: nothing comes from elsewhere, so nothing is worth waiting for.
        """
        clock = seen.as_dict()
        if self.mesh is None or await self.mesh.reached(clock):
            return {}
        here = self.mesh.here
        return {origin: here[origin] for origin, seq in clock.items() if here[origin] < seq}

    def scrub(self, caller: Caller) -> None:
        """Let this node hash all that it stores now, and mend what it can, as it does daily.

        Raises:
            AdminRequiredError: the caller is no admin.
            FeatureMissingError: this node is none of a mesh, so nobody has what it lost.
        """
        caller.require_admin()
        if self.mesh is None:
            raise FeatureMissingError(_NO_MESH)
        self.mesh.scrubbing.begin()

    async def status(self) -> MeshStatus | None:
        """The mesh now; None without peers."""
        return None if self.mesh is None else await self.mesh.status()

    async def leave(self, caller: Caller) -> Mesh:
        """Leave the fleet; see `Mesh.leave`.

        Raises:
            AdminRequiredError: the caller is no admin.
            FeatureMissingError: this node is none of a mesh.
            StoreUnavailableError: nothing was left.
        """
        caller.require_admin()
        if self.mesh is None:
            raise FeatureMissingError(_NO_MESH)
        await self.mesh.leave()
        return self.mesh

    async def digest(self) -> bytes:
        """One digest of all states: equal on nodes that hold the same."""
        return folded(await self._store.digests())

    async def refresh_gauges(self) -> None:
        """Set what Prometheus reads."""
        status = await self.status()
        if status is None:
            return
        metrics = self._metrics
        for peer in status.peers:
            name = peer.identity or peer.url
            metrics.peer_up.labels(name).set(peer.state == "up")
            metrics.replication_lag_entries.labels(name).set(sum(lag.entries for lag in peer.lags))
            metrics.replication_lag_seconds.labels(name).set(
                max((lag.seconds or 0.0 for lag in peer.lags), default=0.0)
            )
            if peer.clock_offset_ms is not None:
                metrics.clock_offset_seconds.labels(name).set(peer.clock_offset_ms / 1000)
            metrics.digest_mismatch.labels(name).set(peer.digests_equal is False)
            metrics.pushes.labels(name).set(peer.pushed.batches)
            metrics.pushed_entries.labels(name).set(peer.pushed.entries)
        metrics.replication_missing_entries.set(sum(lag.entries for lag in status.lacks))
        states = Counter(one.state for one in status.members)
        for state in sorted(MEMBERSHIPS):
            metrics.members.labels(state).set(states[state])
        metrics.truncated_entries.set(status.log_truncated.entries)
        metrics.quarantine_depth.set(status.quarantined)
        metrics.received_entries.set(status.received.entries)
        metrics.known_entries.set(status.received.known)
        metrics.quarantine_entries.clear()
        for code, count in status.quarantine_codes.items():
            metrics.quarantine_entries.labels(code).set(count)
        repaired, taken = status.repaired, status.snapshots
        for total, count in (
            (metrics.repairs, repaired.repairs),
            (metrics.repaired_buckets, repaired.buckets),
            (metrics.repaired_rows, repaired.rows),
            (metrics.snapshots, taken.finished),
            (metrics.snapshot_pages, taken.pages),
            (metrics.snapshot_rows, taken.states),
            (metrics.snapshot_failures, taken.failures),
            (metrics.fetched_vectors, status.fetched.vectors),
        ):
            total.reach(count)
