"""Which PostgreSQL is wanted, and where Debian has it together with both extensions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tools.postgres.errors import NoPostgresError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAJOR_VARIABLE: Final = "AI_MEMORY_TEST_POSTGRES_MAJOR"


@dataclass(frozen=True, slots=True)
class Release:
    """A major version of the server, and the suite of Debian that carries it."""

    major: int
    suite: str
    preloaded: str
    """Libraries that the server loads at its start. AGE 1.5 spoils databases without it then."""

    @property
    def packages(self) -> tuple[str, ...]:
        """The server and its extensions."""
        server = f"postgresql-{self.major}"
        return (server, f"{server}-age", f"{server}-pgvector")

    @property
    def programs(self) -> Path:
        """Where a tree of the packages has the server's programs."""
        return Path(f"usr/lib/postgresql/{self.major}/bin")


USUAL: Final = Release(18, "forky", preloaded="age")
OLDER: Final = Release(17, "trixie", preloaded="")
_KNOWN: Final = {str(one.major): one for one in (USUAL, OLDER)}


def wanted(environ: Mapping[str, str]) -> Release:
    """The release that `AI_MEMORY_TEST_POSTGRES_MAJOR` asks for, else the usual one.

    Raises:
        NoPostgresError: we know of no such release.
    """
    asked = environ.get(MAJOR_VARIABLE) or str(USUAL.major)
    if asked not in _KNOWN:
        raise NoPostgresError(f"{MAJOR_VARIABLE} must be one of {', '.join(_KNOWN)}, not {asked}")
    return _KNOWN[asked]
