"""Re-hashing what is stored: rows that fail their own hash, rows that do not show their state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from app.log.canonical import CanonicalError
from app.log.digest import EMPTY, bucket_of, changed
from app.log.entry import GENESIS_HASH, chain_hash
from app.log.projection import snapshot
from app.log.state import EntityKey, decode_state, row_hash
from app.store.tables import memories
from app.store.writing import rows as shown
from app.store.writing.statements import Query, Select

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Reader, Row

_PAGE: Final = 1_000
_COUNT: Final = Query(
    "SELECT (SELECT count(*) FROM memory_state) + (SELECT count(*) FROM record_state)"
)
_MEMORIES: Final = Query(
    "SELECT id, state, row_hash, collected FROM memory_state WHERE id > ? ORDER BY id LIMIT ?"
)
_RECORDS: Final = Query(
    "SELECT kind, key, state, row_hash FROM record_state WHERE (kind, key) > (?, ?)"
    " ORDER BY kind, key LIMIT ?"
)
_SHOWN: Final = Select(
    memories, ("id", "content", "namespace", "title", "tier", "priority"), ("id",)
)
_ORIGINS: Final = Query(
    "SELECT origin_no, origin, head_hash, floor_seq, floor_hash FROM log_origins WHERE head_seq > 0"
)
_ENTRIES: Final = Query(
    "SELECT header, payload_hash, hash, seq FROM log_entries"
    " WHERE origin_no = ? AND seq > ? ORDER BY seq LIMIT ?"
)

_Shown = tuple[str, str, str, str, int]
"""Content, namespace, title, tier and priority of a live row."""


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


def scrub(
    reader: Reader, kept: Mapping[int, bytes], progress: Callable[[int, int], None]
) -> ScrubReport:
    """Check every state, projection, digest and chain, in the reader's one snapshot.

    Args:
        reader: of a transaction that sees one snapshot.
        kept: the digests that the store keeps, bucket → digest.
        progress: told (done, total) rows.
    """
    return _Scrub(reader, progress).run(kept)


class _Scrub:
    def __init__(self, reader: Reader, progress: Callable[[int, int], None]) -> None:
        self._reader = reader
        self._progress = progress
        self._total = cast("int", reader.read(_COUNT, ())[0][0])
        self._done = 0
        self._damaged: list[str] = []
        self._wrong: list[str] = []
        self._digests: dict[int, bytes] = {}

    def run(self, kept: Mapping[int, bytes]) -> ScrubReport:
        for page in _pages(self._reader, _MEMORIES, ("",), slice(0, 1)):
            self._memories(page)
        for page in _pages(self._reader, _RECORDS, ("", ""), slice(0, 2)):
            for kind, key, state, stored in page:
                self._is_sound(EntityKey(cast("str", kind), cast("str", key)), state, stored)
        buckets = [
            bucket
            for bucket in sorted({*self._digests, *kept})
            if self._digests.get(bucket, EMPTY) != kept.get(bucket, EMPTY)
        ]
        return ScrubReport(
            self._done, self._damaged, self._wrong, buckets, _broken_chains(self._reader)
        )

    def _memories(self, page: Sequence[Row]) -> None:
        found = self._reader.read(_SHOWN, [row[:1] for row in page])
        shown_rows = {cast("str", row[0]): cast("_Shown", tuple(row[1:])) for row in found}
        for memory_id, state, stored, collected in page:
            key = EntityKey("memory", cast("str", memory_id))
            if self._is_sound(key, state, stored) and not _shows(
                key.key, cast("bytes", state), shown_rows.get(key.key), collected=bool(collected)
            ):
                self._wrong.append(key.key)

    def _is_sound(self, key: EntityKey, state: SqlValue, stored: SqlValue) -> bool:
        """Whether a row has the hash beside it, which counts towards its digest either way."""
        sound = row_hash(key, cast("bytes", state)) == stored
        if not sound:
            self._damaged.append(f"{key.kind} {key.key}")
        bucket = bucket_of(key)
        self._digests[bucket] = changed(
            self._digests.get(bucket, EMPTY), None, cast("bytes", stored)
        )
        self._done += 1
        self._progress(self._done, self._total)
        return sound


def _shows(memory_id: str, state: bytes, row: _Shown | None, *, collected: bool) -> bool:
    try:
        found = snapshot(memory_id, decode_state("memory", state))
    except CanonicalError:
        return False
    place = shown.lives_in(found, collected=collected)
    if place != "memories" or found is None:
        return row is None
    if row is None:
        return False
    memory = found.memory
    content, namespace, title, tier, priority = row
    return (
        _text(content) == _text(memory.content)
        and _text(namespace) == _text(memory.namespace)
        # Whoever lost its name shows it with a part of its id.
        and _text(title).startswith(_text(memory.title))
        and (tier, priority) == (memory.tier, memory.priority)
    )


def _text(value: str) -> str:
    """PostgreSQL's TEXT holds no NUL: there another character stands for it."""
    return value.replace("\x00", "\ufffd")


def _broken_chains(reader: Reader) -> list[str]:
    return [
        cast("str", origin)
        for no, origin, head, floor, floor_hash in reader.read(_ORIGINS, ())
        if _chain_end(reader, no, floor, cast("bytes", floor_hash or GENESIS_HASH)) != head
    ]


def _chain_end(reader: Reader, origin_no: SqlValue, floor: SqlValue, floor_hash: bytes) -> bytes:
    """The last hash that continues the one before it."""
    previous = floor_hash
    for page in _pages(reader, _ENTRIES, (origin_no, floor), slice(3, 4), fixed=1):
        for header, payload_hash, digest, _ in page:
            if digest != chain_hash(previous, cast("bytes", header), cast("bytes", payload_hash)):
                return previous
            previous = digest
    return previous


def _pages(
    reader: Reader, query: Query, start: Sequence[SqlValue], place: slice, fixed: int = 0
) -> Iterator[list[Row]]:
    """A table in the order of a key, which stands at `place` in each row.

    The first `fixed` parameters stay, the others are the key of the page before.
    """
    parameters = tuple(start)
    while page := reader.read(query, (*parameters, _PAGE)):
        yield page
        parameters = (*start[:fixed], *page[-1][place])
