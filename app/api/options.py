"""What the HTTP surface must be told, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.version import WIRE_VERSION

if TYPE_CHECKING:
    from app.config.secret import Secret


KEYED_DEFAULT_AGENT_ID: Final = "anonymous:http"


@dataclass(frozen=True, slots=True)
class ApiOptions:
    """Limits, identity and access of one HTTP surface.

    `keyless_loopback` says that the node listens on loopback only, without API key and without
    client certificates: then header-less callers are `default_agent_id`, else `anonymous:http`.
    `page_max` None is unlimited. `sync_key_exempt` lets what peers say to each other pass without
    a key, because client certificates guard it. `sync_body_bytes_max` holds 500 rows of the largest
    size, as v0.7.0 sends them in one push.
    """

    api_key: Secret | None = None
    sync_key_exempt: bool = False
    request_timeout_seconds: float = 60.0
    body_bytes_max: int = 2_097_152
    federation_body_bytes_max: int = 16_777_216
    sync_body_bytes_max: int = 67_108_864
    page_max: int | None = 1_000
    admin_agent_ids: frozenset[str] = frozenset()
    admin_header_trust: bool = False
    loopback_default_admin: bool = False
    default_agent_id: str = "local"
    keyless_loopback: bool = True
    per_request_anonymous: bool = False
    tools_verbose: bool = False
    version: str = WIRE_VERSION

    @property
    def headerless_agent_id(self) -> str:
        """Who a caller without an id is."""
        return self.default_agent_id if self.keyless_loopback else KEYED_DEFAULT_AGENT_ID
