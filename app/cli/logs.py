"""Where the service's own log goes when the command line runs it; never to standard output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.cli.session import note
from app.config.directories import world_writable_reason
from app.observability.logging import LogFile, LogOptions, configure

if TYPE_CHECKING:
    from app.config.resolve import Resolution


def log_as_configured(resolution: Resolution) -> None:
    """For `serve`: standard error, and the files of `[logging]` when they are on.

    A folder that may not take logs is a note; the node runs without the file.
    """
    chosen = resolution.settings.logging
    file: LogFile | None = None
    if chosen.enabled and chosen.path is not None:
        layer = resolution.provenance("logging.path").source.value
        refused = world_writable_reason(chosen.path, layer)
        if refused is None:
            path = chosen.path / chosen.filename_prefix
            file = LogFile(path, chosen.rotation, chosen.max_files)
        else:
            note(f"warning: no log file: {refused}")
    try:
        configure(LogOptions(chosen.level, chosen.structured, file))
    except OSError as error:
        note(f"warning: no log file: {error}")
        configure(LogOptions(chosen.level, chosen.structured))


def log_quietly() -> None:
    """For a verb that opens the store itself: what goes wrong, and nothing else."""
    configure(LogOptions("warning"))
