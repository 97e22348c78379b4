"""Questions for measuring: a question asked twice would be answered from a cache."""

import pytest

from bench.measurement import MeasurementError
from bench.questions import FRAMES, fresh

ASKED = [FRAMES[n % len(FRAMES)].format(f"count the {n} sheep") for n in range(20)]


def test_no_two_rounds_ask_the_same_words():
    rounds = [fresh(ASKED, 10, number) for number in range(2 * len(FRAMES))]

    every = [question for one in rounds for question in one]
    assert len(set(every)) == len(every) == 100


def test_a_round_asks_about_the_same_things_in_other_words():
    assert {question.count("count the 3 sheep") for question in fresh(ASKED[3:4], 1, 4)} == {1}


def test_too_few_questions_are_said_to_be_too_few():
    with pytest.raises(MeasurementError, match="too few"):
        fresh(ASKED, 10, 2 * len(FRAMES))
