"""Keeps a graph that `int8_graph` rewrote, so that it is rewritten once and not at every start.

The rewriting takes half a second and some 50 MB that never go back, so it runs in a process
of its own. What is kept is a cache: whatever is missing, damaged, of another model, runtime or
kind of processor is made again.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
from pathlib import Path
from typing import Final

import msgspec
import onnxruntime

from app.recall.embedding.int8_probe import signed_products_are_exact

_LOGGER = logging.getLogger(__name__)

# Raise it when `int8_graph` makes another graph of the same model.
_REWRITING: Final = 1
_SECONDS_MAX: Final = 120.0
_CHILD: Final = (
    "import sys; sys.path[:0] = sys.argv[3:];"
    "from app.recall.embedding.int8_cache import rewrite; rewrite(sys.argv[1], sys.argv[2])"
)


class _Made(msgspec.Struct, frozen=True):
    """What the child found out: beside the graph, in a file of its own."""

    digest: str
    is_signed: bool
    probe: bytes


class _Record(msgspec.Struct, frozen=True):
    key: str
    made: _Made


def kept_graph(source: Path, revision: str, place: Path) -> Path | None:
    """The rewritten graph of `source`, made now if need be; None if it cannot be kept.

    Args:
        source: The graph as shipped.
        revision: Names the model that `source` belongs to.
        place: Where to keep it: a path to which suffixes are added.
    """
    graph, record = _files(place)
    key = f"{revision} {_REWRITING} {onnxruntime.__version__}"
    if _is_good(graph, record, key):
        return graph
    try:
        _run_child(source, place)
        made = msgspec.json.decode(record.read_bytes(), type=_Made)
        _replace(record, msgspec.json.encode(_Record(key, made)))
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as error:
        # The text of a failed process's error is its whole command line.
        reason = error if isinstance(error, OSError) else type(error).__name__
        _LOGGER.warning("the embedding graph cannot be kept at %s: %s", place, reason)
        return None
    return graph if _is_good(graph, record, key) else None


def rewrite(source: str, place: str) -> None:
    """In the child: put the rewritten graph, and what it is, at `place`."""
    from app.recall.embedding.int8_graph import (  # noqa: PLC0415  # what it imports stays here
        int8_computing,
        probe_graph,
    )

    graph, record = _files(Path(place))
    probe = probe_graph()
    serialised = int8_computing(Path(source))
    _replace(graph, serialised)
    digest = hashlib.sha256(serialised).hexdigest()
    made = _Made(digest, signed_products_are_exact(probe), probe)
    _replace(record, msgspec.json.encode(made))


def _files(place: Path) -> tuple[Path, Path]:
    return place.with_name(f"{place.name}.onnx"), place.with_name(f"{place.name}.json")


def _is_good(graph: Path, record: Path, key: str) -> bool:
    try:
        kept = msgspec.json.decode(record.read_bytes(), type=_Record)
        with graph.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, msgspec.DecodeError):
        return False
    if (kept.key, kept.made.digest) != (key, digest):
        return False
    # A folder may have come from a machine with another processor.
    return signed_products_are_exact(kept.made.probe) == kept.made.is_signed


def _run_child(source: Path, place: Path) -> None:
    command = [sys.executable, "-P", "-c", _CHILD, str(source), str(place.absolute()), *sys.path]
    subprocess.run(  # noqa: S603  # this interpreter, our own words
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        timeout=_SECONDS_MAX,
    )


def _replace(path: Path, content: bytes) -> None:
    """In one step, so that nobody reads a half; a digest stands in for syncing."""
    temporary = path.with_name(f"{path.name}.part")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
