"""Rules are lattices, and a state's bytes are one to one with it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.log.canonical import CanonicalError, encode
from app.log.hlc import Stamp
from app.log.registers import Cell, Written
from app.log.state import SCHEMAS, EntityKey, decode_state, encode_state, row_hash
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import PAYLOADS, REGISTERS, said, stamps

MEMORY = SCHEMAS["memory"]


def cells_of(register: str) -> st.SearchStrategy[Cell]:
    """Cells as entries make them."""
    rule = MEMORY.rule(register)
    assert rule is not None
    if register in {"updates", "accesses"}:
        return st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), min_size=1)
    if rule.stamped:
        return st.builds(Written, REGISTERS[register], stamps)
    return REGISTERS[register]


def same(left: Cell, right: Cell) -> bool:
    return encode_state({"tags": left}) == encode_state({"tags": right})


@pytest.mark.parametrize("register", sorted(REGISTERS))
@given(data=st.data())
@settings(max_examples=40)
def test_each_rule_is_commutative_associative_and_idempotent(register, data):
    rule = MEMORY.rule(register)
    assert rule is not None
    a, b, c = (data.draw(cells_of(register)) for _ in range(3))
    ab = rule.join(a, b)
    assert same(ab, rule.join(b, a))
    assert same(rule.join(ab, c), rule.join(a, rule.join(b, c)))
    assert rule.join(ab, a) is ab
    assert rule.join(ab, b) is ab


def test_every_register_of_a_memory_has_a_strategy():
    assert set(MEMORY.fixed) | {"meta.", "meta.scope"} == set(REGISTERS)


@given(st.lists(said(*sorted(PAYLOADS)), max_size=5))
@settings(max_examples=60, deadline=None)
def test_a_state_survives_its_bytes(entries):
    work = Workspace(Shelf())
    for entry in entries:
        work.apply(entry.kind, entry.payload, entry.stamp)
    for key in work.changes():
        cells = work.cells(key)
        assert cells is not None
        data = encode_state(cells)
        assert decode_state(key.kind, data) == cells
        assert encode_state(decode_state(key.kind, data)) == data


STAMPED = Written(["a"], Stamp(1, "o.1"))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        encode(None),
        encode([[], {}]),
        encode([[], [], []]),
        encode([[], {"nope": 1}, []]),
        encode([[], {"tags": []}, []]),
        encode([[], {"tags": []}, [0]]),
        encode([[[1, "o.1"]], {"tags": []}, [-1]]),
        encode([[[1, "o.1"]], {"tags": []}, [0, 0]]),
        encode([[["1", "o.1"]], {"tags": []}, [0]]),
        encode_state({"tags": STAMPED})[:-1],
        encode_state({"tags": STAMPED}) + b"\x00",
    ],
)
def test_bytes_that_are_no_state_are_refused(data):
    with pytest.raises(CanonicalError):
        decode_state("memory", data)


@given(st.binary(max_size=50))
def test_any_bytes_are_a_state_or_refused(data):
    try:
        cells = decode_state("memory", data)
    except CanonicalError:
        return
    assert decode_state("memory", encode_state(cells)) == cells


def test_a_row_hash_covers_kind_key_and_state():
    one = row_hash(EntityKey("memory", "a"), b"x")
    others = [("link", "a", b"x"), ("memory", "b", b"x"), ("memory", "a", b"y")]
    assert all(row_hash(EntityKey(kind, key), data) != one for kind, key, data in others)
