"""The baseline over HTTP: a bare ASGI application and a writer thread, one transaction a request.

`python -m bench.baseline.server --db FILE --port PORT`
"""

import argparse
import asyncio
import json
import os
import queue
import tempfile
import threading
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec
import uvicorn

from bench.baseline.raw_writes import RawStore
from bench.baseline.rows import HASH_BYTES, Row
from bench.baseline.template import learn

Message = MutableMapping[str, object]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

CREATED, OK, BAD_REQUEST, NOT_FOUND = 201, 200, 400, 404


class Body(msgspec.Struct):
    """What is read of `POST /api/v1/memories`."""

    title: str
    content: str
    namespace: str = "global"


@dataclass(frozen=True)
class Job:
    """A row that waits for its transaction, and the request that waits for it."""

    row: Row
    done: asyncio.Future[None]
    loop: asyncio.AbstractEventLoop


class Writer:
    """One thread, one connection, a durable transaction for at most `rows_max` waiting rows."""

    def __init__(self, db: Path, rows_max: int = 1) -> None:
        self._rows_max = rows_max
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._is_ready = threading.Event()
        threading.Thread(target=self._work, args=(db,), daemon=True).start()
        self._is_ready.wait()

    async def write(self, row: Row) -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self._jobs.put(Job(row, done, loop))
        await done

    def _work(self, db: Path) -> None:
        with tempfile.TemporaryDirectory(dir=db.parent) as folder:
            store = RawStore(db, learn(Path(folder) / "template"))
        self._is_ready.set()
        while True:
            jobs = self._take()
            store.commit([job.row for job in jobs])
            jobs[0].loop.call_soon_threadsafe(_resolve, jobs)

    def _take(self) -> list[Job]:
        jobs = [self._jobs.get()]
        while len(jobs) < self._rows_max:
            try:
                jobs.append(self._jobs.get_nowait())
            except queue.Empty:
                break
        return jobs


def _resolve(jobs: list[Job]) -> None:
    for job in jobs:
        if not job.done.done():  # the client may have gone
            job.done.set_result(None)


class Application:
    """Two routes: a health answer, and the store of a memory."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self._decoder = msgspec.json.Decoder(Body)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/api/v1/health":
            await answer(send, OK, b'{"status":"ok"}')
        elif scope["path"] == "/api/v1/memories" and scope["method"] == "POST":
            await self._store(await read(receive), send)
        else:
            await self.other(scope, receive, send)

    async def other(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer a request of any other route; `scope` and `receive` are its own."""
        del scope, receive
        await answer(send, NOT_FOUND, b'{"error":"not found"}')

    async def keep(self, row: Row) -> None:
        """Store a row as durably as promised."""
        await self.writer.write(row)

    async def _store(self, body: bytes, send: Send) -> None:
        try:
            memory = self._decoder.decode(body)
        except msgspec.DecodeError as error:
            await answer(send, BAD_REQUEST, json.dumps({"error": str(error)}).encode())
            return
        row = Row(
            str(uuid.uuid4()),
            memory.title,
            memory.content,
            memory.namespace,
            os.urandom(HASH_BYTES),
        )
        await self.keep(row)
        receipt = {"id": row.id, "tier": "mid", "namespace": row.namespace, "title": row.title}
        await answer(send, CREATED, msgspec.json.encode(receipt))


async def read(receive: Receive) -> bytes:
    """A request's whole body."""
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(cast("bytes", message.get("body", b"")))
        more = bool(message.get("more_body"))
    return b"".join(parts)


async def answer(send: Send, status: int, body: bytes) -> None:
    """A whole answer of JSON."""
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--db", type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(
        Application(Writer(options.db)),
        port=options.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
