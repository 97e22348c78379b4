"""Webhooks that agents register: records only, delivery follows the log (http-api 3.8)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, Protocol

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError
from app.domain.timestamps import format_instant
from app.domain.webhook_target import Address, check_addresses, parse_target, refused
from app.services.commands.subscriptions import AddSubscription, RemoveSubscription
from app.store.sql.records import Subscription

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock, IdSource, Randomness
    from app.services.caller import Caller
    from app.store.protocol import Store

EVERY_EVENT: Final = "*"
EVENTS: Final = (
    "memory_store",
    "memory_promote",
    "memory_delete",
    "memory_link_created",
    "memory_link_invalidated",
    "memory_consolidated",
    "approval_requested",
)
_UNADVERTISED_EVENTS: Final = ("pending_action_expired", "memory_update")
GENERATE: Final = "generate"
"""A secret of this text asks for one of ours."""

_SECRET_BYTES: Final = 32
_RESOLVING_SECONDS_MAX: Final = 5.0
_OWN_MAX: Final = 1_000


class Resolver(Protocol):
    """Names to addresses."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Every address of a host.

        Raises:
            OSError: the name is not known, or nobody answers.
        """
        ...


class SystemResolver:
    """The system's resolver, in a thread: it blocks."""

    async def addresses(self, host: str, port: int) -> Sequence[str]:
        """Every address of a host.

        Raises:
            OSError: the name is not known, or nobody answers.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port)
        return [str(place[0]) for *_, place in found]


@dataclass(frozen=True, slots=True)
class SubscriptionRules:
    """What the operator set about webhooks."""

    allow_loopback: bool = False
    has_server_secret: bool = False
    """`[hooks.subscription] hmac_secret` signs for those that bring no secret."""
    allow_resolution_failure: bool = False
    """Take a name that nobody can resolve now; it is asked again before each delivery."""


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """What somebody wants to hear of; not checked yet. `events` None is every one."""

    url: str | None = None
    events: str | Sequence[str] | None = None
    secret: str | None = None
    namespace_filter: str | None = None
    agent_filter: str | None = None
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class MadeSubscription:
    """The record, and the secret if it was made here: it is shown once and kept as a hash."""

    subscription: Subscription
    generated_secret: str | None


class SubscriptionService:
    """Registering, listing, removing; everybody has their own only."""

    def __init__(  # the ports, each once
        self,
        store: Store,
        clock: Clock,
        ids: IdSource,
        randomness: Randomness,
        resolver: Resolver,
        rules: SubscriptionRules,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._randomness = randomness
        self._resolver = resolver
        self._rules = rules

    async def subscribe(self, caller: Caller, new: NewSubscription) -> MadeSubscription:
        """Register a webhook. An unknown caller is not registered by it (semantics 14.14).

        Raises:
            InvalidInputError: no target, no secret anywhere, an unknown event, or a target that
                lies in the operator's own network.
        """
        url, namespace_filter = _target(caller, new)
        events = _events(new.events)
        if namespace_filter is not None:
            must.namespace(namespace_filter, "namespace_filter")
        if new.agent_filter is not None:
            validate_agent_id(new.agent_filter, reserved_allowed=True)
        if not new.secret and not self._rules.has_server_secret:
            raise InvalidInputError(
                "a webhook needs a secret to be signed with",
                fields=["secret"],
                hint="pass secret, or secret=generate, or set [hooks.subscription] hmac_secret",
            )
        await self._guard(url)
        if len(await self._store.subscriptions_of(caller.agent_id)) >= _OWN_MAX:
            raise InvalidInputError(f"an agent may have {_OWN_MAX} subscriptions at most")
        generated = self._randomness.token(_SECRET_BYTES).hex() if new.secret == GENERATE else None
        secret = generated or new.secret
        made = Subscription(
            id=self._ids.uuid4(),
            url=url,
            events=",".join(events),
            secret_hash=sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
            if secret
            else None,
            namespace_filter=namespace_filter,
            agent_filter=new.agent_filter,
            created_by=caller.agent_id,
            created_at=format_instant(self._clock.now()),
            event_types=None if isinstance(new.events, str) else events,
        )
        return MadeSubscription((await self._store.submit(AddSubscription(made))).result, generated)

    async def own(self, caller: Caller) -> Sequence[Subscription]:
        """The caller's own, oldest first."""
        return await self._store.subscriptions_of(caller.agent_id)

    async def unsubscribe(self, caller: Caller, subscription_id: str) -> str | None:
        """The removed id; None for one that is unknown or somebody else's, which look alike."""
        found = await self._store.subscription(subscription_id)
        if found is None or not _may_remove(caller, found):
            return None
        await self._store.submit(RemoveSubscription(found.id))
        return found.id

    async def unsubscribe_namespace(self, caller: Caller, namespace: str) -> str | None:
        """The id of the caller's first subscription to a namespace, which is removed."""
        for found in await self.own(caller):
            if found.namespace_filter == namespace:
                return await self.unsubscribe(caller, found.id)
        return None

    async def _guard(self, url: str) -> None:
        target = parse_target(url)
        addresses = (
            await self._resolved(target.host, target.port)
            if target.address is None
            else (target.address,)
        )
        check_addresses(target, addresses, allow_loopback=self._rules.allow_loopback)

    async def _resolved(self, host: str, port: int) -> Sequence[Address]:
        try:
            async with asyncio.timeout(_RESOLVING_SECONDS_MAX):
                found = await self._resolver.addresses(host, port)
            addresses = [ip_address(text.partition("%")[0]) for text in found]
        except (OSError, ValueError, UnicodeError) as error:  # a timeout is an OSError, too
            if self._rules.allow_resolution_failure:
                return ()
            raise refused(f"its host {host!r} cannot be resolved") from error
        if not addresses and not self._rules.allow_resolution_failure:
            raise refused(f"its host {host!r} has no address")
        return addresses


def _target(caller: Caller, new: NewSubscription) -> tuple[str, str | None]:
    """Where to, and which namespace: with a URL, `namespace` is only a filter (http-api 5)."""
    namespace_filter = new.namespace_filter or new.namespace or None
    if new.url:
        return new.url, namespace_filter
    if not new.namespace:
        raise InvalidInputError("url or namespace is required", fields=["url", "namespace"])
    must.namespace(new.namespace)
    return f"http://localhost/_ns/{caller.agent_id}/{new.namespace}", namespace_filter


def _events(asked: str | Sequence[str] | None) -> tuple[str, ...]:
    words = (asked or EVERY_EVENT).split(",") if isinstance(asked, str) else asked or (EVERY_EVENT,)
    events = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    for word in events:
        if word != EVERY_EVENT and word not in EVENTS + _UNADVERTISED_EVENTS:
            known = ", ".join((EVERY_EVENT, *EVENTS))
            raise InvalidInputError(
                f"unknown event type '{word}' — must be one of: {known}", fields=["events"]
            )
    return events or (EVERY_EVENT,)


def _may_remove(caller: Caller, found: Subscription) -> bool:
    return caller.from_control_socket or found.created_by == caller.agent_id
