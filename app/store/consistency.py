"""How old an answer may be: known to surfaces, asked by stores.

A store may have copies that lag. Which reads may go there is a use case's to say (`may_lag`), what
the client has seen is its request's; both are carried by the context of the task, so that the
reads between need not know.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from app.log.causal import read_token

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from app.log.cursor import VectorClock

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Lag:
    """What an answer must show at least; `seen` None stands for all that this node wrote."""

    seen: VectorClock | None


_TOKEN: ContextVar[str | None] = ContextVar("token", default=None)
_MAY_LAG: ContextVar[bool] = ContextVar("may_lag", default=False)


@contextmanager
def having_seen(token: str | None) -> Iterator[None]:
    """Whatever is read within is for a client that handed in this token, if any."""
    before = _TOKEN.set(token)
    try:
        yield
    finally:
        _TOKEN.reset(before)


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
    token = _TOKEN.get()
    if token is None:
        return Lag(None)
    seen = read_token(token)
    # What cannot be read may ask for anything.
    return None if seen is None else Lag(seen)
