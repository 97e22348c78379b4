"""Every help page of the command line as one text; run as a script it renews the snapshot."""

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from app.cli.program import NAME, make_program
from app.cli.session import Session

SNAPSHOT = Path(__file__).with_name("help.txt")
WIDTH = 100


def pages(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f"$ {context.command_path} --help\n{command.get_help(context)}\n"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None, name
            yield from pages(below, click.Context(below, context, name, terminal_width=WIDTH))


def render() -> str:
    program = make_program()
    root = click.Context(
        program,
        info_name=NAME,
        obj=Session({}),
        terminal_width=WIDTH,
        help_option_names=["-h", "--help"],
    )
    return "\n".join(pages(program, root))


if __name__ == "__main__":
    SNAPSHOT.write_text(render(), encoding="utf-8")
    sys.stdout.write(f"wrote {SNAPSHOT}\n")
