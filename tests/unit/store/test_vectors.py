"""The vector index: complete at every moment, right after damage, safe between threads."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from typing_extensions import override

from app.domain.errors import UnprocessableError
from app.store.sqlite import vectors as module
from app.store.sqlite.vectors import Neighbours, VectorIndex, VectorRow, plan_filter

DIM = 64
MODEL = "model/64/1"


class RecordingSync:
    def __init__(self) -> None:
        self.synced: list[str] = []

    def file(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self.synced.append("file")

    def directory(self, path: Path) -> None:
        self.synced.append(str(path))


def clustered(count: int, seed: int = 7) -> NDArray[np.float16]:
    chance = np.random.default_rng(seed)
    centres = chance.standard_normal((max(1, count // 50), DIM))
    rows = centres[chance.integers(0, len(centres), count)]
    rows = rows + 0.7 * chance.standard_normal((count, DIM))
    unit: NDArray[np.float16] = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(
        np.float16
    )
    return unit


def opened(path: Path, model: str = MODEL, dim: int = DIM) -> VectorIndex:
    return VectorIndex.open(path, dim=dim, model=model, disk_sync=RecordingSync())


class Table:
    """The rows of `memory_vectors`: `no` from 1."""

    def __init__(self, vectors: NDArray[np.float16]) -> None:
        self.rows = dict(enumerate(vectors, start=1))
        self.read: list[int] = []

    @property
    def nos(self) -> NDArray[np.int64]:
        return np.asarray(sorted(self.rows), np.int64)

    def fetch(self, nos: NDArray[np.int64]) -> Iterator[VectorRow]:
        for no in nos.tolist():
            if no in self.rows:
                self.read.append(no)
                yield VectorRow(no, self.rows[no])

    def best(
        self, query: NDArray[np.float16], count: int, among: set[int] | None = None
    ) -> list[int]:
        nos = [no for no in self.rows if among is None or no in among]
        matrix = np.asarray([self.rows[no] for no in nos], np.float32)
        cosines = matrix @ query.astype(np.float32) / np.linalg.norm(matrix, axis=1)
        order = np.lexsort((nos, -cosines))[:count]
        return [nos[i] for i in order]


def built(path: Path, table: Table) -> VectorIndex:
    index = opened(path)
    index.catch_up(table.nos, table.fetch)
    while index.grow_graph(1_000):
        pass
    return index


def recall(table: Table, answers: list[tuple[NDArray[np.float16], Neighbours]]) -> float:
    return float(
        np.mean(
            [
                len(set(table.best(query, 10)) & set(found.nos.tolist())) / 10
                for query, found in answers
            ]
        )
    )


@pytest.fixture
def small_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph from a few hundred rows on, so that a test need not add thousands."""
    monkeypatch.setattr(module, "GRAPH_FROM", 300)


def test_a_small_store_answers_exactly_and_builds_no_graph(tmp_path: Path) -> None:
    table = Table(clustered(400))
    index = built(tmp_path / "index", table)

    found = index.search(table.rows[17], 10)

    assert found.nos.tolist() == table.best(table.rows[17], 10)
    assert found.nos[0] == 17
    assert found.cosines[0] == pytest.approx(1.0, abs=1e-3)
    assert index.outside_graph == 0


def test_recall_at_ten_of_a_graph_is_at_least_97_percent(tmp_path: Path) -> None:
    table = Table(clustered(6_000))
    index = built(tmp_path / "index", table)
    queries = clustered(6_050)[6_000:]

    assert index.outside_graph == 0
    assert recall(table, [(q, index.search(q, 10)) for q in queries]) >= 0.97


@pytest.mark.usefixtures("small_graph")
def test_a_vector_is_found_before_the_graph_knows_it(tmp_path: Path) -> None:
    table = Table(clustered(600))
    index = built(tmp_path / "index", table)
    late = clustered(1, seed=99)[0]

    index.add(9_000, late)

    assert index.outside_graph == 1
    assert index.search(late, 1).nos.tolist() == [9_000]
    assert index.grow_graph() == 0
    assert index.search(late, 1).nos.tolist() == [9_000]


@pytest.mark.usefixtures("small_graph")
def test_searches_are_exact_while_the_graph_is_still_being_built(tmp_path: Path) -> None:
    table = Table(clustered(800))
    index = opened(tmp_path / "index")
    index.catch_up(table.nos, table.fetch)
    assert index.grow_graph(100) == 700

    for no in (3, 300, 799):
        assert index.search(table.rows[no], 10).nos.tolist() == table.best(table.rows[no], 10)


@pytest.mark.usefixtures("small_graph")
def test_a_removed_row_is_never_found_again_and_its_place_is_reused(tmp_path: Path) -> None:
    table = Table(clustered(600))
    index = built(tmp_path / "index", table)
    for no in range(1, 301):
        assert index.remove(no)
        del table.rows[no]
    assert not index.remove(1)
    fresh = clustered(300, seed=3)
    for no, vector in enumerate(fresh, start=1_001):
        index.add(no, vector)
        table.rows[no] = vector
    while index.grow_graph():
        pass

    answers = [(q, index.search(q, 10)) for q in fresh[:50]]
    assert all(found.nos.min() > 300 for _, found in answers)
    assert recall(table, answers) >= 0.97
    assert len(index) == 600


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(DIM, np.float16),
        np.ones(DIM + 1, np.float16),
        np.full(DIM, np.nan, np.float16),
        np.full(DIM, np.inf, np.float16),
    ],
)
def test_a_vector_without_a_direction_or_of_another_dim_is_refused(
    tmp_path: Path, vector: NDArray[np.float16]
) -> None:
    index = opened(tmp_path / "index")
    with pytest.raises(UnprocessableError):
        index.add(1, vector)
    assert len(index) == 0


def test_a_stored_vector_that_does_not_fit_is_skipped_and_counted(tmp_path: Path) -> None:
    table = Table(clustered(5))
    table.rows[3] = np.ones(DIM - 1, np.float16)

    done = opened(tmp_path / "index").catch_up(table.nos, table.fetch)

    assert (done.added, done.skipped) == (4, 1)


def test_cosines_do_not_depend_on_a_vectors_length(tmp_path: Path) -> None:
    index = opened(tmp_path / "index")
    vector = clustered(1)[0]
    index.add(1, (vector * np.float16(4)))

    assert index.search(vector * np.float16(0.5), 1).cosines[0] == pytest.approx(1.0, abs=2e-3)


@pytest.mark.usefixtures("small_graph")
def test_a_saved_index_comes_back_with_its_clock_and_reads_nothing_again(tmp_path: Path) -> None:
    table = Table(clustered(600))
    index = built(tmp_path / "index", table)
    index.add(601, clustered(1, seed=5)[0])
    index.remove(2)
    index.mark_seen({"a": 4, "b": 9})
    index.mark_seen({"a": 3})
    index.save()

    again = opened(tmp_path / "index")

    assert again.rebuild_reason is None
    assert again.seen == {"a": 4, "b": 9}
    assert (len(again), again.highest_no, again.outside_graph) == (600, 601, 1)
    table.rows[601] = clustered(1, seed=5)[0]
    del table.rows[2]
    assert again.catch_up(table.nos, table.fetch).added == 0
    assert max(table.read[600:], default=0) == 0
    assert recall(table, [(q, again.search(q, 10)) for q in clustered(30)]) >= 0.97


def test_catch_up_reads_only_what_is_missing_and_drops_what_is_gone(tmp_path: Path) -> None:
    table = Table(clustered(50))
    index = built(tmp_path / "index", table)
    index.save()
    del table.rows[10]
    table.rows[51] = clustered(1, seed=8)[0]
    table.read.clear()
    told: list[tuple[int, int]] = []

    again = opened(tmp_path / "index")
    done = again.catch_up(table.nos, table.fetch, lambda *counts: told.append(counts))

    assert table.read == [51]
    assert (done.added, done.removed) == (1, 1)
    assert told == [(1, 1)]
    assert 10 not in again.search(clustered(50)[9], 50).nos


def test_saving_syncs_the_file_before_the_rename_and_the_folder_after(tmp_path: Path) -> None:
    path = tmp_path / "index"

    class Watching(RecordingSync):
        @override
        def file(self, descriptor: int) -> None:
            super().file(descriptor)
            assert not path.exists()

        @override
        def directory(self, folder: Path) -> None:
            super().directory(folder)
            assert path.exists()

    sync = Watching()
    VectorIndex.open(path, dim=DIM, model=MODEL, disk_sync=sync).save()

    assert sync.synced == ["file", str(tmp_path)]


def test_a_save_that_fails_leaves_the_previous_file(tmp_path: Path) -> None:
    table = Table(clustered(20))
    built(tmp_path / "index", table).save()

    class FullDisk(RecordingSync):
        @override
        def file(self, descriptor: int) -> None:
            raise OSError(28, "No space left on device")

    index = VectorIndex.open(tmp_path / "index", dim=DIM, model=MODEL, disk_sync=FullDisk())
    index.remove(1)
    with pytest.raises(OSError, match="No space"):
        index.save()

    assert len(opened(tmp_path / "index")) == 20
    assert [p.name for p in tmp_path.iterdir()] == ["index"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with a graph in it."""
    path = tmp_path_factory.mktemp("saved") / "index"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "GRAPH_FROM", 300)
        built(path, Table(clustered(400))).save()
    return path.read_bytes()


@given(data=st.data())
def test_any_flipped_bit_or_cut_is_noticed_and_the_index_is_rebuilt_from_the_rows(
    saved: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "index"
    position = data.draw(st.integers(0, len(saved) - 1))
    if data.draw(st.booleans()):
        damaged = saved[:position]
    else:
        flipped = saved[position] ^ (1 << data.draw(st.integers(0, 7)))
        damaged = saved[:position] + bytes([flipped]) + saved[position + 1 :]
    path.write_bytes(damaged)

    index = opened(path)

    assert index.rebuild_reason is not None
    assert len(index) == 0
    assert path.read_bytes() == damaged
    table = Table(clustered(5))
    assert index.catch_up(table.nos, table.fetch).added == 5
    assert index.search(table.rows[2], 1).nos.tolist() == [2]


@pytest.mark.parametrize(("model", "dim"), [("other/64/1", DIM), (MODEL, DIM * 2)])
def test_a_file_of_another_model_is_not_used(
    saved: bytes, tmp_path: Path, model: str, dim: int, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index").write_bytes(saved)

    index = opened(tmp_path / "index", model, dim)

    assert len(index) == 0
    assert "rebuilt from the stored vectors" in caplog.text
    assert MODEL in caplog.text


def test_a_missing_file_is_an_empty_index(tmp_path: Path) -> None:
    assert opened(tmp_path / "none").rebuild_reason == "there is no file"


@given(
    allowed=st.integers(0, 200_000),
    total=st.integers(1, 200_000),
    count=st.integers(1, 100),
)
def test_a_plan_scans_when_few_are_allowed_and_fetches_enough_when_many_are(
    allowed: int, total: int, count: int
) -> None:
    allowed = min(allowed, total)
    plan = plan_filter(allowed=allowed, total=total, count=count)
    if allowed <= 2_000 or total < module.GRAPH_FROM:
        assert plan.scan
    if not plan.scan:
        assert min(total, 2 * count) <= plan.fetch <= total
        assert plan.fetch * allowed / total >= min(count, allowed)


@pytest.mark.usefixtures("small_graph")
def test_a_filtered_search_answers_only_allowed_rows_and_all_that_it_can(tmp_path: Path) -> None:
    table = Table(clustered(2_000))
    index = built(tmp_path / "index", table)
    query = table.rows[40]

    for step in (1, 2, 50, 400):
        allowed = np.arange(1, 2_001, step)
        expected = table.best(query, 10, set(allowed.tolist()))
        found = index.search_allowed(allowed, query, 10).nos.tolist()
        assert set(found) <= set(allowed.tolist())
        assert len(found) == len(expected)
        assert len(set(found) & set(expected)) >= 0.9 * len(expected)
    assert index.search_within(np.asarray([5, 77_777]), query, 10).nos.tolist() == [5]


@given(count=st.integers(0, 30), nos=st.sets(st.integers(1, 30)))
def test_a_scan_is_the_exact_order_of_cosines(count: int, nos: set[int]) -> None:
    table = Table(clustered(30))
    index = opened(Path("/nonexistent/index"))
    index.catch_up(table.nos, table.fetch)
    query = clustered(1, seed=4)[0]

    found = index.search_within(np.asarray(sorted(nos), np.int64), query, count)

    assert found.nos.tolist() == (table.best(query, count, nos) if nos else [])
    assert (np.diff(found.cosines) <= 0).all()


@pytest.mark.usefixtures("small_graph")
def test_threads_search_rightly_while_one_adds_removes_and_saves(tmp_path: Path) -> None:
    table = Table(clustered(1_000))
    index = built(tmp_path / "index", table)
    wrong: list[int] = []
    stop = threading.Event()

    def search(seed: int) -> None:
        chance = np.random.default_rng(seed)
        while not stop.is_set():
            no = int(chance.integers(1, 501))
            if index.search(table.rows[no], 1).nos.tolist() != [no]:
                wrong.append(no)

    threads = [threading.Thread(target=search, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for no, vector in enumerate(clustered(300, seed=11), start=2_000):
        index.add(no, vector)
        index.remove(no - 1_400)
        if no % 50 == 0:
            index.grow_graph()
            index.save()
    stop.set()
    for thread in threads:
        thread.join(timeout=30)

    assert wrong == []


@pytest.mark.parametrize(
    "steps",
    [
        ["graph", "model"],
        ["model", "graph"],
    ],
)
def test_the_graph_and_the_model_library_load_in_either_order(steps: list[str]) -> None:
    """usearch before onnxruntime kills the process; our modules keep the order right."""
    code = {
        "graph": (
            "import numpy as np\n"
            "from app.store.sqlite.vector_graph import Graph\n"
            "g = Graph(8); g.add(np.arange(1), np.ones((1, 8), np.float16))\n"
            "assert g.search(np.ones(8, np.float16), 1).tolist() == [0]\n"
        ),
        "model": (
            "from app.recall.embedding.local import LocalEmbedder\n"
            "assert LocalEmbedder.packaged().embed_query('hello').shape == (384,)\n"
        ),
    }
    done = subprocess.run(
        [sys.executable, "-c", "".join(code[step] for step in steps)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
