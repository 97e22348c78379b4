"""Who asks: the resolved identity that every use case takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.domain.errors import AdminRequiredError, NotFoundError, NotOwnerError
from app.store.sql.filters import REQUEST_OWNER_PREFIX, Viewer

if TYPE_CHECKING:
    from app.domain.memory import Memory


@dataclass(frozen=True, slots=True)
class Caller:
    """An agent id and what it may do.

    `from_control_socket` callers have file access: they read everything, own
    everything, are admins and pay no quota (decisions on processes).
    """

    agent_id: str
    is_admin: bool = False
    from_control_socket: bool = False
    is_default_identity: bool = False

    def viewer(self, *, admin_sees_all: bool = False) -> Viewer:
        """For the store's filters. Admin routes pass `admin_sees_all`."""
        everything = self.from_control_socket or (admin_sees_all and self.is_admin)
        return Viewer(self.agent_id, everything, owns_request_rows=self.is_default_identity)

    def require_admin(self) -> None:
        """Let admins pass.

        Raises:
            AdminRequiredError: not an admin.
        """
        if not (self.is_admin or self.from_control_socket):
            raise AdminRequiredError(
                "admin role required",
                hint="list this agent id in [admin] agent_ids or AI_MEMORY_ADMIN_AGENT_IDS",
            )

    def owns(self, memory: Memory) -> bool:
        """Whether the caller may write the row; rows without an owner are open to all."""
        owner = memory.owner
        if owner is None or owner == self.agent_id or self.from_control_socket:
            return True
        return self.is_default_identity and owner.startswith(REQUEST_OWNER_PREFIX)

    def sees(self, memory: Memory) -> bool:
        """The owner rule (http-api 1.5, rule V) for a row already in hand."""
        return (
            memory.scope != "private"
            or self.from_control_socket
            or memory.inbox_target == self.agent_id
            or (memory.owner is not None and self.owns(memory))
        )

    def require_owner(self, memory: Memory, *, target_may: bool = False) -> None:
        """Let the owner pass, and with `target_may` the inbox target.

        Raises:
            NotFoundError: the caller may not even see the row.
            NotOwnerError: it sees the row and does not own it; with `owner` and `caller`.
        """
        if self.owns(memory) or (target_may and memory.inbox_target == self.agent_id):
            return
        if not self.sees(memory):
            raise NotFoundError("not found")
        raise NotOwnerError(
            "caller does not own this memory", owner=memory.owner, caller=self.agent_id
        )
