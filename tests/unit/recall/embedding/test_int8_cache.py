"""The rewritten graph is kept, and made again whenever it cannot be trusted."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from app.recall.embedding import int8_cache
from app.recall.embedding.local import LocalEmbedder

TEXT = "how is a cursor closed when the session ends"
# Answers whether a fresh process needed the package that rewrites.
FRESH_START = """
import sys
from pathlib import Path
from app.recall.embedding.local import LocalEmbedder
LocalEmbedder.packaged(Path(sys.argv[1])).embed_query("a stone")
print("onnx" in sys.modules)
"""


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("kept") / "node.db.graph"
    LocalEmbedder.packaged(place)
    return place


def files(place: Path) -> tuple[Path, Path]:
    return place.with_name(place.name + ".onnx"), place.with_name(place.name + ".json")


def copied(kept: Path, folder: Path) -> Path:
    place = folder / "node.db.graph"
    for source, target in zip(files(kept), files(place), strict=True):
        target.write_bytes(source.read_bytes())
    return place


def test_a_kept_graph_gives_the_vectors_and_the_fingerprint_of_a_new_one(kept: Path) -> None:
    fresh, again = LocalEmbedder.packaged(), LocalEmbedder.packaged(kept)

    assert again.fingerprint == fresh.fingerprint
    assert again.embed_query(TEXT).tobytes() == fresh.embed_query(TEXT).tobytes()


def test_a_later_start_leaves_the_file_alone_and_never_loads_what_rewrites(kept: Path) -> None:
    graph, _ = files(kept)
    before = graph.stat().st_mtime_ns

    command = [sys.executable, "-c", FRESH_START, str(kept)]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)

    assert answer.stdout.split() == ["False"]
    assert graph.stat().st_mtime_ns == before


def test_making_it_leaves_nothing_of_what_rewrites_in_this_process(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FRESH_START, str(tmp_path / "node.db.graph")]
    answer = subprocess.run(command, check=True, capture_output=True, text=True)

    assert answer.stdout.split() == ["False"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "node.db.graph.json",
        "node.db.graph.onnx",
    ]


@pytest.mark.parametrize("harm", ["one bit", "cut", "no graph", "no record", "bad record"])
def test_whatever_is_damaged_or_missing_is_made_again(
    kept: Path, tmp_path: Path, harm: str
) -> None:
    place = copied(kept, tmp_path)
    graph, record = files(place)
    good = graph.read_bytes()
    middle = len(good) // 2
    match harm:
        case "one bit":
            graph.write_bytes(good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :])
        case "cut":
            graph.write_bytes(good[:middle])
        case "no graph":
            graph.unlink()
        case "no record":
            record.unlink()
        case _:
            record.write_bytes(b"\x00{")

    LocalEmbedder.packaged(place)

    assert graph.read_bytes() == good


@pytest.mark.parametrize("change", ["key", "processor"])
def test_a_graph_of_another_runtime_or_processor_is_made_again(
    kept: Path, tmp_path: Path, change: str
) -> None:
    place = copied(kept, tmp_path)
    _, record = files(place)
    good = record.read_bytes()
    content = msgspec.json.decode(good)
    if change == "key":
        content["key"] += "0"
    else:
        content["made"]["is_signed"] = not content["made"]["is_signed"]
    record.write_bytes(msgspec.json.encode(content))

    LocalEmbedder.packaged(place)

    assert record.read_bytes() == good


def test_where_nothing_can_be_kept_the_model_works_all_the_same(
    kept: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = tmp_path / "missing" / "node.db.graph"
    with caplog.at_level(logging.WARNING, int8_cache.__name__):
        embedder = LocalEmbedder.packaged(nowhere)

    assert str(nowhere) in caplog.text
    reference = LocalEmbedder.packaged(kept).embed_query(TEXT)
    assert embedder.embed_query(TEXT).tobytes() == reference.tobytes()
