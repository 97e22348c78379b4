"""What a connection takes of the machine."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import apsw

from app.store.sqlite.connection import READERS, FileOptions, open_reader, open_writer

if TYPE_CHECKING:
    from pathlib import Path


def test_all_connections_of_a_store_map_no_more_than_the_setting_says(tmp_path: Path) -> None:
    path = tmp_path / "node.db"
    apsw.Connection(str(path)).close()
    options = FileOptions(path, mmap_bytes=60_000_000)

    with ExitStack() as stack:
        writer = stack.enter_context(closing(open_writer(options)))
        readers = [stack.enter_context(closing(open_reader(options))) for _ in range(READERS)]
        views = stack.enter_context(closing(open_reader(options, makes_views=True)))
        mapped = [int(str(one.pragma("mmap_size"))) for one in (writer, *readers, views)]

    assert all(mapped)
    assert sum(mapped) <= 60_000_000
