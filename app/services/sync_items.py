"""The items of a push, checked one by one: what cannot be stored is named, not fatal."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import AiMemoryError
from app.domain.memory import SCOPES
from app.log.canonical import CanonicalError, encode
from app.replication.v070.incoming import IncomingRow
from app.replication.v070.wire import (
    DecisionRow,
    LinkRow,
    MemoryRow,
    PendingRow,
    StandardRow,
    read_item,
)
from app.services.commands.agents import AGENTS_NAMESPACE
from app.services.commands.sync import Push, Unreadable
from app.services.imported import checked_link, checked_memory
from app.services.link_signing import PEER_ATTESTED, UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.memory import Memory, MemoryLink
    from app.log.canonical import Value
    from app.replication.v070.wire import PushBody
    from app.services.link_signing import LinkVerifier

MALFORMED: Final = "malformed"
INVALID: Final = "invalid"
BAD_SIGNATURE: Final = "bad_signature"
_CHECKED_A_STEP: Final = 50
_SIGNATURE_BYTES: Final = 64
_ACTIONS: Final = frozenset({"store", "delete", "promote", "reflect"})


class Checker:
    """Checks pushes."""

    def __init__(self, links: LinkVerifier) -> None:
        self._links = links

    async def push(self, body: PushBody) -> Push:
        """The push, every item checked.

        Raises:
            InvalidInputError: an id or a namespace that can be none.
        """
        for name in ("deletions", "archives", "restores"):
            for one in getattr(body, name) or ():
                must.memory_id(one, name)
        for one in body.namespace_meta_clears or ():
            must.namespace(one, "namespace_meta_clears")
        memories = []
        for number, item in enumerate(body.memories):
            if number % _CHECKED_A_STEP == 0:
                await asyncio.sleep(0)
            memories.append(checked_row(item))
        return Push(
            peer=body.sender_agent_id,
            memories=memories,
            deletions=body.deletions or (),
            archives=body.archives or (),
            restores=body.restores or (),
            links=[await self._link(one) for one in body.links or ()],
            pendings=[_pending(one) for one in body.pendings or ()],
            decisions=[_decision(one) for one in body.pending_decisions or ()],
            standards=[_standard(one) for one in body.namespace_meta or ()],
            cleared=body.namespace_meta_clears or (),
        )

    async def rows(
        self, peer: str, rows: Sequence[object], links: Sequence[object], owner: str | None
    ) -> Push:
        """Rows that were pulled; with `owner` those that are new here become that agent's."""
        memories = []
        for number, item in enumerate(rows):
            if number % _CHECKED_A_STEP == 0:
                await asyncio.sleep(0)
            row = checked_row(item)
            if owner is not None and isinstance(row, IncomingRow):
                row = _owned(row, owner)
            memories.append(row)
        return Push(peer, memories=memories, links=[await self._link(one) for one in links])

    async def _link(self, item: object) -> MemoryLink | Unreadable:
        row = read_item(LinkRow, item)
        if row is None:
            return Unreadable(_said(item, "source_id"), MALFORMED)
        shown = f"{row.source_id}→{row.target_id}"
        link = row.link()
        try:
            checked = checked_link(link)
        except AiMemoryError:
            return Unreadable(shown, INVALID)
        # Its signature covers the texts of these times.
        checked = replace(checked, valid_from=link.valid_from, valid_until=link.valid_until)
        if link.signature is None:
            return replace(checked, attest_level=UNSIGNED)
        signed = replace(checked, signature=link.signature, attest_level=PEER_ATTESTED)
        check = await self._links.check(signed)
        if check.holds:
            return signed
        if check.has_key or len(link.signature) != _SIGNATURE_BYTES:
            return Unreadable(shown, BAD_SIGNATURE)
        return replace(signed, attest_level=UNSIGNED)


def checked_row(item: object) -> IncomingRow | Unreadable:
    """A memory out of JSON, its times in canonical text."""
    row = read_item(MemoryRow, item)
    if row is None:
        return Unreadable(_said(item, "id"), MALFORMED)
    try:
        return IncomingRow(_checked(row.memory()), row.has_provenance)
    except AiMemoryError:
        return Unreadable(row.id, INVALID)


def _owned(row: IncomingRow, owner: str) -> IncomingRow:
    before = row.memory.owner
    if before == owner or row.memory.namespace == AGENTS_NAMESPACE:
        return row
    extra = {"agent_id": owner}
    if before is not None:
        extra["imported_from_agent_id"] = before
    return replace(row, extra=extra)


def _checked(memory: Memory) -> Memory:
    """As an imported row, but with any scope word: v0.7.0 reads unknown ones as private, as we."""
    scope = memory.metadata.get("scope")
    if scope is None or scope in SCOPES:
        return checked_memory(memory)
    rest = {key: value for key, value in memory.metadata.items() if key != "scope"}
    must.metadata({"scopes": scope})
    checked = checked_memory(replace(memory, metadata=rest))
    return replace(checked, metadata={**checked.metadata, "scope": scope})


def _pending(item: object) -> PendingRow | Unreadable:
    row = read_item(PendingRow, item)
    if row is None:
        return Unreadable(_said(item, "id"), MALFORMED)
    try:
        must.memory_id(row.id)
        validate_agent_id(row.requested_by, reserved_allowed=True)
        if row.action_type not in _ACTIONS:
            return Unreadable(row.id, INVALID)
        requested_at = must.instant(row.requested_at, "requested_at")
        decided_at = None if row.decided_at is None else must.instant(row.decided_at, "decided_at")
        for one in row.approvals:
            validate_agent_id(one.agent_id, reserved_allowed=True)
            must.instant(one.approved_at, "approved_at")
        encode(cast("Value", row.payload))
    except (AiMemoryError, CanonicalError):
        return Unreadable(row.id, INVALID)
    return PendingRow(
        id=row.id,
        action_type=row.action_type,
        namespace=row.namespace,
        requested_by=row.requested_by,
        requested_at=requested_at,
        payload=row.payload,
        memory_id=row.memory_id,
        status=row.status,
        decided_by=row.decided_by,
        decided_at=decided_at,
        approvals=row.approvals,
    )


def _decision(item: object) -> DecisionRow | Unreadable:
    row = read_item(DecisionRow, item)
    if row is None:
        return Unreadable(_said(item, "id"), MALFORMED)
    try:
        must.memory_id(row.id)
        validate_agent_id(row.decider, reserved_allowed=True)
    except AiMemoryError:
        return Unreadable(row.id, INVALID)
    return row


def _standard(item: object) -> StandardRow | Unreadable:
    row = read_item(StandardRow, item)
    if row is None:
        return Unreadable(_said(item, "namespace"), MALFORMED)
    try:
        parent = row.parent_namespace
        return StandardRow(
            namespace=must.namespace(row.namespace),
            standard_id=must.memory_id(row.standard_id, "standard_id"),
            updated_at=must.instant(row.updated_at, "updated_at"),
            parent_namespace=None if parent is None else must.namespace(parent),
        )
    except AiMemoryError:
        return Unreadable(row.namespace, INVALID)


def _said(item: object, key: str) -> str:
    """What an item that cannot be read calls itself."""
    found = item.get(key) if isinstance(item, dict) else None
    return found if isinstance(found, str) else ""
