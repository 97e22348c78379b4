"""A node's public port on a real socket, without a store behind it, for tests of who gets in."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from litestar import get

from app.api.federation import Federation
from app.api.listener import bind, make_server
from app.api.options import ApiOptions
from app.asgi import create_app
from app.bootstrap.sources import SystemRandomness
from app.observability.metrics import Metrics
from app.replication.admission import Guard
from app.replication.authentication import Authenticator
from app.replication.http_transport import Credentials, HttpTransport
from app.replication.messages import Hello, Method, decode_message, encode_message
from app.replication.node_key import Ed25519NodeKey
from app.replication.pins import PeerPin, PeerTrust
from app.replication.ports import Caller
from app.replication.request_proof import Prover, Verifier
from app.replication.vouching import Vouching
from app.services.bundle import Services
from app.services.federation import FederationService
from app.store.protocol import Store
from tests.integration.api.conftest import RandomIds


@get("/api/v1/here")
async def here() -> str:
    return "here"


def now() -> datetime:
    return datetime.now(UTC)


def new_key() -> Ed25519NodeKey:
    return Ed25519NodeKey(Ed25519PrivateKey.generate())


def hello(node_id: str, key: Ed25519NodeKey, name: str = "host:x") -> bytes:
    """A whole hello's body."""
    return encode_message(
        Hello(
            node_id=node_id,
            origin=f"{node_id}.1",
            identity=name,
            store_id="s" * 16,
            protocol=1,
            software="test",
            schema=57,
            now_ms=0,
            public_key=key.public_bytes,
            clock={},
        )
    )


@dataclass
class Kept:
    """Bindings in memory."""

    pins: dict[str, PeerPin] = field(default_factory=dict)

    def put(self, pin: PeerPin) -> None:
        self.pins[pin.node_id] = pin

    def drop(self, node_id: str) -> None:
        self.pins.pop(node_id, None)


@dataclass
class Surface:
    """One receiver: who it trusts, and what reached it."""

    node_id: str = "b" * 16
    kept: Kept = field(default_factory=Kept)
    answered: list[tuple[Method, bytes, Caller]] = field(default_factory=list)
    port: int = 0
    trust: PeerTrust = field(init=False)
    vouching: Vouching = field(init=False)
    enrolled: dict[str, bytes] = field(default_factory=dict)
    required: bool = False
    names_count: bool = False
    respond: Callable[[bytes], bytes] = field(default=lambda body: b"<" + body[:20] + b">")

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forget what a process forgets, keep what a store keeps."""
        self.vouching = Vouching(self.enrolled.get, now)
        self.trust = PeerTrust(
            list(self.kept.pins.values()),
            self.kept,
            self.vouching,
            now,
            names_count=self.names_count,
            enrolment_required=self.required,
        )
        self.authenticator = Authenticator(
            self.trust, Verifier(self.node_id, SystemRandomness()), self.vouching
        )

    async def answer(self, method: Method, body: bytes, caller: Caller) -> bytes:
        """As a mesh would: bind at a hello, and let only bound nodes ask."""
        if method is Method.HELLO:
            said = decode_message(Hello, body)
            self.trust.admit(caller, said.node_id, said.public_key, said.identity)
        else:
            self.trust.node_of(caller)
        self.answered.append((method, body, caller))
        return self.respond(body)

    @asynccontextmanager
    async def served(
        self, guard: Guard | None = None, options: ApiOptions | None = None
    ) -> AsyncIterator["Surface"]:
        """Serve on a port of loopback."""
        alone = FederationService(cast(Store, None), Metrics())
        app = create_app(
            cast(Services, SimpleNamespace(federation=alone, idempotency=None)),
            options or ApiOptions(),
            RandomIds(),
            routes=(here,),
            federation=Federation(self, self.authenticator),
        )
        listener = bind("127.0.0.1", self.port)
        self.port = listener.getsockname()[1]
        server = make_server(app, 1, guard=guard)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(20):
            while not server.started:  # noqa: ASYNC110  # it has no event to wait for
                await asyncio.sleep(0.005)
        try:
            yield self
        finally:
            server.should_exit = True
            await serving
            listener.close()


def transport(
    url: str,
    node_id: str,
    key: Ed25519NodeKey,
    context: ssl.SSLContext | None = None,
    api_key: str | None = None,
) -> HttpTransport:
    """A node's calls to a surface."""
    return HttpTransport(url, context, Credentials(Prover(node_id, key), dict, api_key))
