"""One call of the command: its global options, its settings, its two output streams."""

from __future__ import annotations

import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import click

from app.bootstrap.place import place_of
from app.config.resolve import Resolution, resolve, resolve_leniently
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from app.bootstrap.place import StorePlace
    from app.config.settings import Settings

_READABLE_BY_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What may stand before or after the verb; None is not given."""

    db: Path | None = None
    config: Path | None = None
    agent_id: str | None = None
    db_passphrase_file: Path | None = None
    json: bool = False

    def over(self, weaker: GlobalOptions) -> GlobalOptions:
        """These, and where one is not given the weaker one's."""
        return GlobalOptions(
            db=self.db or weaker.db,
            config=self.config or weaker.config,
            agent_id=weaker.agent_id if self.agent_id is None else self.agent_id,
            db_passphrase_file=self.db_passphrase_file or weaker.db_passphrase_file,
            json=self.json or weaker.json,
        )


@dataclass
class Session:
    """What a verb is given. The configuration is read when it is first asked for."""

    environ: Mapping[str, str]
    options: GlobalOptions = field(default_factory=GlobalOptions)
    _resolution: Resolution | None = field(default=None, init=False)

    def set_options(self, options: GlobalOptions) -> None:
        """Take options that stand further right on the command line: they win."""
        self.options = options.over(self.options)

    def resolve(
        self, flags: Mapping[str, object] | None = None, *, lenient: bool = False
    ) -> Resolution:
        """The settings in force, once a call; what is wrong with them goes to standard error.

        Args:
            flags: More values of flags, by dotted key.
            lenient: Go on with the compiled defaults when the file is refused.

        Raises:
            ConfigRejectedError: the file may not be used.
            InvalidInputError: a flag's value is not one that its key takes.
        """
        if self._resolution is None:
            given = {"db": self.options.db, "identity.agent_id": self.options.agent_id}
            read = resolve_leniently if lenient else resolve
            self._resolution = read({**given, **(flags or {})}, self.environ, self.options.config)
            for warning in self._resolution.warnings:
                note(f"warning: {warning}")
            if self._resolution.file is None and self.options.config is None:
                self._leave_default_file()
            if self.options.db_passphrase_file is not None:
                self._check_passphrase(self.options.db_passphrase_file)
        return self._resolution

    @property
    def settings(self) -> Settings:
        return self.resolve().settings

    @property
    def place(self) -> StorePlace:
        """Where the store is."""
        return place_of(self.resolve())

    @property
    def database(self) -> Path:
        """The store's file, for verbs that work on it as such.

        Raises:
            InvalidInputError: the store is on a server.
        """
        place = self.place
        if place.address is not None:
            raise InvalidInputError(
                f"this works on an SQLite file, and the store is {place.shown}: use the server's"
                " own tools, such as pg_dump"
            )
        return place.local

    @property
    def agent_id(self) -> str:
        """Whom the verb acts for."""
        identity = self.settings.identity
        return identity.agent_id or identity.default_agent_id

    def _leave_default_file(self) -> None:
        """On a first run: every setting, commented out, for whoever looks for them."""
        from app.config.default_file import write_default_file  # noqa: PLC0415  # once in a life

        try:
            written = write_default_file(self.environ)
        except OSError as error:
            note(f"warning: the default configuration file cannot be written: {error}")
            return
        if written is not None:
            note(f"wrote {written}: every setting, commented out")

    def _check_passphrase(self, path: Path) -> None:
        """The file must hold a passphrase; this build, as v0.7.0's standard one, uses none."""
        try:
            text = path.read_text(encoding="utf-8").rstrip("\r\n")
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInputError(f"cannot read the passphrase file {path}: {error}") from None
        if not text:
            raise InvalidInputError(f"the passphrase file {path} is empty")
        lax = self.settings.security.allow_lax_secret_files
        if mode & _READABLE_BY_OTHERS and not lax:
            raise InvalidInputError(
                f"others may read the passphrase file {path}: chmod 400 {path}, or set"
                " AI_MEMORY_PASSPHRASE_FILE_ALLOW_LAX_PERMS=1"
            )
        note("warning: this build does not encrypt databases; the passphrase is not used")


def note(text: str) -> None:
    """One line for people, on standard error."""
    click.echo(text, err=True)
