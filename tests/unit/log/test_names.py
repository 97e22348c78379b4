"""A name has one holder; a restored memory does not take its old name back."""

from __future__ import annotations

from dataclasses import replace

from app.log import drafts
from app.log.hlc import Stamp
from app.log.names import Name
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import IDS, ORIGINS
from tests.unit.log.test_projection import LATER, ROW

FIRST, SECOND = IDS[:2]
NAME = Name("work", "alpha")


def contended() -> Workspace:
    """Both want the name; the first one asked first."""
    work = Workspace(Shelf())
    work.apply("store", drafts.store(replace(ROW, id=SECOND), "a").payload, Stamp(2, ORIGINS[1]))
    work.apply("store", drafts.store(replace(ROW, id=FIRST), "a").payload, Stamp(1, ORIGINS[0]))
    return work


def title(work: Workspace, memory_id: str) -> str:
    found = work.snapshot(memory_id)
    assert found is not None
    return found.memory.title


def test_the_earlier_claim_holds_the_name_and_the_other_shows_an_alias():
    work = contended()
    loser = work.snapshot(SECOND)
    assert loser is not None
    assert work.holder(NAME) == FIRST
    assert loser.memory.title == f"alpha ~{SECOND[:8]}"
    assert loser.memory.metadata["name_conflict"] == FIRST


def test_the_loser_gets_the_name_when_the_holder_goes():
    work = contended()
    deletion = drafts.delete([FIRST], "a", LATER, archived=True, reason="r")
    work.apply("delete", deletion.payload, Stamp(3, ORIGINS[0]))
    assert work.holder(NAME) == SECOND
    assert title(work, SECOND) == "alpha"


def test_a_restored_memory_does_not_take_its_name_back():
    work = contended()
    work.apply("archive", drafts.archive([FIRST], "a", LATER, "r").payload, Stamp(3, ORIGINS[0]))
    before = work.snapshot(FIRST)
    assert before is not None
    restored = drafts.restore(before, None, "a", LATER, ORIGINS[0])
    work.apply("restore", restored.payload, Stamp(4, ORIGINS[0]))
    assert work.holder(NAME) == SECOND
    assert title(work, FIRST) == f"alpha ~{FIRST[:8]}"


def test_equal_stamps_are_decided_by_id():
    work = Workspace(Shelf())
    for memory_id in (SECOND, FIRST):
        draft = drafts.store(replace(ROW, id=memory_id), "a")
        work.apply("store", draft.payload, Stamp(1, ORIGINS[0]))
    assert work.holder(NAME) == FIRST


def test_a_free_name_has_no_holder():
    assert Workspace(Shelf()).holder(NAME) is None
