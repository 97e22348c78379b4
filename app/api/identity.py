"""Who asks: header, then claim, then the default identity (http-api 1.3 and 7.1 rows 1, 2, 6)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from app.domain.agent_id import validate_agent_id
from app.domain.errors import AiMemoryError, IdentityMismatchError, InvalidInputError
from app.services.caller import Caller

if TYPE_CHECKING:
    from litestar.types import Scope

    from app.api.options import ApiOptions
    from app.domain.sources import IdSource

CONTROL_MARK: Final = "ai_memory.control"
"""Key in a scope's `extensions` or `state` of requests that came over the control socket."""

_AGENT_HEADER: Final = b"x-agent-id"


@dataclass(frozen=True, slots=True)
class _Refusal:
    """How a route says that a claim differs from the authenticated id."""

    text: str
    error: type[AiMemoryError] = IdentityMismatchError
    message: str | None = None


class Claim(Enum):
    """Where a claimed agent id stood; each has its own text for a mismatch (http-api 1.3)."""

    BODY = _Refusal("agent_id body parameter does not match authenticated caller")
    METADATA = _Refusal("metadata.agent_id does not match authenticated caller")
    QUERY = _Refusal("agent_id query parameter does not match authenticated caller")
    UPDATE = _Refusal(
        "invalid agent_id: agent_id_body_header_mismatch: body-supplied agent_id"
        ' "{claimed}" disagrees with authenticated header-resolved id "{caller}"',
        message="body.agent_id must match the X-Agent-Id header",
    )
    RECALL = _Refusal(
        'agent_id_query_header_mismatch: query-supplied agent_id "{claimed}"'
        ' disagrees with authenticated header-resolved id "{caller}"'
    )
    SESSION = _Refusal(
        "agent_id body parameter does not match X-Agent-Id header", InvalidInputError
    )
    PARITY = _Refusal(
        'agent_id_body_header_mismatch: body-supplied agent_id "{claimed}"'
        ' disagrees with authenticated header-resolved id "{caller}"',
        InvalidInputError,
    )

    def refusal(self, claimed: str, caller: str) -> AiMemoryError:
        """The error of a claim that is not the caller."""
        spec = self.value
        text = spec.text.format(claimed=claimed, caller=caller)
        refused = spec.error(text)
        if spec.message is not None:
            refused.details = {"message": spec.message}
        return refused


@dataclass(frozen=True, slots=True)
class Identities:
    """Resolves callers for one surface."""

    options: ApiOptions
    ids: IdSource

    def resolve(
        self, scope: Scope, claimed: str | None = None, where: Claim = Claim.BODY
    ) -> Caller:
        """The caller of a request, given what its body or query claims.

        Raises:
            InvalidInputError: a malformed or reserved id, in the header or claimed.
            IdentityMismatchError: the claim is not the authenticated id.
        """
        authenticated = _header(scope)
        if claimed is not None:
            validate_agent_id(claimed)
        if authenticated is None and self.options.per_request_anonymous:
            authenticated = f"anonymous:req-{self.ids.uuid4()[:8]}"
        if authenticated is not None and claimed is not None and claimed != authenticated:
            raise where.refusal(claimed, authenticated)
        if is_control(scope):
            agent_id = authenticated or claimed or self.options.default_agent_id
            return Caller(agent_id, is_admin=True, from_control_socket=True)
        if authenticated is None and claimed is not None:
            return self._caller(claimed, may_be_listed=False)
        return self._caller(authenticated or self.options.headerless_agent_id)

    def _caller(self, agent_id: str, *, may_be_listed: bool = True) -> Caller:
        options = self.options
        is_default = agent_id == options.headerless_agent_id
        # Without a key anybody can write any header, so a name alone makes no admin.
        trusted = options.api_key is not None or options.admin_header_trust
        listed = may_be_listed and trusted and agent_id in options.admin_agent_ids
        at_home = is_default and options.keyless_loopback and options.loopback_default_admin
        return Caller(agent_id, is_admin=listed or at_home, is_default_identity=is_default)


def is_control(scope: Scope) -> bool:
    """Whether the request came over the node's own control socket."""
    extensions = scope.get("extensions") or {}
    state = scope.get("state") or {}
    if extensions.get(CONTROL_MARK) or state.get(CONTROL_MARK):
        return True
    server = scope.get("server")
    # The address that the socket is bound to, never something that a request says.
    return server is not None and server[1] is None and server[0].startswith("/")


def _header(scope: Scope) -> str | None:
    found: str | None = None
    for name, value in scope["headers"]:
        if name != _AGENT_HEADER or not value:
            continue
        agent_id = validate_agent_id(value.decode("latin-1"))
        if found is not None and found != agent_id:
            raise InvalidInputError(
                "invalid agent_id: several X-Agent-Id headers", fields=["X-Agent-Id"]
            )
        found = agent_id
    return found
