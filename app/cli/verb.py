"""A verb that takes the global options too, and a group that imports its verbs when called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from typing_extensions import override

from app.cli.session import GlobalOptions, Session

VERSION_TEXT: Final = "ai-memory 0.7.0"
"""What v0.7.0 prints; scripts read the version of the wire from it."""

_GLOBAL_NAMES: Final = ("db", "config", "agent_id", "db_passphrase_file", "json")
_PREFIX: Final = "global_"

T = TypeVar("T", bound=click.Command)


def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        click.echo(VERSION_TEXT)
        context.exit()


def global_options() -> list[click.Option]:
    """Those of every verb and of the program, made anew for each."""
    path = click.Path(path_type=Path)
    return [
        _option("--db", type=path, help="The SQLite file.  [env: AI_MEMORY_DB]"),
        _option("--config", type=path, help="The configuration file."),
        _option("--agent-id", help="Whom to act for.  [env: AI_MEMORY_AGENT_ID]"),
        _option("--db-passphrase-file", type=path, help="File that holds the passphrase."),
        _option("--json", is_flag=True, help="One JSON document on standard output."),
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and exit.",
        ),
    ]


def _option(flag: str, **attributes: Any) -> click.Option:
    name = _PREFIX + flag.removeprefix("--").replace("-", "_")
    return GlobalOption([flag, name], **attributes)


class GlobalOption(click.Option):
    """Shown under a heading of its own."""


class TakesGlobals(click.Command):
    """A command that accepts the global options beside its own; its own win their names."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        taken = {flag for parameter in self.params for flag in parameter.opts}
        self.params.extend(one for one in global_options() if not taken.intersection(one.opts))

    @override
    def invoke(self, ctx: click.Context) -> Any:
        given = {name: ctx.params.pop(_PREFIX + name, None) for name in _GLOBAL_NAMES}
        ctx.find_object(Session).set_options(  # type: ignore[union-attr]  # `run` puts it there
            GlobalOptions(
                db=given["db"],
                config=given["config"],
                agent_id=given["agent_id"],
                db_passphrase_file=given["db_passphrase_file"],
                json=bool(given["json"]),
            )
        )
        return super().invoke(ctx)

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        shared: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                is_shared = isinstance(parameter, GlobalOption) or "--version" in parameter.opts
                (shared if is_shared else own).append(record)
        for title, records in (("Options", own), ("Global options", shared)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Verb(TakesGlobals):
    """A single command."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One verb: where it is made, and its line in the list."""

    name: str
    made_in: str  # "module:attribute"
    summary: str

    def load(self) -> click.Command:
        module, _, attribute = self.made_in.partition(":")
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), self.made_in
        return command


class Program(TakesGlobals, click.Group):
    """The whole command line. Listing the verbs imports none of them."""

    def __init__(self, entries: Sequence[Entry], **attributes: Any) -> None:
        super().__init__(**attributes)
        self._entries = {entry.name: entry for entry in entries}

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._entries)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self._entries.get(cmd_name)
        return None if entry is None else entry.load()

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(entry.name, entry.summary) for entry in self._entries.values()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        TakesGlobals.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


class Family(TakesGlobals, click.Group):
    """A verb with verbs below it, such as `archive list`."""

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        TakesGlobals.format_options(self, ctx, formatter)
        self.format_commands(ctx, formatter)


def verb(name: str) -> Callable[[Callable[..., object]], Verb]:
    """Make a verb out of a function that takes the `Session` first."""

    def wrap(function: Callable[..., object]) -> Verb:
        made = click.command(name, cls=Verb)(click.pass_obj(function))
        assert isinstance(made, Verb)
        return made

    return wrap
