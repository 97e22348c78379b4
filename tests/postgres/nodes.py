"""Nodes' stores on one database, as tests start and stop them."""

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from app.domain.errors import StoreUnavailableError
from app.domain.memory import Memory
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.identity import NodeFile
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.protocol import Receipt
from tests.contract.store.conftest import (
    MODEL,
    Put,
    RealDisk,
    SeededRandomness,
    TurnedClock,
    memory,
)

PATIENCE_SECONDS = 20.0


@dataclass
class Nodes:
    """Nodes on one database."""

    url: str
    clock: TurnedClock = field(default_factory=TurnedClock)
    running: list[PostgresStore] = field(default_factory=list)
    started: int = 0
    read_url: str | None = None

    def start(self, file: Path | None = None, **chosen: object) -> PostgresStore:
        self.started += 1
        node = PostgresStore(
            WriteOptions(
                PostgresOptions(PostgresUrl.parse(self.url), most=3, least=1),
                replicas=self._replicas(),
                model=MODEL,
                node_file=None if file is None else NodeFile(file, RealDisk()),
                **chosen,  # type: ignore[arg-type]  # the options' own names
            ),
            self.clock,
            SeededRandomness(self.started),
        )
        self.running.append(node)
        return node

    def _replicas(self) -> PostgresOptions | None:
        if self.read_url is None:
            return None
        return PostgresOptions(PostgresUrl.parse(self.read_url), most=3, least=1)

    async def stop(self, node: PostgresStore) -> None:
        self.running.remove(node)
        await node.close()


async def is_sound(node: PostgresStore) -> bool:
    return (await node.scrub(lambda _done, _total: None)).is_sound


async def put(node: PostgresStore, *ids: str) -> None:
    for answer in await node.submit_all([Put(memory(one)) for one in ids]):
        assert isinstance(answer, Receipt), answer


async def start_over(node: PostgresStore, memory_id: str) -> Receipt[Memory]:
    """The first write that a new primary takes."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            return await node.submit(Put(memory(memory_id)))
        except StoreUnavailableError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)
