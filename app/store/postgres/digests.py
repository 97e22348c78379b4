"""Digests of a schema that several nodes write to: buckets, and deltas not yet folded in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from app.log.digest import DIGEST_BYTES, EMPTY, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import psycopg

_FOLDED_MAX: Final = 5_000
_LOCK: Final = b"SELECT pg_try_advisory_xact_lock(hashtext('digests of ' || current_schema()))"
_TAKE: Final = (
    b"DELETE FROM digest_deltas WHERE no IN"
    b" (SELECT no FROM digest_deltas ORDER BY no LIMIT %s) RETURNING buckets, deltas"
)
_PUT: Final = (
    b"INSERT INTO digest_buckets (bucket, digest) SELECT * FROM unnest(%b::int[], %b::bytea[])"
    b" ON CONFLICT (bucket) DO UPDATE SET digest = excluded.digest"
)


def packed(deltas: Mapping[int, bytes]) -> tuple[bytes, bytes]:
    """A row of `digest_deltas`."""
    return bytes(deltas), b"".join(deltas.values())


def add(connection: psycopg.Connection, deltas: Mapping[int, bytes]) -> None:
    """Keep what a batch adds."""
    connection.execute(
        b"INSERT INTO digest_deltas (buckets, deltas) VALUES (%b, %b)", packed(deltas)
    )


def read(connection: psycopg.Connection) -> Mapping[int, bytes]:
    """Bucket → digest, those never written left out; in one snapshot."""
    found = _buckets(connection)
    rows = connection.execute(b"SELECT buckets, deltas FROM digest_deltas").fetchall()
    return _sums(found, cast("list[tuple[bytes, bytes]]", rows))


def fold(connection: psycopg.Connection) -> None:
    """Add the oldest deltas to their buckets; nothing if another node is at it."""
    row = connection.execute(_LOCK).fetchone()
    if row is None or not row[0]:
        return
    rows = connection.execute(_TAKE, (_FOLDED_MAX,)).fetchall()
    if rows:
        sums = _sums(_buckets(connection), cast("list[tuple[bytes, bytes]]", rows))
        connection.execute(_PUT, (list(sums), list(sums.values())))


def _buckets(connection: psycopg.Connection) -> dict[int, bytes]:
    rows = connection.execute(b"SELECT bucket, digest FROM digest_buckets").fetchall()
    return dict(cast("list[tuple[int, bytes]]", rows))


def _sums(found: dict[int, bytes], rows: Iterable[tuple[bytes, bytes]]) -> Mapping[int, bytes]:
    parts: dict[int, list[bytes]] = {}
    for buckets, deltas in rows:
        for bucket, delta in _unpacked(buckets, deltas):
            parts.setdefault(bucket, [found.get(bucket, EMPTY)]).append(delta)
    return {**found, **{bucket: folded(deltas) for bucket, deltas in parts.items()}}


def _unpacked(buckets: bytes, deltas: bytes) -> Iterator[tuple[int, bytes]]:
    for place, bucket in enumerate(buckets):
        start = place * DIGEST_BYTES
        yield bucket, deltas[start : start + DIGEST_BYTES]
