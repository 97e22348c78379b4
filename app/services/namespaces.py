"""Namespaces: how large they are, how they nest, and which standard leads each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.domain import validation as must
from app.domain.errors import InvalidInputError
from app.domain.policy import chain_of, shown_policy
from app.domain.timestamps import format_instant
from app.services.commands.namespaces import ClearStandard, SetStandard
from app.store.sql.filters import MemoryFilter

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from app.domain.memory import Json, Memory
    from app.domain.sources import Clock
    from app.services.caller import Caller
    from app.services.commands.namespaces import StandardSet
    from app.store.protocol import Store
    from app.store.sql.namespaces import NamespaceSize

TAXONOMY_DEPTH_MAX: Final = 8
TAXONOMY_ROWS_MAX: Final = 10_000

_PARENTS_MAX: Final = 8  # semantics 2.3


@dataclass(frozen=True, slots=True)
class Standard:
    """A namespace's standard: `memory` is None when it is gone or not the caller's to read.

    The policy is shown to everybody, because it binds everybody.
    """

    namespace: str
    standard_id: str
    memory: Memory | None
    governance: Mapping[str, Json] | None


@dataclass(frozen=True, slots=True)
class StandardChain:
    """The names from the global standard down to a namespace, and the standards among them."""

    names: Sequence[str]
    standards: Sequence[Standard]


@dataclass(slots=True)
class TaxonomyNode:
    """A level of the namespace tree; `subtree_count` counts deeper levels that are not shown."""

    namespace: str
    name: str
    count: int = 0
    subtree_count: int = 0
    children: list[TaxonomyNode] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """A tree; `total_count` counts every row, those of namespaces that were cut off too."""

    tree: TaxonomyNode
    total_count: int
    is_truncated: bool


@dataclass(frozen=True, slots=True)
class AskedStandard:
    """A standard as a client asks for it, not checked yet."""

    namespace: str
    memory_id: str | None = None
    parent: str | None = None
    governance: Mapping[str, Json] | None = None


class NamespaceService:
    """The use cases of namespaces. `archive_deleted` keeps a copy of expired rows in the way."""

    def __init__(self, store: Store, clock: Clock, *, archive_deleted: bool = True) -> None:
        self.store = store
        self.clock = clock
        self.archive_deleted = archive_deleted

    async def sizes(self, caller: Caller) -> Sequence[NamespaceSize]:
        """Live rows by namespace, largest first, for admins.

        Raises:
            AdminRequiredError: the caller is none.
        """
        caller.require_admin()
        return await self.store.namespace_sizes(self._live())

    async def taxonomy(
        self, prefix: str | None, depth: int, limit: int, caller: Caller
    ) -> Taxonomy:
        """The tree of namespaces below `prefix`, for admins.

        Args:
            prefix: a namespace; None and "" for all.
            depth: levels below the root, 0 to 8.
            limit: namespaces that are looked at, the largest first.
            caller: who asks.

        Raises:
            AdminRequiredError: the caller is none.
            InvalidInputError: the prefix is no namespace.
        """
        caller.require_admin()
        root = (prefix or "").rstrip("/")
        if root:
            must.namespace(root, "prefix")
        chosen = self._live() if not root else MemoryFilter(now=self._now(), namespace_prefix=root)
        sizes = await self.store.namespace_sizes(chosen)
        shown = sizes[: max(1, min(limit, TAXONOMY_ROWS_MAX))]
        return Taxonomy(
            tree=_tree(root, shown, max(0, min(depth, TAXONOMY_DEPTH_MAX))),
            total_count=sum(one.count for one in sizes),
            is_truncated=len(shown) < len(sizes),
        )

    async def set_standard(self, asked: AskedStandard, caller: Caller) -> StandardSet:
        """Bind a memory, or a placeholder, to a namespace and merge a policy into it.

        Raises:
            InvalidInputError: a malformed name or policy, an unknown memory, itself as its parent.
            NotOwnerError: the present or the new standard is another agent's.
        """
        namespace = must.namespace(asked.namespace)
        if asked.memory_id is not None:
            must.memory_id(asked.memory_id)
        if asked.parent is not None and must.namespace(asked.parent, "parent") == namespace:
            raise InvalidInputError("parent cannot be the namespace itself", fields=["parent"])
        if asked.governance is not None:
            must.metadata({"governance": asked.governance})
        command = SetStandard(
            namespace,
            asked.memory_id,
            asked.parent,
            asked.governance,
            caller,
            self.archive_deleted,
        )
        return (await self.store.submit(command)).result

    async def clear_standard(self, namespace: str, caller: Caller) -> bool:
        """Unbind a namespace's standard; False when it had none.

        Raises:
            NotOwnerError: it is another agent's.
        """
        must.namespace(namespace)
        return (await self.store.submit(ClearStandard(namespace, caller))).result

    async def standard(self, namespace: str, caller: Caller) -> Standard | None:
        """The standard of exactly this namespace."""
        found = await self._standards([must.namespace(namespace)], caller)
        return found[0] if found else None

    async def chain(self, namespace: str, caller: Caller) -> StandardChain:
        """Every standard that leads a namespace, the most general first."""
        must.namespace(namespace)
        names = chain_of(namespace, await self._parents(namespace.partition("/")[0]))
        # A binding whose memory is gone leads nobody.
        found = [one for one in await self._standards(names, caller) if one.governance is not None]
        return StandardChain(names, found)

    async def _parents(self, root: str) -> Sequence[str]:
        """The explicit ancestors of a root segment, nearest first; a circle ends the way up."""
        found: list[str] = []
        current = root
        for _ in range(_PARENTS_MAX):
            binding = (await self.store.standards([current])).get(current)
            parent = None if binding is None else binding.parent_namespace
            if parent is None or parent == root or parent in found:
                break
            found.append(parent)
            current = parent
        return found

    async def _standards(self, names: Sequence[str], caller: Caller) -> Sequence[Standard]:
        """The standards bound to `names`, in their order."""
        bindings = await self.store.standards(names)
        ids = [bindings[one].standard_id for one in names if one in bindings]
        memories = {one.id: one for one in await self.store.get_many(ids, self._live())}
        found: list[Standard] = []
        for name in names:
            if name not in bindings:
                continue
            standard_id = bindings[name].standard_id
            memory = memories.get(standard_id)
            policy = None if memory is None else shown_policy(memory.metadata.get("governance"))
            seen = memory if memory is not None and caller.sees(memory) else None
            found.append(Standard(name, standard_id, seen, policy))
        return found

    def _now(self) -> str:
        return format_instant(self.clock.now())

    def _live(self) -> MemoryFilter:
        return MemoryFilter(now=self._now())


def _tree(root: str, sizes: Iterable[NamespaceSize], depth: int) -> TaxonomyNode:
    top = TaxonomyNode(root, root.rpartition("/")[2])
    nodes = {root: top}
    for size in sizes:
        below = size.namespace.removeprefix(root).strip("/") if root else size.namespace
        node = top
        node.subtree_count += size.count
        names = below.split("/") if below else []
        for name in names[:depth]:
            path = f"{node.namespace}/{name}" if node.namespace else name
            if path not in nodes:
                nodes[path] = TaxonomyNode(path, name)
                node.children.append(nodes[path])
            node = nodes[path]
            node.subtree_count += size.count
        if len(names) <= depth:
            node.count += size.count
    for node in nodes.values():
        node.children.sort(key=lambda child: child.name)
    return top
