"""A step can be taken back whole, and a refused entry changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.errors import EntryRefusedError
from app.log.canonical import Value
from app.log.hlc import Stamp
from app.log.kinds import KINDS
from app.log.names import Name
from app.log.state import EntityKey, encode_state
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import IDS, ORIGINS, PAYLOADS, Said, said

NAMES = [Name(space, title) for space in ("work", "home") for title in ("alpha", "beta", "gamma")]
CONTENDERS = ("store", "store", "update", "archive", "restore", "purge", "embedding", "link")


def picture(work: Workspace) -> object:
    """Everything that a caller can see of a workspace."""
    return (
        {key: cells and encode_state(cells) for key, cells in work.changes().items()},
        {key: encode_state(work.cells(key) or {}) for key in work.changes()},
        {name: dict(work.claims(name)) for name in NAMES},
        set(work.contested()),
        sorted(work.vectors()),
        [work.snapshot(memory_id) for memory_id in IDS],
    )


def say(work: Workspace, entries: list[Said]) -> None:
    for entry in entries:
        work.apply(entry.kind, entry.payload, entry.stamp)


@given(
    st.lists(said(*CONTENDERS), max_size=4),
    st.lists(said(*CONTENDERS), max_size=4),
    st.lists(said(*CONTENDERS), max_size=5),
    st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_undo_restores_everything(committed, kept, undone, names_loaded_before):
    shelf = Shelf()
    shelf.apply(committed)
    work, expected = Workspace(shelf), Workspace(shelf)
    say(expected, kept)
    say(work, kept)
    if names_loaded_before:
        work.prefetch([], NAMES)
    work.mark()
    say(work, undone)
    work.undo()
    assert picture(work) == picture(expected)


JUNK: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=3)
    | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


def spoiled(value: Value, data: st.DataObject) -> Value:
    """`value` with junk somewhere inside, or something left out."""
    if isinstance(value, dict) and value and data.draw(st.booleans()):
        key = data.draw(st.sampled_from(sorted(value)))
        rest = {one: inner for one, inner in value.items() if one != key}
        return rest if data.draw(st.booleans()) else {**rest, key: spoiled(value[key], data)}
    if isinstance(value, list) and value and data.draw(st.booleans()):
        place = data.draw(st.integers(0, len(value) - 1))
        return [*value[:place], spoiled(value[place], data), *value[place + 1 :]]
    return data.draw(JUNK)


@pytest.mark.parametrize("kind", sorted(KINDS))
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_malformed_payload_is_refused_and_changes_nothing_or_fits_after_all(kind, data):
    payload = spoiled(data.draw(PAYLOADS[kind]), data)
    work = Workspace(Shelf())
    say(work, data.draw(st.lists(said("store"), max_size=2)))
    before = picture(work)
    if not isinstance(payload, dict):
        return
    reason = None
    try:
        work.apply(kind, payload, Stamp(20, ORIGINS[0]))
    except EntryRefusedError as error:
        reason = error.details["reason"]
    if reason is None:
        Shelf().commit(work)
    else:
        assert reason == "malformed_payload"
        assert picture(work) == before


@given(PAYLOADS["store"])
@settings(max_examples=20)
def test_an_unknown_kind_changes_nothing(payload):
    work = Workspace(Shelf())
    work.apply("dream", payload, Stamp(1, ORIGINS[0]))
    assert not work.changes()


@pytest.mark.parametrize(
    ("kind", "registers"),
    [
        ("update", {"mood": "blue"}),
        ("update", {"life": [0, "live", None, None]}),
        ("update", {"meta.x": [b"bytes"]}),
        ("update", {"meta.x": [float("nan")]}),
        ("update", {"expires": "tomorrow"}),
        ("update", {"expires": "2026-06-12T09:15:02.123456789012"}),
        ("update", {"expires": "2026-06-12 09:15:02,123456+00:00"}),
        ("touch", {"meta.x": [1]}),
        ("touch", {"name": ["work", "alpha"]}),
        ("promote", {"owner": [0, "me"]}),
        ("restore", {"life": [0, "deleted", None, None]}),
    ],
)
def test_what_a_kind_may_not_write_is_refused(kind, registers):
    write: Value = {"id": IDS[0], "registers": registers}
    payload: dict[str, Value] = {"memories": [write]} if kind == "touch" else {"memory": write}
    work = Workspace(Shelf())
    with pytest.raises(EntryRefusedError):
        work.apply(kind, payload, Stamp(1, ORIGINS[0]))
    assert work.cells(EntityKey("memory", IDS[0])) is None


def test_the_latest_vector_of_a_model_is_kept():
    work = Workspace(Shelf())
    for hlc in (2, 3, 1):
        payload: dict[str, Value] = {
            "memory_id": IDS[0],
            "content_hash": bytes(32),
            "model": "m",
            "dim": 1,
            "vector": bytes([hlc, 0]),
        }
        work.apply("embedding", payload, Stamp(hlc, ORIGINS[0]))
    assert [vector.half_floats for vector in work.vectors()] == [bytes([3, 0])]
