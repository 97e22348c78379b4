"""How a memory is shown (http-api 2.2)."""

from __future__ import annotations

from typing import Any

from app.domain.memory import Memory
from app.domain.memory_json import memory_json

MemoryBody = dict[str, Any]  # JSON; the schema generator knows no recursive type


def memory_body(memory: Memory) -> MemoryBody:
    """The 26 fields; optional ones are left out when unset, never null."""
    return memory_json(memory)
