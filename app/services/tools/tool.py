"""One tool, and which families a profile has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.services.tools.parameters import parameter_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.domain.memory import Json

PREFIX: Final = "memory_"
TOOLS_VERSION: Final = "2026-05-06"
ALWAYS_ON: Final = "capabilities"
FAMILIES: Final = (
    *("core", "lifecycle", "graph", "governance"),
    *("power", "meta", "archive", "other"),
)

_SHORT_CHARACTERS_MAX: Final = 32
_PROFILES: Final[Mapping[str, frozenset[str]]] = {
    "core": frozenset({"core"}),
    "graph": frozenset({"core", "graph"}),
    "admin": frozenset({"core", "lifecycle", "governance"}),
    "power": frozenset({"core", "power"}),
    "full": frozenset(FAMILIES),
}


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool; `required` and `optional` are parameter names with spaces between."""

    family: str
    short_name: str
    description: str
    required: str = ""
    optional: str = ""

    @property
    def name(self) -> str:
        """The name on the wire."""
        return PREFIX + self.short_name

    def is_loaded(self, families: frozenset[str]) -> bool:
        """Whether a profile with these families offers it."""
        return self.family in families or self.short_name == ALWAYS_ON

    def shown(self, *, verbose: bool) -> dict[str, Json]:
        """As `tools/list` shows it: trimmed to save an agent's context, unless verbose."""
        required = self.required.split()
        properties: dict[str, Json] = {
            name: parameter_schema(name, described=verbose)
            for name in (*required, *self.optional.split())
        }
        schema: dict[str, Json] = {"type": "object", "properties": properties}
        if required:
            schema["required"] = list(required)
        text = self.description if verbose else _trimmed(self.description)
        return {"name": self.name, "description": text, "inputSchema": schema}


def families_of(profile: str) -> frozenset[str] | None:
    """The families of a profile word or a comma list of profiles and families; None: unknown.

    `core` is always among them. Words are lower case (semantics 11).
    """
    chosen: frozenset[str] = _PROFILES["core"]
    for word in profile.split(","):
        name = word.strip()
        if name in _PROFILES:
            chosen |= _PROFILES[name]
        elif name in FAMILIES:
            chosen |= {name}
        else:
            return None
    return chosen


def _trimmed(text: str) -> str:
    if len(text) <= _SHORT_CHARACTERS_MAX:
        return text
    return text[:_SHORT_CHARACTERS_MAX].rsplit(" ", 1)[0]
