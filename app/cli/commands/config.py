"""`config`: bring an old configuration file up to date."""

from __future__ import annotations

from pathlib import Path

import click

from app.bootstrap.sources import SystemClock, SystemDisk
from app.cli.session import Session, note
from app.cli.verb import Family, verb
from app.config.claude_json import strip_environment
from app.config.migrate import MigrateExit, migrate_file


@click.group("config", cls=Family)
def config() -> None:
    """The configuration file."""


@verb("migrate")
@click.option("--dry-run", is_flag=True, help="Show the file that would be; write nothing.")
@click.option(
    "--also-clean-claude-json",
    is_flag=True,
    help="Take the settings of ai-memory out of ~/.claude.json, too.",
)
def migrate(session: Session, dry_run: bool, also_clean_claude_json: bool) -> int:
    """Move the flat keys of v0.6 into their sections. The old file is kept.

    Exit codes: 0 done or nothing to do, 1 dry run, 2 no file, 3 not TOML, 4 cannot be read or
    written.
    """
    clock, disk = SystemClock(), SystemDisk()
    done = migrate_file(session.environ, clock, disk, session.options.config, dry_run=dry_run)
    note(done.message)
    if dry_run and done.text is not None:
        note(done.text)
    if done.exit_code is MigrateExit.OK and also_clean_claude_json and not dry_run:
        try:
            cleaned = strip_environment(Path(session.environ.get("HOME") or "."), clock, disk)
        except (OSError, ValueError) as error:
            note(f"~/.claude.json could not be cleaned: {error}")
            return MigrateExit.IO
        note(f"settings taken out of ~/.claude.json: {', '.join(cleaned) or 'none'}")
    return done.exit_code


config.add_command(migrate)
