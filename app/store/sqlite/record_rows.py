"""Projections of links, aliases and standards, written with their states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.kinds.alias import split_alias_key
from app.log.kinds.links import split_link_key
from app.log.projection import project_alias, project_link, project_standard
from app.store.sqlite.statements import insert_text, replacing
from app.store.tables import entity_aliases, memory_links, namespace_meta

if TYPE_CHECKING:
    import apsw

    from app.log.registers import Cells
    from app.log.workspace import Workspace
    from app.store.sql.selects import SqlValue

_LINK_COLUMNS: Final = (
    "source_id",
    "target_id",
    "relation",
    "created_at",
    "valid_from",
    "valid_until",
    "observed_by",
    "attest_level",
    "signature",
)
_LINK: Final = insert_text(
    memory_links, _LINK_COLUMNS, replacing(_LINK_COLUMNS[:3], _LINK_COLUMNS[3:])
)
_ALIAS: Final = insert_text(
    entity_aliases,
    ("entity_id", "alias", "created_at"),
    replacing(("entity_id", "alias"), ("created_at",)),
)
_STANDARD_COLUMNS: Final = ("namespace", "standard_id", "parent_namespace", "updated_at")
_STANDARD: Final = insert_text(
    namespace_meta, _STANDARD_COLUMNS, replacing(("namespace",), _STANDARD_COLUMNS[1:])
)


def write_records(connection: apsw.Connection, workspace: Workspace) -> None:
    """Show what changed among links, aliases and standards."""
    links: list[tuple[SqlValue, ...]] = []
    aliases: list[tuple[SqlValue, ...]] = []
    standards: list[tuple[SqlValue, ...]] = []
    for key in workspace.changes():
        cells = cast("Cells", workspace.cells(key))
        if key.kind == "link":
            link = project_link(key.key, cells)
            if link is None:
                connection.execute(
                    "DELETE FROM memory_links"
                    " WHERE source_id = ? AND target_id = ? AND relation = ?",
                    split_link_key(key.key),
                )
            else:
                links.append(tuple(getattr(link, column) for column in _LINK_COLUMNS))
        elif key.kind == "alias":
            alias = project_alias(key.key, cells)
            if alias is None:
                connection.execute(
                    "DELETE FROM entity_aliases WHERE entity_id = ? AND alias = ?",
                    split_alias_key(key.key),
                )
            else:
                aliases.append((alias.entity_id, alias.alias, alias.created_at))
        elif key.kind == "standard":
            binding = project_standard(key.key, cells)
            if binding is None:
                connection.execute("DELETE FROM namespace_meta WHERE namespace = ?", (key.key,))
            else:
                standards.append(tuple(getattr(binding, column) for column in _STANDARD_COLUMNS))
    _LINK.run(connection, links)
    _ALIAS.run(connection, aliases)
    _STANDARD.run(connection, standards)
