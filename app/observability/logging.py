"""The node's log: one line an event, for people or as JSON, to standard error and a file."""

from __future__ import annotations

import logging
import logging.handlers
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping, MutableMapping
    from pathlib import Path

    from structlog.typing import Processor

_LEVELS: Final[Mapping[str, int]] = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "off": logging.CRITICAL + 1,
}
# At INFO they write a line for every request that we send.
_CHATTY: Final = ("httpx", "httpcore", "alembic")
_ROTATIONS: Final[Mapping[str, str]] = {"minutely": "M", "hourly": "H", "daily": "MIDNIGHT"}


@dataclass(frozen=True, slots=True)
class LogFile:
    """Where the log goes besides standard error.

    `rotation` is `minutely`, `hourly`, `daily` or `never`; `files_max` 0 keeps every file.
    """

    path: Path
    rotation: str = "daily"
    files_max: int = 30


@dataclass(frozen=True, slots=True)
class LogOptions:
    """`level` is a word, or a filter such as `info,ai_memory.api=debug`."""

    level: str = "info"
    is_structured: bool = False
    file: LogFile | None = None


def configure(options: LogOptions, stream: TextIO | None = None) -> None:
    """Send every logger of the process, ours and the libraries', through one format.

    Called once by the process's entry point; `stream` None is standard error.

    Raises:
        OSError: the log file cannot be opened.
    """
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            # Plain tracebacks: richer ones print local variables, and with them secrets.
            structlog.processors.format_exc_info,
            _json if options.is_structured else _line,
        ],
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    for handler in _handlers(options.file, stream or sys.stderr):
        handler.setFormatter(formatter)
        root.addHandler(handler)
    _set_levels(root, options.level)


def _handlers(file: LogFile | None, stream: TextIO) -> list[logging.Handler]:
    handlers: list[logging.Handler] = [logging.StreamHandler(stream)]
    if file is not None:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        when = _ROTATIONS.get(file.rotation)
        handlers.append(
            logging.handlers.WatchedFileHandler(file.path, encoding="utf-8")
            if when is None
            else logging.handlers.TimedRotatingFileHandler(
                file.path, when=when, backupCount=file.files_max, encoding="utf-8", utc=True
            )
        )
    return handlers


def _set_levels(root: logging.Logger, directives: str) -> None:
    """Read `info`, `info,ai_memory=debug`, …; an unknown word leaves its logger alone."""
    root.setLevel(logging.INFO)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)
    for directive in directives.split(","):
        target, separator, word = directive.strip().rpartition("=")
        level = _LEVELS.get(word.lower())
        if level is None:
            continue
        # v0.7.0's filters name Rust modules, with two colons.
        name = target.replace("::", ".")
        (logging.getLogger(name) if separator else root).setLevel(level)


def _json(_: object, __: str, event: MutableMapping[str, object]) -> str:
    rendered = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)(None, "", event)
    return rendered if isinstance(rendered, str) else rendered.decode()


def _line(_: object, __: str, event: MutableMapping[str, object]) -> str:
    """`time LEVEL logger: event key=value …`, and a traceback below."""
    time, level = event.pop("timestamp", ""), str(event.pop("level", "")).upper()
    logger, what = event.pop("logger", ""), event.pop("event", "")
    trace = event.pop("exception", None)
    details = "".join(f" {key}={_shown(value)}" for key, value in sorted(event.items()))
    tail = f"\n{trace}" if trace else ""
    return f"{time} {level:<7} {logger}: {_one_line(str(what))}{details}{tail}"


def _shown(value: object) -> str:
    text = _one_line(str(value))
    return f'"{text}"' if " " in text or not text else text


def _one_line(text: str) -> str:
    """No value can forge a second line."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)
