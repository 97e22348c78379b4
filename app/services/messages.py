"""Messages between agents: memories addressed to somebody (http-api 3.8, 7.3 row 36)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.agent_id import validate_agent_id
from app.domain.errors import InvalidInputError
from app.domain.memory import PRIORITY_MAX
from app.domain.timestamps import format_instant
from app.services.commands.memories import StoreMemory
from app.services.new_memory import NewMemory, TierLives, checked, row_of
from app.store.sql.records import InboxQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json, Memory
    from app.domain.sources import Clock, IdSource
    from app.services.caller import Caller
    from app.store.protocol import Store

MESSAGE_TAG: Final = "_message"
INBOX_LIMIT_MAX: Final = 500
_WRITTEN_PREFIX: Final = "_messages/"
_READ_PREFIXES: Final = (_WRITTEN_PREFIX, "_inbox/")
_TITLE_KEY: Final = "display_title"
_KEYS_OF_OURS: Final = frozenset(
    {"agent_id", "recipient_agent_id", "target_agent_id", "message_kind", "scope", _TITLE_KEY}
)


@dataclass(frozen=True, slots=True)
class NewMessage:
    """What somebody wants to tell; not checked yet. A priority outside 1 to 10 is clamped."""

    target: str
    title: str
    payload: str
    priority: int = 5
    tier: str = "mid"
    metadata: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Message:
    """A message as its reader sees it; `title` is the one that its sender gave."""

    memory: Memory
    sender: str
    recipient: str
    title: str

    @property
    def is_read(self) -> bool:
        """Recalling a message reads it; looking at the inbox does not."""
        return self.memory.access_count > 0


@dataclass(frozen=True, slots=True)
class Inbox:
    """A page of an agent's messages; `total` counts all that the filters let through."""

    agent_id: str
    namespace: str
    messages: Sequence[Message]
    total: int


class MessageService:
    """Sending and reading."""

    def __init__(
        self, store: Store, clock: Clock, ids: IdSource, lives: TierLives | None = None
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._lives = lives or TierLives()

    async def send(self, caller: Caller, new: NewMessage) -> Message:
        """Leave a message in the target's inbox; equal titles never overwrite each other.

        Raises:
            InvalidInputError: a value breaks its rule.
        """
        validate_agent_id(new.target)
        must.title(new.title)
        now = self._clock.now()
        memory_id = self._ids.uuid4()
        metadata = {
            **{key: value for key, value in new.metadata.items() if key not in _KEYS_OF_OURS},
            "recipient_agent_id": new.target,
            "target_agent_id": new.target,
            "message_kind": "notify",
            _TITLE_KEY: new.title,
        }
        accepted = checked(
            NewMemory(
                title=_stored_title(new.title, memory_id),
                content=new.payload,
                tier=new.tier,
                # An id like spiffe://a/b makes no namespace that a client could name.
                namespace=_WRITTEN_PREFIX.rstrip("/"),
                tags=(MESSAGE_TAG,),
                priority=min(max(new.priority, 1), PRIORITY_MAX),
                source="notify",
                metadata=metadata,
            ),
            now,
        )
        row = row_of(accepted, memory_id, caller.agent_id, now, self._lives)
        row = replace(row, namespace=_WRITTEN_PREFIX + new.target)
        command = StoreMemory(row, caller, "error", limits=None, text_key=None)
        stored = (await self._store.submit(command)).result
        return _message(stored.memory, new.target)

    async def inbox(
        self,
        caller: Caller,
        limit: int,
        offset: int,
        *,
        unread_only: bool = False,
        since: str | None = None,
    ) -> Inbox:
        """The caller's own messages; every filter acts before the limit."""
        if limit < 0 or offset < 0:
            raise InvalidInputError("limit and offset must not be negative", fields=["limit"])
        query = InboxQuery(
            namespaces=tuple(prefix + caller.agent_id for prefix in _READ_PREFIXES),
            now=format_instant(self._clock.now()),
            unread_only=unread_only,
            since=None if since is None else must.instant(since, "since"),
        )
        page = await self._store.inbox(query, min(limit, INBOX_LIMIT_MAX), offset)
        return Inbox(
            caller.agent_id,
            query.namespaces[0],
            [_message(memory, caller.agent_id) for memory in page.memories],
            page.total,
        )


def _stored_title(title: str, memory_id: str) -> str:
    suffix = f" [{memory_id}]"
    return title[: must.TITLE_CHARACTERS_MAX - len(suffix)] + suffix


def _message(memory: Memory, recipient: str) -> Message:
    shown = memory.metadata.get(_TITLE_KEY)
    return Message(
        memory,
        memory.owner or "",
        recipient,
        shown if isinstance(shown, str) else memory.title,
    )
