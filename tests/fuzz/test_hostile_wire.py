"""Requests that are broken as HTTP, or too large, or say one thing and do another."""

import asyncio
import json

import pytest

from tests.fuzz.sound import assert_sound
from tests.fuzz.wire import Wire, fault_of, request

MEMORIES = "/api/v1/memories"
LIMIT = 2_097_152
JSON_TYPE = "Content-Type: application/json"
GOOD = b'{"title": "wire", "content": "x"}'


def post(*lines: str, body: bytes = GOOD, target: str = MEMORIES) -> bytes:
    """A POST with exactly these header lines."""
    head = "\r\n".join([f"POST {target} HTTP/1.1", "Host: node", *lines, "", ""])
    return head.encode("utf-8") + body


def chunked(*chunks: bytes) -> bytes:
    parts = [b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks]
    return b"".join([*parts, b"0\r\n\r\n"])


MALFORMED = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "no version": b"GET\r\n\r\n",
    "no method": b"\x00\x01\x02 / HTTP/1.1\r\nHost: node\r\n\r\n",
    "unknown method": b"BREW /api/v1/health HTTP/1.1\r\nHost: node\r\n\r\n",
    "space in target": b"GET /api/v1/a b HTTP/1.1\r\nHost: node\r\n\r\n",
    "NUL in target": b"GET /api/v1/\x00 HTTP/1.1\r\nHost: node\r\n\r\n",
    "escape in header": b"GET /api/v1/health HTTP/1.1\r\nX-Agent-Id: \x1b[31m\r\n\r\n",
    "NUL in header": b"GET /api/v1/health HTTP/1.1\r\nX-Agent-Id: a\x00b\r\n\r\n",
    "space before colon": b"GET /api/v1/health HTTP/1.1\r\nHost : node\r\n\r\n",
    "header without name": b"GET /api/v1/health HTTP/1.1\r\n: x\r\n\r\n",
    "negative length": post(JSON_TYPE, "Content-Length: -1"),
    "length of no number": post(JSON_TYPE, "Content-Length: ten"),
    "length of a fraction": post(JSON_TYPE, "Content-Length: 33.0"),
    "gigantic length": post(JSON_TYPE, f"Content-Length: {'9' * 40}"),
    "two lengths": post(JSON_TYPE, "Content-Length: 33", "Content-Length: 5"),
    "length and chunks": post(
        JSON_TYPE, "Content-Length: 5", "Transfer-Encoding: chunked", body=chunked(GOOD)
    ),
    "chunk size of no number": post(JSON_TYPE, "Transfer-Encoding: chunked", body=b"zz\r\n{}\r\n"),
    "chunk shorter than it says": post(
        JSON_TYPE, "Transfer-Encoding: chunked", body=b"2\r\n{}{}{}\r\n0\r\n\r\n"
    ),
    "unknown transfer coding": post(JSON_TYPE, "Transfer-Encoding: gzip, chunked, x", body=b"x"),
}

STRANGE = {
    "no host": (b"GET /api/v1/health HTTP/1.1\r\n\r\n", {200, 400}),
    "whole address": (
        b"GET http://elsewhere/api/v1/health HTTP/1.1\r\nHost: a\r\n\r\n",
        {200, 404},
    ),
    "asterisk": (b"GET * HTTP/1.1\r\nHost: node\r\n\r\n", {400, 404}),
    "double slashes": (request("GET", "//api//v1//health"), {200, 404}),
    "dots": (request("GET", "/api/v1/../../etc/passwd"), {404}),
    "encoded dots": (request("GET", "/api/v1/%2e%2e/%2e%2e/etc/passwd"), {404}),
    "encoded NUL": (request("GET", "/api/v1/memories/%00"), {400}),
    "encoded slash": (request("GET", "/api/v1/memories/a%2Fb"), {400, 404}),
    "bytes that are no UTF-8": (request("GET", "/api/v1/memories/%ff%fe"), {400, 404}),
    "raw bytes in the target": (
        b"GET /api/v1/memories/\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        {400, 404},
    ),
    "very long id": (request("GET", f"{MEMORIES}/{'a' * 60_000}"), {400}),
    "very long query": (request("GET", f"{MEMORIES}?namespace={'a' * 120_000}"), {200, 400}),
    "ten thousand parameters": (request("GET", f"{MEMORIES}?{'a=b&' * 10_000}"), {200, 400}),
    "the same parameter twice": (request("GET", f"{MEMORIES}?limit=1&limit=2"), {200, 400}),
    "a thousand headers": (
        request("GET", "/api/v1/health", headers={f"X-{number}": "y" for number in range(1_000)}),
        {200},
    ),
    "two agent ids": (
        b"GET /api/v1/memories HTTP/1.1\r\nHost: a\r\nX-Agent-Id: a\r\nX-Agent-Id: b\r\n\r\n",
        {400},
    ),
    "agent id of other bytes": (
        b"GET /api/v1/memories HTTP/1.1\r\nHost: a\r\nX-Agent-Id: \xff\xf0\r\n\r\n",
        {400},
    ),
    "a request id that is none": (
        request("GET", "/api/v1/health", headers={"X-Request-Id": "a b{}" * 100}),
        {200},
    ),
    "an upgrade": (
        request("GET", "/api/v1/health", headers={"Connection": "upgrade", "Upgrade": "websocket"}),
        {200, 400},
    ),
    "a body on GET": (request("GET", "/api/v1/health", b"\xff" * 1_000), {200}),
    "no body": (post(JSON_TYPE, "Content-Length: 0", body=b""), {400}),
    "no content type": (post("Content-Length: 33"), {415, 400}),
    "content type of another charset": (
        post("Content-Type: application/json; charset=utf-16", "Content-Length: 33"),
        {201, 409, 415},
    ),
    "content type of nonsense": (post("Content-Type: ;;;=", "Content-Length: 33"), {400, 415}),
    "form": (post("Content-Type: multipart/form-data", "Content-Length: 33"), {400, 415}),
    "compressed": (
        post(JSON_TYPE, "Content-Encoding: gzip", "Content-Length: 4", body=b"\x1f\x8b\x08\x00"),
        {400, 415},
    ),
    "UTF-16": (request("POST", MEMORIES, GOOD.decode().encode("utf-16")), {400}),
    "byte order mark": (request("POST", MEMORIES, b"\xef\xbb\xbf" + GOOD), {201, 400}),
    "no UTF-8 in a text": (request("POST", MEMORIES, b'{"title": "\xff", "content": "x"}'), {400}),
    "encoded half surrogate": (
        request("POST", MEMORIES, b'{"title": "\xed\xa0\x80", "content": "x"}'),
        {400},
    ),
    "the same key twice": (
        request("POST", MEMORIES, b'{"title": "twice", "title": 5, "content": "x"}'),
        {400},
    ),
    "something after the body": (request("POST", MEMORIES, GOOD + b"{}"), {400}),
    "two megabytes and a byte": (request("POST", MEMORIES, b" " * (LIMIT + 1)), {413}),
    "ten megabytes": (request("POST", MEMORIES, b"[" * 10_000_000), {413}),
    "ten megabytes in chunks": (
        post(JSON_TYPE, "Transfer-Encoding: chunked", body=chunked(*[b"x" * 100_000] * 100)),
        {413},
    ),
    "deep arrays to the limit": (request("POST", MEMORIES, b"[" * LIMIT), {400}),
    "deep objects to the limit": (
        request("POST", "/api/v1/import", b'{"a":' * (LIMIT // 5)),
        {400},
    ),
    "chunks of one byte": (
        post(
            JSON_TYPE,
            "Transfer-Encoding: chunked",
            body=chunked(*(bytes([byte]) for byte in GOOD)),
        ),
        {201},
    ),
}


@pytest.mark.parametrize("name", sorted(MALFORMED))
async def test_what_is_no_http_is_refused_in_the_shape_of_all_refusals(shared_node, name):
    async with Wire(shared_node.port) as wire:
        reply = await wire.ask(MALFORMED[name])

    assert reply.status == 400, reply.text
    assert fault_of(reply) is None, reply.text


@pytest.mark.parametrize("name", sorted(STRANGE))
async def test_strange_requests_get_an_answer_in_order(shared_node, name):
    sent, expected = STRANGE[name]
    async with Wire(shared_node.port) as wire:
        reply = await wire.ask(sent)

    assert reply.status in expected, reply.text
    assert fault_of(reply) is None, reply.text


@pytest.mark.parametrize(
    "header", ["X-Request-Id", "X-Agent-Id", "Origin", "If-Match", "Accept-Provenance"]
)
async def test_no_header_of_a_request_adds_one_to_the_reply(shared_node, header):
    for value in ("a\tX-Injected: yes", "a\u010d\u010aX-Injected: yes", "a%0d%0aX-Injected: yes"):
        async with Wire(shared_node.port) as wire:
            reply = await wire.ask(request("GET", MEMORIES, headers={header: value}))

        assert "x-injected" not in reply.headers
        assert fault_of(reply) is None, reply.text


async def test_a_head_without_an_end_is_cut_off(shared_node):
    """431 if the client listens while it sends; the node keeps none of it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shared_node.port)
    writer.write(b"GET /api/v1/health HTTP/1.1\r\nX-Long: ")
    sent = 0
    async with asyncio.timeout(15):
        try:
            while not reader.at_eof() and sent < 50_000_000:
                writer.write(b"a" * 65_536)
                await writer.drain()
                sent += 65_536
                await asyncio.sleep(0)
        except ConnectionError:
            pass
    writer.close()
    assert sent < 50_000_000


async def test_a_body_that_ends_early_changes_nothing(shared_node):
    title = "never whole"
    body = json.dumps({"title": title, "content": "x"}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", shared_node.port)
    writer.write(post(JSON_TYPE, f"Content-Length: {len(body) + 10}", body=body))
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    async with Wire(shared_node.port) as wire:
        reply = await wire.ask(request("GET", "/api/v1/search?q=never+whole"))
    assert json.loads(reply.body)["count"] == 0


async def test_a_body_longer_than_it_says_is_two_requests_the_second_malformed(shared_node):
    body = b'{"title": "lying", "content": "x"}'
    async with Wire(shared_node.port) as wire:
        first = await wire.ask(post(JSON_TYPE, f"Content-Length: {len(body)}", body=body + b"}}"))

    assert first.status in {201, 400}, first.text
    assert fault_of(first) is None, first.text


async def test_all_of_it_at_once_leaves_the_node_sound(node):
    """Broken requests side by side, a few times; it still stores, and its file is whole."""
    everything = [*MALFORMED.values(), *(sent for sent, _ in STRANGE.values())] * 3

    async def attack(sent: bytes) -> str | None:
        async with Wire(node.port) as wire:
            try:
                return fault_of(await wire.ask(sent))
            except ConnectionError:
                return None  # it may be cut off

    faults = await asyncio.gather(*map(attack, everything))
    assert [fault for fault in faults if fault] == []
    async with Wire(node.port) as wire:
        body = b'{"title": "after all", "content": "still here"}'
        stored = await wire.ask(request("POST", MEMORIES, body))
    assert stored.status == 201, stored.text
    assert_sound(node)
