"""The list of verbs, and the frame round every call: errors in, exit codes out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from app.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from app.cli.session import Session, note
from app.cli.verb import Entry, Program
from app.domain.errors import AiMemoryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "ai-memory"
_VERBS: Final = "app.cli.commands"

ENTRIES: Final = (Entry("serve", f"{_VERBS}.serve:serve", "Run a node."),)

_EPILOG: Final = "\b\nExit codes:\n" + "\n".join(
    f"  {code.value:<4}{meaning}" for code, meaning in MEANINGS.items()
)


def make_program() -> Program:
    """The command line, with every verb still unloaded."""
    return Program(
        ENTRIES,
        name=NAME,
        help="Federated memory for AI agents.",
        epilog=_EPILOG,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def run(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run one call and return its exit code."""
    program = make_program()
    try:
        outcome = program.main(
            args=list(arguments), prog_name=NAME, standalone_mode=False, obj=Session(environ)
        )
        sys.stdout.flush()
    except click.ClickException as error:
        return _misused(error)
    except AiMemoryError as error:
        note(f"{NAME}: {error.message}")
        return exit_code_of(error)
    except (click.Abort, KeyboardInterrupt):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        return _closed_pipe()
    return outcome if isinstance(outcome, int) else ExitCode.OK


def _misused(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        note(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, click.UsageError):
        error.show()
        return ExitCode.USAGE
    note(f"{NAME}: {error.format_message()}")
    return ExitCode.FAILED


def _closed_pipe() -> int:
    """Whoever read our output has had enough, such as `head`; nothing is left to say."""
    # Else the interpreter would try to flush into the closed pipe when it ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.FAILED
