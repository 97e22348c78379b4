"""Takes the settings of ai-memory out of `~/.claude.json`, where they would win over the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Final

from app.config.replacement import replace_keeping_backup
from app.domain.sources import Clock, DiskSync

_COMMAND: Final = "ai-memory"


def strip_environment(home: Path, clock: Clock, sync: DiskSync) -> tuple[str, ...]:
    """Remove the `env` of every MCP server that runs ai-memory; the names of those changed.

    The old file is kept as `.claude.json.bak.<time>`. A file that is absent, or has no such
    server, is left alone.

    Raises:
        OSError: it cannot be read or written.
        ValueError: it is not JSON.
    """
    path = home / ".claude.json"
    try:
        before = path.read_bytes()
    except FileNotFoundError:
        return ()
    content = json.loads(before)
    servers = content.get("mcpServers") if isinstance(content, dict) else None
    if not isinstance(servers, dict):
        return ()
    changed = [
        name
        for name, server in servers.items()
        if isinstance(server, dict) and "env" in server and _runs_us(server)
    ]
    if not changed:
        return ()
    for name in changed:
        del servers[name]["env"]
    after = json.dumps(content, indent=2, ensure_ascii=False).encode()
    replace_keeping_backup(path, after, clock.now(), sync)
    return tuple(changed)


def _runs_us(server: Mapping[str, object]) -> bool:
    command = server.get("command")
    return isinstance(command, str) and PurePath(command).name == _COMMAND
