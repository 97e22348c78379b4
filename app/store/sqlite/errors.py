"""The driver's errors in the field's terms, told apart by what an operator can do about them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import apsw

from app.domain.errors import (
    AiMemoryError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

RETRY_AFTER_SECONDS: Final = 5


def translated(error: apsw.Error) -> AiMemoryError:
    """What a driver's error means. The driver's text names no user data."""
    text = str(error)
    if isinstance(error, apsw.FullError):
        return StoreFullError(
            "the disk under the store is full", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return StoreReadOnlyError(
            "the store's file is read-only", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    if isinstance(error, apsw.CorruptError | apsw.NotADBError):
        return StoreOpenError(f"the store's file is damaged: {text}", reason="damaged")
    if isinstance(error, apsw.BusyError | apsw.LockedError):
        return StoreUnavailableError(
            "the store's file is locked by another process",
            retry_after_seconds=RETRY_AFTER_SECONDS,
        )
    return StoreUnavailableError(
        f"the store's file cannot be used: {text}", retry_after_seconds=RETRY_AFTER_SECONDS
    )


@contextmanager
def translating() -> Iterator[None]:
    """Raise the field's error in place of the driver's, with the cause chained."""
    try:
        yield
    except apsw.Error as error:
        raise translated(error) from error
