"""Runs of entries from a peer, checked and handed to the store in one transaction.

What is checked here is what the store cannot know: that the bytes are entries of the origin they
are said to be of, who vouches for them, and what their author may write.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from app.domain.errors import EntryRefusedError
from app.log.quarantine import RefusalCode
from app.replication.here import node_of
from app.replication.messages import Refused, open_run
from app.replication.scopes import may_take
from app.replication.verifying import is_head_signed
from app.store.replica import SignedHead, Veto

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from app.log.entry import Entry
    from app.replication.here import Here
    from app.replication.messages import Run
    from app.replication.ports import NodeKey, Trust
    from app.replication.scopes import Scopes
    from app.store.protocol import Store

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Taken:
    """What became of some runs: durable up to here for each of their origins, and who was not."""

    decided_up_to: dict[str, int] = field(default_factory=dict)
    refused: list[Refused] = field(default_factory=list)
    applied: int = 0


@dataclass(slots=True)
class Received:
    """Counts since the start."""

    runs: int = 0
    entries: int = 0
    known: int = 0
    """Entries that came although they were here already."""
    applied: int = 0
    refused: int = 0


@dataclass(slots=True)
class _Batch:
    entries: list[Entry] = field(default_factory=list)
    signed: list[SignedHead] = field(default_factory=list)
    vetoes: dict[tuple[str, int], Veto] = field(default_factory=dict)


class Receiver:
    """Takes what peers send, whether pushed or pulled."""

    def __init__(
        self, store: Store, here: Here, trust: Trust, key: NodeKey, scopes: Scopes
    ) -> None:
        self._store = store
        self._here = here
        self._trust = trust
        self._key = key
        self._scopes = scopes
        self.counts = Received()
        self.holed: Callable[[], None] = lambda: None
        """Called after entries came whose payloads are gone."""
        self.timed: Callable[[float], None] = lambda _: None
        """Called with the seconds that the store took for a batch."""

    async def take(self, runs: Sequence[Run], sender: str) -> Taken:
        """Append runs that the node `sender` handed over.

        Raises:
            StoreUnavailableError: nothing was kept.
        """
        taken, batch = Taken(), _Batch()
        for run in runs:
            taken.decided_up_to[run.origin] = self._here[run.origin]
            try:
                await self._admit(run, sender, batch)
            except EntryRefusedError as error:
                code = str(error.details.get("reason", error.code))
                _LOGGER.warning(
                    "a run of %s after %d from node %s is refused, %s: %s",
                    *(run.origin, run.after, sender, code, error.message),
                )
                taken.refused.append(Refused(run.origin, run.after + 1, code))
        self.counts.runs += len(runs)
        self.counts.entries += len(batch.entries)
        if batch.entries:
            loop = asyncio.get_running_loop()
            began = loop.time()
            outcome = await self._store.append_foreign(
                batch.entries, signed=batch.signed, vetoes=batch.vetoes
            )
            self.timed(loop.time() - began)
            self._here.moved(outcome.decided_up_to)
            taken.decided_up_to.update(outcome.decided_up_to)
            taken.refused += [Refused(one.origin, one.seq, one.code) for one in outcome.refused]
            taken.applied = outcome.applied
            if any(one.payload is None for one in batch.entries):
                self.holed()
        self.counts.applied += taken.applied
        self.counts.refused += len(taken.refused)
        return taken

    async def _admit(self, run: Run, sender: str, batch: _Batch) -> None:
        entries = open_run(run)
        if not entries:
            return
        author = node_of(run.origin)
        vouched = self._is_vouched(run, author, sender, entries[-1])
        # Of what is known the last one is kept: its hash proves the whole history before it.
        known = min(self._here[run.origin] - run.after, len(entries))
        self.counts.known += max(0, known)
        entries = entries[max(0, known - 1) :]
        if vouched and run.signature is not None:
            head = entries[-1]
            batch.signed.append(SignedHead(run.origin, head.seq, run.signature))
        await self._veto(entries, {author or sender} | (set() if vouched else {sender}), batch)
        batch.entries += entries

    def _is_vouched(self, run: Run, author: str | None, sender: str, head: Entry) -> bool:
        """Whether the author's own signature covers the run.

        Raises:
            EntryRefusedError: it must and does not, or somebody else's does.
        """
        if author == self._here.node_id:  # lost here and kept elsewhere; the key may be another
            key = self._key.public_bytes
            return run.signature is not None and is_head_signed(key, run.signature, head)
        bound = None if author is None else self._trust.key_of(author)
        if run.signature is not None and bound is not None:
            if is_head_signed(bound, run.signature, head):
                return True
            raise EntryRefusedError(
                "the signature is not the origin's", reason=RefusalCode.BAD_SIGNATURE.value
            )
        if author == sender and bound is not None:
            raise EntryRefusedError(
                "a node signs its own entries", reason=RefusalCode.BAD_SIGNATURE.value
            )
        return False

    async def _veto(self, entries: Iterable[Entry], subjects: Iterable[str], batch: _Batch) -> None:
        limited = [one for one in subjects if self._scopes.is_limited(one)]
        if not limited:
            return
        for entry in entries:
            for node_id in limited:
                if not await may_take(self._scopes, node_id, entry, self._store):
                    batch.vetoes[entry.origin, entry.seq] = Veto(
                        RefusalCode.OUT_OF_SCOPE.value,
                        f"node {node_id} may not write what this entry changes",
                    )
