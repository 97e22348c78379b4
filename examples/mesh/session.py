"""Start the fleet, let agents write, kill a node, bring it back, and look until all are equal."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import httpx
from rich.console import Console
from rich.live import Live
from rich.table import Table

from examples.mesh.agents import Agent, Tally
from examples.stdlib.corpus import iter_docstrings
from tools.fleet.fleet import Fleet, FleetError, FleetOptions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from examples.stdlib.corpus import Document

NODES: Final = 4
AGENTS_PER_NODE: Final = 5
VICTIM: Final = "node-c"
STATUS: Final = "/api/v1/federation/status"
NEWS_SECONDS_MAX: Final = 6.0
EQUAL_SECONDS_MAX: Final = 120.0
_LOOK_SECONDS: Final = 0.25
_LOOKED_UP_AT_ONCE: Final = 20
_KILL_AT: Final = 0.3
_BACK_AT: Final = 0.7


@dataclass(slots=True)
class Seen:
    """What a node says of itself: None while it does not answer."""

    entries: int
    clock: dict[str, int]
    digest: str
    peers_up: int
    behind: int


class Screen:
    """The table of nodes, drawn again at every look."""

    def __init__(self, fleet: Fleet, tallies: dict[str, Tally], total: int) -> None:
        self._fleet = fleet
        self._tallies = tallies
        self._total = total
        self.headline = "starting"
        self.seen: dict[str, Seen | None] = dict.fromkeys(fleet.nodes)

    @property
    def written(self) -> int:
        """Memories acknowledged so far."""
        return sum(len(tally.acknowledged) for tally in self._tallies.values())

    def are_equal(self) -> bool:
        """Whether every node answers and all hold the same."""
        found = [one for one in self.seen.values() if one is not None]
        if len(found) < len(self.seen):
            return False
        return all(one.clock == found[0].clock and one.digest == found[0].digest for one in found)

    def all_know(self) -> bool:
        """Whether each has heard from every other that it has all; idle ones say so slowly."""
        return all(one is not None and not one.behind for one in self.seen.values())

    def __rich__(self) -> Table:
        table = Table(title=f"{self.headline}: {self.written} of {self._total} memories")
        for column in ("node", "state", "agents' writes", "retries", "entries", "peers up"):
            table.add_column(column, justify="left" if column in {"node", "state"} else "right")
        table.add_column("behind", justify="right")
        table.add_column("digest")
        for name, seen in self.seen.items():
            tally = self._tallies[name]
            counts = (str(len(tally.acknowledged)), str(tally.retries))
            if seen is None:
                table.add_row(name, "[red]down", *counts, "", "", "", "")
                continue
            table.add_row(
                name,
                "[green]up",
                *counts,
                str(seen.entries),
                f"{seen.peers_up}/{len(self.seen) - 1}",
                str(seen.behind),
                seen.digest[:16],
            )
        return table

    async def look(self, client: httpx.AsyncClient) -> None:
        """Ask every node how it is."""
        names = list(self.seen)
        found = await asyncio.gather(*(_status(client, self._fleet[name].url) for name in names))
        self.seen.update(zip(names, found, strict=True))


async def _status(client: httpx.AsyncClient, url: str) -> Seen | None:
    try:
        reply = await client.get(url + STATUS, timeout=2)
        body = reply.raise_for_status().json()
    except httpx.HTTPError:
        return None
    return Seen(
        entries=sum(body["clock"].values()),
        clock=body["clock"],
        digest=body["digest"],
        peers_up=sum(one["state"] == "up" for one in body["peers"]),
        behind=sum(one["lag_entries"] or 0 for one in body["peers"]),
    )


async def _watch(screen: Screen, live: Live, client: httpx.AsyncClient) -> None:
    while True:
        await screen.look(client)
        live.update(screen)
        await asyncio.sleep(_LOOK_SECONDS)


async def _until(condition: Callable[[], bool], seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(_LOOK_SECONDS)
    return True


async def _play(fleet: Fleet, options: argparse.Namespace, console: Console) -> bool:
    documents = list(itertools.islice(iter_docstrings(), options.documents))
    tallies = {name: Tally() for name in fleet.nodes}
    screen = Screen(fleet, tallies, len(documents))
    await asyncio.to_thread(fleet.start)
    agents = _agents(fleet, documents, tallies)
    async with fleet.client("node-a") as client:
        with Live(screen, console=console, refresh_per_second=4) as live:
            watching = asyncio.create_task(_watch(screen, live, client))
            screen.headline = "20 agents write on 4 nodes"
            began = time.monotonic()
            writing = [asyncio.create_task(one.write()) for one in agents]
            await _until(lambda: screen.written >= _KILL_AT * len(documents), 600)
            fleet[VICTIM].kill()
            screen.headline = f"{VICTIM} was killed, the others go on"
            left = [one for one in writing if not one.done()]
            await _until(
                lambda: (
                    screen.written >= _BACK_AT * len(documents)
                    or sum(not one.done() for one in left) <= AGENTS_PER_NODE
                ),
                600,
            )
            screen.headline = f"{VICTIM} comes back and catches up"
            await asyncio.to_thread(fleet.start, VICTIM)
            await asyncio.gather(*writing)
            wrote = time.monotonic() - began
            screen.headline = "all is written; waiting until all nodes are equal"
            began = time.monotonic()
            equal = await _until(screen.are_equal, EQUAL_SECONDS_MAX)
            took = time.monotonic() - began
            screen.headline = "all nodes are equal" if equal else "the nodes differ"
            await _until(screen.all_know, NEWS_SECONDS_MAX if equal else 0)
            watching.cancel()
            live.update(screen)
        console.print(
            f"{screen.written} memories in {wrote:.1f} s; equal {took:.1f} s after the last write"
            if equal
            else "the nodes did not become equal in time"
        )
        lost = await _lost(fleet, client, tallies) if equal else ["?"]
    for agent in agents:
        await agent.client.aclose()
    console.print(
        f"{sum(len(one.acknowledged) for one in tallies.values())} acknowledged memories were"
        f" looked up on each of {NODES} nodes; lost: {len(lost)}"
    )
    return equal and not lost


def _agents(fleet: Fleet, documents: Sequence[Document], tallies: dict[str, Tally]) -> list[Agent]:
    count = NODES * AGENTS_PER_NODE
    agents = []
    for no in range(count):
        node = list(fleet.nodes)[no // AGENTS_PER_NODE]
        name = f"a{no + 1}"
        share = documents[no::count]
        agents.append(Agent(name, fleet.client(node, f"ai:{name}"), share, tallies[node]))
    return agents


async def _lost(
    fleet: Fleet, client: httpx.AsyncClient, tallies: dict[str, Tally]
) -> list[tuple[str, str]]:
    """(node, id) of each acknowledged memory that a node does not have."""
    wanted = [one for tally in tallies.values() for one in tally.acknowledged]
    lost: list[tuple[str, str]] = []
    for node in fleet:
        for start in range(0, len(wanted), _LOOKED_UP_AT_ONCE):
            some = wanted[start : start + _LOOKED_UP_AT_ONCE]
            replies = await asyncio.gather(
                *(client.get(f"{node.url}/api/v1/memories/{one}") for one in some)
            )
            lost += [
                (node.name, one)
                for one, reply in zip(some, replies, strict=True)
                if not reply.is_success
            ]
    return lost


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. 0: all nodes became equal and nothing was lost; 1: not; 2: no fleet."""
    parser = argparse.ArgumentParser(prog="mesh", description=__doc__)
    parser.add_argument("--documents", type=int, default=2_000, help="memories to write in all")
    parser.add_argument("--tier", default="keyword", help="the nodes' tier (semantic: embeddings)")
    parser.add_argument("--keep", type=Path, help="a folder for databases and logs, to be kept")
    options = parser.parse_args(arguments)
    console = Console()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="ai-memory-mesh-"))
    fleet = Fleet(folder, FleetOptions(nodes=NODES, quorum_writes=2, tier=options.tier))
    try:
        return 0 if asyncio.run(_play(fleet, options, console)) else 1
    except FleetError as error:
        console.print(str(error), style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        return 130
    finally:
        fleet.close()
        if options.keep is None:
            fleet.remove()
