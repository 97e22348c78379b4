"""Who may connect at a port, by certificate, and who is connected."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import structlog

if TYPE_CHECKING:
    from app.domain.sources import Clock
    from app.replication.allowlist import Allowlist
    from app.replication.tls import LiveContext

_SHOWN_DIGITS: Final = 12
_log = structlog.get_logger("ai_memory.tls")


class Connection(Protocol):
    """One client's connection, as far as this module needs it."""

    def abort(self) -> None:
        """Drop it at once."""
        ...


class ClientAdmission:
    """The allowlist in force and the connections that it let in."""

    def __init__(self, allowlist: Allowlist, clock: Clock) -> None:
        self._allowlist = allowlist
        self._clock = clock
        self._connected: dict[Connection, str] = {}

    def enter(self, certificate: bytes | None, connection: Connection) -> str | None:
        """The fingerprint of a client that may connect; None if it may not.

        Args:
            certificate: DER, proven by the handshake; None if the client showed none.
            connection: What to drop when the client is no longer welcome.
        """
        fingerprint = "" if certificate is None else sha256(certificate).hexdigest()
        if not self._allowlist.admits(fingerprint, self._clock.now()):
            shown = fingerprint[:_SHOWN_DIGITS] or "none"
            _log.warning("client certificate refused", fingerprint=shown)
            return None
        self._connected[connection] = fingerprint
        return fingerprint

    def leave(self, connection: Connection) -> None:
        """Forget a connection that ended."""
        self._connected.pop(connection, None)

    def replace(self, allowlist: Allowlist) -> None:
        """Another list from now on; see `sweep`."""
        self._allowlist = allowlist

    def sweep(self) -> int:
        """Drop the connections of clients that are off the list or past their time; how many."""
        now = self._clock.now()
        gone = [
            (connection, fingerprint)
            for connection, fingerprint in self._connected.items()
            if not self._allowlist.admits(fingerprint, now)
        ]
        for connection, fingerprint in gone:
            self.leave(connection)
            connection.abort()
            _log.warning(
                "connection of a revoked client dropped", fingerprint=fingerprint[:_SHOWN_DIGITS]
            )
        return len(gone)


@dataclass(frozen=True, slots=True)
class Guard:
    """TLS of a port; with `admission` only clients that it lets in get to speak HTTP."""

    context: LiveContext
    admission: ClientAdmission | None = None
