"""The client certificate behind a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from litestar.types import Scope

CERTIFICATE_MARK: Final = "ai_memory.client_certificate"
"""Key in a scope's `extensions`, which only the server writes."""


def client_fingerprint(scope: Scope) -> str | None:
    """SHA-256 of the certificate that the caller's connection proved, in hexadecimal digits.

    None without one: plain HTTP, HTTPS that asks for none, or the control socket.
    """
    extensions = scope.get("extensions") or {}
    shown = extensions.get(CERTIFICATE_MARK)
    return None if shown is None else str(shown["fingerprint"])
