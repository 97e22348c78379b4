"""Between the gate and the routes: copies awaited, and repeated requests answered once.

A request writes entries, whatever its route; when it is done, the copies that it needs are awaited
here, once for all of them. So no route knows of peers, and none can forget them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
from litestar.enums import ScopeType

from app.api.errors import ApiError, encode, envelope, request_id_of
from app.api.identity import is_control
from app.api.raw import read_body, refuse, replayed, reply_with
from app.domain.errors import AiMemoryError
from app.replication.durability import Durability, Outcome
from app.services.idempotency import KEY_CHARACTERS_MAX, Repeatable
from app.store.writing.written import written_now

if TYPE_CHECKING:
    from collections.abc import Collection

    from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

    from app.services.idempotency import IdempotencyService
    from app.store.sql.records import IdempotencyRow

RETRY_AFTER_SECONDS: Final = 2
NOT_MET: Final = "quorum_not_met"
_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_PEERS: Final = ("/api/v1/sync/", "/api/v2/fed/")
"""What peers send: never forwarded by us, so no copies are awaited."""
_ERROR: Final = 400
_CREATED: Final = 201


class Copies(Protocol):
    """Where the copies of a write are awaited: the mesh."""

    @property
    def is_enabled(self) -> bool:
        """Whether there are peers at all."""
        ...

    @property
    def nodes(self) -> int:
        """How many nodes there are, this one included."""
        ...

    @property
    def default_needed(self) -> int:
        """Copies that a write needs whose request asks for nothing."""
        ...

    async def met(self) -> None:
        """Wait until a write may be made."""
        ...

    async def wait(self, origin: str, seqs: Collection[int], needed: int) -> Outcome:
        """Wait until so many nodes hold these entries, or it is certain that they will not."""
        ...


@dataclass(slots=True)
class _Asked:
    """What the headers say."""

    key: str | None = None
    agent: str = ""
    durability: str | None = None


@dataclass(slots=True)
class _Answer:
    """A route's answer, held back until it may go out."""

    status: int = 0
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)

    @property
    def body(self) -> bytes:
        return self.parts[0] if len(self.parts) == 1 else b"".join(self.parts)

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message["headers"])
        elif message["type"] == "http.response.body":
            self.parts.append(message["body"])


class Durable:
    """Answers a write when it has its copies."""

    def __init__(self, app: ASGIApp, copies: Copies, answers: IdempotencyService) -> None:
        self._app = app
        self._copies = copies
        self._answers = answers
        self._running: set[tuple[str, str]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        http: HTTPScope = scope
        if http["method"] not in _WRITES or http["path"].startswith(_PEERS):
            await self._app(scope, receive, send)
            return
        asked = _asked(http)
        if not self._copies.is_enabled and asked.key is None and asked.durability is None:
            await self._app(scope, receive, send)
            return
        try:
            needed = self._needed(asked)
            await self._copies.met()
            if asked.key is None:
                await self._answer(http, receive, send, needed)
            else:
                await self._once(http, receive, send, needed, asked)
        except (ApiError, AiMemoryError) as error:
            await refuse(http, send, error)

    def _needed(self, asked: _Asked) -> int:
        if asked.durability is None:
            return self._copies.default_needed
        try:
            return Durability(asked.durability).needed(self._copies.nodes)
        except ValueError:
            words = ", ".join(Durability)
            raise ApiError(400, f"X-Durability is one of {words}", code="INVALID_INPUT") from None

    async def _answer(self, scope: HTTPScope, receive: Receive, send: Send, needed: int) -> None:
        written, answer = written_now(), _Answer()
        await self._app(scope, receive, answer.take)
        await self._settle(scope, send, answer, written.runs, needed)

    async def _settle(
        self,
        scope: HTTPScope,
        send: Send,
        answer: _Answer,
        runs: Collection[tuple[str, range]],
        needed: int,
    ) -> None:
        if not runs or answer.status >= _ERROR:
            await reply_with(send, answer.status, answer.headers, answer.body)
            return
        outcome = await self._wait(runs, needed)
        last = max(seqs[-1] for _, seqs in runs)
        if outcome.is_met:
            more = {
                "quorum_acks": outcome.got,
                "seq": last,
                "durability": _label(outcome.got, self._copies.nodes),
            }
            body = _with(answer.body, more)
            await reply_with(send, answer.status, answer.headers, body)
            return
        await _miss(scope, send, answer, outcome, last)

    async def _wait(self, runs: Collection[tuple[str, range]], needed: int) -> Outcome:
        if not self._copies.is_enabled:
            return Outcome(1, needed)
        outcomes = [
            await self._copies.wait(origin, seqs, needed) for origin, seqs in _joined(runs).items()
        ]
        # Of several origins (the node's epoch changed in between) the worst counts.
        return min(outcomes, key=lambda one: (one.is_met, one.got))

    # -- keyed requests ------------------------------------------------------------------------

    async def _once(
        self, scope: HTTPScope, receive: Receive, send: Send, needed: int, asked: _Asked
    ) -> None:
        body = await read_body(receive)
        request = _repeatable(scope, body, asked)
        place = (request.key, request.actor)
        if place in self._running:
            raise _in_progress()
        self._running.add(place)
        try:
            kept = await self._answers.find(request)
            if kept is not None:
                await self._again(scope, send, needed, request, kept)
                return
            written, answer = written_now(), _Answer()
            written.idempotency = self._answers.claim(request)
            try:
                await self._app(scope, replayed(body, receive), answer.take)
            finally:
                written.idempotency = None
            if written.runs and answer.status < _ERROR:
                origin, seqs = written.runs[-1]
                await self._answers.keep(
                    request, answer.status, answer.body, origin=origin, seq=seqs[-1]
                )
            await self._settle(scope, send, answer, written.runs, needed)
        finally:
            self._running.discard(place)

    async def _again(
        self,
        scope: HTTPScope,
        send: Send,
        needed: int,
        request: Repeatable,
        kept: IdempotencyRow,
    ) -> None:
        if kept.fingerprint != request.fingerprint:
            raise ApiError(
                422,
                "this Idempotency-Key was used for another request",
                code="IDEMPOTENCY_KEY_REUSED",
            )
        # Without an answer the node stopped between the write and its answer: what was written
        # is known, how it was worded is not.
        answer = _Answer(
            kept.status or _CREATED,
            [(b"content-type", b"application/json"), (b"idempotency-replayed", b"true")],
            [encode({"id": kept.entity_id}) if kept.answer is None else kept.answer],
        )
        runs = [(kept.origin, range(kept.seq, kept.seq + 1))]
        await self._settle(scope, send, answer, runs, needed)


def _asked(scope: HTTPScope) -> _Asked:
    asked = _Asked()
    for name, value in scope["headers"]:
        if name == b"idempotency-key":
            asked.key = value.decode("latin-1")
        elif name == b"x-durability":
            asked.durability = value.decode("latin-1").strip().lower()
        elif name == b"x-agent-id":
            asked.agent = value.decode("latin-1")
    return asked


def _repeatable(scope: HTTPScope, body: bytes, asked: _Asked) -> Repeatable:
    key = asked.key or ""
    if not 0 < len(key) <= KEY_CHARACTERS_MAX or not key.isprintable():
        raise ApiError(
            400,
            f"Idempotency-Key is 1 to {KEY_CHARACTERS_MAX} printable characters",
            code="INVALID_INPUT",
        )
    parts = (scope["method"].encode(), scope["path"].encode(), scope["query_string"], body)
    digest = sha256(b"".join(sha256(part).digest() for part in parts)).digest()
    # Whoever has file access is another actor than an agent of the same name over HTTP.
    actor = f"control:{asked.agent}" if is_control(scope) else f"http:{asked.agent}"
    return Repeatable(key, actor, digest)


def _in_progress() -> ApiError:
    return ApiError(
        409,
        "a request with this Idempotency-Key is in progress",
        {"Retry-After": "1"},
        code="IDEMPOTENCY_KEY_IN_PROGRESS",
        retry_after=1,
    )


def _joined(runs: Collection[tuple[str, range]]) -> dict[str, Collection[int]]:
    """Origin → its numbers, as one range where they are consecutive."""
    found: dict[str, Collection[int]] = {}
    for origin, seqs in runs:
        known = found.get(origin)
        if known is None:
            found[origin] = seqs
        elif isinstance(known, range) and known.stop == seqs.start:
            found[origin] = range(known.start, seqs.stop)
        else:
            found[origin] = {*known, *seqs}
    return found


def _label(copies: int, nodes: int) -> str:
    """The strongest promise that so many copies keep."""
    kept = [one for one in Durability if copies >= one.needed(nodes)]
    order = list(Durability)
    return str(max(kept, key=order.index)) if copies > 1 else Durability.LOCAL.value


def _with(body: bytes, more: dict[str, object]) -> bytes:
    """A JSON object with more keys; any other body as it is."""
    if not (body.startswith(b"{") and body.endswith(b"}")):
        return body
    added = encode(more)[1:]
    return body[:-1] + (b"," if len(body) > len(b"{}") else b"") + added


async def _miss(scope: HTTPScope, send: Send, answer: _Answer, outcome: Outcome, seq: int) -> None:
    details: dict[str, object] = {
        "got": outcome.got,
        "needed": outcome.needed,
        "reason": outcome.reason,
        "id": _id_of(answer.body),
        "seq": seq,
        "durability": Durability.LOCAL.value,
        "peers": [
            {
                "peer": one.peer,
                "status": one.status,
                "detail": one.detail,
                "ms": one.milliseconds,
            }
            for one in outcome.peers
        ],
        "retry_after": RETRY_AFTER_SECONDS,
    }
    headers = [
        (b"content-type", b"application/json"),
        (b"retry-after", str(RETRY_AFTER_SECONDS).encode()),
    ]
    await reply_with(send, 503, headers, encode(envelope(NOT_MET, details, request_id_of(scope))))


def _id_of(body: bytes) -> object:
    try:
        found = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return None
    return found.get("id") if isinstance(found, dict) else None
