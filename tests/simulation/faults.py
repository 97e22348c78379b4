"""What goes wrong, drawn from a seed, at moments drawn from it."""

import asyncio
import shutil
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from random import Random

from app.store.sqlite.identity import sidecar_path
from tests.unit.replication.cluster import Cluster, Node

FAULTS = (
    "crash",
    "crash",
    "part",
    "part",
    "one_way",
    "lossy",
    "doubling",
    "skew",
    "backup",
    "set_back",
)
SKEW_SECONDS = 20.0


@dataclass
class Backup:
    """Files of a node as they were, and how far its log was."""

    folder: Path
    clock: dict[str, int]


@dataclass
class Faults:
    """Breaks a cluster, a thing at a time, and mends all of it in the end."""

    cluster: Cluster
    random: Random
    backups: dict[str, Backup] = field(default_factory=dict)
    lost: list[tuple[str, dict[str, int]]] = field(default_factory=list)
    """(node, clock that its store was set back to) of every restored backup."""
    seen: list[str] = field(default_factory=list)

    async def strike(self) -> None:
        """One fault, which may last for a while and end by itself."""
        name = self.random.choice(FAULTS)
        self.seen.append(name)
        await getattr(self, f"_{name}")()

    async def mend(self) -> None:
        """Nothing is broken any more, and everybody is up."""
        network = self.cluster.network
        network.heal()
        network.lost = network.doubled = 0.0
        for node in self.cluster.nodes.values():
            node.clock.skew = timedelta()
            if node.mesh is None:
                await node.start()

    def _up(self) -> Node | None:
        up = self.cluster.up()
        return self.random.choice(up) if len(up) > 1 else None

    async def _pause(self) -> None:
        await asyncio.sleep(self.random.uniform(0.05, 3.0))

    async def _crash(self) -> None:
        node = self._up()
        if node is not None:
            await node.kill()
            await self._pause()
            await node.start()

    async def _part(self) -> None:
        names = list(self.cluster.nodes)
        self.random.shuffle(names)
        middle = self.random.randrange(1, len(names))
        self.cluster.network.part(names[:middle], names[middle:])
        await self._pause()
        self.cluster.network.heal()

    async def _one_way(self) -> None:
        one, other = self.random.sample(sorted(self.cluster.nodes), 2)
        self.cluster.network.cut.add((one, other))
        await self._pause()
        self.cluster.network.cut.discard((one, other))

    async def _lossy(self) -> None:
        self.cluster.network.lost = 0.3
        await self._pause()
        self.cluster.network.lost = 0.0

    async def _doubling(self) -> None:
        self.cluster.network.doubled = 0.5
        await self._pause()
        self.cluster.network.doubled = 0.0

    async def _skew(self) -> None:
        node = self.random.choice(list(self.cluster.nodes.values()))
        node.clock.skew = timedelta(seconds=self.random.uniform(-SKEW_SECONDS, SKEW_SECONDS))
        await self._pause()

    async def _backup(self) -> None:
        node = self._up()
        if node is None:
            return
        clock = await node.clocks()
        await node.kill()
        target = self.cluster.folder / f"backup-{len(self.seen)}"
        shutil.copytree(node.path.parent, target)
        self.backups[node.name] = Backup(target, clock)
        await node.start()

    async def _set_back(self) -> None:
        """An operator puts an older copy in a node's place, with its sidecar or without."""
        names = [one.name for one in self.cluster.up() if one.name in self.backups]
        if not names:
            return
        node = self.cluster.nodes[self.random.choice(names)]
        backup = self.backups[node.name]
        await node.kill()
        sidecar = sidecar_path(node.path)
        kept = sidecar.read_bytes() if sidecar.exists() and self.random.random() < 0.5 else None
        shutil.rmtree(node.path.parent)
        shutil.copytree(backup.folder, node.path.parent)
        if kept is not None:
            sidecar.write_bytes(kept)
        self.lost.append((node.name, backup.clock))
        await self._pause()
        await node.start()
