"""Projections of links, aliases, standards and members, written with their states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.kinds.alias import split_alias_key
from app.log.kinds.links import split_link_key
from app.log.projection import project_alias, project_link, project_member, project_standard
from app.store.sql.link_rows import LINK_KEY, LINK_NAMES
from app.store.tables import entity_aliases, log_members, memory_links, namespace_meta
from app.store.writing.rows import json_text
from app.store.writing.statements import Delete, Insert, Replace

if TYPE_CHECKING:
    from app.log.registers import Cells
    from app.log.workspace import Workspace
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Transaction

_LINK: Final = Insert(memory_links, LINK_NAMES, Replace(LINK_KEY, LINK_NAMES[3:]))
_NO_LINK: Final = Delete(memory_links, LINK_KEY)
_ALIAS: Final = Insert(
    entity_aliases,
    ("entity_id", "alias", "created_at"),
    Replace(("entity_id", "alias"), ("created_at",)),
)
_NO_ALIAS: Final = Delete(entity_aliases, ("entity_id", "alias"))
_STANDARD_COLUMNS: Final = ("namespace", "standard_id", "parent_namespace", "updated_at")
_STANDARD: Final = Insert(
    namespace_meta, _STANDARD_COLUMNS, Replace(("namespace",), _STANDARD_COLUMNS[1:])
)
_NO_STANDARD: Final = Delete(namespace_meta, ("namespace",))
_MEMBER_COLUMNS: Final = ("node_id", "state", "detail", "updated_at")
_MEMBER: Final = Insert(log_members, _MEMBER_COLUMNS, Replace(("node_id",), _MEMBER_COLUMNS[1:]))


def write_records(transaction: Transaction, workspace: Workspace) -> None:
    """Show what changed among links, aliases, standards and members."""
    links: list[tuple[SqlValue, ...]] = []
    aliases: list[tuple[SqlValue, ...]] = []
    standards: list[tuple[SqlValue, ...]] = []
    members: list[tuple[SqlValue, ...]] = []
    for key in workspace.changes():
        cells = cast("Cells", workspace.cells(key))
        if key.kind == "link":
            link = project_link(key.key, cells)
            if link is None:
                transaction.write(_NO_LINK, [split_link_key(key.key)])
            else:
                links.append(tuple(getattr(link, column) for column in LINK_NAMES))
        elif key.kind == "alias":
            alias = project_alias(key.key, cells)
            if alias is None:
                transaction.write(_NO_ALIAS, [split_alias_key(key.key)])
            else:
                aliases.append((alias.entity_id, alias.alias, alias.created_at))
        elif key.kind == "standard":
            binding = project_standard(key.key, cells)
            if binding is None:
                transaction.write(_NO_STANDARD, [(key.key,)])
            else:
                standards.append(tuple(getattr(binding, column) for column in _STANDARD_COLUMNS))
        elif key.kind == "member":
            member = project_member(key.key, cells)
            members.append((member.node_id, member.state, json_text(member.detail), member.since))
    transaction.write(_LINK, links)
    transaction.write(_ALIAS, aliases)
    transaction.write(_STANDARD, standards)
    transaction.write(_MEMBER, members)
