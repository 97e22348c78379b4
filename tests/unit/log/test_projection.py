"""Rows and registers say the same, and an update does what it says."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.memory import STICKY_KINDS, TIER_RANKS, Memory
from app.log import drafts
from app.log.canonical import Value
from app.log.hlc import Stamp
from app.log.kinds.links import SEPARATOR
from app.log.projection import Snapshot, changed_registers, project_link
from app.log.registers import Written
from app.log.workspace import Workspace
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import IDS, ORIGINS, memories

HERE = ORIGINS[0]
LATER = "2027-01-01T00:00:00.000000+00:00"
ROW = Memory(
    id=IDS[0],
    tier="mid",
    namespace="work",
    title="alpha",
    content="text",
    tags=(),
    priority=5,
    confidence=1.0,
    source="api",
    access_count=0,
    created_at="2026-01-01T00:00:00.000000+00:00",
    updated_at="2026-01-01T00:00:00.000000+00:00",
    expires_at="2026-02-01T00:00:00.000000+00:00",
)


def stored(memory: Memory) -> Workspace:
    work = Workspace(Shelf())
    work.apply("store", drafts.store(memory, "a").payload, Stamp(1, HERE))
    return work


def shown(work: Workspace) -> Snapshot:
    found = work.snapshot(IDS[0])
    assert found is not None
    return found


def touched(
    work: Workspace, accesses: int, expires_at: str | None = None, origin: str = HERE
) -> Memory:
    registers: dict[str, Value] = {"accesses": accesses, "accessed": LATER}
    if expires_at is not None:
        registers["touched_expires"] = [1, HERE, expires_at]
    draft = drafts.touch([(IDS[0], registers)], "a")
    work.apply("touch", draft.payload, Stamp(50, origin))
    return shown(work).memory


@given(memories.map(lambda memory: replace(memory, id=IDS[0])))
@settings(max_examples=80)
def test_a_stored_memory_shows_as_it_was(memory):
    assert shown(stored(memory)).memory == memory


@given(*[memories.map(lambda memory: replace(memory, id=IDS[0]))] * 2)
@settings(max_examples=120)
def test_an_update_shows_what_was_asked(before, after):
    """Except where a register's rule says that nothing may: tier and depth never fall."""
    work = stored(before)
    after = replace(
        after,
        tier=max(before.tier, after.tier, key=TIER_RANKS.__getitem__),
        reflection_depth=max(before.reflection_depth, after.reflection_depth),
        access_count=before.access_count,
        last_accessed_at=before.last_accessed_at,
        created_at=before.created_at,
        updated_at=LATER,
        version=before.version + 1,
    )
    assume(after.owner == before.owner)
    assume(before.memory_kind not in STICKY_KINDS or after.memory_kind in STICKY_KINDS)
    draft = drafts.update(shown(work), after, "a", HERE)
    assert draft is not None or not changed_registers(shown(work), after)
    if draft is not None:
        work.apply("update", draft.payload, Stamp(2, HERE))
        assert shown(work).memory == after


@given(memories)
@settings(max_examples=30)
def test_an_update_without_a_difference_is_none(memory):
    work = Workspace(Shelf())
    work.apply("store", drafts.store(memory, "a").payload, Stamp(1, HERE))
    found = work.snapshot(memory.id)
    assert found is not None
    assert drafts.update(found, replace(memory, updated_at=LATER), "a", HERE) is None


def test_the_version_counts_updates_of_all_origins():
    work = stored(ROW)
    for hlc, origin in enumerate((HERE, HERE, ORIGINS[1]), 2):
        after = replace(shown(work).memory, content=f"text {hlc}", updated_at=LATER)
        draft = drafts.update(shown(work), after, "a", origin)
        assert draft is not None
        work.apply("update", draft.payload, Stamp(hlc, origin))
    assert shown(work).memory.version == 4


@pytest.mark.parametrize(("accesses", "tier"), [(4, "mid"), (5, "long"), (6, "long")])
def test_five_accesses_promote_and_clear_the_expiry(accesses, tier):
    memory = touched(stored(ROW), accesses)
    assert memory.tier == tier
    assert (memory.expires_at is None) == (tier == "long")


@pytest.mark.parametrize(("accesses", "priority"), [(9, 5), (10, 6), (29, 7), (900, 10)])
def test_every_tenth_access_raises_the_priority_up_to_ten(accesses, priority):
    assert touched(stored(ROW), accesses).priority == priority


def test_accesses_of_several_origins_add_up():
    work = stored(ROW)
    touched(work, 3)
    assert touched(work, 2, origin=ORIGINS[1]).tier == "long"


@given(st.lists(st.sampled_from(["2026-01-15", "2026-02-20", "2026-03-09"]), min_size=1))
def test_a_touch_never_shortens_the_expiry(days):
    work = stored(ROW)
    texts = [f"{day}T00:00:00.000000+00:00" for day in days]
    last = [touched(work, 1, text) for text in texts][-1]
    assert last.expires_at == max([ROW.expires_at or "", *texts])


def test_a_touch_of_an_expiry_that_was_replaced_has_no_effect():
    work = stored(ROW)
    after = replace(ROW, expires_at="2026-01-10T00:00:00.000000+00:00", updated_at=LATER)
    draft = drafts.update(shown(work), after, "a", HERE)
    assert draft is not None
    work.apply("update", draft.payload, Stamp(2, HERE))
    assert touched(work, 1, LATER).expires_at == after.expires_at


def test_an_expiry_given_to_a_memory_promoted_by_use_holds():
    """Its tier register still says mid, whose promotion would hide the new expiry."""
    work = stored(ROW)
    promoted = touched(work, 5)
    draft = drafts.update(shown(work), replace(promoted, expires_at=LATER), "a", HERE)
    assert draft is not None
    work.apply("update", draft.payload, Stamp(2, HERE))
    assert shown(work).memory.expires_at == LATER
    assert shown(work).memory.tier == "long"


def test_a_restore_with_an_expiry_holds_after_promotion_by_use():
    work = stored(ROW)
    touched(work, 5)
    work.apply("archive", drafts.archive([IDS[0]], "a", LATER, "r").payload, Stamp(2, HERE))
    draft = drafts.restore(shown(work), LATER, "a", LATER, HERE)
    work.apply("restore", draft.payload, Stamp(3, HERE))
    assert shown(work).is_live
    assert shown(work).memory.expires_at == LATER


def test_removed_metadata_goes_and_the_owner_stays():
    work = stored(replace(ROW, metadata={"agent_id": "ai:one", "scope": "team", "": 1}))
    draft = drafts.update(shown(work), replace(ROW, metadata={"agent_id": "ai:two"}), "a", HERE)
    assert draft is not None
    work.apply("update", draft.payload, Stamp(2, HERE))
    assert shown(work).memory.metadata == {"agent_id": "ai:one"}


def test_an_update_does_not_revive_what_was_deleted_elsewhere():
    work = stored(ROW)
    draft = drafts.update(shown(work), replace(ROW, content="new"), "a", HERE)
    assert draft is not None
    deletion = drafts.delete([IDS[0]], "b", LATER, archived=False, reason="r")
    work.apply("delete", deletion.payload, Stamp(2, ORIGINS[1]))
    work.apply("update", draft.payload, Stamp(3, HERE))
    assert not shown(work).is_live


@pytest.mark.parametrize(
    ("level", "signature", "shown"),
    [
        (None, None, None),
        ("unsigned", None, "unsigned"),
        ("self_signed", bytes(64), "self_signed"),
        ("self_signed", None, "unsigned"),
        ("peer_attested", bytes(2), "unsigned"),
        ("a word of another release", bytes(64), "unsigned"),
    ],
)
def test_a_link_shows_no_attestation_that_a_row_cannot_carry(
    level: str | None, signature: bytes | None, shown: str | None
):
    key = SEPARATOR.join((IDS[0], IDS[1], "related_to"))
    facts: list[Value] = [LATER, None, None, signature, level]
    cells = {"life": Written("live", Stamp(1, HERE)), "facts": Written(facts, Stamp(1, HERE))}
    found = project_link(key, cells)
    assert found is not None
    assert found.attest_level == shown
