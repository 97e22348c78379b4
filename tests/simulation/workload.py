"""What clients ask of a node, drawn from a seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from app.domain.memory import MemoryLink
from app.domain.text import content_hash
from app.recall.embedding.protocol import Embedded
from app.services.caller import Caller
from app.services.commands.archive import ArchiveMemories, PurgeArchived, RestoreMemory
from app.services.commands.consolidation import Consolidate
from app.services.commands.embeddings import RecordVector
from app.services.commands.links import CreateLink, Ends, InvalidateLink, RemoveLinks
from app.services.commands.memories import (
    Changes,
    DeleteMemory,
    PromoteMemory,
    StoreMemory,
    UpdateMemory,
)
from app.services.commands.namespaces import ClearStandard, SetStandard
from app.services.commands.touches import TouchMemories
from app.services.new_memory import TierLives
from app.store.protocol import Command, Usage
from tests.contract.store.conftest import MODEL, memory

CALLER = Caller("alice", is_admin=True, from_control_socket=True)
NAMESPACES = ("north", "south")
TITLES_WANTED = 6
"""So few titles that several nodes give the same one."""


@dataclass
class Intent:
    """A command, what it is called, and what it does to memories' lives if it succeeds."""

    name: str
    command: Command[Any]
    kills: Sequence[str] = ()
    revives: Sequence[str] = ()
    makes: str | None = None


@dataclass
class Workload:
    """Draws intents; knows every id that was ever given away, dead or alive."""

    random: Random
    ids: list[str] = field(default_factory=list)
    purged: set[str] = field(default_factory=set)
    _made: int = 0

    def draw(self, now: str) -> Intent:
        """The next thing that some client wants, at the node's time."""
        if len(self.ids) < 3 or self.random.random() < 0.35:
            return self._store(now)
        name = self.random.choice(_KINDS)
        intent: Intent = getattr(self, f"_{name}")(now)
        intent.name = name
        return intent

    def _id(self) -> str:
        return self.random.choice(self.ids)

    def _pair(self) -> tuple[str, str]:
        one, other = self.random.sample(self.ids, 2)
        return one, other

    def _row(self, now: str, memory_id: str | None = None) -> Any:
        self._made += 1
        made = memory_id or f"00000000-0000-4000-8000-{self._made:012d}"
        fields: Mapping[str, object] = {
            "namespace": self.random.choice(NAMESPACES),
            "title": f"title {self.random.randrange(4 * TITLES_WANTED)}",
            "content": f"text {self._made} " * self.random.randrange(1, 6),
            "tags": (f"tag{self.random.randrange(3)}",),
            "tier": self.random.choice(("short", "mid", "long")),
            "created_at": now,
            "updated_at": now,
        }
        return memory(made, **fields)

    def _store(self, now: str) -> Intent:
        row = self._row(now)
        conflict = self.random.choice(("error", "merge", "version"))
        command = StoreMemory(row, CALLER, conflict, None, None)
        return Intent("store", command, makes=row.id)

    def _again(self, now: str) -> Intent:
        """The same id once more: it revives what was deleted."""
        chosen = self._id()
        if chosen in self.purged:  # no client may choose an id, and nobody keeps a purged one
            return self._store(now)
        command = StoreMemory(self._row(now, chosen), CALLER, "error", None, None)
        return Intent("again", command, revives=(chosen,))

    def _update(self, _: str) -> Intent:
        changes = self.random.choice(
            (
                Changes(content=f"changed {self.random.random()}"),
                Changes(title=f"title {self.random.randrange(TITLES_WANTED)}"),
                Changes(namespace=self.random.choice(NAMESPACES)),
                Changes(tags=("new",), priority=self.random.randrange(1, 10)),
                Changes(metadata={f"k{self.random.randrange(3)}": 1}, merge_metadata=True),
                Changes(confidence=0.5, expires_at=""),
            )
        )
        return Intent("update", UpdateMemory(self._id(), changes, CALLER))

    def _promote(self, _: str) -> Intent:
        return Intent("promote", PromoteMemory(self._id(), CALLER))

    def _delete(self, _: str) -> Intent:
        chosen = self._id()
        command = DeleteMemory(chosen, CALLER, archive=self.random.random() < 0.5)
        return Intent("delete", command, kills=(chosen,))

    def _archive(self, _: str) -> Intent:
        chosen = self._id()
        return Intent("archive", ArchiveMemories([chosen], CALLER, "archive"), kills=(chosen,))

    def _purge(self, _: str) -> Intent:
        chosen = self._id()
        self.purged.add(chosen)
        return Intent("purge", PurgeArchived([chosen], CALLER))

    def _restore(self, _: str) -> Intent:
        chosen = self._id()
        return Intent("restore", RestoreMemory(chosen, CALLER, TierLives()), revives=(chosen,))

    def _link(self, now: str) -> Intent:
        one, other = self._pair()
        link = MemoryLink(one, other, self.random.choice(("related_to", "supersedes")), now)
        return Intent("link", CreateLink(link, CALLER, None))

    def _unlink(self, _: str) -> Intent:
        command = RemoveLinks(Ends(*self._pair()), ("related_to",), CALLER)
        return Intent("unlink", command)

    def _invalidate(self, now: str) -> Intent:
        command = InvalidateLink(Ends(*self._pair()), "related_to", now, CALLER)
        return Intent("invalidate", command)

    def _consolidate(self, now: str) -> Intent:
        sources = self._pair()
        row = self._row(now)
        return Intent("consolidate", Consolidate(row, sources, CALLER), kills=sources, makes=row.id)

    def _standard(self, _: str) -> Intent:
        namespace = self.random.choice(NAMESPACES)
        policy = {"write": self.random.choice(("any", "owner"))}
        return Intent("standard", SetStandard(namespace, self._id(), None, policy, CALLER))

    def _clear(self, _: str) -> Intent:
        return Intent("clear", ClearStandard(self.random.choice(NAMESPACES), CALLER))

    def _touch(self, now: str) -> Intent:
        usages = [Usage(one, 1, now, None) for one in self.ids[-3:]]
        return Intent("touch", TouchMemories(usages, "alice"))

    def _embed(self, _: str) -> Intent:
        chosen = self._id()
        numbers = np.array([self.random.random() for _ in range(4)], dtype=np.float16)
        text = content_hash(f"title {chosen}", "text")
        return Intent("embed", RecordVector(Embedded(chosen, text, numbers), MODEL))


_KINDS = (
    *("update",) * 5,
    *("again", "promote", "delete", "delete", "archive", "purge", "restore"),
    *("link", "link", "unlink", "invalidate", "consolidate", "standard", "clear", "touch", "embed"),
)
