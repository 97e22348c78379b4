"""What a test needs of a server, wherever it runs."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode, urlsplit, urlunsplit

import psycopg

if TYPE_CHECKING:
    from collections.abc import Mapping


class Server(Protocol):
    """A server and a superuser's way into it."""

    def url(self, database: str = "postgres", user: str = ..., **parameters: str) -> str:
        """An address of one of its databases; another user's password is a parameter."""
        ...

    def execute(self, statement: str, database: str = "postgres") -> None:
        """One statement as the superuser, outside a transaction."""
        ...


@dataclass(frozen=True)
class ServerAt:
    """A server that somebody else runs, by the address of a superuser's database."""

    address: str = field(repr=False)

    def url(self, database: str = "postgres", user: str = "", **parameters: str) -> str:
        """The same address with another database, user or parameters."""
        parts = urlsplit(self.address)
        place = parts.netloc
        if user:
            place = f"{user}@{place.rpartition('@')[2]}"
        added = urlencode(parameters)
        query = "&".join(part for part in (parts.query, added) if part)
        return urlunsplit(parts._replace(netloc=place, path=f"/{database}", query=query))

    def execute(self, statement: str, database: str = "postgres") -> None:
        """One statement as the superuser, outside a transaction."""
        execute(self.url(database), statement)


def execute(address: str, statement: str, parameters: Mapping[str, object] | None = None) -> None:
    """One statement outside a transaction."""
    with closing(psycopg.connect(address, autocommit=True)) as connection:
        connection.execute(statement.encode(), parameters)
