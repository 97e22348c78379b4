from __future__ import annotations

from app.recall.sessions import SessionRings


def test_a_session_remembers_what_it_was_answered() -> None:
    rings = SessionRings()
    rings.note("one", ["a", "b"])
    rings.note("one", ["b", "c"])
    assert rings.recent("one") == {"a", "b", "c"}
    assert rings.recent("two") == frozenset()


def test_without_a_session_nothing_is_remembered() -> None:
    rings = SessionRings()
    rings.note(None, ["a"])
    assert rings.recent(None) == frozenset()


def test_the_session_unused_longest_is_forgotten_first() -> None:
    rings = SessionRings(sessions_max=2)
    for session in ("one", "two"):
        rings.note(session, ["a"])
    rings.recent("one")
    rings.note("three", ["a"])
    assert rings.recent("two") == frozenset()
    assert rings.recent("one") == rings.recent("three") == {"a"}
