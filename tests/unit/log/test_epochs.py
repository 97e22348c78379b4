"""Who a node is after a boot: the same only when nothing suggests a copy or a step back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.log.entry import Draft, open_entry, seal
from app.log.epochs import (
    EpochReason,
    Identity,
    Sidecar,
    StoredIdentity,
    choose_identity,
    parse_origin,
    parse_sidecar,
)


@dataclass
class Dice:
    """Chance that never repeats itself."""

    rolls: int = 0
    seed: str = "dice"

    def token(self, byte_count: int) -> bytes:
        self.rolls += 1
        return sha256(f"{self.seed}{self.rolls}".encode()).digest()[:byte_count]


@dataclass
class Machine:
    """A store and its sidecar, booted step by step; `crash_after` steps of the three are done."""

    stored: StoredIdentity | None = None
    sidecar: Sidecar | None = None
    dice: Dice = field(default_factory=Dice)

    def boot(self, *, crash_after: int = 3, forced: EpochReason | None = None) -> Identity:
        identity = choose_identity(self.stored, self.sidecar, self.dice, forced=forced)
        if crash_after >= 1:
            self.sidecar = identity.prepared
        if crash_after >= 2:
            head = 0 if identity.is_new_epoch or self.stored is None else self.stored.head_seq
            self.stored = StoredIdentity(
                identity.node_id, identity.epoch, identity.new_boot_token, head
            )
        if crash_after >= 3:
            self.sidecar = identity.settled
        return identity


def test_a_first_boot_gets_an_id_and_the_first_epoch():
    identity = Machine().boot()
    assert identity.reason is EpochReason.FIRST_BOOT
    assert identity.is_new_epoch
    assert identity.epoch == 1
    assert len(identity.node_id) == 16


def test_the_origin_is_one_that_entries_accept():
    entry = seal(Draft("purge", "a", (), {}), Machine().boot().origin, 1, 1, bytes(32))
    assert entry.payload is not None
    assert open_entry(entry.header, entry.payload, entry.payload_hash, entry.hash) == entry


def test_a_plain_reboot_keeps_the_origin_and_renews_the_token():
    machine = Machine()
    first, second = machine.boot(), machine.boot()
    assert second.reason is EpochReason.UNCHANGED
    assert not second.is_new_epoch
    assert second.origin == first.origin
    assert second.new_boot_token != first.new_boot_token


def test_a_store_set_back_to_an_earlier_boot_starts_a_new_epoch():
    machine = Machine()
    first = machine.boot()
    backup = machine.stored
    machine.boot()
    machine.stored = backup
    restored = machine.boot()
    assert restored.reason is EpochReason.BOOT_TOKEN
    assert restored.node_id == first.node_id
    assert restored.epoch == first.epoch + 1


def test_a_store_set_back_within_a_boot_starts_a_new_epoch_when_the_sidecar_knows_more():
    machine = Machine()
    machine.boot()
    assert machine.sidecar is not None
    machine.sidecar = replace(machine.sidecar, head_seq=7)
    assert machine.boot().reason is EpochReason.STORE_BEHIND


def test_a_copy_without_its_sidecar_becomes_another_node():
    """Its original may still be writing, and both would choose the same next epoch."""
    machine = Machine()
    original = machine.boot()
    machine.sidecar = None
    copy = machine.boot()
    assert copy.reason is EpochReason.SIDECAR_MISSING
    assert copy.node_id != original.node_id


def test_a_lost_store_keeps_the_node_and_starts_a_new_epoch():
    machine = Machine()
    first = machine.boot()
    machine.stored = None
    second = machine.boot()
    assert second.reason is EpochReason.STORE_MISSING
    assert (second.node_id, second.epoch) == (first.node_id, first.epoch + 1)


def test_another_nodes_store_is_written_under_ones_own_id():
    machine, other = Machine(), Machine(dice=Dice(seed="other"))
    mine, theirs = machine.boot(), other.boot()
    machine.stored = other.stored
    identity = machine.boot()
    assert identity.reason is EpochReason.STORE_OF_ANOTHER_NODE
    assert identity.node_id == mine.node_id != theirs.node_id
    assert identity.epoch == mine.epoch + 1


@pytest.mark.parametrize("before", [None, "7301.1"])
def test_a_changed_database_starts_a_new_epoch(before):
    dice = Dice()
    first = choose_identity(None, None, dice, database=before)
    stored = StoredIdentity(first.node_id, 1, first.new_boot_token, database=before)
    same = choose_identity(stored, first.settled, dice, database=before)
    moved = choose_identity(stored, first.settled, dice, database="7301.2")
    assert same.reason is EpochReason.UNCHANGED
    assert moved.reason is EpochReason.DATABASE_CHANGED
    assert moved.epoch == 2


@pytest.mark.parametrize("forced", [EpochReason.RESTORED, EpochReason.PEER_AHEAD, EpochReason.FORK])
def test_an_origin_that_was_used_elsewhere_is_given_up(forced):
    machine = Machine()
    first = machine.boot()
    second = machine.boot(forced=forced)
    assert second.reason is forced
    assert (second.node_id, second.epoch) == (first.node_id, first.epoch + 1)


def test_the_next_epoch_passes_every_epoch_that_is_known():
    machine = Machine()
    first = machine.boot()
    machine.stored = None
    identity = choose_identity(
        None, machine.sidecar, machine.dice, known_epochs={first.node_id: 41, "f" * 16: 99}
    )
    assert identity.epoch == 42


@given(st.lists(st.integers(0, 3), max_size=8))
def test_no_crash_while_booting_makes_a_node_repeat_an_origin_it_gave_up(crashes):
    """A boot whose records are whole keeps its origin; epochs of one node only rise."""
    machine = Machine()
    epochs: dict[str, int] = {}
    for crash_after in crashes:
        identity = machine.boot(crash_after=crash_after)
        assert identity.epoch >= epochs.get(identity.node_id, 0)
        if crash_after >= 2:
            epochs[identity.node_id] = identity.epoch
    settled = machine.boot()
    assert machine.boot().origin == settled.origin


@given(st.integers(0, 3))
def test_a_crash_while_rebooting_keeps_the_origin(crash_after):
    machine = Machine()
    first = machine.boot()
    machine.boot(crash_after=crash_after)
    assert machine.boot().origin == first.origin


HEX = st.integers(0, 1 << 64).map(lambda number: f"{number % (1 << 64):016x}")
SIDECARS = st.builds(
    Sidecar,
    node_id=HEX,
    epoch=st.integers(1, 1 << 30),
    boot_token=HEX.map(lambda text: text * 2),
    next_boot_token=st.none() | HEX.map(lambda text: text * 2),
    head_seq=st.integers(0, 1 << 62),
)


@given(SIDECARS)
def test_a_sidecar_survives_its_file(sidecar):
    assert parse_sidecar(sidecar.to_json()) == sidecar


@given(SIDECARS, st.data())
def test_a_torn_sidecar_counts_as_missing(sidecar, data):
    text = sidecar.to_json().strip()
    torn = text[: data.draw(st.integers(0, len(text) - 1))]
    assert parse_sidecar(torn) is None


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{}",
        '{"node_id": 1}',
        Sidecar("x", 1, "0" * 32).to_json(),
        Sidecar("0" * 16, 0, "0" * 32).to_json(),
        Sidecar("0" * 16, True, "0" * 32).to_json(),
    ],
)
def test_a_file_that_is_no_sidecar_counts_as_missing(text):
    assert parse_sidecar(text) is None


@given(HEX, st.integers(1, 9_999_999_999))
def test_an_origin_reads_back(node_id, epoch):
    origin = parse_origin(f"{node_id}.{epoch}")
    assert origin is not None
    assert (origin.node_id, origin.epoch) == (node_id, epoch)


@pytest.mark.parametrize("text", ["", "v070:peer", "0" * 16, "0" * 16 + ".0", "0" * 15 + ".1"])
def test_an_origin_of_another_make_is_told_apart(text):
    assert parse_origin(text) is None
