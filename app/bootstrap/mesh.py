"""A node's mesh while it runs: made of its parts, started before the node serves, drained after."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.bootstrap.mesh_parts import open_federation
from app.bootstrap.reloading import Reloader
from app.bootstrap.sources import SystemClock, SystemRandomness
from app.domain.version import WIRE_VERSION
from app.replication.hello import Speaker
from app.replication.mesh import Mesh, MeshParts
from app.store.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from app.bootstrap.mesh_parts import FederationParts
    from app.bootstrap.mesh_plan import FederationPlan
    from app.recall.embedding.protocol import Embedder
    from app.store.protocol import Store


@dataclass(frozen=True, slots=True)
class RunningFederation:
    """What the surfaces use of it."""

    parts: FederationParts
    mesh: Mesh
    reloader: Reloader


@asynccontextmanager
async def running_federation(
    plan: FederationPlan, store: Store, local: Path, embedder: Embedder | None
) -> AsyncIterator[RunningFederation]:
    """Talk to peers, from the first hellos to the last entries.

    Raises:
        ConfigRefusedError: the node's key, or a file of trust, cannot be used.
        StoreUnavailableError: the store cannot be read.
    """
    parts = await open_federation(plan, store, local)
    mesh = Mesh(
        MeshParts(
            options=plan.options,
            store=store,
            transports=parts.transports,
            trust=parts.trust,
            key=parts.key,
            clock=SystemClock(),
            chance=SystemRandomness(),
            speaker=Speaker(
                identity=plan.options.identity,
                software=WIRE_VERSION,
                schema=SCHEMA_VERSION,
                model=None if embedder is None else embedder.fingerprint,
            ),
            scopes=parts.scopes,
        )
    )
    parts.mesh = mesh
    reloader = Reloader(parts.watched)
    tasks = [
        asyncio.create_task(one, name=name)
        for name, one in (
            ("pins", parts.pins.run()),
            ("reloading", reloader.run()),
            ("admission", parts.keep_up()),
        )
    ]
    try:
        await mesh.start()
        await mesh.first_contact()
        yield RunningFederation(parts, mesh, reloader)
    finally:
        await mesh.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await parts.pins.finish()
