"""The vector index's file: what it holds, who it belongs to, and whether it is whole.

Layout, little-endian: magic, u32 length of the head, u32 CRC-32 of the head, the
head as JSON, then the sections in order: row numbers (i64 a slot), graph
membership (u8 a slot), vectors (f16, dim a slot), the graph. Each section has its
CRC-32 in the head: native code never sees bytes that were not checked.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping
    from io import BufferedReader
    from pathlib import Path

    from numpy.typing import NDArray

    from app.domain.sources import DiskSync

_MAGIC = b"AIMVEC1\n"
_PREFIX = struct.Struct("<II")
_HEAD_BYTES_MAX = 16 << 20
_GRAPH_BYTES_PER_ROW_MAX = 64 << 10
_READ_BYTES = 8 << 20


class SnapshotUnusableError(Exception):
    """The file is missing, damaged or someone else's; the message says which."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The index at one moment; arrays have one element (or row) a slot."""

    model: str
    seen: Mapping[str, int]
    nos: NDArray[np.int64]
    graphed: NDArray[np.bool_]
    vectors: NDArray[np.float16]
    graph: bytes | bytearray


class _Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    model: str
    dim: int
    slots: int
    seen: dict[str, int]
    graph_bytes: int
    checksums: tuple[int, int, int, int]


def write_snapshot(path: Path, snapshot: Snapshot, disk_sync: DiskSync) -> None:
    """Replace the file in one step: after a crash there is the old one or the new one.

    Raises:
        OSError: If it cannot be written; the old file is then still there.
    """
    sections = (
        _as_bytes(np.ascontiguousarray(snapshot.nos, "<i8")),
        _as_bytes(np.ascontiguousarray(snapshot.graphed, np.uint8)),
        _as_bytes(np.ascontiguousarray(snapshot.vectors, "<f2")),
        np.frombuffer(snapshot.graph, np.uint8),
    )
    first, second, third, fourth = (zlib.crc32(section.data) for section in sections)
    slots, dim = snapshot.vectors.shape
    head = msgspec.json.encode(
        _Head(
            model=snapshot.model,
            dim=dim,
            slots=slots,
            seen=dict(snapshot.seen),
            graph_bytes=len(snapshot.graph),
            checksums=(first, second, third, fourth),
        )
    )
    temporary = path.with_name(f"{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(_MAGIC + _PREFIX.pack(len(head), zlib.crc32(head)) + head)
            for section in sections:
                file.write(section.data)
            file.flush()
            disk_sync.file(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    disk_sync.directory(path.parent)


def read_snapshot(path: Path, *, dim: int, model: str) -> Snapshot:
    """The snapshot in `path`, checked.

    Raises:
        SnapshotUnusableError: If it is missing, damaged, or of another model or dim.
    """
    try:
        with path.open("rb") as file:
            return _read(file, dim, model)
    except FileNotFoundError as error:
        raise SnapshotUnusableError("there is no file") from error
    except OSError as error:
        raise SnapshotUnusableError(f"it cannot be read: {error.strerror}") from error


def _read(file: BufferedReader, dim: int, model: str) -> Snapshot:
    head = _read_head(file)
    if (head.model, head.dim) != (model, dim):
        raise SnapshotUnusableError(
            f"it holds {head.model} vectors of {head.dim} dimensions, not {model} of {dim}"
        )
    expected = head.slots * (8 + 1 + 2 * dim) + head.graph_bytes
    if os.fstat(file.fileno()).st_size - file.tell() != expected:
        raise SnapshotUnusableError("it is cut short or has bytes after its end")
    nos = np.empty(head.slots, "<i8")
    graphed = np.empty(head.slots, np.uint8)
    vectors = np.empty((head.slots, dim), "<f2")
    graph = bytearray(head.graph_bytes)
    targets = (
        _as_bytes(nos),
        graphed,
        _as_bytes(vectors),
        np.frombuffer(graph, np.uint8),
    )
    for target, checksum in zip(targets, head.checksums, strict=True):
        if _fill(file, target) != checksum:
            raise SnapshotUnusableError("a checksum does not match")
    return Snapshot(model, head.seen, nos, graphed.astype(np.bool_), vectors, graph)


def _read_head(file: BufferedReader) -> _Head:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise SnapshotUnusableError("it is not a vector index of this program")
    prefix = file.read(_PREFIX.size)
    if len(prefix) != _PREFIX.size:
        raise SnapshotUnusableError("it is cut short")
    length, checksum = _PREFIX.unpack(prefix)
    encoded = file.read(length) if length <= _HEAD_BYTES_MAX else b""
    if len(encoded) != length or zlib.crc32(encoded) != checksum:
        raise SnapshotUnusableError("its head is damaged")
    try:
        head = msgspec.json.decode(encoded, type=_Head)
    except msgspec.DecodeError as error:
        raise SnapshotUnusableError("its head was written by another version") from error
    if head.slots < 0 or not 0 <= head.graph_bytes <= head.slots * _GRAPH_BYTES_PER_ROW_MAX:
        raise SnapshotUnusableError("its head is damaged")
    return head


def _as_bytes(
    array: NDArray[np.int64] | NDArray[np.uint8] | NDArray[np.float16],
) -> NDArray[np.uint8]:
    """The same memory, flat."""
    return array.reshape(-1).view(np.uint8)


def _fill(file: BufferedReader, target: NDArray[np.uint8]) -> int:
    """Read the whole of `target` and return its CRC-32."""
    checksum = 0
    position = 0
    while position < len(target):
        count = file.readinto(target[position : position + _READ_BYTES].data)
        if not count:
            raise SnapshotUnusableError("it is cut short")
        checksum = zlib.crc32(target[position : position + count].data, checksum)
        position += count
    return checksum
