"""Writers that each keep their own account of what a store acknowledged."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from random import Random

import numpy as np

from app.domain.text import content_hash
from app.log import drafts
from app.log.entry import Draft
from app.store.protocol import Command, View
from app.store.sqlite.adapter import SqliteStore
from tests.contract.store import conftest as commands

MODEL = "test-model:4"
DIM = 4
WORDS = ("ash", "birch", "cedar", "élan", "𝄞", "زيتون", "e\u0301", "深")

Contents = dict[str, str | None]
"""What each memory says; None for one that is deleted, archived or purged."""


@dataclass(frozen=True)
class Account:
    """A writer's word at one moment: `acknowledged` operations must survive, `tried` ones may."""

    history: list[Contents]
    acknowledged: int
    tried: int

    @property
    def allowed(self) -> list[Contents]:
        """Every state that the store may be in."""
        return self.history[self.acknowledged : self.tried + 1]


@dataclass
class Writer:
    """Operations on memories of its own, one after another.

    `history[n]` is what they say after n operations.
    """

    name: str
    chance: Random
    history: list[Contents] = field(default_factory=lambda: [{}])
    tried: int = 0
    acknowledged: int = 0

    async def run(self, store: SqliteStore, operations: int) -> None:
        for _ in range(operations):
            submit = self._next(store)
            self.tried += 1
            await submit
            self.acknowledged += 1

    def account(self, acknowledged: int) -> Account:
        return Account(self.history, acknowledged, self.tried)

    def _next(self, store: SqliteStore) -> Awaitable[object]:
        now = dict(self.history[-1])
        self.history.append(now)
        living = [one for one, content in now.items() if content is not None]
        kind = self.chance.choice(("store", "store", "change", "change", "end", "vector"))
        if kind == "store" or not living:
            memory_id = f"{self.name}-{len(now)}"
            content = now[memory_id] = self._content()
            return store.submit(commands.Put(commands.memory(memory_id, content=content)))
        chosen = self.chance.choice(living)
        if kind == "end":
            now[chosen] = None
            end = self.chance.choice((commands.delete, commands.archive, commands.purge))
            return store.submit(end(chosen))
        if kind == "vector":
            vector = [self.chance.random() + 0.1 for _ in range(DIM)]
            return store.submit(vector_of(chosen, vector))
        now[chosen] = self._content()
        return store.submit(commands.Change(chosen, {"content": now[chosen]}))

    def _content(self) -> str:
        words = " ".join(self.chance.choices(WORDS, k=4))
        return f"{words} {self.name} {len(self.history)} " + "x" * self.chance.choice(
            (0, 900, 9_000)
        )


def vector_of(memory_id: str, vector: Sequence[float]) -> Command[None]:
    """A vector for whatever the memory says when the command runs."""
    half_floats = np.asarray(vector, "<f2").tobytes()

    def draft(view: View) -> Draft:
        found = view.snapshot(memory_id)
        assert found is not None
        made_from = content_hash(found.memory.title, found.memory.content)
        return drafts.embedding(memory_id, made_from, MODEL, DIM, half_floats, "system")

    return commands.Say(draft)
