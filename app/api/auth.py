"""The one shared API key (http-api 1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_to_bytes

from app.replication.http_transport import FED_PREFIX

if TYPE_CHECKING:
    from app.config.secret import Secret

HEALTH_PATH: Final = "/api/v1/health"
SYNC_PREFIX: Final = "/api/v1/sync/"
PEER_PREFIXES: Final = (SYNC_PREFIX, FED_PREFIX)
MISSING_KEY: Final = "missing or invalid API key"

_QUERY_NAME: Final = b"api_key"


def is_exempt(path: str, *, sync_key_exempt: bool) -> bool:
    """Whether a path needs no key: health, exactly, and peers' behind client certificates."""
    return path == HEALTH_PATH or (sync_key_exempt and path.startswith(PEER_PREFIXES))


def has_key(key: Secret, header: bytes | None, query: bytes) -> bool:
    """Whether the header or any `api_key=` pair of the query is the key.

    `%XX` is decoded and `+` stays plus, as v0.7.0 reads it.
    """
    if header is not None and key.matches(_text(header)):
        return True
    return any(
        key.matches(_text(unquote_to_bytes(value)))
        for name, _, value in (pair.partition(b"=") for pair in query.split(b"&"))
        if name == _QUERY_NAME
    )


def _text(offered: bytes) -> str:
    return offered.decode("utf-8", "replace")
