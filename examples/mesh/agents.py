"""Agents that write real text and do not give up: each retry carries the key of its first try."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx

if TYPE_CHECKING:
    from collections.abc import Sequence

    from examples.stdlib.corpus import Document

MEMORIES: Final = "/api/v1/memories"
RETRY_SECONDS: Final = 0.5
_CREATED: Final = 201


@dataclass(slots=True)
class Tally:
    """What the agents of one node were told."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """Id → title of every memory that its node said is stored, on as many nodes as W asks for."""
    retries: int = 0


@dataclass(slots=True)
class Agent:
    """One agent, its client of one node, and the documents that it is to remember."""

    name: str
    client: httpx.AsyncClient
    documents: Sequence[Document]
    tally: Tally

    async def write(self) -> None:
        """Store every document, each until it is acknowledged."""
        for no, document in enumerate(self.documents):
            await self._store(f"{self.name}-{no}", document)

    async def _store(self, key: str, document: Document) -> None:
        body = {
            "title": document.title,
            "content": document.content,
            "namespace": document.namespace,
            "tags": [document.kind],
            "metadata": {"scope": "collective"},
        }
        while True:
            try:
                reply = await self.client.post(
                    MEMORIES, json=body, headers={"Idempotency-Key": key}
                )
            except httpx.TransportError:
                reply = None  # its node is down
            if reply is not None and reply.status_code == _CREATED:
                self.tally.acknowledged[reply.json()["id"]] = document.title
                return
            self.tally.retries += 1
            await asyncio.sleep(RETRY_SECONDS)
