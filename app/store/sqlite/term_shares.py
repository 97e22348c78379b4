"""bm25 of single rows, worked out as FTS5 does it.

For the few rows that changed after the arrays of common words were taken: asking FTS5 about one
row costs as much as a whole query, reading the row's text a tenth of a millisecond.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, cast

from app.store.text.bm25 import Averages, Profile, profile

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from app.store.sqlite.analysis import Analyser

# FTS5 keeps row count and tokens a column in this record, as SQLite varints (fts5_index.c).
_AVERAGES_RECORD: Final = 1
_VARINT_BYTES_MAX: Final = 9
_CONTINUES: Final = 0x80


def read_averages(connection: apsw.Connection) -> Averages:
    row = connection.execute(
        "SELECT block FROM memories_fts_data WHERE id = ?", (_AVERAGES_RECORD,)
    ).fetchone()
    numbers = _varints(cast("bytes", row[0])) if row else []
    row_count, tokens = (numbers[0], sum(numbers[1:])) if numbers else (0, 0)
    # Without a token no row has a length to compare; any mean will do.
    return Averages(row_count, tokens / row_count if row_count and tokens else 1.0)


def read_profiles(
    connection: apsw.Connection, analyser: Analyser, rows: Iterable[int]
) -> dict[int, Profile]:
    """Profiles of those rows that still exist."""
    found = connection.execute(
        "SELECT m.rowid, m.title, m.content, m.tags FROM json_each(?) AS asked"
        " CROSS JOIN memories AS m ON m.rowid = asked.value",
        (json.dumps(list(rows)),),
    )
    profiles: dict[int, Profile] = {}
    for row, *columns in found:
        profiles[cast("int", row)] = profile(analyser, [str(text or "") for text in columns])
    return profiles


def _varints(block: bytes) -> list[int]:
    numbers: list[int] = []
    value = length = 0
    for byte in block:
        length += 1
        if length == _VARINT_BYTES_MAX:  # the ninth byte has no continuation bit
            numbers.append(value << 8 | byte)
            value = length = 0
            continue
        value = value << 7 | byte & (_CONTINUES - 1)
        if byte < _CONTINUES:
            numbers.append(value)
            value = length = 0
    return numbers
