from __future__ import annotations

import statistics
import sysconfig
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from app.recall.tokens import EstimatedTokens, open_token_counter

COUNTER = open_token_counter()


def test_counts_are_those_of_the_vocabulary() -> None:
    # Known splits of cl100k: common words whole, digits by three, markers as plain text.
    assert COUNTER.is_exact
    assert COUNTER.count("") == 0
    assert COUNTER.count("hello world") == 2
    assert COUNTER.count("1234567") == 3
    assert COUNTER.count("<|endoftext|>") > 1


@given(st.text(st.characters(exclude_categories=()), max_size=100))
def test_any_text_has_a_count(text: str) -> None:
    for counter in (COUNTER, EstimatedTokens()):
        assert 0 <= counter.count(text) <= 4 * len(text)


def test_the_estimate_is_near_the_count_on_real_text() -> None:
    folder = Path(sysconfig.get_path("stdlib"))
    pieces: list[str] = []
    for module in ("argparse.py", "tarfile.py", "statistics.py", "typing.py"):
        source = (folder / module).read_text(encoding="utf-8")
        pieces += [source[start : start + 1_000] for start in range(0, 20_000, 1_000)]
    ratios = [EstimatedTokens().count(piece) / COUNTER.count(piece) for piece in pieces]
    assert 0.85 <= statistics.median(ratios) <= 1.15
    assert max(ratios) <= 1.5
    assert min(ratios) >= 0.6
