"""A disk that keeps what it was asked to keep, and of the rest whatever chance leaves.

It sees every write of the files under test and every request to flush. `image` says what a
machine would find after losing power now: flushed bytes, flushed folder entries, and, for what
was written since, nothing or any mixture of sectors. The real files go on unharmed, so one
run of a store can be cut at hundreds of moments.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TypeVar

T = TypeVar("T")

SECTOR_BYTES = 512
# Shared memory between processes: it lives in memory and is never expected back.
VOLATILE_SUFFIX = "-shm"


@dataclass(frozen=True)
class Write:
    offset: int
    data: bytes


@dataclass(frozen=True)
class Truncate:
    size: int


@dataclass
class Content:
    """One file's bytes: what is on the disk, and what is on its way there, in order."""

    kept: bytearray = field(default_factory=bytearray)
    pending: list[Write | Truncate] = field(default_factory=list)

    def flush(self) -> None:
        for change in self.pending:
            apply(self.kept, change)
        self.pending.clear()

    def after_power_loss(self, chance: Random | None) -> bytes:
        if chance is None:
            return bytes(self.kept)
        found = bytearray(self.kept)
        for change in self.pending:
            if isinstance(change, Truncate):
                if chance.random() < 0.5:
                    apply(found, change)
                continue
            for start in range(0, len(change.data), SECTOR_BYTES):
                if chance.random() < 0.5:
                    piece = change.data[start : start + SECTOR_BYTES]
                    apply(found, Write(change.offset + start, piece))
        return bytes(found)


def apply(found: bytearray, change: Write | Truncate) -> None:
    if isinstance(change, Truncate):
        del found[change.size :]
        found.extend(bytes(change.size - len(found)))
        return
    end = change.offset + len(change.data)
    found.extend(bytes(max(0, end - len(found))))
    found[change.offset : end] = change.data


class LossyDisk:
    """One folder on such a disk.

    SQLite's files report through `lossy_vfs`, the program's own files through `DiskSync`, which
    this class also is. `moment` is called after every change, by whoever made it.
    """

    def __init__(self, folder: Path, *, obeys_sync: bool = True) -> None:
        self._folder = folder
        self._obeys_sync = obeys_sync
        self._lock = threading.RLock()
        self._database: dict[str, Content] = {}
        self._entries: dict[str, Content] = {}
        self._flushed: dict[int, bytes] = {}
        self._own_entries: dict[str, bytes] = {}
        self.moment: Callable[[], None] = lambda: None
        self.flushes = 0
        for path in folder.iterdir():
            # What stood here before the test has been here long enough.
            self._entries[path.name] = Content(bytearray(path.read_bytes()))
        self._database.update(self._entries)

    # -- SQLite's files --------------------------------------------------------------------

    def opened(self, name: str) -> None:
        with self._lock:
            self._database.setdefault(name, Content())

    def wrote(self, name: str, offset: int, data: bytes) -> None:
        with self._lock:
            self._database[name].pending.append(Write(offset, data))
        self.moment()

    def truncated(self, name: str, size: int) -> None:
        with self._lock:
            self._database[name].pending.append(Truncate(size))
        self.moment()

    def flushed(self, name: str, *, entry_too: bool) -> None:
        with self._lock:
            self.flushes += 1
            self._database[name].flush()
            if entry_too:
                self._flush_entries()
        self.moment()

    def removed(self, name: str, *, entry_too: bool) -> None:
        with self._lock:
            self._database.pop(name, None)
            if entry_too:
                self._flush_entries()
        self.moment()

    def _flush_entries(self) -> None:
        self._entries = dict(self._database)

    # -- the program's own files: the port DiskSync ----------------------------------------

    def file(self, descriptor: int) -> None:
        if self._obeys_sync:
            size = os.fstat(descriptor).st_size
            inode = os.fstat(descriptor).st_ino
            readable = os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
            with self._lock:
                self.flushes += 1
                self._flushed[inode] = os.pread(readable, size, 0)
            os.close(readable)
        self.moment()

    def directory(self, path: Path) -> None:
        assert path == self._folder
        if self._obeys_sync:
            with self._lock:
                self._own_entries = self._visible()
                self._flush_entries()
        self.moment()

    def _visible(self) -> dict[str, bytes]:
        """The program's own files under the names they have now, with the bytes they keep."""
        return {
            path.name: self._flushed.get(path.stat().st_ino, b"")
            for path in self._folder.iterdir()
            if path.name not in self._database and not path.name.endswith(VOLATILE_SUFFIX)
        }

    # -- losing power ----------------------------------------------------------------------

    def image(self, chance: Random | None) -> dict[str, bytes]:
        """What is on the disk if power fails now; `chance` decides over unflushed sectors.

        Without `chance`, everything that was not flushed is lost.
        """
        with self._lock:
            entries, own = dict(self._entries), dict(self._own_entries)
            if chance is not None:
                entries = _mixed(entries, self._database, chance)
                own = _mixed(own, self._visible(), chance)
            found = {name: content.after_power_loss(chance) for name, content in entries.items()}
        return {**found, **own}


def _mixed(old: dict[str, T], new: dict[str, T], chance: Random) -> dict[str, T]:
    """A folder in which each changed entry is the old or the new one."""
    found: dict[str, T] = {}
    for name in sorted({*old, *new}):
        source = chance.choice((old, new))
        if name in source:
            found[name] = source[name]
    return found


def write_image(image: dict[str, bytes], folder: Path) -> None:
    """Make the folder that a machine would find."""
    folder.mkdir(parents=True)
    for name, data in image.items():
        (folder / name).write_bytes(data)
