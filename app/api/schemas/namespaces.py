"""Namespaces and their standards on the wire (http-api 3.5 taxonomy, 3.7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import msgspec
from pydantic import Field

from app.api.schemas.body import Body
from app.domain.errors import InvalidInputError
from app.domain.memory import Json
from app.services.commands.namespaces import StandardSet
from app.services.namespaces import AskedStandard, Standard, StandardChain, TaxonomyNode
from app.store.sql.namespaces import NamespaceSize

HIDDEN = "the standard's memory is gone, or not visible to this caller"


class StandardFields(Body):
    """What a standard is made of; all of it may be left out."""

    id: str | None = Field(
        default=None, description="The memory that leads; without it a placeholder is made."
    )
    parent: str | None = Field(
        default=None, description="An ancestor; default: the longest `-` prefix with a standard."
    )
    governance: object = Field(
        default=None,
        description="A policy, merged key by key; `write` is required in it.",
        examples=[{"write": "owner", "approver": {"agent": "ai:lead"}}],
    )
    namespace: str | None = Field(default=None, examples=["team/deploys"])


class StandardBody(StandardFields):
    """The same keys may stand inside `standard`, and win there."""

    standard: StandardFields | None = None

    def asked(self, namespace: str | None = None) -> AskedStandard:
        """For the namespace of the path, or else of the body.

        Raises:
            InvalidInputError: no namespace, or a policy that is no object.
        """
        inner = self.standard or StandardFields()
        chosen = namespace or inner.namespace or self.namespace
        if not chosen:
            raise InvalidInputError("namespace is required", fields=["namespace"])
        governance = self.governance if inner.governance is None else inner.governance
        if governance is not None and not isinstance(governance, dict):
            raise InvalidInputError(
                "invalid governance: must be a JSON object", fields=["governance"]
            )
        return AskedStandard(
            namespace=chosen,
            memory_id=self.id if inner.id is None else inner.id,
            parent=self.parent if inner.parent is None else inner.parent,
            governance=cast("Mapping[str, Json] | None", governance),
        )


class NamespaceRow(msgspec.Struct):
    """Live rows of one namespace."""

    namespace: str
    count: int


class NamespacesBody(msgspec.Struct):
    """Largest first."""

    namespaces: list[NamespaceRow]


class StandardSetBody(msgspec.Struct, omit_defaults=True):
    """What leads the namespace now; `governance` is the merged policy, when one was given."""

    set: bool
    namespace: str
    standard_id: str
    parent: str | None = None
    governance: Mapping[str, Any] | None = None


class ClearedBody(msgspec.Struct):
    """Whether there was a standard. Its memory stays."""

    cleared: bool
    namespace: str


class TaxonomyRow(msgspec.Struct):
    """A level of the tree."""

    namespace: str
    name: str
    count: int
    subtree_count: int
    children: list[TaxonomyRow]


class TaxonomyBody(msgspec.Struct):
    """`truncated` says that namespaces were left out; `total_count` counts their rows, too."""

    tree: TaxonomyRow
    total_count: int
    truncated: bool


def namespaces_body(sizes: Sequence[NamespaceSize]) -> NamespacesBody:
    return NamespacesBody([NamespaceRow(one.namespace, one.count) for one in sizes])


def standard_set_body(done: StandardSet) -> StandardSetBody:
    return StandardSetBody(True, done.namespace, done.standard_id, done.parent, done.governance)


def standard_body(namespace: str, standard: Standard | None) -> dict[str, object]:
    """The keys differ: nothing bound, bound, or bound to a row that cannot be shown."""
    if standard is None:
        return {"namespace": namespace, "standard_id": None}
    body: dict[str, object] = {"namespace": namespace, "standard_id": standard.standard_id}
    if standard.memory is None:
        body["warning"] = HIDDEN
    else:
        memory = standard.memory
        body.update(title=memory.title, content=memory.content, priority=memory.priority)
    if standard.governance is not None:
        body["governance"] = standard.governance
    return body


def chain_body(namespace: str, chain: StandardChain) -> dict[str, object]:
    standards = [standard_body(one.namespace, one) for one in chain.standards]
    return {
        "namespace": namespace,
        "chain": chain.names,
        "standards": standards,
        "count": len(standards),
    }


def taxonomy_row(node: TaxonomyNode) -> TaxonomyRow:
    children = [taxonomy_row(child) for child in node.children]
    return TaxonomyRow(node.namespace, node.name, node.count, node.subtree_count, children)
