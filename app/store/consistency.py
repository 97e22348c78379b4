"""How old an answer may be, and what a request wrote: known to surfaces, asked by stores.

A store may have copies that lag. Which reads may go there is a use case's to say (`may_lag`), what
the client has seen is its request's; both are carried by the context of the task, so that the
reads between need not know.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from app.log.causal import read_token, token_of
from app.log.cursor import VectorClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(slots=True)
class Exchange:
    """One request. `token` is what its client handed in, if anything."""

    token: str | None = None
    _wrote: dict[str, int] = field(default_factory=dict)

    @property
    def new_token(self) -> str | None:
        """What stands for this request's writes; None if it wrote nothing."""
        return token_of(VectorClock(self._wrote)) if self._wrote else None

    def note(self, origin: str, seq: int) -> None:
        """A durable write of this request."""
        self._wrote[origin] = max(seq, self._wrote.get(origin, 0))


@dataclass(frozen=True, slots=True)
class Lag:
    """What an answer must show at least; `seen` None stands for all that this node wrote."""

    seen: VectorClock | None


_EXCHANGE: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
_MAY_LAG: ContextVar[bool] = ContextVar("may_lag", default=False)


@contextmanager
def exchanging(exchange: Exchange) -> Iterator[None]:
    """Whatever runs within belongs to this request."""
    before = _EXCHANGE.set(exchange)
    try:
        yield
    finally:
        _EXCHANGE.reset(before)


def note_write(origin: str, seq: int | None) -> None:
    """A write is durable; `seq` None if it appended nothing."""
    exchange = _EXCHANGE.get()
    if exchange is not None and seq is not None:
        exchange.note(origin, seq)


def may_lag(function: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Mark a use case whose reads may be answered by a copy, as far as its client allows."""

    @wraps(function)
    async def lagging(*arguments: P.args, **named: P.kwargs) -> T:
        before = _MAY_LAG.set(True)
        try:
            return await function(*arguments, **named)
        finally:
            _MAY_LAG.reset(before)

    return lagging


def allowed_lag() -> Lag | None:
    """How far the read that is about to run may lag; None for not at all."""
    if not _MAY_LAG.get():
        return None
    exchange = _EXCHANGE.get()
    if exchange is None or exchange.token is None:
        return Lag(None)
    seen = read_token(exchange.token)
    # What cannot be read may ask for anything.
    return None if seen is None else Lag(seen)
