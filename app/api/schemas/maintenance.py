"""Statistics and garbage collection on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from app.services.maintenance import Collected, StoreStatistics


class TierCount(msgspec.Struct):
    """Rows of one tier."""

    tier: str
    count: int


class NamespaceCount(msgspec.Struct):
    """Rows of one namespace."""

    namespace: str
    count: int


class EmbeddingBody(msgspec.Struct):
    """The embedder; `model` and `dim` are null without one."""

    ready: bool
    model: str | None
    dim: int | None
    vectors: int
    vectors_outside_index: int


class ReplicaReadsBody(msgspec.Struct):
    """Reads that replicas may answer, since the start, by who did.

    `replica`: a replica. `behind`, `failed`: the primary, after a replica had not come far enough
    or did not answer. `primary`: the primary alone, because a replica had just done either.
    `problem` is why the last one that failed did, until one succeeds.
    """

    location: str
    replica: int
    behind: int
    failed: int
    primary: int
    problem: str | None


class StatsBody(msgspec.Struct, omit_defaults=True):
    """`total` and both lists count expired rows that still wait for collection, as v0.7.0 does."""

    total: int
    by_tier: list[TierCount]
    by_namespace: list[NamespaceCount]
    expiring_soon: int
    links_count: int
    db_size_bytes: int
    dim_violations: int
    index_evictions_total: int
    live: int
    expired_pending_gc: int
    embedding_backlog: int
    embedding: EmbeddingBody
    replica_reads: ReplicaReadsBody | None = None


class GcBody(msgspec.Struct):
    """`expired_deleted` rows left the live table; the other two are extras of ours."""

    expired_deleted: int
    archive_purged: int
    standards_cleared: int


def stats_body(found: StoreStatistics) -> StatsBody:
    """Statistics in v0.7.0's words."""
    counts, status, embedding = found.counts, found.status, found.embedding
    reads = status.replica_reads
    return StatsBody(
        total=counts.total,
        by_tier=[TierCount(one.name, one.count) for one in counts.by_tier],
        by_namespace=[NamespaceCount(one.name, one.count) for one in counts.by_namespace],
        expiring_soon=counts.expiring_soon,
        links_count=counts.links,
        db_size_bytes=counts.database_bytes,
        dim_violations=counts.misshapen_vectors,
        index_evictions_total=found.index_evictions,
        live=counts.live,
        expired_pending_gc=counts.expired,
        # Without an embedder nothing waits for one.
        embedding_backlog=counts.without_vector if embedding.model is not None else 0,
        embedding=EmbeddingBody(
            ready=embedding.is_ready,
            model=embedding.model,
            dim=embedding.dim,
            vectors=status.vectors,
            vectors_outside_index=status.vectors_outside_index,
        ),
        replica_reads=None
        if reads is None
        else ReplicaReadsBody(
            location=reads.location,
            replica=reads.replica,
            behind=reads.behind,
            failed=reads.failed,
            primary=reads.primary,
            problem=reads.problem,
        ),
    )


def gc_body(done: Collected) -> GcBody:
    """A collection in v0.7.0's words."""
    return GcBody(done.expired, done.erased, done.unbound)
