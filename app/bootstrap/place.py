"""Where a node's store is: an SQLite file, or an address on a PostgreSQL server.

Light to import, for commands that only want to ask a running node.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote, urlsplit

from app.config.ladder import Source
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from app.config.resolve import Resolution
    from app.config.secret import Secret

URL_FORMS: Final = "sqlite:///absolute/path, sqlite://./relative/path, postgresql://host/database"
_SERVERS: Final = frozenset({"postgresql", "postgres"})
_GIVEN: Final = frozenset({Source.CLI, Source.ENV})
_DIGEST_CHARACTERS: Final = 12


@dataclass(frozen=True, slots=True)
class StorePlace:
    """Where a store is.

    `local` is the SQLite file; of a store on a server it is what stands for it on this machine:
    beside it lie the node's lock, its control socket, who it is, and its caches.
    """

    local: Path
    address: Secret | None = None
    """The server's address, None for a file."""

    @property
    def shown(self) -> str:
        """For people, without a password."""
        return str(self.local) if self.address is None else without_password(self.address.reveal())


def place_of(resolution: Resolution) -> StorePlace:
    """The store that the settings name.

    Raises:
        InvalidInputError: a file and an address are both given, or the address has no known form.
    """
    settings = resolution.settings
    if settings.store_url is None:
        return StorePlace(settings.db)
    chosen = resolution.provenance("store_url")
    file = resolution.provenance("db")
    if file.source in _GIVEN:
        raise InvalidInputError(f"{file.origin} and {chosen.origin} both name a store: give one")
    address = settings.store_url.reveal()
    if address.partition("://")[0] not in _SERVERS:
        return StorePlace(path_of(address, chosen.origin))
    plain = without_password(address)
    digest = hashlib.sha256(plain.encode()).hexdigest()[:_DIGEST_CHARACTERS]
    return StorePlace(settings.db.with_name(f"ai-memory-{digest}.node"), settings.store_url)


def path_of(url: str, origin: str = "--store-url") -> Path:
    """The file that a store URL names.

    Raises:
        InvalidInputError: no form that is accepted.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "sqlite" or not rest.startswith(("/", "./")):
        raise InvalidInputError(f"{origin} must be one of: {URL_FORMS}")
    return Path(rest)


def without_password(address: str) -> str:
    """An address as it may be shown: a password is left out wherever libpq would read one."""
    try:
        parts = urlsplit(address)
    except ValueError:
        return "postgresql://"
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    kept = "&".join(
        one
        for one in parts.query.split("&")
        if unquote(one.partition("=")[0]) not in {"password", "sslpassword"}
    )
    shown = f"{parts.scheme}://{name}@{host}" if name else f"{parts.scheme}://{host}"
    return shown + parts.path + (f"?{kept}" if kept else "")
