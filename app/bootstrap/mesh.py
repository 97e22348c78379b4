"""A node's mesh, for as long as the node serves."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.bootstrap.mesh_parts import open_federation
from app.bootstrap.old_peers import KnownPeers, OldPeers
from app.bootstrap.reloading import Reloader
from app.bootstrap.sources import SystemClock, SystemRandomness
from app.domain.errors import AiMemoryError
from app.domain.version import SOFTWARE
from app.log.epochs import parse_origin
from app.replication.hello import Speaker
from app.replication.mesh import Mesh, MeshParts
from app.store.tables import CURRENT_SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.bootstrap.mesh_parts import FederationParts
    from app.bootstrap.mesh_plan import FederationPlan
    from app.replication.authentication import Authenticator
    from app.replication.pins import PeerTrust
    from app.services.sync import SyncService
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)
_SWEEP_SECONDS: Final = 2.0


@dataclass(frozen=True, slots=True)
class RunningMesh:
    """What the surface needs of it, and how its files are read again."""

    mesh: Mesh
    authenticator: Authenticator
    trust: PeerTrust
    reloader: Reloader
    met: asyncio.Task[None]
    """Done when every peer was tried once: until then nothing may be written."""


@asynccontextmanager
async def run_mesh(
    plan: FederationPlan, store: Store, local: Path, model: str | None, sync: SyncService
) -> AsyncIterator[RunningMesh]:
    """Meet the peers while the node begins to serve; hand over what they lack before it ends.

    Raises:
        ConfigRefusedError: the node's key, or a file of trust, cannot be used.
        StoreUnavailableError: the store cannot be read.
    """
    parts = await open_federation(plan, store, local, await _node_id(store))
    mesh = Mesh(
        MeshParts(
            options=plan.options,
            store=store,
            transports=parts.transports,
            trust=parts.trust,
            key=parts.key,
            clock=SystemClock(),
            chance=SystemRandomness(),
            speaker=Speaker(plan.options.identity, SOFTWARE, CURRENT_SCHEMA_VERSION, model),
            scopes=parts.scopes,
            old=OldPeers(parts, store, sync).open,
        )
    )
    parts.mesh = mesh
    sync.join(KnownPeers(parts))
    reloader = Reloader(parts.watched)
    tasks = [
        asyncio.create_task(parts.pins.run(), name="pins"),
        asyncio.create_task(reloader.run(), name="reload"),
        asyncio.create_task(_sweep(parts), name="sweep"),
    ]
    try:
        await mesh.start()
        met = asyncio.create_task(mesh.first_contact(), name="first contact")
        tasks.append(met)
        yield RunningMesh(mesh, parts.authenticator, parts.trust, reloader, met)
    finally:
        await mesh.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            await parts.pins.flush()
        except AiMemoryError as error:
            _LOGGER.warning("bindings of peers are not kept: %s", error.message)


async def _node_id(store: Store) -> str:
    own = next(one.origin for one in await store.heads() if one.is_self)
    origin = parse_origin(own)
    assert origin is not None, own
    return origin.node_id


async def _sweep(parts: FederationParts) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        parts.sweep()
