"""Clients that keep a connection each and write one memory after the other, in one event loop.

For loads that `wrk` cannot make: a number of requests instead of a time, many servers, mutual TLS.
"""

import asyncio
import random
import ssl
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

from app.replication.http_connection import connect
from bench.baseline.rows import fragments
from bench.measurement import MeasurementError
from tools.fleet.fleet import Fleet

PATH = "/api/v1/memories"
CREATED = 201


@dataclass(frozen=True)
class Written:
    """What one client did: when it began and ended (`time.perf_counter`), and each wait in ms."""

    began: float
    ended: float
    waits_ms: Sequence[float]


def bodies(count: int, characters: int, prefix: str) -> list[bytes]:
    """Memories of real words as JSON, no two alike."""
    pool, chance = fragments(), random.Random(prefix)
    made = []
    for number in range(count):
        pieces = [f"{prefix} {number}"]
        while sum(map(len, pieces)) + len(pieces) - 1 < characters:
            pieces.append(chance.choice(pool))
        content = " ".join(pieces)[:characters]
        title = f"{chance.choice(pool)} {prefix} {number}"
        made.append(msgspec.json.encode({"title": title, "namespace": "bench", "content": content}))
    return made


async def write_all(
    fleet: Fleet, urls: Sequence[str], clients: int, made: Sequence[bytes]
) -> list[Written]:
    """Let `clients` at each address share the memories.

    Raises:
        MeasurementError: A write was not answered with 201.
    """
    left = iter(made)
    return list(
        await asyncio.gather(*(_client(fleet, url, left) for url in urls for _ in range(clients)))
    )


async def _client(fleet: Fleet, url: str, left: Iterator[bytes]) -> Written:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    shown = fleet.client_context()
    context = shown if isinstance(shown, ssl.SSLContext) and parts.scheme == "https" else None
    connection = await connect(parts.hostname, parts.port, context, parts.hostname)
    head = (
        f"POST {PATH} HTTP/1.1\r\nhost: {parts.netloc}\r\ncontent-type: application/json\r\n"
        "content-length: "
    )
    waits: list[float] = []
    began = time.perf_counter()
    try:
        for body in left:
            sent = time.perf_counter()
            found = await connection.ask(f"{head}{len(body)}\r\n\r\n".encode() + body)
            waits.append(1_000 * (time.perf_counter() - sent))
            if found.status != CREATED:
                raise MeasurementError(f"{url}: {found.status} {found.body[:200]!r}")
    finally:
        connection.close()
    return Written(began, time.perf_counter(), waits)
