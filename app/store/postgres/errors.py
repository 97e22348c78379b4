"""The driver's errors in the field's terms: what is wrong, and what an operator does about it.

A failing connection has no error code, only libpq's text, so those causes are told by its words.
They are the server's in its own language; what is not recognised is passed on, without secrets.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import psycopg
from psycopg import errors as codes

from app.domain.errors import (
    AiMemoryError,
    StoreFullError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from app.store.postgres.url import PostgresUrl

RETRY_AFTER_SECONDS: Final = 5
_SOON_SECONDS: Final = 1
_SHOWN_CHARACTERS: Final = 300

Reason = Literal[
    "access",
    "tls",
    "database_missing",
    "schema_missing",
    "privilege",
    "pgvector_missing",
    "age_missing",
    "damaged",
]

PGVECTOR_FIX: Final = (
    "install pgvector on the server (Debian: postgresql-18-pgvector), then run"
    " CREATE EXTENSION vector SCHEMA public; in this database as a superuser"
)

# AGE before 1.6 looks for its own tables whenever any table is dropped or rewritten.
_AGE_IN_THE_WAY: Final = (
    "the server preloads a version of Apache AGE that fails in databases without it: run CREATE"
    " EXTENSION age; in this database as a superuser, or take age out of shared_preload_libraries"
)


@dataclass(frozen=True, slots=True)
class _Cause:
    """What some words of libpq mean. With a reason it lasts until something is changed."""

    words: tuple[str, ...]
    said: str
    reason: Reason | None = None
    retry_after_seconds: int = RETRY_AFTER_SECONDS


# The first that fits wins: of several hosts each has its words in the text, and what an operator
# must change comes before what may pass by itself.
_CONNECTING: Final = (
    _Cause(
        ("password authentication failed", "no password supplied", "authentication failed for"),
        "the server refuses the user name or password",
        "access",
    ),
    _Cause(
        ("is not permitted to log in",),
        "the role may not log in: ALTER ROLE … LOGIN",
        "access",
    ),
    _Cause(
        ("no encryption",),
        "the server refuses connections without TLS: add sslmode=verify-full and"
        " sslrootcert=FILE to the address",
        "tls",
    ),
    _Cause(
        ("pg_hba.conf",),  # in every language
        "the server admits no such user, database or host: see its pg_hba.conf",
        "access",
    ),
    _Cause(
        ("does not match host name",),
        "TLS: the server's certificate is for another host name than the address has",
        "tls",
    ),
    _Cause(
        ("certificate verify failed",),
        "TLS: the server's certificate is not signed by the authority in sslrootcert, or has"
        " expired",
        "tls",
    ),
    _Cause(
        ("root certificate file",),
        "TLS: the file that sslrootcert names does not exist or cannot be read",
        "tls",
    ),
    _Cause(
        ("does not support SSL",),
        "TLS: the address asks for it, and the server does not offer it",
        "tls",
    ),
    _Cause(
        ("SSL error", "certificate file", "private key file"),
        "TLS: no agreement with the server; see sslmode, sslrootcert, sslcert and sslkey",
        "tls",
    ),
    _Cause(
        ('database "',),
        "the server has no such database: CREATE DATABASE it first",
        "database_missing",
    ),
    _Cause(('role "',), "the server knows no such user", "access"),
    _Cause(
        ("starting up", "in recovery mode", "not yet accepting connections"),
        "the server is starting",
        retry_after_seconds=_SOON_SECONDS,
    ),
    _Cause(("shutting down",), "the server is shutting down"),
    _Cause(
        ("too many clients", "connection slots are reserved", "connection limit exceeded"),
        "the server has no connection left: lower postgres_pool_max_connections, or raise the"
        " server's max_connections",
    ),
    _Cause(
        ("could not translate host name", "failed to resolve host"),
        "the host's name cannot be resolved",
    ),
    _Cause(("Connection refused",), "no server listens there"),
    _Cause(("timeout expired", "Connection timed out"), "the server does not answer"),
)
_READ_ONLY_WORDS: Final = ("session is read-only", "server is in hot standby mode")

_OPENING: Final[Mapping[type[psycopg.Error], tuple[str, Reason]]] = {
    codes.InvalidPassword: ("the server refuses the user name or password", "access"),
    codes.InvalidAuthorizationSpecification: ("the server refuses the user", "access"),
    codes.InvalidCatalogName: ("the server has no such database", "database_missing"),
    codes.InsufficientPrivilege: ("the role may not do this", "privilege"),
    codes.UndefinedTable: (
        "the store's tables are missing in this schema: run ai-memory schema-init",
        "schema_missing",
    ),
    codes.InvalidSchemaName: (
        "the store's schema does not exist: run ai-memory schema-init",
        "schema_missing",
    ),
    codes.DataCorrupted: ("the server says that its data is damaged", "damaged"),
    codes.IndexCorrupted: ("the server says that an index is damaged: REINDEX it", "damaged"),
}

_PASSING: Final[Mapping[type[psycopg.Error], tuple[str, int]]] = {
    codes.QueryCanceled: (
        "a statement took longer than postgres_statement_timeout_secs allows",
        RETRY_AFTER_SECONDS,
    ),
    codes.LockNotAvailable: (
        "a lock was not free within postgres_lock_timeout_secs",
        _SOON_SECONDS,
    ),
    codes.CannotConnectNow: ("the server is starting", _SOON_SECONDS),
    codes.AdminShutdown: ("the server is shutting down", RETRY_AFTER_SECONDS),
    codes.CrashShutdown: ("the server crashed and is recovering", RETRY_AFTER_SECONDS),
    codes.TooManyConnections: ("the server has no connection left", RETRY_AFTER_SECONDS),
    codes.SerializationFailure: ("another transaction was faster", _SOON_SECONDS),
    codes.DeadlockDetected: ("another transaction was faster", _SOON_SECONDS),
}


def explained(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError:
    """What a driver's error means. The message names the store and never a password or a row."""
    if error.sqlstate is None:
        return _unreachable(error, url)
    return _special(error, url) or _known(error, url) or _other(error, url)


def _known(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError | None:
    for kind, (said, reason) in _OPENING.items():
        if isinstance(error, kind):
            return StoreOpenError(f"{url}: {said}", reason=reason)
    for kind, (said, seconds) in _PASSING.items():
        if isinstance(error, kind):
            return StoreUnavailableError(f"{url}: {said}", retry_after_seconds=seconds)
    return None


def _special(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError | None:
    if isinstance(error, codes.ReadOnlySqlTransaction):
        return _read_only(url)
    if isinstance(error, codes.DiskFull):
        return StoreFullError(
            f"{url}: the server's disk is full", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    if isinstance(error, codes.UndefinedObject) and 'type "vector"' in str(error):
        return no_pgvector(url)
    if isinstance(error, codes.InvalidSchemaName) and '"ag_catalog"' in str(error):
        return StoreOpenError(f"{url}: {_AGE_IN_THE_WAY}", reason="age_missing")
    return None


def _other(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError:
    # Its text may hold a caller's words, its code does not.
    name = type(error).__name__
    return StoreUnavailableError(
        f"{url}: the server refused a statement ({error.sqlstate} {name})",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def no_pgvector(url: PostgresUrl) -> StoreOpenError:
    """The extension is not in the database and cannot be put there."""
    return StoreOpenError(
        f"{url}: the database lacks the extension pgvector: {PGVECTOR_FIX}",
        reason="pgvector_missing",
    )


@contextmanager
def explaining(url: PostgresUrl) -> Iterator[None]:
    """Raise the field's error in place of the driver's, with the cause chained."""
    try:
        yield
    except psycopg.Error as error:
        raise explained(error, url) from error


def _unreachable(error: psycopg.Error, url: PostgresUrl) -> AiMemoryError:
    text = str(error)
    if any(words in text for words in _READ_ONLY_WORDS):
        return _read_only(url)
    for cause in _CONNECTING:
        if any(words in text for words in cause.words):
            said = f"{url}: {cause.said}"
            if cause.reason is not None:
                return StoreOpenError(said, reason=cause.reason)
            return StoreUnavailableError(said, retry_after_seconds=cause.retry_after_seconds)
    shown = " ".join(url.without_secrets(text).split())[:_SHOWN_CHARACTERS]
    return StoreUnavailableError(
        f"{url}: the connection failed: {shown}", retry_after_seconds=_SOON_SECONDS
    )


def _read_only(url: PostgresUrl) -> StoreReadOnlyError:
    return StoreReadOnlyError(
        f"{url}: no server of the address takes writes: it is a standby or set to read only",
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )
