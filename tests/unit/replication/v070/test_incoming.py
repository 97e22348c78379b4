"""What rows of a v0.7.0 node do to states, in any order, on any node, any number of times."""

from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.memory import Memory, MemoryLink
from app.log.hlc import Stamp
from app.log.projection import project_standard
from app.log.state import EntityKey, decode_state
from app.replication.v070.incoming import (
    IncomingRow,
    change_of_link,
    change_of_row,
    change_of_standard,
)
from app.replication.v070.times import stamp_of
from app.replication.v070.wire import StandardRow
from tests.unit.log.shelf import Shelf
from tests.unit.log.strategies import IDS, Said, links, memories, said

PEER = "host:old"
START = stamp_of("2027-01-01T00:00:00Z", PEER).hlc
"""Later than every time that the strategies make."""
rows = st.builds(IncomingRow, memories, st.booleans())


@dataclass
class Node:
    """States, and the log of what this node said."""

    origin: str
    shelf: Shelf = field(default_factory=Shelf)
    log: list[Said] = field(default_factory=list)

    def say(self, kind, payload):
        entry = Said(kind, payload, Stamp(START + len(self.log) + 1, self.origin))
        self.log.append(entry)
        self.shelf.apply([entry])

    def cells(self, kind, key):
        state = self.shelf.states.get(EntityKey(kind, key))
        return None if state is None else decode_state(kind, state)

    def receive(self, row):
        change = change_of_row(row, PEER, self.cells("memory", row.memory.id))
        if change.writes:
            draft = change.draft(PEER, (row.memory.id,))
            self.say(draft.kind, draft.payload)
        return change

    def hear(self, other):
        self.shelf.apply(other.log)


def pair():
    return Node("aaaaaaaaaaaaaaaa.1"), Node("bbbbbbbbbbbbbbbb.1")


def meet(here, there):
    here.hear(there)
    there.hear(here)


@given(st.lists(rows, max_size=6), st.data())
@settings(max_examples=120, deadline=None)
def test_the_same_rows_end_in_the_same_states(received, data):
    here, there = pair()
    for row in received:
        here.receive(row)
    for row in data.draw(st.permutations(received)):
        there.receive(row)
    meet(here, there)
    assert here.shelf.states == there.shelf.states
    assert here.shelf.rows == there.shelf.rows


@given(
    st.lists(rows | said("store", "update", "delete", "archive", "restore", "touch"), max_size=8),
    st.lists(rows | said("store", "update", "delete", "archive", "restore", "touch"), max_size=8),
)
@settings(max_examples=120, deadline=None)
def test_they_converge_beside_writes_of_our_own(here_first, there_first):
    here, there = pair()
    for node, steps in ((here, here_first), (there, there_first)):
        for step in steps:
            if isinstance(step, IncomingRow):
                node.receive(step)
            else:
                node.say(step.kind, step.payload)
    meet(here, there)
    assert here.shelf.states == there.shelf.states
    for step in (*here_first, *there_first):
        if isinstance(step, IncomingRow):
            here.receive(step)
    there.hear(here)
    assert here.shelf.states == there.shelf.states


@given(st.lists(said("store", "update", "touch"), max_size=4), rows)
@settings(deadline=None)
def test_a_row_that_comes_again_writes_nothing(before, row):
    node = Node("aaaaaaaaaaaaaaaa.1")
    for step in before:
        node.say(step.kind, step.payload)
    node.receive(row)
    assert node.receive(row).writes == ()


@given(rows)
def test_a_new_row_shows_as_it_was_sent(row):
    node = Node("aaaaaaaaaaaaaaaa.1")
    assert node.receive(row).status == "new"
    assert node.shelf.rows[row.memory.id].memory == row.memory


@given(rows, st.data())
def test_a_deletion_wins_over_every_row_made_before_it(row, data):
    node = Node("aaaaaaaaaaaaaaaa.1")
    at = "2026-12-31T00:00:00.000000+00:00"
    steps = [row, replace(row, memory=replace(row.memory, content="x", updated_at=at)), None]
    for step in data.draw(st.permutations(steps)):
        if step is None:
            node.say("delete", {"ids": [row.memory.id], "at": at, "reason": None})
        else:
            node.receive(step)
    found = node.shelf.rows.get(row.memory.id)
    assert found is None or not found.is_live


@given(rows, rows)
def test_what_was_erased_takes_nothing(first, second):
    node = Node("aaaaaaaaaaaaaaaa.1")
    node.receive(first)
    memory_id = first.memory.id
    node.say("purge", {"ids": [memory_id], "at": first.memory.updated_at})
    again = replace(second, memory=replace(second.memory, id=memory_id))
    assert node.receive(again).code == "deleted"
    assert set(node.cells("memory", memory_id)) == {"life"}


@given(memories, st.text("abc", min_size=1, max_size=3))
def test_a_change_counts_as_one_more_version_at_least(memory, content):
    node = Node("aaaaaaaaaaaaaaaa.1")
    node.receive(IncomingRow(memory))
    later = replace(memory, content=content, updated_at="2026-12-31T00:00:00.000000+00:00")
    node.receive(IncomingRow(later))
    found = node.shelf.rows[memory.id].memory
    assert found.version == memory.version + (content != memory.content)
    far = replace(later, content=content + "!", version=50)
    node.receive(IncomingRow(replace(far, updated_at="2026-12-31T01:00:00.000000+00:00")))
    assert node.shelf.rows[memory.id].memory.version == 50


def link_of(value):
    return MemoryLink(**{**value, "signature": None})


@given(st.lists(links, min_size=1, max_size=4), st.data())
def test_links_converge_and_add_nothing_twice(values, data):
    here, there = pair()

    def receive(node, value):
        link = link_of(value)
        key = f"{link.source_id}\x1f{link.target_id}\x1f{link.relation}"
        change = change_of_link(link, PEER, node.cells("link", key))
        if change.writes:
            draft = change.draft(PEER, (link.source_id, link.target_id))
            node.say(draft.kind, draft.payload)
        return change

    for value in values:
        receive(here, value)
        assert receive(here, value).writes == ()
    for value in data.draw(st.permutations(values)):
        receive(there, value)
    meet(here, there)
    assert here.shelf.states == there.shelf.states


def test_the_later_binding_stands_whatever_came_last():
    node = Node("aaaaaaaaaaaaaaaa.1")
    late = StandardRow("work", IDS[0], "2026-06-02T00:00:00.000000+00:00")
    early = StandardRow("work", IDS[1], "2026-06-01T00:00:00.000000+00:00")
    for row, status in ((late, "new"), (early, "noop"), (late, "noop")):
        change = change_of_standard(row, PEER, node.cells("standard", "work"))
        assert change.status == status
        if change.writes:
            node.say("v070", change.draft(PEER, ()).payload)
    bound = project_standard("work", node.cells("standard", "work") or {})
    assert bound is not None
    assert bound.standard_id == IDS[0]


def test_a_row_from_before_1970_is_the_oldest():
    node = Node("aaaaaaaaaaaaaaaa.1")
    memory = Memory(
        id=IDS[0],
        tier="mid",
        namespace="work",
        title="Old",
        content="old",
        tags=(),
        priority=5,
        confidence=1.0,
        source="api",
        access_count=0,
        created_at="1960-01-01T00:00:00.000000+00:00",
        updated_at="1960-01-01T00:00:00.000000+00:00",
    )
    assert node.receive(IncomingRow(memory)).status == "new"
    assert node.shelf.rows[IDS[0]].memory == memory
