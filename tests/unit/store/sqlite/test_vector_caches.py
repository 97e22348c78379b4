"""What is kept in memory beside the vector index: where vectors belong, and whole namespaces."""

from pathlib import Path

import numpy as np

from app.store.sqlite.vector_blocks import Block, VectorBlocks
from app.store.sqlite.vector_places import UNKNOWN, VectorPlaces
from app.store.sqlite.vectors import VectorIndex
from tests.unit.store.test_vectors import RecordingSync

DIM = 32


def numbers(*values: int) -> np.ndarray:
    return np.asarray(values, np.int64)


def block(rows: int) -> Block:
    nos = np.arange(rows, dtype=np.int64)
    return Block(nos, nos, np.zeros((rows, 100), np.int8), np.zeros(rows, np.float32))


def test_a_place_is_known_until_its_row_is_forgotten():
    places = VectorPlaces()
    places.learn(numbers(7, 5_000), numbers(1, 9_000), places.changes)
    assert places.rows(numbers(7, 5_000, 8, 1_000_000)).tolist() == [1, 9_000, UNKNOWN, UNKNOWN]
    places.forget([1, 123_456])
    assert places.rows(numbers(7, 5_000)).tolist() == [UNKNOWN, 9_000]
    assert places.nos(numbers(1, 9_000)).tolist() == [UNKNOWN, 5_000]


def test_what_was_read_before_a_change_is_not_learned_after_it():
    places = VectorPlaces()
    before = places.changes
    places.forget([3])
    places.learn(numbers(7), numbers(3), before)
    assert places.rows(numbers(7)).tolist() == [UNKNOWN]


def test_a_row_with_a_new_vector_lets_go_of_the_old_one():
    places = VectorPlaces()
    places.learn(numbers(7), numbers(3), places.changes)
    places.learn(numbers(8), numbers(3), places.changes)
    assert places.rows(numbers(7, 8)).tolist() == [UNKNOWN, 3]
    assert places.nos(numbers(3)).tolist() == [8]


def test_blocks_stay_within_their_bound_and_taking_turns_keeps_some():
    blocks = VectorBlocks(bytes_max=3 * block(100).byte_count)
    hits = 0
    for _ in range(10):
        for namespace in "abcde":
            if blocks.get(namespace) is None:
                blocks.keep(namespace, block(100), blocks.changes)
            else:
                hits += 1
            assert blocks.byte_count <= 3 * block(100).byte_count
    assert hits == 9 * 3


def test_a_block_that_nobody_asks_for_makes_room():
    blocks = VectorBlocks(bytes_max=block(100).byte_count)
    blocks.keep("a", block(100), blocks.changes)
    for _ in range(300):
        blocks.get("b")
    blocks.keep("b", block(100), blocks.changes)
    assert blocks.get("a") is None
    assert blocks.get("b") is not None


def test_a_block_made_before_a_change_is_not_kept():
    blocks = VectorBlocks()
    before = blocks.changes
    blocks.forget("a")
    blocks.keep("a", block(10), before)
    assert blocks.get("a") is None
    assert blocks.byte_count == 0


def test_a_block_finds_what_comparing_with_each_finds(tmp_path: Path):
    chance = np.random.default_rng(1)
    vectors = chance.standard_normal((1_000, DIM)).astype(np.float16)
    index = VectorIndex(tmp_path / "v", dim=DIM, model="m", disk_sync=RecordingSync())
    for no, vector in enumerate(vectors, start=1):
        index.add(no, vector)
    inside = np.arange(1, 1_001, 2, dtype=np.int64)
    made = index.block(inside)
    assert made is not None
    query = chance.standard_normal(DIM).astype(np.float32)
    expected = index.search_within(inside, query, 10)
    found = index.search_block(made, query, 10)
    assert found.nos.tolist() == expected.nos.tolist()
    np.testing.assert_allclose(found.cosines, expected.cosines, rtol=1e-6)

    # A row that left since, and another in its slot, are not taken for what the block holds.
    nearest = int(found.nos[0])
    index.remove(nearest)
    index.add(2_000, vectors[0])
    rest = index.search_block(made, query, 9)
    assert rest.nos.tolist() == expected.nos.tolist()[1:]
    assert index.block(numbers(1, 77_777)) is None
