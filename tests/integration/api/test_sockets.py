"""Limits as a client on a real socket meets them, through the real server."""

import asyncio
import contextlib
from typing import cast

import httpx
import msgspec
import pytest
import uvicorn
from litestar import post
from litestar.params import JSONBody

from app.api.options import ApiOptions
from app.asgi import create_app
from app.services.bundle import Services
from tests.integration.api.conftest import RandomIds

LIMIT = 100_000
TIME_LIMIT_SECONDS = 0.5


class Note(msgspec.Struct):
    title: str


@post("/notes")
async def write(data: JSONBody[Note]) -> Note:
    return data


@pytest.fixture
async def address():
    """Host and port of a served surface with small limits."""
    options = ApiOptions(body_bytes_max=LIMIT, request_timeout_seconds=TIME_LIMIT_SECONDS)
    app = create_app(cast(Services, None), options, RandomIds(), routes=(write,))
    server = uvicorn.Server(
        uvicorn.Config(app, port=0, log_config=None, lifespan="on", http="httptools")
    )
    serving = asyncio.create_task(server.serve())
    async with asyncio.timeout(20):
        while not server.started:  # noqa: ASYNC110  # it has no event to wait for
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()
    server.should_exit = True
    await serving


async def exchange(address, *parts):
    """Send raw bytes, then read until the server closes or a reply is whole."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        for part in parts:
            writer.write(part)
            with contextlib.suppress(ConnectionError):
                await writer.drain()
        async with asyncio.timeout(20):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            return head, msgspec.json.decode(await reader.readexactly(length))
    finally:
        writer.close()


HEAD = b"POST /notes HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n"


async def test_a_client_that_sends_no_body_in_time_is_cut_off(address):
    head, body = await exchange(address, HEAD + b"content-length: 50\r\n\r\n{")

    assert head.startswith(b"HTTP/1.1 504")
    assert body["error"] == "request timed out"


@pytest.mark.parametrize("times", [2, 30])
async def test_a_client_that_sends_far_too_much_still_reads_413(address, times):
    url = f"http://{address[0]}:{address[1]}/notes"
    async with httpx.AsyncClient(trust_env=False) as client:
        reply = await client.post(
            url, content=b"x" * (times * LIMIT), headers={"content-type": "application/json"}
        )

    assert reply.status_code == 413
    assert reply.json()["limit_bytes"] == LIMIT


async def test_chunks_above_the_limit_are_413(address):
    chunk = b"%x\r\n" % 60_000 + b"x" * 60_000 + b"\r\n"

    head, body = await exchange(
        address, HEAD + b"transfer-encoding: chunked\r\n\r\n", chunk, chunk, b"0\r\n\r\n"
    )

    assert head.startswith(b"HTTP/1.1 413")
    assert body["limit_bytes"] == LIMIT


async def test_an_announced_body_above_the_limit_is_refused_before_it_is_all_there(address):
    head, _ = await exchange(
        address, HEAD + b"content-length: 99999999\r\n\r\n", b"x" * (5 * LIMIT)
    )

    assert head.startswith(b"HTTP/1.1 413")


async def test_after_a_refusal_the_connection_serves_the_next_request(address):
    url = f"http://{address[0]}:{address[1]}/notes"
    async with httpx.AsyncClient(trust_env=False) as client:
        refused = await client.post(url, json={})
        served = await client.post(url, json={"title": "t"})

    assert (refused.status_code, served.status_code) == (422, 201)
