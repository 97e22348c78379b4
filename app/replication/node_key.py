"""This node's Ed25519 key: where it lies, and what it signs."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.sources import DiskSync, Randomness

_KEY_BYTES: Final = 32
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_OWNER_ONLY: Final = 0o600


class NodeKeyError(Exception):
    """The file is no key, cannot be read, or others may use it. The message holds no key."""


class Ed25519NodeKey:
    """A `NodeKey` in memory."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self._public = key.public_key().public_bytes_raw()

    @property
    def public_bytes(self) -> bytes:
        return self._public

    def sign(self, data: bytes, /) -> bytes:
        return self._key.sign(data)


def node_key_file(database: Path) -> Path:
    """Where a node keeps its own key: beside what stands for its store on this machine."""
    return database.with_name(database.name + ".node.key")


def open_node_key(path: Path, randomness: Randomness, disk: DiskSync) -> Ed25519NodeKey:
    """The key in the file; made, durably and for its owner only, if there is none.

    Raises:
        NodeKeyError: what is there cannot be used; it is never replaced.
    """
    raw = _read(path)
    if raw is None:
        raw = randomness.token(_KEY_BYTES)
        try:
            _write(path, raw, disk)
        except OSError as error:
            raise NodeKeyError(f"cannot write the node's key {path}: {error.strerror}") from None
    return Ed25519NodeKey(Ed25519PrivateKey.from_private_bytes(raw))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            raw = file.read(_KEY_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise NodeKeyError(f"cannot read the node's key {path}: {error.strerror}") from None
    if mode & _OTHERS:
        raise NodeKeyError(f"others may use the node's key {path} (mode {mode:o}, want 600)")
    if len(raw) != _KEY_BYTES:
        raise NodeKeyError(f"the node's key {path} has not {_KEY_BYTES} bytes")
    return raw


def _write(path: Path, raw: bytes, disk: DiskSync) -> None:
    partial = path.with_name(path.name + ".new")
    partial.unlink(missing_ok=True)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _OWNER_ONLY)
    with os.fdopen(handle, "wb") as file:
        file.write(raw)
        file.flush()
        disk.file(file.fileno())
    partial.replace(path)
    disk.directory(path.absolute().parent)
