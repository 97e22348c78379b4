"""Nodes on stores of one PostgreSQL server, loaded, broken on purpose and compared."""

import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

import httpx
import psycopg

from app.cli.exit_codes import ExitCode
from app.log.entry import GENESIS_HASH, chain_hash
from tests.faults.common_rows import CONTESTED, NAMESPACE, CommonRow, CommonRows
from tests.faults.fleet_clients import OWNER, FleetClient
from tests.faults.load import API, PAGE, REQUEST_SECONDS_MAX
from tests.faults.outages import Outages
from tests.faults.waiting import wait_for
from tests.integration.node import REPOSITORY, SERVE_CONFIG, Node, own_environment
from tools.postgres.cluster import Cluster

COMMON_ROWS: Final = 12
RECOVERY_SECONDS: Final = 15.0
SCRUB_SECONDS: Final = 300.0
FOLD_SECONDS: Final = 40.0
SEARCHES: Final = 8
LINKS_LOOKED_AT: Final = 40
FAULTS_SHOWN: Final = 20
_IN_TRANSACTION: Final = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = 'ai-memory'"
    " AND datname = current_database() AND xact_start IS NOT NULL"
)
_VOLATILE: Final = ("access_count", "last_accessed_at", "expires_at", "score")
"""What recalls change a second later."""

Rows = Mapping[str, Mapping[str, object]]


def server_node(folder: Path, url: str) -> Node:
    """A node at the keyword tier on a server's store; not started yet."""
    return Node(folder, SERVE_CONFIG.format(tier="keyword"), store_url=url)


@dataclass
class Group:
    """The nodes of one store, and their clients."""

    url: str
    nodes: Sequence[Node]
    schema: str
    chance: Random
    common: CommonRows = field(default_factory=CommonRows)
    clients: list[FleetClient] = field(default_factory=list)

    @property
    def ports(self) -> frozenset[int]:
        return frozenset(node.port for node in self.nodes)

    def prepare(self, outages: Outages, client_count: int, seed: int) -> None:
        """Make the common rows and the clients; the nodes run."""
        with _http(self.nodes[0]) as http:
            for number in range(COMMON_ROWS):
                title, content = f"{NAMESPACE} {number}", f"content of {number}"
                row = {"title": title, "content": content, "namespace": NAMESPACE}
                made = http.post("/memories", json={**row, "scope": "collective"})
                made.raise_for_status()
                self.common.rows.append(CommonRow(title, made.json()["id"], {content}))
        ports = sorted(self.ports)
        self.clients = [
            FleetClient(
                f"{self.schema}-{number}",
                ports,
                # Some share an owner, and so a row of quotas; some have one each.
                "several" if number % 2 else f"agent-{number}",
                self.common,
                outages,
                seed,
            )
            for number in range(client_count)
        ]

    # -- what must hold while nobody writes --------------------------------------------------

    def faults(self) -> list[str]:
        """All that is not as it was promised, in words."""
        faults = [fault for node in self.nodes for fault in self._shown_faults(node)]
        wait_for(lambda: not self._differences(), "the nodes to answer the same", RECOVERY_SECONDS)
        return [*faults, *self._log_faults(), *self._scrub_faults()]

    def _shown_faults(self, node: Node) -> list[str]:
        faults = []
        for client in self.clients:
            shown = _listed(node, client.name)
            plain = {title: (str(one["id"]), str(one["content"])) for title, one in shown.items()}
            faults += client.disagreements(plain)
        faults += self.common.disagreements(_listed(node, NAMESPACE).values())
        contested = _listed(node, CONTESTED)
        faults += [f"{title!r}: a title with two holders" for title in contested if "~" in title]
        return [*faults, *self._link_faults(node)]

    def _link_faults(self, node: Node) -> list[str]:
        living = {str(row.memory_id) for client in self.clients for row in client.known}
        living |= {row.memory_id for row in self.common.rows}
        wanted = {
            pair
            for links in (*(client.links for client in self.clients), self.common.links)
            for pair in links
            if set(pair) <= living
        }
        shown: set[tuple[str, str]] = set()
        with _http(node) as http:
            sources = sorted({source for source, _ in wanted})
            chosen = self.chance.sample(sources, min(LINKS_LOOKED_AT, len(sources)))
            for source in chosen:
                reply = http.get(f"/memories/{source}")
                reply.raise_for_status()
                shown |= {(one["source_id"], one["target_id"]) for one in reply.json()["links"]}
        looked_at = {pair for pair in wanted if pair[0] in chosen}
        return [f"the link {pair} is gone" for pair in sorted(looked_at - shown)]

    def _differences(self) -> list[str]:
        """In what the nodes' answers differ."""
        first, *others = self.nodes
        found = []
        names = [*(client.name for client in self.clients), NAMESPACE, CONTESTED]
        for name in names:
            expected = _listed(first, name)
            found += [name for node in others if _listed(node, name) != expected]
        words = [row.title for client in self.clients for row in client.known][-SEARCHES:]
        for word in [*words, "words", "enough says"]:
            expected_ids = _searched(first, word)
            found += [word for node in others if _searched(node, word) != expected_ids]
        return found

    def _log_faults(self) -> list[str]:
        """Every origin's log: numbers without a gap, hashes that follow from one another."""
        faults = []
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            connection.execute(f"SET search_path = {self.schema}".encode())
            heads = connection.execute(
                "SELECT origin_no, origin, head_seq, head_hash FROM log_origins"
            ).fetchall()
            for no, origin, head_seq, head_hash in heads:
                previous, expected = GENESIS_HASH, 1
                entries = connection.execute(
                    "SELECT seq, header, payload_hash, hash FROM log_entries"
                    " WHERE origin_no = %s ORDER BY seq",
                    [no],
                )
                for seq, header, payload_hash, digest in entries:
                    if seq != expected or digest != chain_hash(previous, header, payload_hash):
                        faults.append(f"the log of {origin} breaks at {seq}, after {expected - 1}")
                        break
                    previous, expected = digest, seq + 1
                if (head_seq, head_hash) != (expected - 1, previous):
                    faults.append(f"the head of {origin} is {head_seq}, its log ends differently")
        # Whoever is killed, or loses its server, goes on as who it was.
        if len(heads) != len(self.nodes):
            faults.append(f"{len(self.nodes)} nodes wrote as {[one[1] for one in heads]}")
        return faults

    def _scrub_faults(self) -> list[str]:
        node = self.nodes[0]
        done = subprocess.run(
            node.command("doctor", "--scrub"),
            cwd=REPOSITORY,
            env=own_environment(node.folder, {"AI_MEMORY_STORE_URL": node.store_url}),
            capture_output=True,
            text=True,
            check=False,
            timeout=SCRUB_SECONDS,
        )
        if done.returncode == ExitCode.OK and "damaged_states" in done.stdout:
            return []
        return [f"doctor --scrub: {done.returncode}\n{done.stdout}{done.stderr}"]

    def has_folded(self) -> bool:
        """Whether all that batches added to the digests is in the buckets."""
        with closing(psycopg.connect(self.url, autocommit=True)) as connection:
            found = connection.execute(
                f"SELECT count(*) FROM {self.schema}.digest_deltas".encode()
            ).fetchone()
        return found == (0,)


@dataclass
class Fleet:
    """Groups on one server; `say` gets a line a phase."""

    groups: Sequence[Group]
    server: Cluster
    say: Callable[[str], None]
    chance: Random
    outages: Outages = field(default_factory=Outages)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []
        self._begun = time.monotonic()
        self._deadlocks_before = 0
        self._deadlocks_before = self._deadlocks()

    @property
    def nodes(self) -> list[Node]:
        return [node for group in self.groups for node in group.nodes]

    @property
    def clients(self) -> list[FleetClient]:
        return [client for group in self.groups for client in group.clients]

    def start(self, client_count: int, seed: int) -> None:
        with ThreadPoolExecutor() as threads:
            list(threads.map(Node.start, self.nodes))
        for group in self.groups:
            group.prepare(self.outages, client_count, seed)

    # -- load ------------------------------------------------------------------------------

    def load(self) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=one.write_until, args=(self._stop,), name=one.name)
            for one in self.clients
        ]
        for thread in self._threads:
            thread.start()

    def rest(self) -> None:
        """Let every client finish the request that it is in."""
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_SECONDS_MAX)
            assert not thread.is_alive(), f"{thread.name} hangs"
        self._threads.clear()

    # -- phases ----------------------------------------------------------------------------

    def calm(self, seconds: float) -> None:
        writes, reads = self._counts()
        begun = time.monotonic()
        threading.Event().wait(seconds)
        took = time.monotonic() - begun
        now_writes, now_reads = self._counts()
        self._phase(
            f"calm: {(now_writes - writes) / took:.0f} writes/s,"
            f" {(now_reads - reads) / took:.0f} reads/s"
        )

    def kill_a_node(self) -> None:
        """The others must go on as if nothing were."""
        node = self.chance.choice(self.nodes)
        with self.outages.outage(frozenset({node.port})):
            node.kill()
            node.start()
        self._phase(f"a node killed and started again on {node.port}")

    def cut_connections(self, seconds: float) -> None:
        """End connections that are inside a transaction."""
        cut = 0
        with self.outages.outage(frozenset(node.port for node in self.nodes)):
            end_at = time.monotonic() + seconds
            with closing(psycopg.connect(self.groups[0].url, autocommit=True)) as connection:
                while time.monotonic() < end_at:
                    found = connection.execute(_IN_TRANSACTION).fetchall()
                    if found:
                        (pid,) = self.chance.choice(found)
                        connection.execute("SELECT pg_terminate_backend(%s)", [pid])
                        cut += 1
                    threading.Event().wait(0.05)
            self._await_recovery()
        self._phase(f"{cut} connections cut inside a transaction")

    def restart_server(self) -> None:
        with self.outages.outage(frozenset(node.port for node in self.nodes)):
            self.server.halt()
            threading.Event().wait(0.3)  # requests meet a server that is not there
            self.server.start()
            answering = time.monotonic()
            self._await_recovery()
        took = time.monotonic() - answering
        self._phase(f"the server crashed and came back; nodes write {took:.1f} s later")

    def check(self) -> None:
        """Nobody writes; all that was promised is there."""
        self.rest()
        faults = [wrong for client in self.clients for wrong in client.wrong]
        faults += self.outages.unexcused
        faults += [fault for group in self.groups for fault in group.faults()]
        faults += [f"{node.log_file} has a traceback" for node in self.nodes if _fell(node)]
        assert not faults, "\n".join(faults[:FAULTS_SHOWN])
        writes, reads = self._counts()
        slowest = max(client.slowest for client in self.clients)
        self._phase(
            f"checked: {writes} writes and {reads} reads as told,"
            f" {len(self.outages.failures)} requests lost in {len(self.outages.outages)} outages,"
            f" slowest answer {slowest:.1f} s, {self._deadlocks()} deadlocks dissolved"
        )

    def check_separate(self) -> None:
        """No store shows what is in another."""
        for group in self.groups:
            for other in self.groups:
                if other is group:
                    continue
                with _http(group.nodes[0]) as http:
                    for client in other.clients:
                        assert _listed(group.nodes[0], client.name) == {}
                        reply = http.get(f"/memories/{client.known[0].memory_id}")
                        assert reply.status_code == httpx.codes.NOT_FOUND

    def await_folding(self) -> None:
        """Nodes at rest fold what they added to the digests."""
        for group in self.groups:
            wait_for(group.has_folded, "folding", FOLD_SECONDS)
        self._phase("digests folded")

    def _await_recovery(self) -> None:
        for group in self.groups:
            for node in group.nodes:
                works = partial(_works, node, group.common.rows)
                wait_for(works, "a node to recover", RECOVERY_SECONDS)

    def _deadlocks(self) -> int:
        """How many the server found so far; the nodes run those batches again."""
        log = (self.server.folder / "log").read_text(encoding="utf-8", errors="replace")
        return log.count("deadlock detected") - self._deadlocks_before

    def _counts(self) -> tuple[int, int]:
        return sum(one.acknowledged for one in self.clients), sum(one.reads for one in self.clients)

    def _phase(self, what: str) -> None:
        self.say(f"{time.monotonic() - self._begun:6.1f} s  {what}")


def _fell(node: Node) -> bool:
    return "Traceback" in node.log


def _works(node: Node, rows: Sequence[CommonRow]) -> bool:
    """Whether it writes and reads."""
    source, target = (row.memory_id for row in rows[:2])
    link = {"source_id": source, "target_id": target, "relation": "related_to"}
    with suppress(httpx.TransportError), _http(node) as http:
        written = http.post("/links", json=link)
        return written.is_success and http.get(f"/memories/{source}").is_success
    return False


def _http(node: Node) -> httpx.Client:
    return httpx.Client(
        base_url=node.url + API,
        timeout=REQUEST_SECONDS_MAX,
        trust_env=False,
        headers={"X-Agent-Id": OWNER},
    )


def _listed(node: Node, namespace: str) -> Rows:
    """Title → memory of all that the node lists in a namespace."""
    found: dict[str, Mapping[str, object]] = {}
    cursor: str | None = None
    with _http(node) as http:
        while True:
            asked = {"namespace": namespace, "limit": str(PAGE)}
            if cursor is not None:
                asked["cursor"] = cursor
            reply = http.get("/memories", params=asked)
            reply.raise_for_status()
            page = reply.json()
            for one in page["memories"]:
                found[one["title"]] = {
                    name: value for name, value in one.items() if name not in _VOLATILE
                }
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def _searched(node: Node, words: str) -> list[str]:
    with _http(node) as http:
        reply = http.get("/search", params={"q": words, "limit": "50"})
        reply.raise_for_status()
        return sorted(one["id"] for one in reply.json()["memories"])
