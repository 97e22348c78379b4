"""Typed links between memories: create, remove, read, verify."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from app.domain import validation as must
from app.domain.errors import ConflictError, InvalidInputError, NotFoundError
from app.domain.memory import RELATIONS, MemoryLink
from app.domain.timestamps import format_instant
from app.services.commands.links import CreateLink, Ends, RemoveLinks
from app.services.nonces import NonceCache
from app.store.sql.filters import MemoryFilter
from app.store.sql.links import LinkFilter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.services.link_signing import LinkSigner, LinkVerifier, SignatureCheck
    from app.store.protocol import QuotaLimits, Store

REFLECTS_ON: Final = "reflects_on"
DEFAULT_RELATION: Final = "related_to"

_CYCLE_STEPS_MAX: Final = 32  # semantics 10
_log = structlog.get_logger("ai_memory.links")


@dataclass(frozen=True, slots=True)
class LinkChoice:
    """Which link to verify: parts may be missing, `link_id` is `source|target|relation`."""

    source_id: str | None = None
    target_id: str | None = None
    link_id: str | None = None
    nonce: str | None = None


@dataclass(frozen=True, slots=True)
class LinkCheck:
    """A link and what its signature is worth."""

    link: MemoryLink
    signature: SignatureCheck

    @property
    def is_verified(self) -> bool:
        """Whether the link exists and any signature on it holds."""
        return self.signature.holds or not self.signature.is_present


@dataclass(frozen=True, slots=True)
class LinkRules:
    """What an operator may set about links; `limits` None counts nothing."""

    limits: QuotaLimits | None = None
    require_nonce: bool = False


class LinkService:
    """The use cases of links."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        signer: LinkSigner,
        verifier: LinkVerifier,
        rules: LinkRules,
    ) -> None:
        self.store = store
        self.clock = clock
        self.signer = signer
        self.verifier = verifier
        self.rules = rules
        self._nonces = NonceCache()
        self._reflections = asyncio.Lock()

    async def create(self, ends: Ends, relation: str, caller: Caller) -> MemoryLink:
        """A link from the caller's memory to one that it sees; an existing one stands.

        Raises:
            InvalidInputError: a malformed id, an unknown relation, a memory linked to itself.
            NotFoundError: an end is missing or unseen.
            NotOwnerError: the source is another agent's.
            ConflictError: a reflection would rest on itself.
            QuotaExceededError: the agent's links of today are used up.
        """
        check_ends(ends)
        if ends.source_id == ends.target_id:
            raise InvalidInputError("cannot link a memory to itself", fields=["target_id"])
        check_relation(relation)
        command = self._command(ends, relation, caller)
        if relation != REFLECTS_ON:
            return (await self.store.submit(command)).result
        # One at a time, so that two halves of a circle cannot pass each other's check.
        async with self._reflections:
            await self._refuse_cycle(ends)
            return (await self.store.submit(command)).result

    def _command(self, ends: Ends, relation: str, caller: Caller) -> CreateLink:
        now = format_instant(self.clock.now())
        link = MemoryLink(
            ends.source_id,
            ends.target_id,
            relation,
            created_at=now,
            valid_from=now,
            observed_by=caller.agent_id,
        )
        limits = None if caller.from_control_socket else self.rules.limits
        return CreateLink(self.signer.signed(link), caller, limits)

    async def _refuse_cycle(self, ends: Ends) -> None:
        reached, frontier = {ends.target_id}, [ends.target_id]
        for _ in range(_CYCLE_STEPS_MAX):
            found = await self.store.reached(frontier, REFLECTS_ON)
            if ends.source_id in found:
                raise ConflictError(
                    f"link refused: reflection cycle: {ends.target_id} already reflects on"
                    f" {ends.source_id}",
                    source_id=ends.source_id,
                    target_id=ends.target_id,
                )
            frontier = [one for one in found if one not in reached]
            if not frontier:
                return
            reached.update(frontier)

    async def remove(self, ends: Ends, relation: str | None, caller: Caller) -> bool:
        """Remove one relation, or with None all, from one memory to another.

        Raises:
            NotOwnerError: neither end is the caller's.
        """
        check_ends(ends)
        if relation is None:
            found = await self.store.links_between(ends.source_id, ends.target_id)
            relations: Sequence[str] = [link.relation for link in found]
        else:
            relations = (check_relation(relation),)
        receipt = await self.store.submit(RemoveLinks(ends, relations, caller))
        return receipt.result > 0

    async def of(self, memory_id: str, caller: Caller) -> Sequence[MemoryLink]:
        """Links of a memory whose both ends the caller sees; none for an unknown id."""
        chosen = MemoryFilter(
            now=format_instant(self.clock.now()), viewer=caller.viewer(admin_sees_all=True)
        )
        if await self.store.get(must.memory_id(memory_id), chosen) is None:
            return ()
        return await self.store.links_around(memory_id, chosen)

    async def verify(self, choice: LinkChoice, caller: Caller) -> LinkCheck:
        """A link that the caller sees, and whether its signature holds (semantics 1.9).

        Raises:
            InvalidInputError: no id at all, a malformed one, or a nonce is required and missing.
            NotFoundError: no such link.
            ConflictError: the nonce was used for this link before.
        """
        if choice.source_id is None and choice.link_id is None:
            raise InvalidInputError(
                "source_id or link_id is required", fields=["source_id", "link_id"]
            )
        if not choice.nonce and self.rules.require_nonce:
            raise InvalidInputError("verification_nonce is required", fields=["verification_nonce"])
        link = await self._chosen(choice, caller)
        self._use_nonce(link, choice.nonce)
        return LinkCheck(link, await self.verifier.check(link))

    async def _chosen(self, choice: LinkChoice, caller: Caller) -> MemoryLink:
        source_id, target_id, relation = _parts(choice)
        chosen = MemoryFilter(
            now=format_instant(self.clock.now()), viewer=caller.viewer(admin_sees_all=True)
        )
        if await self.store.get(source_id, chosen) is not None:
            relations = None if relation is None else (relation,)
            targets = chosen if target_id is None else _only(chosen, target_id)
            found = await self.store.outbound(
                (source_id,), LinkFilter(relations=relations), targets, limit=1
            )
            if found:
                return found[0].link
        raise NotFoundError("not found")

    def _use_nonce(self, link: MemoryLink, nonce: str | None) -> None:
        if not nonce:
            _log.warning("a link was verified without a nonce", source_id=link.source_id)
            return
        if not self._nonces.use(f"{link.source_id}|{link.target_id}|{link.relation}", nonce):
            raise ConflictError("verification replay detected")


def check_ends(ends: Ends) -> None:
    """Raise unless both ids have the form of one."""
    must.memory_id(ends.source_id, "source_id")
    must.memory_id(ends.target_id, "target_id")


def check_relation(relation: str) -> str:
    """The relation, when it is one of the six (http-api 7.3 row 35).

    Raises:
        InvalidInputError: `invalid_relation`, with what was got and what is allowed.
    """
    if relation not in RELATIONS:
        raise InvalidInputError(
            "invalid_relation", got=relation, allowed=list(RELATIONS), fields=["relation"]
        )
    return relation


def _parts(choice: LinkChoice) -> tuple[str, str | None, str | None]:
    if choice.link_id is not None:
        parts = choice.link_id.split("|")
        if len(parts) != 3:  # noqa: PLR2004 - source, target, relation
            raise InvalidInputError("link_id must be source|target|relation", fields=["link_id"])
        source_id, target_id, relation = parts
        check_ends(Ends(source_id, target_id))
        return source_id, target_id, check_relation(relation)
    assert choice.source_id is not None
    must.memory_id(choice.source_id, "source_id")
    if choice.target_id is not None:
        must.memory_id(choice.target_id, "target_id")
    return choice.source_id, choice.target_id, None


def _only(chosen: MemoryFilter, memory_id: str) -> MemoryFilter:
    return MemoryFilter(now=chosen.now, viewer=chosen.viewer, ids=(memory_id,))
