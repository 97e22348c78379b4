"""Clients of a mesh, each with an account of what it was told, and a check of that history.

A client changes only rows of its own, one request at a time, so what its rows may say is known: as
acknowledged. A request without an answer, or one that missed its copies, may have happened: its
row may say either and is left alone from then on. Titles that all clients fight over are apart:
of these only is known that one row holds the name.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx

from tests.mesh.seeing import MEMORIES

PAUSE_SECONDS: Final = 0.02
REQUEST_SECONDS_MAX: Final = 10.0
BULK_ROWS: Final = 5
CONTESTED: Final = "contested"
CONTESTED_TITLES: Final = 5
KINDS: Final = (
    *("store", "store", "store", "bulk", "update", "update", "update", "delete", "delete"),
    *("archive", "restore", "link", "unlink", "promote", "consolidate", "contest", "standard"),
)

Lives = str | None
"""What a row says; None if it is not among the living."""


@dataclass
class Row:
    """One memory and what it may say."""

    memory_id: str
    allowed: tuple[Lives, ...]
    is_settled: bool = True
    """Whether nothing about it is in doubt."""


@dataclass
class Writer:
    """Writes through one node."""

    name: str
    node: str
    client: httpx.Client
    seed: int
    rows: dict[str, Row] = field(default_factory=dict)
    links: dict[tuple[str, str], set[bool]] = field(default_factory=dict)
    """Ends → whether the link may be there."""
    unanswered: list[str] = field(default_factory=list)
    """Titles of which nobody said whether they were stored."""
    counts: dict[str, int] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    """Answers that cannot be, in words."""
    _archived: dict[str, str] = field(default_factory=dict)
    """Id → what a row said when it went to the archive."""
    _made: int = 0

    def __post_init__(self) -> None:
        self._chance = Random(f"{self.name} {self.seed}")

    def write_until(self, stop: threading.Event) -> None:
        """Ask one thing after another."""
        with self.client:
            while not stop.is_set():
                getattr(self, f"_{self._chance.choice(KINDS)}")()

    # -- what is asked ---------------------------------------------------------------------

    def _store(self) -> None:
        body = self._body()
        reply = self._ask("store", "POST", MEMORIES, body)
        self._learn([body], None if reply is None else [reply[1].get("id")], reply)

    def _bulk(self) -> None:
        bodies = [self._body() for _ in range(BULK_ROWS)]
        reply = self._ask("bulk", "POST", f"{MEMORIES}/bulk", bodies)
        self._learn(bodies, None if reply is None else reply[1].get("ids"), reply)

    def _learn(
        self,
        bodies: Sequence[Mapping[str, Any]],
        ids: Sequence[Any] | None,
        reply: tuple[bool, Any] | None,
    ) -> None:
        if reply is None or ids is None or len(ids) != len(bodies):
            self.unanswered += [str(one["title"]) for one in bodies]
            return
        for body, memory_id in zip(bodies, ids, strict=True):
            # Stored here in any case: a miss says so, with the id.
            self.rows[memory_id] = Row(memory_id, (str(body["content"]),))

    def _update(self) -> None:
        row = self._any()
        if row is not None:
            content = self._text()
            path = f"{MEMORIES}/{row.memory_id}"
            self._take(row, content, self._ask("update", "PUT", path, {"content": content}))

    def _delete(self) -> None:
        row = self._any()
        if row is not None:
            self._take(row, None, self._ask("delete", "DELETE", f"{MEMORIES}/{row.memory_id}"))

    def _promote(self) -> None:
        row = self._any()
        if row is not None:
            self._ask("promote", "POST", f"{MEMORIES}/{row.memory_id}/promote")

    def _archive(self) -> None:
        row = self._any()
        if row is not None:
            said = row.allowed[0] or ""
            reply = self._ask("archive", "POST", "/api/v1/archive", {"ids": [row.memory_id]})
            self._take(row, None, reply)
            if row.is_settled:
                self._archived[row.memory_id] = said

    def _restore(self) -> None:
        if self._archived:
            memory_id, said = self._archived.popitem()
            path = f"/api/v1/archive/{memory_id}/restore"
            self._take(self.rows[memory_id], said, self._ask("restore", "POST", path))

    def _consolidate(self) -> None:
        sources = [one for one in (self._any(), self._any()) if one is not None]
        if len({one.memory_id for one in sources}) < 2:
            return
        body = {
            "ids": [one.memory_id for one in sources],
            "title": self._title(),
            "summary": self._text(),
            "namespace": self.name,
        }
        reply = self._ask("consolidate", "POST", "/api/v1/consolidate", body)
        for source in sources:
            self._take(source, None, reply)
        made = None if reply is None else reply[1].get("id")
        if made is None:
            self.unanswered.append(str(body["title"]))
        else:
            self.rows[made] = Row(made, (str(body["summary"]),))

    def _link(self) -> None:
        self._set_link("POST", is_there=True)

    def _unlink(self) -> None:
        self._set_link("DELETE", is_there=False)

    def _set_link(self, method: str, *, is_there: bool) -> None:
        source, target = self._any(), self._any()
        if not is_there and self.links:
            ends = self._chance.choice(list(self.links))
        elif source is not None and target is not None and source is not target:
            ends = (source.memory_id, target.memory_id)
        else:
            return
        if not all(self.rows[one].allowed != (None,) and self.rows[one].is_settled for one in ends):
            return
        body = {"source_id": ends[0], "target_id": ends[1]}
        reply = self._ask("link" if is_there else "unlink", method, "/api/v1/links", body)
        if reply is None:
            self.links[ends] = self.links.get(ends, {False}) | {is_there}
        else:
            self.links[ends] = {is_there}

    def _contest(self) -> None:
        body = self._body()
        body |= {
            "title": f"{CONTESTED} {self._chance.randrange(CONTESTED_TITLES)}",
            "namespace": CONTESTED,
            "on_conflict": "merge",
            "scope": "collective",
        }
        self._ask("contest", "POST", MEMORIES, body, expected=(403, 404, 409))

    def _standard(self) -> None:
        row = self._any()
        if row is not None:
            path = f"/api/v1/namespaces/{self.name}/standard"
            self._ask("standard", "POST", path, {"id": row.memory_id})

    # -- how it is answered ----------------------------------------------------------------

    def _ask(
        self, kind: str, method: str, path: str, body: object = None, expected: Sequence[int] = ()
    ) -> tuple[bool, Any] | None:
        """(whether it has its copies, its body), or None if nobody said what became of it."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        try:
            reply = self.client.request(method, path, json=body)
        except httpx.TransportError:
            self.counts["unanswered"] = self.counts.get("unanswered", 0) + 1
            threading.Event().wait(PAUSE_SECONDS * 5)
            return None
        if reply.is_success:
            return True, reply.json()
        if reply.status_code == 503:
            found = reply.json()
            if found["error"] == "quorum_not_met":
                self.counts["missed"] = self.counts.get("missed", 0) + 1
                return False, found
            self.counts["refused"] = self.counts.get("refused", 0) + 1
            threading.Event().wait(PAUSE_SECONDS)
            return None
        if reply.status_code not in expected:
            self.wrong.append(f"{self.name} {kind}: {reply.status_code} {reply.text:.200}")
        return None

    def _take(self, row: Row, wanted: Lives, reply: tuple[bool, Any] | None) -> None:
        # A miss is stored at its node, and must travel like everything else.
        row.allowed = (*row.allowed, wanted) if reply is None else (wanted,)
        row.is_settled = reply is not None

    def _any(self) -> Row | None:
        rows = [one for one in self.rows.values() if one.is_settled and one.allowed != (None,)]
        return self._chance.choice(rows) if rows else None

    def _body(self) -> dict[str, object]:
        return {"title": self._title(), "content": self._text(), "namespace": self.name}

    def _title(self) -> str:
        self._made += 1
        return f"{self.name} {self._made}"

    def _text(self) -> str:
        return f"{self._chance.getrandbits(64):x} " + "word " * self._chance.choice((1, 20, 400))


Shown = Mapping[str, Mapping[str, Any]]
"""Id → row of every memory that lives at a node."""


def read_all(client: httpx.Client, namespace: str) -> dict[str, dict[str, Any]]:
    """Every living row of a namespace at a node."""
    rows: dict[str, dict[str, Any]] = {}
    while True:
        found = client.get(
            MEMORIES, params={"namespace": namespace, "limit": 200, "offset": len(rows)}
        ).json()["memories"]
        if not found:
            return rows
        rows |= {one["id"]: one for one in found}


def disagreements(writer: Writer, shown: Shown, at: str) -> list[str]:
    """Whatever a node shows of a writer's rows that it may not show, in words."""
    found = []
    for memory_id, row in writer.rows.items():
        says = shown[memory_id]["content"] if memory_id in shown else None
        if says not in row.allowed:
            found.append(f"{at}: {memory_id} of {writer.name} is {says!r:.60}, not {row.allowed}")
    titles = [one["title"] for one in shown.values()]
    found += [f"{at}: {one!r} twice" for one in {*titles} if titles.count(one) > 1]
    unknown = {str(one["title"]) for key, one in shown.items() if key not in writer.rows}
    found += [f"{at}: nobody stored {one!r}" for one in unknown - {*writer.unanswered}]
    return found


def wrong_links(
    writer: Writer, links_of: Callable[[str], Sequence[Mapping[str, Any]]], shown: Shown, at: str
) -> list[str]:
    """Links of a writer that a node shows although they are gone, or does not although they hold.

    A link shows while both of its ends live.
    """
    there: dict[str, set[str]] = {}
    found = []
    for (source, target), may_be in writer.links.items():
        if source not in shown or target not in shown:
            continue
        if source not in there:
            there[source] = {one["target_id"] for one in links_of(source)}
        if (target in there[source]) not in may_be:
            found.append(f"{at}: link {source} -> {target} of {writer.name}: not {may_be}")
    return found
