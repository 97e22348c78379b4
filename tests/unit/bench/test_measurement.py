"""The arithmetic behind the performance page: a wrong ratio there would be believed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.wrk import parse
from bench.measurement import Finding, MeasurementError, Spread, at_least, at_most, ratios
from bench.registry import MODULES, measurement

RESULT = '{"requests":%d,"seconds":2.0,"p50_ms":1.5,"p99_ms":4.5,"refused":%d,"broken":%d}'
positive = st.floats(min_value=0.001, max_value=1e6)


@given(st.lists(positive, min_size=1))
def test_a_spread_holds_its_median_between_its_ends(values):
    spread = Spread.of(values)

    assert spread.least == min(values)
    assert spread.most == max(values)
    assert spread.least <= spread.median <= spread.most


def test_ratios_are_taken_round_by_round():
    # The machine was twice as slow in the second round: each ratio still is 2.
    assert ratios([200.0, 100.0], [100.0, 50.0]) == Spread(2.0, 2.0, 2.0)


def test_ratios_refuse_rounds_without_a_partner():
    with pytest.raises(ValueError, match="shorter"):
        ratios([1.0, 2.0], [1.0])


@given(positive, positive)
def test_a_target_is_met_by_the_median_on_its_own_side_of_the_bound(value, bound):
    spread = Spread(value / 2, value, value * 2)

    assert Finding("x", "x", spread, at_least(bound)).met is (value >= bound)
    assert Finding("x", "x", spread, at_most(bound)).met is (value <= bound)
    assert Finding("x", "x", spread).met is None


def test_the_load_drivers_answer_becomes_a_rate():
    result = parse(f"Running 2s test\n  1 threads\nRESULT {RESULT % (500, 0, 0)}\n")

    assert (result.per_second, result.p50_ms, result.p99_ms) == (250.0, 1.5, 4.5)


@pytest.mark.parametrize(
    "output",
    [
        pytest.param("RESULT " + RESULT % (500, 1, 0), id="a store was refused"),
        pytest.param("RESULT " + RESULT % (500, 0, 1), id="a connection broke"),
        pytest.param("RESULT " + RESULT % (0, 0, 0), id="nothing was stored"),
        pytest.param("unable to connect to 127.0.0.1", id="no server"),
    ],
)
def test_a_run_with_failures_gives_no_rate(output):
    with pytest.raises(MeasurementError):
        parse(output)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_registered_measurement_exists_under_its_name(name):
    assert measurement(name).name == name
