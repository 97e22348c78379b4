"""The address of a PostgreSQL store, in all the forms that libpq knows.

libpq itself takes the address apart, so several hosts, `target_session_attrs`, `sslmode`,
`passfile` and percent-encoding mean what they mean to `psql`. Only `options` is ours: poolers
refuse it at connecting, so its settings are applied in every transaction instead.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict
from typing_extensions import override

from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

SCHEMES: Final = ("postgresql://", "postgres://")
DEFAULT_SCHEMA: Final = "public"
_TIMEOUTS: Final = ("statement_timeout", "lock_timeout")
_SECRETS: Final = ("password", "sslpassword")
_PASSWORD_IN_TEXT: Final = re.compile(r"(password=)\S+", re.IGNORECASE)
_DURATION: Final = re.compile(r"(\d{1,9})\s*(us|ms|s|min|h|d)?")
_MILLISECONDS: Final = {
    None: 1.0,
    "us": 0.001,
    "ms": 1.0,
    "s": 1_000.0,
    "min": 60_000.0,
    "h": 3_600_000.0,
    "d": 86_400_000.0,
}


@dataclass(frozen=True, slots=True)
class PostgresUrl:
    """A parsed address. Neither `str` nor `repr` shows a password.

    Attributes:
        parameters: What libpq is given, without `options`.
        search_path: The schemas of `options`, the first is the store's; `public` if there is none.
        timeouts_ms: `statement_timeout` and `lock_timeout` of `options`, where given.
    """

    parameters: Mapping[str, str] = field(repr=False)
    search_path: Sequence[str] = (DEFAULT_SCHEMA,)
    timeouts_ms: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> PostgresUrl:
        """Read an address.

        Raises:
            InvalidInputError: it is none, or `options` sets what cannot be set here. The message
                repeats nothing of the address.
        """
        if not text.startswith(SCHEMES):
            raise InvalidInputError("a PostgreSQL address begins with postgresql:// or postgres://")
        try:
            found = conninfo_to_dict(text)
        except psycopg.ProgrammingError:
            # libpq's own words may repeat a part of the password.
            raise InvalidInputError(
                "the PostgreSQL address cannot be read: its form is"
                " postgresql://USER:PASSWORD@HOST:PORT/DATABASE?NAME=VALUE, with @ : / ? # % in a"
                " user or password written as %40 %3A %2F %3F %23 %25"
            ) from None
        parameters = {name: str(value) for name, value in found.items() if value is not None}
        settings = dict(_settings(parameters.pop("options", "")))
        search_path = tuple(_names(settings.pop("search_path", DEFAULT_SCHEMA)))
        timeouts = {name: _duration_ms(name, value) for name, value in settings.items()}
        return cls(parameters, search_path or (DEFAULT_SCHEMA,), timeouts)

    @property
    def schema(self) -> str:
        """Where the store's tables are."""
        return self.search_path[0]

    @property
    def database(self) -> str:
        return self.parameters.get("dbname") or self.parameters.get("user") or "postgres"

    @property
    def user(self) -> str | None:
        """The role, if the address names one."""
        return self.parameters.get("user")

    @property
    def servers(self) -> str:
        """The hosts with their ports, as a person would write them."""
        hosts = self.parameters.get("host", self.parameters.get("hostaddr", "")).split(",")
        ports = self.parameters.get("port", "").split(",")
        if len(ports) == 1:
            ports *= len(hosts)
        pairs = zip(hosts, ports, strict=False)
        return ",".join(f"{host}:{port}" if port else host for host, port in pairs)

    @override
    def __str__(self) -> str:
        user = f"{self.user}@" if self.user else ""
        schema = "" if self.schema == DEFAULT_SCHEMA else f"?schema={self.schema}"
        return f"postgresql://{user}{self.servers}/{self.database}{schema}"

    @override
    def __repr__(self) -> str:
        return f"<PostgresUrl {self}>"

    def without_secrets(self, text: str) -> str:
        """A text of the driver's, with any password of this address blacked out."""
        for name in _SECRETS:
            secret = self.parameters.get(name)
            if secret:
                text = text.replace(secret, "***")
        return _PASSWORD_IN_TEXT.sub(r"\1***", text)


def _settings(options: str) -> Iterator[tuple[str, str]]:
    """The settings of `-c name=value`, `-cname=value` and `--name=value`."""
    words = iter(_words(options))
    for word in words:
        if word == "-c":
            pair = next(words, "")
        elif word.startswith("--"):
            pair = word[2:]
        else:
            pair = word.removeprefix("-c")
        name, _, value = pair.partition("=")
        name = name.strip().lower().replace("-", "_")
        if name not in {"search_path", *_TIMEOUTS} or not value:
            raise InvalidInputError(
                "options of the PostgreSQL address may set search_path, statement_timeout and"
                " lock_timeout only, as in options=-csearch_path%3Dmemories"
            )
        yield name, value.strip()


def _words(options: str) -> list[str]:
    """Words as the server splits them: at white space that no backslash stands before."""
    splitter = shlex.shlex(options, posix=True)
    splitter.whitespace_split = True
    splitter.quotes = ""
    splitter.commenters = ""
    return list(splitter)


def _names(path: str) -> Iterator[str]:
    """Schema names of a search_path; unquoted ones are folded to lower case, as by the server."""
    for part in re.findall(r'"(?:[^"]|"")+"|[^,]+', path):
        name = part.strip()
        if name.startswith('"') and name.endswith('"'):
            name = name[1:-1].replace('""', '"')
        else:
            name = name.lower()
        # The server's default begins with the role's own schema, which hardly ever exists.
        if name and name != "$user":
            yield name


def _duration_ms(name: str, value: str) -> int:
    found = _DURATION.fullmatch(value)
    if found is None:
        raise InvalidInputError(f"{name} in options of the PostgreSQL address is no duration")
    return round(int(found[1]) * _MILLISECONDS[found[2]])
