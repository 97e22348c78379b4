"""Where logs and the audit trail go when the operator does not say."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Literal

_SYSTEM_LOGS: Final = Path("/var/log/ai-memory")

Kind = Literal["logs", "audit"]


def platform_directory(
    kind: Kind, environ: Mapping[str, str], platform: str, *, system_logs: Path = _SYSTEM_LOGS
) -> Path:
    """The folder for `kind` on `platform` (a value of `sys.platform`).

    Under systemd, which sets INVOCATION_ID, it is below /var/log if that is writable.
    """
    home = Path(environ.get("HOME") or ".")
    if environ.get("INVOCATION_ID") and os.access(system_logs, os.W_OK):
        return system_logs if kind == "logs" else system_logs / "audit"
    if platform == "darwin":
        base = home / "Library/Logs/ai-memory"
        return base if kind == "logs" else base / "audit"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home) / "ai-memory" / kind
    state = environ.get("XDG_STATE_HOME")
    return (Path(state) if state else home / ".local/state") / "ai-memory" / kind


def world_writable_reason(directory: Path, chosen_by: str) -> str | None:
    """Why the folder may not take logs, naming the layer that chose it; None if it may."""
    try:
        mode = directory.stat().st_mode
    except OSError:
        return None
    if mode & stat.S_IWOTH:
        return f"{directory} (chosen by {chosen_by}) is world-writable"
    return None
