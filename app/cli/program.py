"""The list of verbs, and the frame round every call: errors in, exit codes out."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import NodeRefusedError
from app.cli.exit_codes import MEANINGS, ExitCode, exit_code_of
from app.cli.session import Session, note
from app.cli.verb import Entry, Program
from app.domain.errors import AiMemoryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME: Final = "ai-memory"
_VERBS: Final = "app.cli.commands"

ENTRIES: Final = (
    Entry("serve", f"{_VERBS}.serve:serve", "Run a node."),
    Entry("store", f"{_VERBS}.store:store", "Store a memory."),
    Entry("recall", f"{_VERBS}.find:recall", "Recall what is known about something, best first."),
    Entry("search", f"{_VERBS}.find:search", "Find memories by their words."),
    Entry("list", f"{_VERBS}.find:list_", "List memories, the most important first."),
    Entry("get", f"{_VERBS}.memories:get", "Show a memory and its links."),
    Entry("update", f"{_VERBS}.memories:update", "Change what is given of a memory."),
    Entry("delete", f"{_VERBS}.memories:delete", "Delete a memory."),
    Entry("promote", f"{_VERBS}.memories:promote", "Keep a memory for good."),
    Entry("forget", f"{_VERBS}.memories:forget", "Archive every memory that fits."),
    Entry("link", f"{_VERBS}.memories:link", "Say how two memories relate."),
    Entry("namespaces", f"{_VERBS}.overview:namespaces", "List the namespaces."),
    Entry("namespace", f"{_VERBS}.namespace:namespace", "Set the standard of a namespace."),
    Entry("agents", f"{_VERBS}.agents:agents", "List or register agents."),
    Entry("archive", f"{_VERBS}.archive:archive", "See, restore or erase archived memories."),
    Entry("stats", f"{_VERBS}.overview:stats", "Show how many memories there are."),
    Entry("gc", f"{_VERBS}.overview:gc", "Collect expired memories now."),
    Entry("quota-status", f"{_VERBS}.overview:quota_status", "Show the agent's quotas."),
    Entry("capabilities", f"{_VERBS}.overview:capabilities", "Show what the node can do."),
    Entry("export", f"{_VERBS}.portability:export", "Write all memories to standard output."),
    Entry("import", f"{_VERBS}.portability:import_", "Store an export from standard input."),
    Entry("federation", f"{_VERBS}.federation:federation", "Look at the mesh."),
    Entry("backup", f"{_VERBS}.snapshots:backup", "Copy the store while it is in use."),
    Entry("restore", f"{_VERBS}.snapshots:restore", "Put a snapshot in the store's place."),
    Entry("reembed", f"{_VERBS}.reembed:reembed", "A vector of the configured model for all."),
    Entry("doctor", f"{_VERBS}.doctor:doctor", "Is everything well?"),
    Entry("config", f"{_VERBS}.config:config", "Bring an old configuration file up to date."),
    Entry("schema-init", f"{_VERBS}.schema:schema_init", "Make a store and list what it has."),
    Entry("migrate", f"{_VERBS}.migrate:migrate", "Move a whole store to another database."),
    Entry("sync", f"{_VERBS}.sync:sync", "Reconcile two database files."),
    Entry("sync-daemon", f"{_VERBS}.sync_daemon:sync_daemon", "Reconcile with peers, on and on."),
    Entry("completions", f"{_VERBS}.completions:completions", "Print a shell's completion script."),
)

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
    except NodeRefusedError as error:
        note(f"{NAME}: {error.message}" + (f"\nhint: {error.hint}" if error.hint else ""))
        return error.exit_code
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
