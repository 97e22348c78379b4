"""The heaps of `Quorum` say what its definition says, whatever happens in whatever order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.replication.quorum import Quorum, Reach, Verdict, Wait

OWN = "own-store"
ORIGIN = "00112233445566aa.1"
OLDER = "00112233445566aa.0"


def mesh(*stores: str) -> Quorum:
    quorum = Quorum(OWN)
    for number, store in enumerate(stores):
        quorum.join(f"p{number}")
        quorum.found(f"p{number}", store)
        quorum.reached(f"p{number}", Reach.UP)
    return quorum


def waiting(quorum: Quorum, *seqs: int, needed: int) -> Wait:
    wait = Wait(ORIGIN, seqs, needed)
    assert quorum.add(wait) is None
    return wait


def test_one_ack_settles_everyone_up_to_it():
    quorum = mesh("s0", "s1")
    waits = [waiting(quorum, seq, needed=2) for seq in range(1, 101)]
    settled = quorum.acked("p1", [(ORIGIN, 60)])
    assert settled == waits[:60]
    assert {wait.verdict for wait in settled} == {Verdict(2, None)}
    assert set(quorum.open_waits()) == set(waits[60:])


def test_an_ack_that_came_before_the_wait_counts():
    quorum = mesh("s0")
    quorum.acked("p0", [(ORIGIN, 5)])
    assert quorum.add(Wait(ORIGIN, (5,), 2)) == Verdict(2, None)


def test_the_slowest_of_those_needed_decides():
    quorum = mesh("s0", "s1", "s2")
    wait = waiting(quorum, 7, needed=3)
    assert quorum.acked("p2", [(ORIGIN, 9)]) == []
    assert quorum.acked("p0", [(ORIGIN, 6)]) == []
    assert quorum.acked("p0", [(ORIGIN, 7)]) == [wait]


def test_a_write_of_many_entries_waits_for_the_last():
    quorum = mesh("s0")
    wait = waiting(quorum, 3, 4, 5, needed=2)
    assert quorum.acked("p0", [(ORIGIN, 4)]) == []
    assert quorum.acked("p0", [(ORIGIN, 5)]) == [wait]


def test_two_peers_on_one_store_hold_one_copy():
    quorum = mesh("shared", "shared", "s2")
    wait = waiting(quorum, 1, needed=3)
    assert quorum.acked("p0", [(ORIGIN, 1)]) == []
    assert quorum.acked("p1", [(ORIGIN, 1)]) == []
    assert quorum.acked("p2", [(ORIGIN, 1)]) == [wait]


def test_a_peer_on_our_own_store_holds_no_copy():
    quorum = mesh(OWN, "s1")
    wait = waiting(quorum, 1, needed=2)
    assert quorum.acked("p0", [(ORIGIN, 1)]) == []
    assert quorum.acked("p1", [(ORIGIN, 1)]) == [wait]


def test_w14_a_refused_entry_is_no_copy_though_the_cursor_passed_it():
    quorum = mesh("s0", "s1")
    first, second = waiting(quorum, 1, needed=2), waiting(quorum, 2, needed=2)
    quorum.refused("p0", ORIGIN, [1])
    assert quorum.acked("p0", [(ORIGIN, 2)]) == [second]
    assert first.verdict is None
    assert quorum.acked("p1", [(ORIGIN, 2)]) == [first]


def test_w25_a_write_that_nobody_can_hold_any_more_ends_at_once():
    quorum = mesh("s0", "s1")
    wait = waiting(quorum, 1, needed=2)
    assert quorum.reached("p0", Reach.DOWN) == []
    assert quorum.reached("p1", Reach.DOWN) == [wait]
    assert wait.verdict == Verdict(1, "unreachable")
    assert quorum.add(Wait(ORIGIN, (2,), 2)) == Verdict(1, "unreachable")


def test_refusals_that_end_a_write_are_called_so():
    quorum = mesh("s0", "s1")
    wait = waiting(quorum, 1, needed=2)
    assert quorum.refused("p0", ORIGIN, [1]) == []
    assert quorum.refused("p1", ORIGIN, [1]) == [wait]
    assert wait.verdict == Verdict(1, "refused")


def test_what_a_dead_peer_holds_still_counts():
    quorum = mesh("s0", "s1")
    wait = waiting(quorum, 1, needed=3)
    quorum.acked("p0", [(ORIGIN, 1)])
    assert quorum.reached("p0", Reach.DOWN) == []
    assert quorum.acked("p1", [(ORIGIN, 1)]) == [wait]


def test_a_peer_that_lost_entries_holds_them_no_more():
    quorum = mesh("s0")
    quorum.acked("p0", [(ORIGIN, 9)])
    quorum.acked("p0", [(ORIGIN, 4)])
    waiting(quorum, 6, needed=2)


def test_a_peer_that_is_still_tried_may_yet_hold_a_copy():
    quorum = Quorum(OWN)
    quorum.join("p0")
    waiting(quorum, 1, needed=2)


def test_a_peer_that_left_holds_nothing():
    quorum = mesh("s0", "s1")
    wait = waiting(quorum, 1, needed=3)
    assert quorum.leave("p1") == [wait]
    assert wait.verdict == Verdict(1, "unreachable")


@pytest.mark.parametrize("needed", [1, 2, 3])
def test_a_given_up_wait_is_not_settled_again(needed: int):
    quorum = mesh("s0", "s1")
    wait = Wait(ORIGIN, (1,), needed)
    met = quorum.add(wait)
    if met is not None:
        assert met == Verdict(1, None)
        return
    assert quorum.give_up(wait, "timeout") == Verdict(1, "timeout")
    assert quorum.acked("p0", [(ORIGIN, 1)]) == []
    assert quorum.acked("p1", [(ORIGIN, 1)]) == []
    assert list(quorum.open_waits()) == []


def test_a_copy_that_a_lost_peer_has_no_more_is_no_reason_to_wait():
    quorum = mesh("s0", "s1")
    quorum.acked("p0", [(ORIGIN, 1)])
    quorum.reached("p0", Reach.DOWN)
    wait = waiting(quorum, 1, needed=3)
    assert quorum.acked("p0", [(ORIGIN, 0)]) == [wait]
    assert wait.verdict == Verdict(1, "unreachable")


peers = st.sampled_from(["p0", "p1", "p2", "p3"])
origins = st.sampled_from([ORIGIN, OLDER])
events = st.one_of(
    st.tuples(st.just("acked"), peers, st.lists(st.tuples(origins, st.integers(0, 8)), max_size=2)),
    st.tuples(st.just("refused"), peers, origins, st.lists(st.integers(1, 8), max_size=3)),
    st.tuples(st.just("reached"), peers, st.sampled_from(Reach)),
    st.tuples(st.just("found"), peers, st.sampled_from(["s0", "s1", OWN])),
    st.tuples(
        st.just("add"),
        origins,
        st.lists(st.integers(1, 8), min_size=1, max_size=3),
        st.integers(1, 5),
    ),
)


@given(st.lists(events, max_size=40))
def test_after_every_event_exactly_those_wait_who_can_neither_go_nor_must_give_up(history):
    quorum = Quorum(OWN)
    for name in ("p0", "p1", "p2", "p3"):
        quorum.join(name)
    settled: list[Wait] = []
    added: list[Wait] = []
    for what, *values in history:
        if what == "add":
            wait = Wait(*values)
            added.append(wait)
            told = quorum.judge(wait)
            assert quorum.add(wait) == told
            if told is not None:
                settled.append(wait)
        else:
            settled += getattr(quorum, what)(*values)
        # A wait that ends is told of once, and ends as the definition has it at that moment.
        assert len(settled) == len(set(settled))
        assert set(quorum.open_waits()) == {wait for wait in added if wait.verdict is None}
        assert {wait for wait in added if wait.verdict is not None} == set(settled)
        assert all(quorum.judge(wait) is None for wait in quorum.open_waits())
