"""What goes wrong while the configuration is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

from app.domain.errors import AiMemoryError

if TYPE_CHECKING:
    from pathlib import Path

EXIT_CONFIG: Final = 78
"""EX_CONFIG of sysexits(3)."""


class ConfigRejectedError(AiMemoryError):
    """The configuration file may not be used; the process ends with `EXIT_CONFIG`.

    The message names the file, the key and the rule, never a value.
    """

    code: ClassVar[str] = "CONFIG_REJECTED"

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"configuration file {path} rejected: {reason}", reason=reason)
        self.path = path
        self.reason = reason


class ConfigRefusedError(AiMemoryError):
    """The settings contradict each other, name a file that cannot be used, or are unsafe."""

    code: ClassVar[str] = "CONFIG_REFUSED"
