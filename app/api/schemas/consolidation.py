"""Consolidation and contradictions on the wire (http-api 3.6)."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.api.schemas.memory import MemoryBody, memory_body
from app.domain.memory import Memory
from app.services.consolidation import AskedConsolidation
from app.services.disagreements import Disagreements

NO_LLM_WARNING = "use_llm was ignored: no LLM is configured, the titles make the summary"


class ConsolidateBody(Body):
    """Which memories become one."""

    ids: list[str] = Field(description="2 to 100 memories of the caller's.")
    title: str = Field(examples=["What we know about deploys"])
    summary: str | None = Field(default=None, description="Without it, the titles.")
    namespace: str | None = Field(default=None, description="Default `global`.")
    tier: str | None = Field(default=None, description="Default `long`.")
    agent_id: str | None = Field(default=None, description="Must agree with `X-Agent-Id`.")
    use_llm: bool | None = Field(default=None, description="Ignored without an LLM.")

    def asked(self) -> AskedConsolidation:
        return AskedConsolidation(
            ids=self.ids,
            title=self.title,
            summary=self.summary or None,
            namespace="global" if self.namespace is None else self.namespace,
            tier="long" if self.tier is None else self.tier,
        )

    @property
    def warnings(self) -> Sequence[str]:
        """What was asked for and did not happen."""
        return (NO_LLM_WARNING,) if self.use_llm and not self.summary else ()


class SummaryRow(msgspec.Struct):
    """The new memory in short."""

    id: str
    title: str
    content: str
    namespace: str


class ConsolidatedBody(msgspec.Struct, omit_defaults=True):
    """`consolidated` memories are in the archive now."""

    id: str
    consolidated: int
    summary: str
    content: str
    memory: SummaryRow
    warnings: Sequence[str] = ()


class ContradictionRow(msgspec.Struct):
    """A pair; `synthesized` ones are on the same topic with other words, and nobody linked them."""

    source_id: str
    target_id: str
    relation: str
    synthesized: bool


class ContradictionsBody(msgspec.Struct):
    """`truncated` when there were more pairs than are shown."""

    memories: list[MemoryBody]
    links: list[ContradictionRow]
    truncated: bool


def consolidated_body(memory: Memory, count: int, warnings: Sequence[str]) -> ConsolidatedBody:
    return ConsolidatedBody(
        id=memory.id,
        consolidated=count,
        summary=memory.content,
        content=memory.content,
        memory=SummaryRow(memory.id, memory.title, memory.content, memory.namespace),
        warnings=warnings,
    )


def contradictions_body(found: Disagreements) -> ContradictionsBody:
    links = [
        ContradictionRow(one.source_id, one.target_id, "contradicts", one.is_synthesized)
        for one in found.pairs
    ]
    return ContradictionsBody(
        [memory_body(one) for one in found.memories], links, found.is_truncated
    )
