"""Agents: registering them, listing them, binding their keys (http-api 3.8)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.ed25519 import is_public_key
from app.domain.errors import InvalidInputError
from app.domain.timestamps import format_instant
from app.services.commands.agents import (
    AGENTS_NAMESPACE,
    TITLE_PREFIX,
    Agent,
    BindKey,
    RegisterAgent,
    agent_of,
)
from app.store.sql.filters import MemoryFilter
from app.store.sql.records import MemoryPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.store.protocol import Store

_ROWS_A_PAGE: Final = 500


class AgentService:
    """The registry of agents."""

    def __init__(self, store: Store, clock: Clock, *, archive_expired: bool = True) -> None:
        self._store = store
        self._clock = clock
        self._archive_expired = archive_expired

    async def register(
        self, caller: Caller, agent_id: str, agent_type: str, capabilities: Sequence[str]
    ) -> Agent:
        """A new agent, or a known one anew; anybody may introduce anybody, as in v0.7.0.

        Raises:
            InvalidInputError: a value breaks its rule.
        """
        command = RegisterAgent(
            validate_agent_id(agent_id),
            must.agent_type(agent_type),
            must.capabilities(capabilities),
            caller,
            self._archive_expired,
        )
        return (await self._store.submit(command)).result

    async def all(self, caller: Caller) -> Sequence[Agent]:
        """Every registered agent, oldest first.

        Raises:
            AdminRequiredError: the caller is no admin.
        """
        caller.require_admin()
        chosen = MemoryFilter(now=format_instant(self._clock.now()), namespaces=(AGENTS_NAMESPACE,))
        found: list[Agent] = []
        after: MemoryPosition | None = None
        while True:
            rows = await self._store.memories_after(chosen, after, _ROWS_A_PAGE)
            found.extend(agent_of(row) for row in rows if row.title.startswith(TITLE_PREFIX))
            if len(rows) < _ROWS_A_PAGE:
                return found
            after = MemoryPosition(rows[-1].created_at, rows[-1].id)

    async def bind_key(self, caller: Caller, agent_id: str, key: str) -> Agent:
        """Say with which key an agent signs; `key` is base64 of 32 bytes.

        Raises:
            AdminRequiredError: the caller is no admin.
            InvalidInputError: not an Ed25519 public key.
            NotFoundError: the agent is not registered.
        """
        caller.require_admin()
        validate_agent_id(agent_id)
        command = BindKey(agent_id, _public_key(key), caller)
        return (await self._store.submit(command)).result


def _public_key(text: str) -> str:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused("it is not base64") from error
    if len(key) != 32:  # noqa: PLR2004 - RFC 8032, 5.1.5
        raise _refused(f"it has {len(key)} bytes instead of 32")
    if not is_public_key(key):
        raise _refused("it is no point of the curve")
    return base64.b64encode(key).decode()


def _refused(reason: str) -> InvalidInputError:
    return InvalidInputError(
        f"agent_pubkey is not a valid Ed25519 public key: {reason}", fields=["pubkey_b64"]
    )
