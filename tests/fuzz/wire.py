"""A client that sends any bytes at all, and reads what HTTP/1.1 servers answer."""

import asyncio
import json
from dataclasses import dataclass
from typing import Self

REPLY_SECONDS_MAX = 30.0


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return f"{self.status} {self.headers} {self.body[:500]!r}"


class Wire:
    """One connection; made anew when the server has closed the last one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def ask(self, request: bytes) -> Reply:
        """Send and read one reply.

        Raises:
            ConnectionError: the server said nothing, or not all of it.
            TimeoutError: it did not answer in time.
        """
        reader, writer = self._streams or await asyncio.open_connection("127.0.0.1", self._port)
        self._streams = (reader, writer)
        try:
            async with asyncio.timeout(REPLY_SECONDS_MAX):
                writer.write(request)
                await writer.drain()
                reply = await _read(reader, is_head=request.startswith(b"HEAD "))
        except (asyncio.IncompleteReadError, OSError) as error:
            await self.close()
            raise ConnectionError(repr(error)) from error
        if reply.headers.get("connection") == "close" or reader.at_eof():
            await self.close()
        return reply

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()


async def _read(reader: asyncio.StreamReader, *, is_head: bool) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    status = int(head[0].split(" ")[1])
    pairs = (line.split(":", 1) for line in head[1:] if line)
    headers = {name.strip().lower(): value.strip() for name, value in pairs}
    if is_head:
        return Reply(status, headers, b"")
    if headers.get("transfer-encoding") == "chunked":
        return Reply(status, headers, await _read_chunks(reader))
    if "content-length" not in headers:
        return Reply(status, headers, await reader.read())
    return Reply(status, headers, await reader.readexactly(int(headers["content-length"])))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while True:
        size = int(await reader.readuntil(b"\r\n"), 16)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
        if size == 0:
            return b"".join(parts)


def request(
    method: str, target: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> bytes:
    """A well-formed request whose target, headers and body may be anything."""
    lines = [f"{method} {target} HTTP/1.1", "Host: node"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    # Header bytes are free; what is not Latin-1 goes as the UTF-8 that clients send.
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + (body or b"")


def fault_of(reply: Reply, *, may_lack_feature: bool = False) -> str | None:
    """What breaks a promise about replies; None when nothing does."""
    if reply.status >= 500 and not (reply.status == 503 and may_lack_feature):
        return "a fault of the node"
    if "x-request-id" not in reply.headers:
        return "no request id"
    return _fault_of_refusal(reply) if reply.status >= 400 else None


def _fault_of_refusal(reply: Reply) -> str | None:
    if reply.headers.get("content-type") != "application/json":
        return "a refusal that is not JSON"
    try:
        body = json.loads(reply.body.decode("utf-8"))
    except ValueError:
        return "a refusal that cannot be read"
    if not (isinstance(body, dict) and isinstance(body.get("error"), str) and body["error"]):
        return "a refusal without a reason"
    if body.get("request_id") != reply.headers["x-request-id"]:
        return "another request id than the header's"
    return None
