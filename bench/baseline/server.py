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
    """One thread, one connection, one durable transaction for each row."""

    def __init__(self, db: Path) -> None:
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
            job = self._jobs.get()
            store.commit([job.row])
            job.loop.call_soon_threadsafe(_resolve, job.done)


def _resolve(done: asyncio.Future[None]) -> None:
    if not done.done():  # the client may have gone
        done.set_result(None)


class Application:
    """Two routes: a health answer, and the store of a memory."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._decoder = msgspec.json.Decoder(Body)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        if scope["path"] == "/api/v1/health":
            await _answer(send, OK, b'{"status":"ok"}')
        elif scope["path"] == "/api/v1/memories" and scope["method"] == "POST":
            await self._store(await _read(receive), send)
        else:
            await _answer(send, NOT_FOUND, b'{"error":"not found"}')

    async def _store(self, body: bytes, send: Send) -> None:
        try:
            memory = self._decoder.decode(body)
        except msgspec.DecodeError as error:
            await _answer(send, BAD_REQUEST, json.dumps({"error": str(error)}).encode())
            return
        row = Row(
            str(uuid.uuid4()),
            memory.title,
            memory.content,
            memory.namespace,
            os.urandom(HASH_BYTES),
        )
        await self._writer.write(row)
        receipt = {"id": row.id, "tier": "mid", "namespace": row.namespace, "title": row.title}
        await _answer(send, CREATED, msgspec.json.encode(receipt))


async def _read(receive: Receive) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(cast("bytes", message.get("body", b"")))
        more = bool(message.get("more_body"))
    return b"".join(parts)


async def _answer(send: Send, status: int, body: bytes) -> None:
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
