"""Where the service's own log goes when the command line runs it: standard error."""

from __future__ import annotations

import logging
import sys
from typing import Final

import structlog

_DATE: Final = "%Y-%m-%dT%H:%M:%S%z"


def log_to_standard_error(level_name: str, *, structured: bool) -> None:
    """Send both kinds of loggers there; standard output belongs to results.

    A word that is no level, such as a filter directive of v0.7.0, counts as `info`. Tracebacks
    never show the values of variables, which may be secrets.
    """
    level = logging.getLevelNamesMapping().get(level_name.upper(), logging.INFO)
    logging.basicConfig(
        stream=sys.stderr,
        level=level,
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        datefmt=_DATE,
        force=True,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if structured
        else structlog.processors.LogfmtRenderer(key_order=("timestamp", "level", "event"))
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
