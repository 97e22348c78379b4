"""Re-hashing what is stored: rows that fail their own hash, rows that do not show their state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from app.log.canonical import CanonicalError
from app.log.digest import EMPTY, bucket_of, changed
from app.log.entry import GENESIS_HASH, chain_hash
from app.log.projection import snapshot
from app.log.state import EntityKey, decode_state, row_hash
from app.store.writing import rows as shown

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import apsw


@dataclass(frozen=True, slots=True)
class ScrubReport:
    """What a scrub found; everything empty is a sound store."""

    rows: int
    damaged_states: Sequence[str]
    """Rows whose state does not have the hash stored beside it."""
    wrong_projections: Sequence[str]
    """Memories that do not show what their state says."""
    wrong_buckets: Sequence[int]
    broken_chains: Sequence[str]
    """Origins whose log does not hash to its head."""

    @property
    def is_sound(self) -> bool:
        """Whether nothing was found."""
        found = (
            self.damaged_states,
            self.wrong_projections,
            self.wrong_buckets,
            self.broken_chains,
        )
        return not any(found)


def scrub(connection: apsw.Connection, progress: Callable[[int, int], None]) -> ScrubReport:
    """Check every state, projection, digest and chain, in one snapshot."""
    connection.execute("BEGIN")
    try:
        return _scrub(connection, progress)
    finally:
        connection.execute("ROLLBACK")


def _scrub(connection: apsw.Connection, progress: Callable[[int, int], None]) -> ScrubReport:
    damaged: list[str] = []
    wrong: list[str] = []
    digests: dict[int, bytes] = {}
    total = _count(connection, "memory_state") + _count(connection, "record_state")
    done = 0
    for kind, key, state, stored, collected in connection.execute(
        "SELECT 'memory', id, state, row_hash, collected FROM memory_state"
        " UNION ALL SELECT kind, key, state, row_hash, 0 FROM record_state"
    ):
        entity = EntityKey(cast("str", kind), cast("str", key))
        actual = row_hash(entity, cast("bytes", state))
        if actual != stored:
            damaged.append(f"{kind} {key}")
        elif kind == "memory" and not _shows(
            connection, cast("str", key), cast("bytes", state), collected=bool(collected)
        ):
            wrong.append(cast("str", key))
        bucket = bucket_of(entity)
        digests[bucket] = changed(digests.get(bucket, EMPTY), None, cast("bytes", stored))
        done += 1
        progress(done, total)
    kept = {
        cast("int", bucket): cast("bytes", digest)
        for bucket, digest in connection.execute("SELECT bucket, digest FROM digest_buckets")
    }
    buckets = [
        bucket
        for bucket in sorted({*digests, *kept})
        if digests.get(bucket, EMPTY) != kept.get(bucket, EMPTY)
    ]
    return ScrubReport(done, damaged, wrong, buckets, _broken_chains(connection))


def _shows(connection: apsw.Connection, memory_id: str, state: bytes, *, collected: bool) -> bool:
    try:
        found = snapshot(memory_id, decode_state("memory", state))
    except CanonicalError:
        return False
    place = shown.lives_in(found, collected=collected)
    row = connection.execute(
        "SELECT content, updated_at FROM memories WHERE id = ?", (memory_id,)
    ).fetchone()
    if place != "memories" or found is None:
        return row is None
    return row is not None and row[0] == found.memory.content


def _broken_chains(connection: apsw.Connection) -> list[str]:
    broken: list[str] = []
    for no, origin, head in connection.execute(
        "SELECT origin_no, origin, head_hash FROM log_origins WHERE head_seq > 0"
    ).fetchall():
        previous: bytes | None = None
        for header, payload_hash, digest, seq in connection.execute(
            "SELECT header, payload_hash, hash, seq FROM log_entries"
            " WHERE origin_no = ? ORDER BY seq",
            (no,),
        ):
            if previous is None and seq == 1:
                previous = GENESIS_HASH
            if previous is not None and digest != chain_hash(
                previous, cast("bytes", header), cast("bytes", payload_hash)
            ):
                break
            previous = cast("bytes", digest)
        if previous != head:
            broken.append(cast("str", origin))
    return broken


def _count(connection: apsw.Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - own names
    return cast("int", row[0]) if row else 0
