"""The best mesh that sends every write to every peer by itself: one POST a write and peer.

All else is as good as it gets: bare ASGI, group commit on every side, both peers asked at once over
kept mutual TLS connections by the node's own lean client, no merge, chain, digest or signature.

`python -m bench.baseline.one_post --db FILE --port PORT --tls FOLDER --name NAME
[--entry --peers URL,URL]`
"""

import argparse
import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvicorn
from typing_extensions import override

from app.replication.http_connection import PeerConnection, connect
from bench.baseline.rows import Row
from bench.baseline.server import (
    NOT_FOUND,
    OK,
    Application,
    Message,
    Receive,
    Send,
    Writer,
    answer,
    read,
)

ROWS_A_COMMIT_MAX = 512
CONNECTIONS_MAX = 64
ROWS_PATH = "/rows"


class PeerError(Exception):
    """A peer did not take a row."""


@dataclass(frozen=True)
class Credentials:
    """Files in PEM of one node: who signs for everybody, and what this one shows."""

    authority: Path
    certificate: Path
    key: Path

    @classmethod
    def of(cls, folder: Path, name: str) -> "Credentials":
        return cls(folder / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key")

    def context(self) -> ssl.SSLContext:
        """What a client of the peers needs."""
        context = ssl.create_default_context(cafile=str(self.authority))
        context.load_cert_chain(self.certificate, self.key)
        return context


class Peer:
    """A pool of connections to one peer, each for one POST at a time."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        assert parts.port is not None
        self._host, self._port, self._context = parts.hostname, parts.port, context
        self._head = f"POST {ROWS_PATH} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-length: "
        self._idle: list[PeerConnection] = []
        self._slots = asyncio.Semaphore(CONNECTIONS_MAX)

    async def post(self, body: bytes) -> None:
        """Send a row; it is on the peer's disk when this returns.

        Raises:
            PeerError: It was refused.
        """
        async with self._slots:
            connection = await self._connection()
            found = await connection.ask(f"{self._head}{len(body)}\r\n\r\n".encode() + body)
            self._idle.append(connection)
        if found.status != OK:
            raise PeerError(f"{found.status} {found.body[:200]!r}")

    async def _connection(self) -> PeerConnection:
        while self._idle:
            idle = self._idle.pop()
            if idle.is_usable:
                return idle
        return await connect(self._host, self._port, self._context, self._host)


class Node(Application):
    """Takes rows from clients and from other nodes, and hands the first kind on."""

    def __init__(self, writer: Writer, peers: list[Peer], writes: int) -> None:
        super().__init__(writer)
        self._peers = peers
        self._needed = writes - 1
        self._rows = msgspec.msgpack.Decoder(Row)
        self._encoder = msgspec.msgpack.Encoder()
        self._under_way: set[asyncio.Task[None]] = set()

    @override
    async def keep(self, row: Row) -> None:
        await self.writer.write(row)
        if not self._peers:
            return
        body, left = self._encoder.encode(row), self._needed
        done = asyncio.get_running_loop().create_future()

        def count(task: asyncio.Task[None]) -> None:
            nonlocal left
            self._under_way.discard(task)
            error = task.exception()
            left -= 1
            if error is not None and not done.done():
                done.set_exception(error)
            elif left == 0 and not done.done():
                done.set_result(None)

        for peer in self._peers:
            task = asyncio.create_task(peer.post(body))
            self._under_way.add(task)
            task.add_done_callback(count)
        await done

    @override
    async def other(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["path"] != ROWS_PATH:
            await answer(send, NOT_FOUND, b'{"error":"not found"}')
            return
        await self.writer.write(self._rows.decode(await read(receive)))
        await answer(send, OK, b"{}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    add = parser.add_argument
    add("--db", type=Path, required=True)
    add("--port", type=int, required=True)
    add("--name", required=True, help="whose certificate of the folder to show")
    add("--tls", type=Path, required=True, help="folder of certificates")
    add("--entry", action="store_true", help="answer clients, who call without TLS")
    add("--peers", default="", help="addresses, separated by commas")
    add("--writes", type=int, default=2, help="copies before an answer (%(default)s)")
    options = parser.parse_args()
    own = Credentials.of(options.tls, options.name)
    urls = cast("str", options.peers).split(",") if options.peers else []
    peers = [Peer(url, own.context()) for url in urls]
    is_tls = not options.entry
    uvicorn.run(
        Node(Writer(options.db, ROWS_A_COMMIT_MAX), peers, options.writes),
        port=options.port,
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
        ssl_certfile=own.certificate if is_tls else None,
        ssl_keyfile=own.key if is_tls else None,
        ssl_ca_certs=str(own.authority) if is_tls else None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if is_tls else ssl.CERT_NONE,
    )


if __name__ == "__main__":
    main()
