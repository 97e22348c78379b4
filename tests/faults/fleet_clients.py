"""Clients of several nodes, each with an account of what its memories may say.

Unlike those of `load`, they go on while nodes and servers fall and rise. A request without an
answer, or with 503, may have happened: whatever it was about may from then on be as before or as
asked, and is left alone. All else must be exactly as acknowledged, at any time, from any node.
"""

import http.client
import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Final
from urllib.parse import urlencode

from tests.faults.common_rows import CONTESTED, NAMESPACE, CommonRows
from tests.faults.load import API, BULK_ROWS, REQUEST_SECONDS_MAX, Reply
from tests.faults.outages import Outages

PAUSE_SECONDS: Final = 0.05
OWNER: Final = "owner"
"""Who changes common rows, whichever client asks."""
JSON: Final = {"Content-Type": "application/json"}
UNTOLD: Final = ("deadlock", "40P01", "40001", "23505", "another transaction was faster")
"""What nodes settle among themselves and never tell a client."""
ROW_UNAVAILABLE: Final = '"replication unavailable'
CONTESTED_TITLES: Final = 6
GIVEN_UP_SHARE: Final = 0.4
MERGED_ROWS: Final = 4
KINDS: Final = (
    *("store", "store", "store", "bulk", "update", "update", "delete", "link"),
    *("get", "get", "get", "search", "recall"),
    *("change common", "merge common", "link common", "contest", "contest"),
)

Contents = tuple[str | None, ...]
"""What a memory may say; None is gone. With one element it is known."""


class Lost(Enum):
    """Why a request has no answer to go by."""

    UNSENT = "nobody listened"
    IN_DOUBT = "it may have happened"


@dataclass
class Row:
    """A memory of one client; the id is unknown as long as its making is in doubt."""

    title: str
    contents: Contents
    memory_id: str | None
    place: int = 0
    """Among those that can be asked for."""

    @property
    def is_known(self) -> bool:
        return len(self.contents) == 1 and self.contents[0] is not None


@dataclass
class FleetClient:
    """Writes into the namespace `name` through any of the nodes at `ports`."""

    name: str
    ports: Sequence[int]
    agent: str
    common: CommonRows
    outages: Outages
    seed: int
    rows: dict[str, Row] = field(default_factory=dict)
    known: list[Row] = field(default_factory=list)
    """Those of them that can be asked for."""
    links: set[tuple[str, str]] = field(default_factory=set)
    acknowledged: int = 0
    reads: int = 0
    slowest: float = 0.0
    wrong: list[str] = field(default_factory=list)
    """Answers that cannot be, in words."""
    _made: int = 0

    def __post_init__(self) -> None:
        self._chance = Random(f"{self.name}-{self.seed}")
        self._open: dict[int, http.client.HTTPConnection] = {}

    def write_until(self, stop: threading.Event) -> None:
        try:
            while not stop.is_set():
                self._step()
        finally:
            for connection in self._open.values():
                connection.close()
            self._open.clear()

    def disagreements(self, shown: Mapping[str, tuple[str, str]]) -> list[str]:
        """What a node shows, title → (id, content), that it may not, in words."""
        found = []
        for title in sorted({*self.rows, *shown}):
            row = self.rows.get(title)
            allowed: Contents = (None,) if row is None else row.contents
            content = shown[title][1] if title in shown else None
            if content not in allowed:
                found.append(f"{self.name}: {title!r} is {content!r:.60}, not {allowed!r:.120}")
        return found

    # -- one request -----------------------------------------------------------------------

    def _step(self) -> None:
        kind = self._chance.choice(KINDS) if len(self.known) > 1 else "store"
        match kind:
            case "store":
                self._store(1)
            case "bulk":
                self._store(BULK_ROWS)
            case "update":
                self._update(self._any())
            case "delete":
                self._delete(self._any())
            case "link":
                self._link(self._any(), self._any())
            case "get" | "search" | "recall":
                self._read(kind, self._any())
            case "change common":
                self._change_common()
            case "merge common":
                self._merge_common()
            case "link common":
                self._link_common()
            case _:
                self._contest()

    def _any(self) -> Row:
        return self._chance.choice(self.known)

    def _learn(self, row: Row) -> None:
        row.place = len(self.known)
        self.known.append(row)

    def _forget(self, row: Row) -> None:
        """Leave it alone from now on."""
        last = self.known.pop()
        if last is not row:
            self.known[row.place] = last
            last.place = row.place

    def _store(self, count: int) -> None:
        new = [self._new_row() for _ in range(count)]
        if count == 1:
            reply = self._ask("POST", "/memories", new[0])
        else:
            reply = self._ask("POST", "/memories/bulk", new)
        ids: Sequence[object] = []
        if isinstance(reply, Reply):
            found = reply.body.get("ids") if count > 1 else [reply.body.get("id")]
            ids = found if isinstance(found, list) else []
            if not self._is_success(reply) or len(ids) != count:
                self.wrong.append(f"store: {reply.text}")
                return
        for place, row in enumerate(new):
            title, content = row["title"], row["content"]
            if isinstance(reply, Reply):
                self.rows[title] = Row(title, (content,), str(ids[place]))
                self._learn(self.rows[title])
            elif reply is Lost.IN_DOUBT:
                self.rows[title] = Row(title, (content, None), None)

    def _update(self, row: Row) -> None:
        content = self._content()
        reply = self._ask("PUT", f"/memories/{row.memory_id}", {"content": content})
        self._take(row, reply, content, "update")

    def _delete(self, row: Row) -> None:
        self._take(row, self._ask("DELETE", f"/memories/{row.memory_id}"), None, "delete")

    def _take(self, row: Row, reply: Reply | Lost, wanted: str | None, what: str) -> None:
        if reply is Lost.IN_DOUBT:
            row.contents = (*row.contents, wanted)
        elif isinstance(reply, Reply):
            if self._is_success(reply):
                row.contents = (wanted,)
            else:
                self.wrong.append(f"{what}: {reply.text}")
        if not row.is_known:
            self._forget(row)

    def _link(self, source: Row, target: Row) -> None:
        if source is target:
            return
        pair = (str(source.memory_id), str(target.memory_id))
        reply = self._ask("POST", "/links", _link_body(pair))
        if isinstance(reply, Reply):
            if self._is_success(reply):
                self.links.add(pair)
            else:
                self.wrong.append(f"link: {reply.text}")

    def _read(self, kind: str, row: Row) -> None:
        if kind == "get":
            reply = self._ask("GET", f"/memories/{row.memory_id}")
            if isinstance(reply, Reply) and reply.body.get("content") != row.contents[0]:
                self.wrong.append(f"get: {reply.text} and not {row.contents[0]!r:.100}")
            return
        name = "q" if kind == "search" else "context"
        query = urlencode({name: row.title, "namespace": self.name, "limit": 10})
        reply = self._ask("GET", f"/{kind}?{query}")
        if isinstance(reply, Reply):
            found = reply.body.get("memories")
            ids = [one["id"] for one in found] if isinstance(found, list) else []
            if row.memory_id not in ids:
                self.wrong.append(f"{kind} of {row.title!r} ({row.memory_id}): {reply.text}")

    # -- what all clients change -----------------------------------------------------------

    def _change_common(self) -> None:
        row, content = self._chance.choice(self.common.rows), self._content()
        self.common.about_to_send(row, content)
        reply = self._ask("PUT", f"/memories/{row.memory_id}", {"content": content}, OWNER)
        if reply is Lost.IN_DOUBT:
            self.common.may_have_happened(row)
        elif isinstance(reply, Reply):
            if self._is_success(reply):
                self.common.happened(row)
            else:
                self.wrong.append(f"change of a common row: {reply.text}")

    def _merge_common(self) -> None:
        """Rows in any order, so that batches of two nodes meet in the middle."""
        rows = self._chance.sample(self.common.rows, MERGED_ROWS)
        body = [_body(row.title, self._content(), NAMESPACE, "merge") for row in rows]
        for row, one in zip(rows, body, strict=True):
            self.common.about_to_send(row, one["content"])
        reply = self._ask("POST", "/memories/bulk", body, OWNER)
        told = reply.body.get("ids") if isinstance(reply, Reply) else None
        if isinstance(reply, Reply) and told != [row.memory_id for row in rows]:
            self.wrong.append(f"merge of common rows: {reply.text}")
            return
        for row in rows:
            if reply is Lost.IN_DOUBT:
                self.common.may_have_happened(row)
            elif isinstance(reply, Reply):
                self.common.happened(row)

    def _link_common(self) -> None:
        source, target = self._chance.sample(self.common.rows, 2)
        pair = (source.memory_id, target.memory_id)
        reply = self._ask("POST", "/links", _link_body(pair), OWNER)
        if isinstance(reply, Reply):
            if self._is_success(reply):
                self.common.linked(pair)
            else:
                self.wrong.append(f"link of common rows: {reply.text}")

    def _contest(self) -> None:
        """Take a title that others want, or give it up."""
        title = f"contested {self._chance.randrange(CONTESTED_TITLES)}"
        held = self.common.contested.get(title)
        if held is not None and self._chance.random() < GIVEN_UP_SHARE:
            reply = self._ask("DELETE", f"/memories/{held}", None, OWNER)
            expected = {http.client.OK, http.client.NOT_FOUND}
        else:
            body = _body(title, self._content(), CONTESTED)
            reply = self._ask("POST", "/memories", body, OWNER)
            expected = {http.client.CREATED, http.client.CONFLICT}
        if isinstance(reply, Reply):
            if reply.status not in expected:
                self.wrong.append(f"contest: {reply.text}")
            elif reply.status == http.client.CREATED:
                self.common.got(title, str(reply.body["id"]))

    # -- sending ---------------------------------------------------------------------------

    def _ask(
        self, method: str, path: str, body: object = None, agent: str | None = None
    ) -> Reply | Lost:
        port = self._chance.choice(self.ports)
        begun = time.monotonic()
        try:
            reply = self._exchange(port, method, path, body, agent or self.agent)
        except ConnectionRefusedError as error:
            self._open.pop(port).close()
            return self._failed(port, begun, Lost.UNSENT, str(error))
        except (OSError, http.client.HTTPException) as error:
            self._open.pop(port).close()
            return self._failed(port, begun, Lost.IN_DOUBT, repr(error))
        refusals = str((reply.body.get("error"), reply.body.get("errors")))
        if any(word in refusals for word in UNTOLD):
            self.wrong.append(f"{method} {path}: {reply.text}")
        # A bulk is answered row by row.
        if reply.status == http.client.SERVICE_UNAVAILABLE or ROW_UNAVAILABLE in reply.text:
            return self._failed(port, begun, Lost.IN_DOUBT, reply.text)
        self.slowest = max(self.slowest, time.monotonic() - begun)
        if method == "GET":
            self.reads += 1
        else:
            self.acknowledged += 1
        return reply

    def _failed(self, port: int, begun: float, how: Lost, said: str) -> Lost:
        self.outages.note(port, begun, said)
        time.sleep(PAUSE_SECONDS)
        return how

    def _exchange(self, port: int, method: str, path: str, body: object, agent: str) -> Reply:
        if port not in self._open:
            self._open[port] = http.client.HTTPConnection(
                "127.0.0.1", port, timeout=REQUEST_SECONDS_MAX
            )
        connection = self._open[port]
        payload = None if body is None else json.dumps(body)
        connection.request(method, API + path, payload, {"X-Agent-Id": agent} | JSON)
        answer = connection.getresponse()
        return Reply(answer.status, json.loads(answer.read()))

    @staticmethod
    def _is_success(reply: Reply) -> bool:
        return reply.status in {http.client.OK, http.client.CREATED}

    def _new_row(self) -> dict[str, str]:
        self._made += 1
        return _body(f"{self.name}n{self._made}", self._content(), self.name)

    def _content(self) -> str:
        self._made += 1
        return f"{self.name} says {self._made}: " + "words enough " * self._chance.choice((1, 60))


def _body(title: str, content: str, namespace: str, on_conflict: str = "error") -> dict[str, str]:
    return {
        "title": title,
        "content": content,
        "namespace": namespace,
        "scope": "collective",  # every node shows it to whoever compares
        "on_conflict": on_conflict,
    }


def _link_body(pair: tuple[str, str]) -> dict[str, str]:
    return {"source_id": pair[0], "target_id": pair[1], "relation": "supersedes"}
