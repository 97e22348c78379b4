"""Whether two stores hold the same: digests, chains, and every table."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, cast

from app.domain.timestamps import TimestampError, canonical_instant
from app.log.digest import BUCKETS, EMPTY, folded
from app.store.moving.tables import COPIED, SHOWN
from app.store.tables import log_entries, log_signatures
from app.store.tables.types import JsonText, Timestamp
from app.store.writing.pages import count, listing, pages
from app.store.writing.scrub import scrub
from app.store.writing.statements import Query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sqlalchemy import Column, Table

    from app.store.moving.port import Seen
    from app.store.sql.selects import SqlValue
    from app.store.writing.port import Reader
    from app.store.writing.scrub import ScrubReport

    Report = Callable[[str, int, int], None]

_ROWS: Final = 1_000
_NAMED: Final = 3
_HEADS: Final = Query(
    "SELECT origin, head_seq, head_hash, head_hlc, floor_seq, floor_hash FROM log_origins"
)
_REPLACEMENT: Final = "\N{REPLACEMENT CHARACTER}"
_LOCAL_NUMBERS: Final = {log_entries.name: "origin_no", log_signatures.name: "origin_no"}
"""A column that each store numbers by itself; the header names the origin."""


@dataclass(frozen=True, slots=True)
class Tally:
    """How many rows a table has, and the sum of their hashes, whatever their order."""

    rows: int
    digest: bytes


def whole_digest(seen: Seen) -> bytes:
    """The sum of all buckets."""
    return folded(seen.digests.values())


def differences(source: Seen, target: Seen, report: Report) -> Iterator[str]:
    """What differs, a sentence each, the cheapest to find first; none if the stores are equal."""
    yield from _buckets(source, target)
    yield from _heads(source.reader, target.reader)
    for table in SHOWN:
        here, there = count(source.reader, table), count(target.reader, table)
        if here != there:
            yield f"{table.name}: {here} rows in the source, {there} in the target"
    total = 2 * sum(count(source.reader, table) for table in COPIED)
    progress = _Progress(report, total)
    for table in COPIED:
        yield from _copied(table, source.reader, target.reader, progress)
    yield from _unsound(
        scrub(target.reader, target.digests, lambda done, all_: report("hashing", done, all_))
    )


def _buckets(source: Seen, target: Seen) -> Iterator[str]:
    differing = [
        bucket
        for bucket in range(BUCKETS)
        if source.digests.get(bucket, EMPTY) != target.digests.get(bucket, EMPTY)
    ]
    if differing:
        yield f"the digests of {len(differing)} of {BUCKETS} buckets of states differ"


def _heads(source: Reader, target: Reader) -> Iterator[str]:
    there = {cast("str", row[0]): tuple(row[1:]) for row in target.read(_HEADS, ())}
    for row in source.read(_HEADS, ()):
        origin = cast("str", row[0])
        if there.get(origin) != tuple(row[1:]):
            yield f"the log of {origin} ends elsewhere"


def _copied(table: Table, source: Reader, target: Reader, progress: _Progress) -> Iterator[str]:
    here, there = _tally(source, table, progress), _tally(target, table, progress)
    if here.rows != there.rows:
        yield f"{table.name}: {here.rows} rows in the source, {there.rows} in the target"
    elif here.digest != there.digest:
        yield f"{table.name}: {here.rows} rows in both, and their contents differ"


def _unsound(found: ScrubReport) -> Iterator[str]:
    named: tuple[tuple[str, Sequence[object]], ...] = (
        ("states that do not have their hash", found.damaged_states),
        ("memories that do not show their state", found.wrong_projections),
        ("digests that are not the sum of their states", found.wrong_buckets),
        ("logs that do not hash to their end", found.broken_chains),
    )
    for what, culprits in named:
        if culprits:
            some = ", ".join(map(str, culprits[:_NAMED]))
            yield f"{what}: {len(culprits)}, such as {some}"


class _Progress:
    def __init__(self, report: Report, total: int) -> None:
        self._report = report
        self._total = total
        self._done = 0

    def add(self, rows: int) -> None:
        self._done += rows
        self._report("comparing", min(self._done, self._total), self._total)


def _tally(reader: Reader, table: Table, progress: _Progress) -> Tally:
    listed = listing(table)
    left_out = _LOCAL_NUMBERS.get(table.name)
    columns = [
        (place, table.c[name]) for place, name in enumerate(listed.columns) if name != left_out
    ]
    rows, digest = 0, EMPTY
    for page in pages(reader, listed, None, _ROWS):
        hashes = [
            sha256(
                repr([_alike(row[place], column) for place, column in columns]).encode()
            ).digest()
            for row in page
        ]
        rows, digest = rows + len(page), folded([digest, *hashes])
        progress.add(len(page))
    return Tally(rows, digest)


def _alike(value: SqlValue, column: Column[object]) -> object:
    """A value in a form that is the same from both databases."""
    if not isinstance(value, str):
        return value
    text = value.replace("\x00", _REPLACEMENT)
    if isinstance(column.type, Timestamp):
        return _instant(text)
    return _document(text) if isinstance(column.type, JsonText) else text


def _instant(text: str) -> str:
    for moment in (text, f"{text}T00:00:00Z"):  # a day is the moment when it begins
        with suppress(TimestampError):
            return canonical_instant(moment)
    return text


def _document(text: str) -> object:
    try:
        document = json.loads(text, parse_float=_number)
    except ValueError:
        return text
    written = json.dumps(document, sort_keys=True, ensure_ascii=False)
    return written.replace("\\u0000", _REPLACEMENT)


def _number(text: str) -> float | int:
    number = float(text)
    return int(number) if number.is_integer() else number
