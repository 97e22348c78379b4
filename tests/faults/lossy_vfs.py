"""SQLite's own view of a `LossyDisk`: every write and flush of its files is reported there.

The real files are written too, but never flushed for real: what a flush means is the disk's to say.
"""

from pathlib import Path

import apsw
from typing_extensions import override

from tests.faults.disk import LossyDisk

# The unix layer flushes the folder along with the first flush of a journal that it may have
# created (os_unix.c, UNIXFILE_DIRSYNC), and with a deletion when asked to.
_JOURNALS = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL


class LossyVfs(apsw.VFS):
    """Registered under `name` until `unregister`; `folder` is where `disk`'s files are."""

    def __init__(self, name: str, disk: LossyDisk) -> None:
        super().__init__(name, "unix")
        self._disk = disk

    @override
    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None:
            return apsw.VFSFile("unix", name, flags)  # a temporary file: nobody expects it back
        opened = LossyFile(name, flags, Path(path).name, self._disk)
        self._disk.opened(Path(path).name)
        return opened

    @override
    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._disk.removed(Path(filename).name, entry_too=syncdir)


class LossyFile(apsw.VFSFile):
    def __init__(
        self, path: str | apsw.URIFilename | None, flags: list[int], name: str, disk: LossyDisk
    ) -> None:
        super().__init__("unix", path, flags)
        self._name = name
        self._disk = disk
        self._entry_due = bool(flags[0] & _JOURNALS) and bool(flags[0] & apsw.SQLITE_OPEN_CREATE)

    @override
    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._disk.wrote(self._name, offset, bytes(data))

    @override
    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._disk.truncated(self._name, newsize)

    @override
    def xSync(self, flags: int) -> None:
        self._disk.flushed(self._name, entry_too=self._entry_due)
        self._entry_due = False
