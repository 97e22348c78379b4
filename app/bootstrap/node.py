"""A node's life: lock, store, embedder, services, background loops; then back, in reverse."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from app.bootstrap.compose import Surroundings, compose
from app.bootstrap.door import MeshDoor
from app.bootstrap.embedding import QueryThreads, choose_embedder
from app.bootstrap.mesh import run_mesh
from app.bootstrap.sources import SystemClock, SystemDisk, SystemIds, SystemRandomness
from app.domain.errors import AiMemoryError, InvalidInputError
from app.recall.embedding.worker import EmbeddingWorker, WorkerLimits, document_executor
from app.replication.pin_rows import read_pins
from app.services.embedding_state import EmbeddingState
from app.services.reembed import StoreBacklog
from app.store.registry import StoreOptions, open_store
from app.store.sqlite.adapter import Sources
from app.store.sqlite.ownership import SERVE, Owner, StoreLock, take

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

    from app.bootstrap.mesh import RunningMesh
    from app.bootstrap.mesh_plan import FederationPlan
    from app.bootstrap.place import StorePlace
    from app.config.resolve import Resolution
    from app.log.epochs import EpochReason
    from app.recall.embedding.factory import BuiltEmbedder
    from app.recall.embedding.protocol import Embedder
    from app.services.bundle import Services
    from app.services.touches import Touches
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)

GC_SECONDS: Final = 1_800.0
WARM_SECONDS: Final = 30.0
GRAPH_SECONDS: Final = 1.0
QUARANTINE_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class NodePlan:
    """What a node is made from. `role` is what others read in the lock file."""

    resolution: Resolution
    place: StorePlace
    role: str = SERVE
    keyless_loopback: bool = True
    new_epoch: EpochReason | None = None
    federation: FederationPlan | None = None


@dataclass(slots=True)
class Node:
    """A node that runs: everything the surfaces need."""

    plan: NodePlan
    lock: StoreLock
    store: Store
    services: Services
    embedder: BuiltEmbedder
    worker: EmbeddingWorker | None
    door: MeshDoor | None = None
    """To its mesh, if it may have one."""


def embedding_state(
    built: BuiltEmbedder, worker: EmbeddingWorker | None, model: str
) -> EmbeddingState:
    """What is known of the embedder now."""
    embedder = built.embedder
    if embedder is None:
        return EmbeddingState()
    ready = worker is None or worker.last_error is None
    made = 0 if worker is None else worker.embedded
    return EmbeddingState(ready, model, embedder.dim, embedder.fingerprint, made)


@asynccontextmanager
async def run_node(plan: NodePlan, report: Callable[[str, int, int], None]) -> AsyncIterator[Node]:
    """Open everything, keep it running, close it in reverse.

    Raises:
        StoreOpenError: see `open_store`; `OwnedElsewhereError` if another process has the file.
        StoreUnavailableError: the file cannot be used now.
        InvalidInputError: the settings name replicas of a file, or an address that is none.
    """
    lock = take(plan.place.local)
    try:
        lock.announce(Owner(os.getpid(), plan.role, str(lock.control_socket)))
        # The embedder comes first: its runtime must be loaded before the vector index's.
        built = choose_embedder(plan.resolution, plan.place.local)
        store = _open(plan, built.embedder, report)
        try:
            async with _running(plan, lock, store, built) as node:
                yield node
        finally:
            await store.close()
    finally:
        lock.release()


def _open(
    plan: NodePlan, embedder: Embedder | None, report: Callable[[str, int, int], None]
) -> Store:
    settings = plan.resolution.settings
    options = StoreOptions(
        path=plan.place.local,
        mmap_bytes=settings.storage.db_mmap_size_bytes,
        model=None if embedder is None else embedder.fingerprint,
        dim=0 if embedder is None else embedder.dim,
        index_texts=settings.storage.near_duplicate != "off",
        new_epoch=plan.new_epoch,
        max_offset_ms=settings.federation.max_clock_offset_ms,
    )
    sources = Sources(SystemClock(), SystemRandomness(), SystemDisk())
    serving = plan.role == SERVE
    if plan.place.address is None:
        if serving and settings.store_read_url is not None:
            raise InvalidInputError("store_read_url is for a store on PostgreSQL only")
        return open_store(options, sources, report)
    from app.bootstrap.postgres import open_on_server  # noqa: PLC0415  # its driver is not for all

    return open_on_server(
        plan.place.address.reveal(), options, settings, sources, report, use_replicas=serving
    )


@asynccontextmanager
async def _running(
    plan: NodePlan, lock: StoreLock, store: Store, built: BuiltEmbedder
) -> AsyncIterator[Node]:
    settings = plan.resolution.settings
    clock = SystemClock()
    embedder = built.embedder
    queries = None if embedder is None else QueryThreads(embedder)
    documents = document_executor()
    worker: EmbeddingWorker | None = None
    backlog: StoreBacklog | None = None
    if embedder is not None:
        backlog = StoreBacklog(store, embedder.fingerprint, clock)
        limits = WorkerLimits(batch=settings.embeddings.backfill_batch)
        worker = EmbeddingWorker(
            embedder=embedder,
            source=backlog,
            sink=backlog,
            clock=clock,
            executor=documents,
            limits=limits,
        )
        store.watch_backlog(worker.notify)
    around = Surroundings(
        clock,
        SystemIds(),
        queries,
        None if embedder is None else (embedder, documents),
        lambda: embedding_state(built, worker, settings.embeddings.model),
    )
    composed = compose(plan.resolution, store, around)
    node = Node(plan, lock, store, composed.services, built, worker)
    try:
        async with AsyncExitStack() as stack:
            if plan.federation is not None:
                node.door = MeshDoor(
                    stack,
                    partial(_mesh_of, node, plan.federation),
                    partial(_join, node, backlog),
                )
                if plan.federation.is_meshed or await read_pins(store):
                    await node.door.open()
            async with _working(node, composed.touches):
                yield node
    finally:
        documents.shutdown(wait=True, cancel_futures=True)
        if queries is not None:
            queries.close()
        if embedder is not None:
            embedder.close()


def _mesh_of(node: Node, federation: FederationPlan) -> AbstractAsyncContextManager[RunningMesh]:
    embedder = node.embedder.embedder
    model = None if embedder is None else embedder.fingerprint
    return run_mesh(federation, node.store, node.plan.place.local, model, node.services.sync)


def _join(node: Node, backlog: StoreBacklog | None, running: RunningMesh) -> None:
    """Let the rest of the node know of its mesh."""
    node.services.federation.join(running.mesh, running.met, running.trust)
    if backlog is not None and node.worker is not None:
        backlog.duties = running.mesh.duties.now
        running.mesh.duties.changed = node.worker.notify


@asynccontextmanager
async def _working(node: Node, touches: Touches) -> AsyncIterator[None]:
    """Background loops, once the node may write."""
    met = node.services.federation.met
    touching = asyncio.create_task(touches.run(), name="touches")
    tasks = [asyncio.create_task(_after(met, loop), name=name) for name, loop in _loops(node)]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        touches.stop()
        await touching


async def _after(met: Callable[[], Awaitable[None]], loop: Coroutine[object, object, None]) -> None:
    try:
        await met()
    except BaseException:
        loop.close()
        raise
    await loop


def _loops(node: Node) -> list[tuple[str, Coroutine[object, object, None]]]:
    """Every background loop of a node; a command that runs in place has only the embedding."""
    services, store = node.services, node.store
    loops: list[tuple[str, Coroutine[object, object, None]]] = []
    if node.worker is not None:
        loops.append(("embedding", node.worker.run()))
    if node.plan.role == SERVE:
        loops.append(("gc", _every(GC_SECONDS, services.maintenance.collect)))
        loops.append(("answers", _every(GC_SECONDS, services.idempotency.forget)))
        loops.append(("quarantine", _retry(store)))
        loops.append(("warm", _every(WARM_SECONDS, store.refresh, at_once=True)))
        if store.graph_backend is not None:
            loops.append(("graph", _every(GRAPH_SECONDS, store.follow_graph, at_once=True)))
    return loops


async def _retry(store: Store) -> None:
    """Let in what waited: at a boot also what an older release may not have understood."""
    await _once(lambda: store.retry_quarantine(is_new_release=True))
    await _every(QUARANTINE_SECONDS, store.retry_quarantine)


async def _every(
    seconds: float, step: Callable[[], Awaitable[object]], *, at_once: bool = False
) -> None:
    """Run a step for ever, at an interval; a failing one is logged and tried again."""
    if at_once:
        await _once(step)
    while True:
        await asyncio.sleep(seconds)
        await _once(step)


async def _once(step: Callable[[], Awaitable[object]]) -> None:
    try:
        await step()
    except AiMemoryError as error:
        _LOGGER.warning("a background step failed and will be tried again: %s", error.message)
    except Exception:  # outermost frame of a background task
        _LOGGER.exception("a background step failed and will be tried again")
