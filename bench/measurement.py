"""What a measurement is: a function that returns findings, each a spread over interleaved runs."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Self


class Sense(Enum):
    """On which side of its bound a good value lies."""

    AT_LEAST = ">="
    AT_MOST = "<="


@dataclass(frozen=True)
class Target:
    """A bound that the median has to keep."""

    sense: Sense
    bound: float

    def met_by(self, value: float) -> bool:
        return value >= self.bound if self.sense is Sense.AT_LEAST else value <= self.bound


@dataclass(frozen=True)
class Spread:
    """What the repeats gave, smallest to largest."""

    least: float
    median: float
    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        ordered = sorted(values)
        return cls(ordered[0], statistics.median(ordered), ordered[-1])


@dataclass(frozen=True)
class Finding:
    """One line of the table.

    Attributes:
        subject: What was measured, in words.
        unit: `1/s`, `ms`, `MB`; `x` for a ratio of two values of the same repeat.
        target: None for a value that only explains another one.
    """

    subject: str
    unit: str
    spread: Spread
    target: Target | None = None

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.target.met_by(self.spread.median)


@dataclass(frozen=True)
class Options:
    """What a run was asked to do.

    Attributes:
        scratch: An empty folder, removed after the run.
        rows: How large a store to measure on; None leaves it to the measurement.
        repeats: Rounds; in each round every contestant runs once.
        seconds: How long one run under load lasts.
    """

    scratch: Path
    rows: int | None = None
    repeats: int = 5
    seconds: float = 5.0


@dataclass(frozen=True)
class Measurement:
    """One file's worth of findings.

    Attributes:
        name: For `--only`, and the heading of its section.
        about: What is compared with what, for a person who reads only the table.
    """

    name: str
    about: str
    run: Callable[[Options], tuple[Finding, ...]]


class MeasurementError(Exception):
    """A figure would be wrong or cannot be had; the message says why."""


def at_least(bound: float) -> Target:
    return Target(Sense.AT_LEAST, bound)


def at_most(bound: float) -> Target:
    return Target(Sense.AT_MOST, bound)


def ratios(above: Iterable[float], below: Iterable[float]) -> Spread:
    """Divide value by value: both sides of each ratio come from the same round."""
    return Spread.of(top / bottom for top, bottom in zip(above, below, strict=True))
