"""The whole configuration as one frozen value, and a walk over its keys.

To add a setting, add one field with its `Key` to a section: the resolver, the
reference and the default file find it there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field
from pydantic.fields import FieldInfo

from app.config.key import Key, OnInvalid
from app.config.secret import Secret
from app.config.section import Section
from app.config.sections.access import (
    Admin,
    Agents,
    Governance,
    Hooks,
    Identity,
    Permissions,
    Security,
    Subscriptions,
    Verify,
    Visibility,
)
from app.config.sections.federation import Federation, Tls
from app.config.sections.inference import Confidence, Embeddings, Llm, Reranker
from app.config.sections.memory import (
    Limits,
    Logging,
    Recording,
    Scoring,
    Storage,
    Transcripts,
    Ttl,
)
from app.config.sections.surfaces import Audit, Boot, Mcp
from app.config.values import Flag, NonEmpty, NotNegative, Positive, Tier


class Settings(Section):
    """Top level."""

    schema_version: Annotated[
        NotNegative | None,
        Key("Shape of the file: unset or 1 is the flat shape of v0.6, 2 the sections below."),
    ] = None
    tier: Annotated[
        Tier,
        Key(
            "What the node may use: keyword, semantic, smart or autonomous.",
            flag="mcp --tier",
            on_invalid=OnInvalid.DEFAULT,
        ),
    ] = "semantic"
    db: Annotated[
        Path,
        Key(
            "The SQLite file.",
            env=("AI_MEMORY_DB",),
            flag="--db",
            default_is_absent=True,
            note="a flag or variable equal to the default leaves the choice to the file",
        ),
    ] = Path("ai-memory.db")
    store_url: Annotated[
        Secret | None,
        Key(
            "Where the store is, if not in an SQLite file: `postgresql://host/database`.",
            env=("AI_MEMORY_STORE_URL",),
            flag="serve --store-url",
            ours=True,
            note="libpq's form, which may name several hosts; not together with `--db` or "
            "`AI_MEMORY_DB`. A password is better left to PGPASSWORD or a password file; with one "
            "here, keep the file's mode at 0600. v0.7.0 knows the flag only",
        ),
    ] = None
    store_read_url: Annotated[
        Secret | None,
        Key(
            "Where replicas of a PostgreSQL store are: recall, search, get and list go there.",
            env=("AI_MEMORY_STORE_READ_URL",),
            flag="serve --store-read-url",
            ours=True,
            note="libpq's form: name several hosts and add `load_balance_hosts=random` to spread "
            "reads. What a replica cannot answer, or has not yet, the primary does; the schema is "
            "`store_url`'s",
        ),
    ] = None
    api_key: Annotated[
        Secret | None,
        Key(
            "Key that HTTP callers give as `X-API-Key`.",
            note="a literal: keep the file's mode at 0600. `AI_MEMORY_API_KEY` is read by the "
            "container's entry point, not here",
        ),
    ] = None
    autonomous_hooks: Annotated[
        Flag,
        Key(
            "Tag and look for contradictions with the language model after each store.",
            env=("AI_MEMORY_AUTONOMOUS_HOOKS",),
        ),
    ] = False
    auto_export_reflections_to_filesystem: Annotated[
        Flag, Key("Mirror reflections into `~/.ai-memory/reflections`.")
    ] = False
    postgres_pool_max_connections: Annotated[
        Positive,
        Key(
            "Most PostgreSQL connections.",
            unit="connections",
            env=("AI_MEMORY_PG_POOL_MAX",),
            on_invalid=OnInvalid.NEXT_LAYER,
        ),
    ] = 16
    postgres_pool_min_connections: Annotated[
        Positive,
        Key(
            "PostgreSQL connections kept open.",
            unit="connections",
            env=("AI_MEMORY_PG_POOL_MIN",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note="lowered to the most, if above it",
        ),
    ] = 2
    postgres_acquire_timeout_secs: Annotated[
        Positive,
        Key(
            "Longest wait for a free connection.",
            unit="seconds",
            env=("AI_MEMORY_PG_ACQUIRE_TIMEOUT_SECS",),
            on_invalid=OnInvalid.NEXT_LAYER,
        ),
    ] = 30
    postgres_statement_timeout_secs: Annotated[
        NotNegative,
        Key(
            "Longest PostgreSQL statement.",
            unit="seconds",
            on_invalid=OnInvalid.NEXT_LAYER,
            note="0 turns it off",
        ),
    ] = 30
    postgres_lock_timeout_secs: Annotated[
        NotNegative,
        Key(
            "Longest wait of a PostgreSQL statement for a lock.",
            unit="seconds",
            on_invalid=OnInvalid.NEXT_LAYER,
            ours=True,
            note="0 turns it off",
        ),
    ] = 5
    postgres_pooled: Annotated[
        Flag,
        Key(
            "The PostgreSQL address is a pooler's in transaction mode: prepare nothing there.",
            ours=True,
        ),
    ] = False
    request_timeout_secs: Annotated[
        Positive,
        Key(
            "Longest HTTP request, on every route.", unit="seconds", on_invalid=OnInvalid.NEXT_LAYER
        ),
    ] = 60
    llm_call_timeout_secs: Annotated[
        Positive,
        Key(
            "Longest call of a language model; then the node goes on as if it had none.",
            unit="seconds",
            on_invalid=OnInvalid.NEXT_LAYER,
        ),
    ] = 30
    mcp_federation_forward_url: Annotated[
        NonEmpty | None,
        Key("Node to which the MCP server sends its writes; unset: its own store."),
    ] = None

    ttl: Ttl = Field(default_factory=Ttl)
    scoring: Scoring = Field(default_factory=Scoring)
    storage: Storage = Field(default_factory=Storage)
    limits: Limits = Field(default_factory=Limits)
    tls: Tls = Field(default_factory=Tls)
    federation: Federation = Field(default_factory=Federation)
    identity: Identity = Field(default_factory=Identity)
    visibility: Visibility = Field(default_factory=Visibility)
    admin: Admin = Field(default_factory=Admin)
    permissions: Permissions = Field(default_factory=Permissions)
    governance: Governance = Field(default_factory=Governance)
    verify: Verify = Field(default_factory=Verify)
    security: Security = Field(default_factory=Security)
    subscriptions: Subscriptions = Field(default_factory=Subscriptions)
    hooks: Hooks = Field(default_factory=Hooks)
    agents: Agents = Field(default_factory=Agents)
    embeddings: Embeddings = Field(default_factory=Embeddings)
    llm: Llm = Field(default_factory=Llm)
    reranker: Reranker = Field(default_factory=Reranker)
    confidence: Confidence = Field(default_factory=Confidence)
    recording: Recording = Field(default_factory=Recording)
    transcripts: Transcripts = Field(default_factory=Transcripts)
    mcp: Mcp = Field(default_factory=Mcp)
    boot: Boot = Field(default_factory=Boot)
    logging: Logging = Field(default_factory=Logging)
    audit: Audit = Field(default_factory=Audit)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One key: where it stands in the file, its field and what is known of it."""

    path: tuple[str, ...]
    field: FieldInfo
    key: Key

    @property
    def dotted(self) -> str:
        return ".".join(self.path)

    @property
    def default(self) -> object:
        return self.field.get_default(call_default_factory=True)


@dataclass(frozen=True, slots=True)
class Table:
    """One section: its own keys and the sections within."""

    path: tuple[str, ...]
    model: type[Section]
    leaves: tuple[Leaf, ...]
    tables: tuple[Table, ...]

    def all_tables(self) -> Iterator[Table]:
        """This table and every one below, in the order of the file."""
        yield self
        for table in self.tables:
            yield from table.all_tables()


def _table(model: type[Section], path: tuple[str, ...]) -> Table:
    leaves: list[Leaf] = []
    tables: list[Table] = []
    for name, field in model.model_fields.items():
        here = (*path, name)
        key = next((item for item in field.metadata if isinstance(item, Key)), None)
        if key is not None:
            leaves.append(Leaf(here, field, key))
        else:
            assert isinstance(field.annotation, type), here
            assert issubclass(field.annotation, Section), here
            tables.append(_table(field.annotation, here))
    return Table(path, model, tuple(leaves), tuple(tables))


@cache
def root_table() -> Table:
    """The tree of all sections and keys."""
    return _table(Settings, ())


@cache
def leaves() -> dict[str, Leaf]:
    """Every key by its dotted name, in the order of the file."""
    return {leaf.dotted: leaf for table in root_table().all_tables() for leaf in table.leaves}
