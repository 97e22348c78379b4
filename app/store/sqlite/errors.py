"""The driver's errors in the field's terms, told apart by what an operator can do about them."""

from __future__ import annotations

import errno
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
    if isinstance(error, apsw.FullError) or _lacks_room(error):
        return _full()
    if isinstance(error, apsw.ReadOnlyError | apsw.PermissionsError):
        return _read_only()
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
    """Raise the field's error in place of the driver's, with the cause chained.

    Also for the files that the store writes itself, beside the database.
    """
    try:
        yield
    except apsw.Error as error:
        raise translated(error) from error
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise _full() from error
        if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
            raise _read_only() from error
        raise


def _lacks_room(error: apsw.Error) -> bool:
    """Whether the shared-memory file could not be made as large as it must be."""
    # Instances have the number, the class's type declaration does not.
    return getattr(error, "extendedresult", None) == apsw.SQLITE_IOERR_SHMSIZE


def _full() -> AiMemoryError:
    return StoreFullError(
        "the disk under the store is full", retry_after_seconds=RETRY_AFTER_SECONDS
    )


def _read_only() -> AiMemoryError:
    return StoreReadOnlyError(
        "the store's file is read-only", retry_after_seconds=RETRY_AFTER_SECONDS
    )
