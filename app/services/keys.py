"""Ed25519 keys in a directory: `<agent_id>.pub` and `<agent_id>.priv`, 32 raw bytes each.

The rules are semantics 1.5. A lone `.pub` verifies and cannot sign: that is how peers and agents
are enrolled.
"""

from __future__ import annotations

import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from app.domain.agent_id import validate_agent_id
from app.domain.errors import AiMemoryError, InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

KEY_BYTES: Final = 32
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class KeyFileError(AiMemoryError):
    """A key file is damaged, readable by others, or does not belong to its twin."""

    code = "KEY_FILE_REFUSED"


@dataclass(frozen=True, slots=True)
class KeyDirectory:
    """Reads keys anew each time, so that enrolling a key needs no restart."""

    path: Path

    def public_key(self, agent_id: str) -> Ed25519PublicKey | None:
        """The key that verifies what `agent_id` signed, or None when it is not enrolled.

        Raises:
            KeyFileError: the file is no key.
        """
        file = self._file(agent_id, "pub")
        raw = None if file is None else _read(file)
        return None if raw is None else Ed25519PublicKey.from_public_bytes(raw)

    def private_key(self, agent_id: str) -> Ed25519PrivateKey | None:
        """The key that signs for `agent_id`, or None when this node does not hold it.

        Raises:
            KeyFileError: the file is no key, others may read it, or the `.pub` beside it differs.
        """
        file = self._file(agent_id, "priv")
        if file is None:
            return None
        try:
            mode = file.stat().st_mode
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _refused(file, error.strerror or "unreadable") from error
        if mode & _OTHERS:
            raise _refused(file, f"others may use it (mode {stat.S_IMODE(mode):o}, want 600)")
        raw = _read(file)
        if raw is None:
            return None
        private = Ed25519PrivateKey.from_private_bytes(raw)
        public = self._file(agent_id, "pub")
        stored = None if public is None else _read(public)
        if stored is not None and stored != private.public_key().public_bytes_raw():
            raise _refused(file, f"it does not belong to {agent_id}.pub")
        return private

    def _file(self, agent_id: str, suffix: str) -> Path | None:
        """None for an id that can have no file: one with a path in it, or no id at all."""
        try:
            validate_agent_id(agent_id, reserved_allowed=True)
        except InvalidInputError:
            return None
        return None if "/" in agent_id else self.path / f"{agent_id}.{suffix}"


def _read(file: Path) -> bytes | None:
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _refused(file, error.strerror or "unreadable") from error
    if len(raw) != KEY_BYTES:
        raise _refused(file, f"{len(raw)} bytes, want {KEY_BYTES}")
    return raw


def _refused(file: Path, reason: str) -> KeyFileError:
    return KeyFileError(f"key file {file} refused: {reason}", path=str(file), reason=reason)
