"""When something was broken on purpose, so that a failed request can be judged."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

AFTERMATH_SECONDS = 0.5
"""How long after an outage a request that begins may still fail."""


@dataclass(frozen=True)
class Outage:
    """From when to when, and at which ports of nodes; seconds of the monotonic clock."""

    begun: float
    ended: float
    ports: frozenset[int]

    def excuses(self, failure: "Failure") -> bool:
        return (
            failure.port in self.ports
            and failure.ended >= self.begun
            and failure.begun <= self.ended + AFTERMATH_SECONDS
        )


@dataclass(frozen=True)
class Failure:
    """A request that was not answered, or with 503."""

    port: int
    begun: float
    ended: float
    said: str


@dataclass
class Outages:
    """What was broken, and which requests failed; for many threads."""

    outages: list[Outage] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, port: int, begun: float, said: str) -> None:
        with self._lock:
            self.failures.append(Failure(port, begun, time.monotonic(), said))

    @contextmanager
    def outage(self, ports: frozenset[int]) -> Iterator[None]:
        """Requests to these ports may fail while the block runs, and shortly after it."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self.outages.append(Outage(begun, time.monotonic(), ports))

    @property
    def unexcused(self) -> list[str]:
        """Failed requests that no outage explains, in words."""
        return [
            f"port {one.port}, {one.ended - one.begun:.2f} s: {one.said}"
            for one in self.failures
            if not any(outage.excuses(one) for outage in self.outages)
        ]
