"""What keeps a loop of the mesh alive: its step may fail, and the next one may go well."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from app.domain.errors import AiMemoryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from logging import Logger


@contextmanager
def enduring(logger: Logger, failed: str) -> Iterator[None]:
    """The outermost frame of a loop's step; `failed` says in the log what did not come about."""
    try:
        yield
    except AiMemoryError as error:
        logger.warning("%s: %s", failed, error.message)
    except Exception:
        logger.exception("%s, by a fault that nobody expected", failed)
