"""A v0.7.0 node: a real server that speaks federation 1.6 to 2.1 as it does, its faults included.

What it gets wrong is what the tests are about, so it is told where it stands: rows are merged by
title and namespace, a taken id is skipped and acknowledged, deletions leave nothing behind, times
are texts, a page ends anywhere, and there is one lock for everything.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from typing_extensions import override

BODY_BYTES_MAX = 2 * 1024 * 1024
TIERS = ("short", "mid", "long")
REQUIRED = (
    "id",
    "tier",
    "namespace",
    "title",
    "content",
    "tags",
    "priority",
    "confidence",
    "source",
    "access_count",
    "created_at",
    "updated_at",
)
Row = dict[str, Any]


@dataclass
class OldNode:
    """Its tables, and how to talk to it. `refuse` may answer any request before it is looked at."""

    identity: str = "host:old-node"
    rows: dict[str, Row] = field(default_factory=dict)
    archive: dict[str, Row] = field(default_factory=dict)
    links: dict[tuple[str, str, str], Row] = field(default_factory=dict)
    pendings: dict[str, Row] = field(default_factory=dict)
    standards: dict[str, Row] = field(default_factory=dict)
    pushes: list[Row] = field(default_factory=list)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    refuse: Callable[[str, str], int | None] = lambda _method, _path: None
    postgres: bool = False
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)

    # -- what it receives ------------------------------------------------------------------

    def push(self, body: Row) -> Row:
        answer = dict.fromkeys(
            (
                "applied",
                "deleted",
                "archived",
                "restored",
                "links_applied",
                "pendings_applied",
                "pending_decisions_applied",
                "namespace_meta_applied",
                "namespace_meta_cleared",
                "noop",
                "skipped",
                "quota_refused",
            ),
            0,
        )
        dry_run = body.get("dry_run", False)
        self.pushes.append(body)
        if not dry_run:
            for row in body["memories"]:
                answer["applied" if self.insert_if_newer(row) else "skipped"] += 1
            for one in body.get("deletions", []):
                answer["deleted" if self.rows.pop(one, None) else "noop"] += 1
            if not self.postgres:
                self._lists(body, answer)
        else:
            answer["noop"] = sum(len(one) for one in body.values() if isinstance(one, list))
        more: Row = {
            "dry_run": dry_run,
            "receiver_agent_id": "anonymous:req-00000000",
            "receiver_clock": {"entries": {}},
        }
        if self.postgres:
            more = {**more, "storage_backend": "postgres", "unsupported_on_postgres": 0}
        return {**answer, **more}

    def _lists(self, body: Row, answer: dict[str, int]) -> None:
        for one in body.get("archives", []):
            row = self.rows.pop(one, None)
            if row is not None:
                self.archive[one] = row
            answer["archived" if row else "noop"] += 1
        for one in body.get("restores", []):
            answer["restored" if self._restore(one) else "skipped"] += 1
        for link in body.get("links", []):
            answer["links_applied" if self._link(link) else "skipped"] += 1
        for pending in body.get("pendings", []):
            self.pendings[pending["id"]] = pending
            answer["pendings_applied"] += 1
        for meta in body.get("namespace_meta", []):
            is_there = meta["standard_id"] in self.rows
            if is_there:
                self.standards[meta["namespace"]] = meta
            answer["namespace_meta_applied" if is_there else "skipped"] += 1
        for one in body.get("namespace_meta_clears", []):
            self.standards.pop(one, None)
            answer["namespace_meta_cleared"] += 1

    def _restore(self, memory_id: str) -> bool:
        if memory_id not in self.archive or memory_id in self.rows:
            return False
        self.rows[memory_id] = self.archive.pop(memory_id)
        return True

    def _link(self, link: Row) -> bool:
        if not {link["source_id"], link["target_id"]} <= set(self.rows):
            return False
        key = (link["source_id"], link["target_id"], link["relation"])
        self.links.setdefault(key, link)
        return True

    def insert_if_newer(self, row: Row) -> bool:
        if any(key not in row for key in REQUIRED) or not row["title"]:
            return False
        same = self._named(row["title"], row["namespace"])
        if same is None:
            if row["id"] in self.rows:
                return False  # a primary key that is taken: renames end here
            self.rows[row["id"]] = dict(row)
            return True
        # Texts, not instants.
        if (row["updated_at"], row["id"]) > (same["updated_at"], same["id"]):
            owner = same["metadata"].get("agent_id")
            for key in ("content", "tags", "source", "metadata"):
                same[key] = row[key]
            if owner:
                same["metadata"] = {**same["metadata"], "agent_id": owner}
        for key in ("priority", "confidence", "access_count", "updated_at"):
            same[key] = max(same[key], row[key])
        same["tier"] = max(same["tier"], row["tier"], key=TIERS.index)
        return True

    def _named(self, title: str, namespace: str) -> Row | None:
        return next(
            (
                one
                for one in self.rows.values()
                if (one["title"], one["namespace"]) == (title, namespace)
            ),
            None,
        )

    def since(self, since: str, limit: int) -> Row:
        found = sorted(
            (one for one in self.rows.values() if one["updated_at"] > since),
            key=lambda one: one["updated_at"],
        )[:limit]
        return {
            "count": len(found),
            "limit": limit,
            "updated_since": since or None,
            "earliest_updated_at": found[0]["updated_at"] if found else None,
            "latest_updated_at": found[-1]["updated_at"] if found else None,
            "memories": found,
            "excluded_for_scope": 0,
            "excluded_for_scope_private": 0,
            "scope_status": "legacy_bypass",
        }

    # -- what it does ----------------------------------------------------------------------

    def tell(self, url: str, *memories: Row, **lists: object) -> Row:
        """Fan out, as after a local write."""
        body = {
            "sender_agent_id": self.identity,
            "sender_clock": {"entries": {}},
            "memories": list(memories),
            **lists,
        }
        reply = httpx.post(
            f"{url}/api/v1/sync/push",
            json=body,
            headers={"x-peer-id": self.identity, "idempotency-key": "key"},
            trust_env=False,
            timeout=30,
        )
        reply.raise_for_status()
        found: Row = reply.json()
        return found

    def pull(self, url: str, cursor: str = "", limit: int = 500) -> str:
        """One tick of its catch-up: one page, and the largest text as the new cursor."""
        reply = httpx.get(
            f"{url}/api/v1/sync/since",
            params={"since": cursor, "limit": limit, "peer": self.identity},
            headers={"x-peer-id": self.identity},
            trust_env=False,
            timeout=30,
        )
        reply.raise_for_status()
        for row in reply.json()["memories"]:
            self.insert_if_newer(row)
            cursor = max(cursor, row["updated_at"])
        return cursor

    # -- serving ---------------------------------------------------------------------------

    @contextmanager
    def serving(self) -> "Iterator[OldNode]":
        server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        return type("Handler", (OldHandler,), {"node": self})


class OldHandler(BaseHTTPRequestHandler):
    """Its two routes."""

    node: OldNode
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        status = self._refusal("/api/v1/sync/push")
        if status is None and len(body) > BODY_BYTES_MAX:
            status = 413
        if status is not None:
            self._answer(status, {"error": "refused"})
            return
        try:
            given = json.loads(body)
            with self.node.lock:
                answer = self.node.push(given)
        except (ValueError, KeyError, TypeError) as error:
            self._answer(400, {"error": str(error)})
        else:
            self._answer(200, answer)

    def do_GET(self) -> None:
        status = self._refusal("/api/v1/sync/since")
        if status is not None:
            self._answer(status, {"error": "refused"})
            return
        asked = parse_qs(urlsplit(self.path).query)
        limit = min(int(asked.get("limit", ["500"])[0]), 10_000)
        with self.node.lock:
            answer = self.node.since(asked.get("since", [""])[0], limit)
        self._answer(200, answer)

    def _refusal(self, route: str) -> int | None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.node.requests.append((self.command, self.path, headers))
        status = self.node.refuse(self.command, self.path)
        return status or (None if urlsplit(self.path).path == route else 404)

    @override
    def handle(self) -> None:
        with suppress(ConnectionError):  # a client that was killed
            super().handle()

    def _answer(self, status: int, body: Row) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, *_: object) -> None:
        """Nothing: a test shows what it asserts."""
