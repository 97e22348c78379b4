"""What the process's exit code tells a script; docs/EXIT_CODES.md is the operator's view of it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.errors import AiMemoryError


class ExitCode(IntEnum):
    """Where sysexits(3) has a word that fits, its number is taken."""

    OK = 0
    FAILED = 1
    USAGE = 2
    DAMAGED = 65  # EX_DATAERR
    OLDER_SCHEMA = 66  # EX_NOINPUT: nothing here that this version can read
    UNAVAILABLE = 69  # EX_UNAVAILABLE
    READ_ONLY = 73  # EX_CANTCREAT
    DISK_FULL = 74  # EX_IOERR
    OWNED = 75  # EX_TEMPFAIL
    NEWER_SCHEMA = 76  # EX_PROTOCOL
    CONFIG = 78  # EX_CONFIG
    PORT_IN_USE = 98  # Linux's EADDRINUSE
    INTERRUPTED = 130  # as shells report SIGINT


MEANINGS: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "done; an empty list is no failure",
    ExitCode.FAILED: "refused, not found, or failed; the message says why",
    ExitCode.USAGE: "the command line is wrong; doctor: something is critical",
    ExitCode.DAMAGED: "the database is damaged, or no database of this program",
    ExitCode.OLDER_SCHEMA: "the database's schema is older than version 57",
    ExitCode.UNAVAILABLE: "the store cannot be used now, or no node answers",
    ExitCode.READ_ONLY: "the database's file or folder cannot be written",
    ExitCode.DISK_FULL: "the disk is full",
    ExitCode.OWNED: "another process has the database open",
    ExitCode.NEWER_SCHEMA: "the database was written by a newer version",
    ExitCode.CONFIG: "the configuration is refused",
    ExitCode.PORT_IN_USE: "the address to listen on is in use or cannot be used",
    ExitCode.INTERRUPTED: "interrupted from the keyboard",
}

_BY_CODE: Final[Mapping[str, ExitCode]] = {
    "STORE_FULL": ExitCode.DISK_FULL,
    "STORE_READ_ONLY": ExitCode.READ_ONLY,
    "STORE_UNAVAILABLE": ExitCode.UNAVAILABLE,
    "STORE_CLOSED": ExitCode.UNAVAILABLE,
    "OUTCOME_UNKNOWN": ExitCode.UNAVAILABLE,
    "STORE_OWNED": ExitCode.OWNED,
    "STORE_OPEN_FAILED": ExitCode.UNAVAILABLE,
    "CONFIG_REJECTED": ExitCode.CONFIG,
    "CONFIG_REFUSED": ExitCode.CONFIG,
    "LISTEN_FAILED": ExitCode.PORT_IN_USE,
}

_BY_REASON: Final[Mapping[str, ExitCode]] = {
    "damaged": ExitCode.DAMAGED,
    "not_a_database": ExitCode.DAMAGED,
    "older": ExitCode.OLDER_SCHEMA,
    "newer": ExitCode.NEWER_SCHEMA,
    "owned": ExitCode.OWNED,
}


def exit_code_of(error: AiMemoryError) -> ExitCode:
    """By the error's stable code and, where a store cannot be opened, by its reason."""
    return exit_code_for(error.code, error.details.get("reason"))


def exit_code_for(code: str | None, reason: object = None) -> ExitCode:
    """The same for an error that came over the wire."""
    usual = _BY_CODE.get(code or "", ExitCode.FAILED)
    if code == "STORE_OPEN_FAILED" and isinstance(reason, str):
        return _BY_REASON.get(reason, usual)
    return usual
