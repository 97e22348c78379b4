"""A consistent copy of an open store, page by page, while writers go on.

Page copy and not VACUUM INTO: the rows of the text and vector indexes are tied
to row numbers, which VACUUM may change in tables with a text key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import apsw

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

_PAGES_PER_STEP: Final = 2_000


def copy_database(
    source: apsw.Connection, target: Path, progress: Callable[[int, int], None]
) -> None:
    """Copy what `source` sees now into a new file.

    A read transaction is held throughout, so later commits do not restart the copy.
    """
    destination = apsw.Connection(str(target))
    try:
        source.execute("BEGIN")
        try:
            source.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchall()
            with destination.backup("main", source, "main") as backup:
                while not backup.done:
                    backup.step(_PAGES_PER_STEP)
                    progress(backup.page_count - backup.remaining, backup.page_count)
        finally:
            source.execute("ROLLBACK")
        destination.pragma("journal_mode", "DELETE")
    finally:
        destination.close()
