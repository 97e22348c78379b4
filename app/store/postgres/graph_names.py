"""What the graph of Apache AGE is called, and what of AGE every use of it needs."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Final

from app.store.postgres.url import DEFAULT_SCHEMA

if TYPE_CHECKING:
    import psycopg

GRAPH: Final = "memory_graph"
VERTEX_LABEL: Final = "Memory"

_PLAIN: Final = re.compile(r"[a-z][a-z0-9_]{0,40}")
_DIGEST_CHARACTERS: Final = 16

# AGE's types and operators are found by the search path only. Reading a value of its type loads its
# library where the server has not done so, which LOAD lets a superuser do alone.
_READY: Final = (
    b"SELECT set_config('search_path', current_setting('search_path') || ', ag_catalog', true),"
    b" '1'::ag_catalog.agtype"
)


def graph_of(schema: str) -> str:
    """The graph of a store; graphs belong to the database, which may hold many stores.

    The name is a plain word whatever the schema's is.
    """
    if schema == DEFAULT_SCHEMA:
        return GRAPH
    if _PLAIN.fullmatch(schema):
        return f"{GRAPH}_{schema}"
    digest = hashlib.sha256(schema.encode()).hexdigest()
    return f"{GRAPH}_{digest[:_DIGEST_CHARACTERS]}"


def make_ready(connection: psycopg.Connection) -> None:
    """Let this transaction speak of AGE's things."""
    connection.execute(_READY)
