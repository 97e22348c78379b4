"""Clients that write as fast as a node answers, each with an account of what it was told.

A client writes one request after another to memories that nobody else touches. When the node
dies under a request, the client knows every acknowledged write and one that may or may not
have happened; `Client.disagreements` compares that with what the node shows after its restart.
"""

import http.client
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

import httpx

API: Final = "/api/v1"
REQUEST_SECONDS_MAX: Final = 60.0
PAGE: Final = 1_000
BULK_ROWS: Final = 5

Rows = dict[str, str]
"""Title → content of the live memories of one client."""


@dataclass(frozen=True)
class Reply:
    status: int
    body: Mapping[str, object]

    @property
    def text(self) -> str:
        return f"{self.status} {json.dumps(self.body)[:300]}"


@dataclass
class Memory:
    """A memory as its client knows it; the id is unknown when the answer got lost."""

    title: str
    content: str
    memory_id: str


@dataclass
class Client:
    """Writes into the namespace `name`."""

    name: str
    port: int
    seed: int
    known: dict[str, Memory] = field(default_factory=dict)
    links: set[tuple[str, str]] = field(default_factory=set)
    ended: set[str] = field(default_factory=set)
    in_doubt: Rows | None = None
    """What the rows are if the request that got no answer was done; None if none is open."""
    acknowledged: int = 0
    refused: list[str] = field(default_factory=list)
    _made: int = 0

    def __post_init__(self) -> None:
        self.chance = Random(f"{self.name}-{self.seed}")

    @property
    def rows(self) -> Rows:
        return {one.title: one.content for one in self.known.values()}

    def write_until(self, stop: threading.Event) -> None:
        """Write until told to stop, or until the node does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=REQUEST_SECONDS_MAX)
        try:
            while not stop.is_set():
                self._step(connection)
        except (OSError, http.client.HTTPException):
            return  # the node is gone; what was open is in `in_doubt`
        finally:
            connection.close()

    def _step(self, connection: http.client.HTTPConnection) -> None:
        ids = list(self.known)
        kinds = ("store", "store", "store", "bulk", "update", "update", "delete", "link")
        kind = self.chance.choice(kinds) if len(ids) > 1 else "store"
        match kind:
            case "store":
                self._store(connection, 1)
            case "bulk":
                self._store(connection, BULK_ROWS)
            case "update":
                self._update(connection, self.chance.choice(ids))
            case "delete":
                self._delete(connection, self.chance.choice(ids))
            case _:
                source, target = self.chance.sample(ids, 2)
                self._link(connection, source, target)

    def _store(self, connection: http.client.HTTPConnection, count: int) -> None:
        new = [self._new_row() for _ in range(count)]
        self.in_doubt = {**self.rows, **{str(row["title"]): str(row["content"]) for row in new}}
        if count == 1:
            reply = self._ask(connection, "POST", "/memories", new[0])
            ids = [reply.body.get("id")]
        else:
            reply = self._ask(connection, "POST", "/memories/bulk", new)
            found = reply.body.get("ids")
            ids = list(found) if isinstance(found, list) else []
        if reply.status in {200, 201} and len(ids) == count:
            for memory_id, row in zip(ids, new, strict=True):
                self.known[str(memory_id)] = Memory(
                    str(row["title"]), str(row["content"]), str(memory_id)
                )
        else:
            self.refused.append(reply.text)
        self._answered()

    def _update(self, connection: http.client.HTTPConnection, memory_id: str) -> None:
        before = self.known[memory_id]
        content = self._content()
        self.in_doubt = {**self.rows, before.title: content}
        reply = self._ask(connection, "PUT", f"/memories/{memory_id}", {"content": content})
        if reply.status == http.client.OK:
            before.content = content
        else:
            self.refused.append(reply.text)
        self._answered()

    def _delete(self, connection: http.client.HTTPConnection, memory_id: str) -> None:
        title = self.known[memory_id].title
        self.in_doubt = {one: text for one, text in self.rows.items() if one != title}
        reply = self._ask(connection, "DELETE", f"/memories/{memory_id}", None)
        if reply.status == http.client.OK:
            del self.known[memory_id]
            self.ended.add(memory_id)
        else:
            self.refused.append(reply.text)
        self._answered()

    def _link(self, connection: http.client.HTTPConnection, source: str, target: str) -> None:
        self.in_doubt = self.rows
        link = {"source_id": source, "target_id": target, "relation": "supersedes"}
        reply = self._ask(connection, "POST", "/links", link)
        if reply.status in {200, 201}:
            self.links.add((source, target))
        else:
            self.refused.append(reply.text)
        self._answered()

    def _answered(self) -> None:
        self.in_doubt = None
        self.acknowledged += 1

    def _new_row(self) -> dict[str, str]:
        self._made += 1
        title = f"{self.name} {self.seed}.{self._made}"
        return {"title": title, "content": self._content(), "namespace": self.name}

    def _content(self) -> str:
        self._made += 1
        return f"{self.name} says {self._made}: " + "words enough " * self.chance.choice((1, 60))

    @staticmethod
    def _ask(connection: http.client.HTTPConnection, method: str, path: str, body: object) -> Reply:
        payload = None if body is None else json.dumps(body)
        headers = {} if payload is None else {"Content-Type": "application/json"}
        connection.request(method, API + path, payload, headers)
        answer = connection.getresponse()
        return Reply(answer.status, json.loads(answer.read()))

    # -- after a restart -------------------------------------------------------------------

    def settle(self, shown: Mapping[str, tuple[str, str]]) -> list[str]:
        """Compare what the node shows, title → (id, content), and go on from there.

        Returns:
            What was promised and is not so, in words.
        """
        found = {title: content for title, (_, content) in shown.items()}
        faults = self._disagreements(found)
        alive = {memory_id for memory_id, _ in shown.values()} & self.ended
        faults += [f"{one} was deleted and is back" for one in sorted(alive)]
        self.known = {
            memory_id: Memory(title, content, memory_id)
            for title, (memory_id, content) in shown.items()
        }
        self.links = {pair for pair in self.links if set(pair) <= set(self.known)}
        self.in_doubt = None
        return faults

    def _disagreements(self, found: Rows) -> list[str]:
        if self.in_doubt is None or not self._only_partly_done(found):
            allowed = [self.rows] if self.in_doubt is None else [self.rows, self.in_doubt]
            if found in allowed:
                return []
            expected = self.rows
            differ = [
                title
                for title in sorted({*expected, *found})
                if expected.get(title) != found.get(title)
            ]
            return [f"{self.name}: {differ} are not as acknowledged; in doubt: {self.in_doubt}"]
        return []

    def _only_partly_done(self, found: Rows) -> bool:
        """Whether a bulk, whose rows each stand alone, was done in part."""
        doubted = self.in_doubt or {}
        return (
            len(doubted) - len(self.rows) == BULK_ROWS
            and self.rows.items() <= found.items() <= doubted.items()
        )


def shown_by(url: str, namespace: str) -> dict[str, tuple[str, str]]:
    """Title → (id, content) of all that the node lists in a namespace."""
    found: dict[str, tuple[str, str]] = {}
    cursor: str | None = None
    with httpx.Client(base_url=url + API, timeout=REQUEST_SECONDS_MAX, trust_env=False) as client:
        while True:
            asked = {"namespace": namespace, "limit": str(PAGE)}
            if cursor is not None:
                asked["cursor"] = cursor
            reply = client.get("/memories", params=asked)
            reply.raise_for_status()
            page = reply.json()
            found |= {one["title"]: (one["id"], one["content"]) for one in page["memories"]}
            cursor = page["next_cursor"]
            if cursor is None:
                return found


def links_shown_by(url: str, memory_ids: Sequence[str]) -> set[tuple[str, str]]:
    """(source, target) of the links that the node shows from these memories."""
    found: set[tuple[str, str]] = set()
    with httpx.Client(base_url=url + API, timeout=REQUEST_SECONDS_MAX, trust_env=False) as client:
        for memory_id in memory_ids:
            reply = client.get(f"/memories/{memory_id}")
            reply.raise_for_status()
            found |= {(one["source_id"], one["target_id"]) for one in reply.json()["links"]}
    return found


@dataclass
class Load:
    """Many clients, each in a thread, for as long as the node lives or until `stop`."""

    clients: Sequence[Client]

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._stop.clear()
        self._threads = [
            threading.Thread(target=one.write_until, args=(self._stop,), name=one.name)
            for one in self.clients
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let every client finish the request that it is in."""
        self._stop.set()
        for thread in self._threads:
            thread.join(REQUEST_SECONDS_MAX)
            assert not thread.is_alive(), f"{thread.name} hangs"

    @property
    def acknowledged(self) -> int:
        return sum(one.acknowledged for one in self.clients)
