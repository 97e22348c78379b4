"""`completions`: the script that lets a shell complete the verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from app.cli.session import Session
from app.cli.verb import verb

_SHELLS = ("bash", "zsh", "fish")


@verb("completions")
@click.argument("shell", type=click.Choice(_SHELLS))
def completions(_: Session, shell: str) -> None:
    """Print the completion script of a shell, to be sourced by its start-up file."""
    kind = get_completion_class(shell)
    assert kind is not None, shell
    root = click.get_current_context().find_root()
    click.echo(kind(root.command, {}, "ai-memory", "_AI_MEMORY_COMPLETE").source())
