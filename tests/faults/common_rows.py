"""Rows that all clients change at once, so that nodes meet on them.

Who was last is decided by the nodes. But each acknowledged change counts once in the version, and
the content is one that somebody sent.
"""

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

NAMESPACE: Final = "common"
CONTESTED: Final = "contested"
"""Namespace of the titles that many store at once; one may have each."""


@dataclass
class CommonRow:
    """One row, and all that was asked of it."""

    title: str
    memory_id: str
    sent: set[str]
    acknowledged: int = 0
    in_doubt: int = 0


@dataclass
class CommonRows:
    """For many threads."""

    rows: list[CommonRow] = field(default_factory=list)
    links: set[tuple[str, str]] = field(default_factory=set)
    contested: dict[str, str] = field(default_factory=dict)
    """Contested title → the id that had it last, as far as anybody was told."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def about_to_send(self, row: CommonRow, content: str) -> None:
        with self._lock:
            row.sent.add(content)

    def happened(self, row: CommonRow) -> None:
        with self._lock:
            row.acknowledged += 1

    def may_have_happened(self, row: CommonRow) -> None:
        with self._lock:
            row.in_doubt += 1

    def linked(self, pair: tuple[str, str]) -> None:
        with self._lock:
            self.links.add(pair)

    def got(self, title: str, memory_id: str) -> None:
        with self._lock:
            self.contested[title] = memory_id

    def disagreements(self, shown: Iterable[Mapping[str, object]]) -> list[str]:
        """What a node shows of these rows and cannot be, in words."""
        found = {str(one["title"]): one for one in shown}
        faults = []
        for row in self.rows:
            one = found.get(row.title)
            if one is None or one["id"] != row.memory_id:
                faults.append(f"{row.title!r} is {one}, not {row.memory_id}")
                continue
            least, most = 1 + row.acknowledged, 1 + row.acknowledged + row.in_doubt
            version = one["version"]
            assert isinstance(version, int)
            if not least <= version <= most:
                faults.append(f"{row.title!r}: version {version}, not {least} to {most}")
            if one["content"] not in row.sent:
                faults.append(f"{row.title!r} says what nobody sent: {one['content']!r:.80}")
        return faults
