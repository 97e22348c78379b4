"""Reaching the node: over the control socket of the one that runs, else one opened for this call.

Both answer the same requests. The running node is asked with the standard library alone, because
importing the service would take longer than the answer.
"""

from __future__ import annotations

import json
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias
from urllib.parse import quote, urlencode

from typing_extensions import override

from app.bootstrap.owner import control_socket
from app.cli.exit_codes import ExitCode, exit_code_for
from app.domain.errors import StoreUnavailableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Iterator, Mapping

    import httpx

    from app.cli.session import Session
    from app.domain.memory import Json

Query: TypeAlias = "Mapping[str, str | int | bool | None]"
Body: TypeAlias = "Mapping[str, Json] | list[Json]"
API: Final = "/api/v1"

_ANSWER_SECONDS: Final = 600.0
_ERROR_STATUS_MIN: Final = 400
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class Reply:
    """A status and the JSON object that came with it."""

    status: int
    body: Mapping[str, Json]


class NodeRefusedError(Exception):
    """The node answered with an error; `message` is its own text."""

    def __init__(self, reply: Reply) -> None:
        self.message = str(reply.body.get("error") or f"the node answered {reply.status}")
        super().__init__(self.message)
        self.status = reply.status
        hint = reply.body.get("hint")
        self.hint = hint if isinstance(hint, str) else None
        code = reply.body.get("code")
        self.code = code if isinstance(code, str) else None
        self.exit_code = exit_code_for(self.code, reply.body.get("reason"))
        if reply.status == 503 and self.exit_code == ExitCode.FAILED:  # noqa: PLR2004
            self.exit_code = ExitCode.UNAVAILABLE

    @property
    def is_not_found(self) -> bool:
        return self.status == _NOT_FOUND


class Transport(Protocol):
    """One request, one reply."""

    def exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        """Status and raw body.

        Raises:
            StoreUnavailableError: no answer.
        """
        ...


@dataclass(frozen=True, slots=True)
class Node:
    """The node's REST interface, in JSON. `is_running` is one that serves others, too."""

    transport: Transport
    is_running: bool = False

    def call(
        self, method: str, path: str, *, query: Query | None = None, body: Body | None = None
    ) -> Reply:
        """Ask, and take a refusal as an exception.

        Args:
            method: GET, POST, …
            path: Below `/api/v1`; parts of it that are data are quoted with `segment`.
            query: Parameters; those that are None are left out.
            body: What is sent as JSON.

        Raises:
            NodeRefusedError: a status of 400 or above.
            StoreUnavailableError: no answer.
        """
        given = {name: _text(value) for name, value in (query or {}).items() if value is not None}
        target = f"{API}{path}?{urlencode(given)}" if given else f"{API}{path}"
        sent = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        status, raw = self.transport.exchange(method, target, sent)
        try:
            answer = json.loads(raw)
        except ValueError:
            answer = {"error": raw.decode("utf-8", "replace")}
        reply = Reply(status, answer if isinstance(answer, dict) else {"answer": answer})
        if status >= _ERROR_STATUS_MIN:
            raise NodeRefusedError(reply)
        return reply


def segment(text: str) -> str:
    """Data as one part of a path."""
    return quote(text, safe="")


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@contextmanager
def connect(session: Session) -> Iterator[Node]:
    """The node of the session's database, for the length of one command.

    Raises:
        AiMemoryError: the store cannot be opened, or its owner does not answer.
    """
    path = control_socket(session.place.local)
    if path is not None:
        transport = _SocketTransport(path, session.agent_id)
        # What the lock file says may be stale; that somebody listens there is not.
        if transport.is_open():
            with transport:
                yield Node(transport, is_running=True)
            return
    with _in_place(session) as own:
        yield Node(own)


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("ai-memory", timeout=_ANSWER_SECONDS)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(_ANSWER_SECONDS)
        self.sock.connect(self._path)


class _SocketTransport:
    def __init__(self, path: str, agent_id: str) -> None:
        self._connection = _UnixConnection(path)
        self._headers = {"X-Agent-Id": agent_id}

    def is_open(self) -> bool:
        try:
            self._connection.connect()
        except OSError:
            return False
        return True

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        headers = dict(self._headers)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            self._connection.request(method, target, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, HTTPException) as error:
            raise StoreUnavailableError(f"the running node did not answer: {error!r}") from error


class _InPlaceTransport:
    def __init__(self, runner: asyncio.Runner, client: httpx.AsyncClient) -> None:
        self._runner = runner
        self._client = client

    def exchange(self, method: str, target: str, body: bytes | None) -> tuple[int, bytes]:
        import httpx  # noqa: PLC0415  # loaded already by the service

        headers = {} if body is None else {"Content-Type": "application/json"}
        request = self._client.request(method, target, content=body, headers=headers)
        try:
            response = self._runner.run(request)
        except httpx.TransportError as error:
            raise StoreUnavailableError(f"the node did not answer: {error}") from error
        return response.status_code, response.content


@contextmanager
def _in_place(session: Session) -> Iterator[_InPlaceTransport]:
    """Open the store here, or wait for whoever has it for a moment."""
    import asyncio  # noqa: PLC0415  # the whole service; a running node needs none of it

    from app import server  # noqa: PLC0415
    from app.cli.logs import log_quietly  # noqa: PLC0415
    from app.cli.progress import Progress  # noqa: PLC0415

    log_quietly()
    with Progress() as progress, asyncio.Runner() as runner:
        report: Callable[[str, int, int], None] = progress.report
        opened = server.local_client(session.resolve(), session.place, session.agent_id, report)
        client = runner.run(opened.__aenter__())
        try:
            yield _InPlaceTransport(runner, client)
        finally:
            runner.run(opened.__aexit__(None, None, None))
