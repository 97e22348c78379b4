"""What peers may do, as an operator wrote it down: whose writes they bring, in which namespaces.

The text is v0.7.0's `AI_MEMORY_FED_PEER_ATTESTATION`: a JSON object from a peer's identity to
`allowed_sender_agent_ids` and `allowed_namespaces`. Once there is such a text, whoever it does not
name may nothing; a text that cannot be read names nobody.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from app.domain.namespace_glob import matches_namespace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_LOGGER = logging.getLogger(__name__)
_EVERYWHERE: Final = "**"


class PeerScope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one peer may do."""

    allowed_sender_agent_ids: tuple[str, ...] = ()
    """Whom it may speak for beside itself, exactly."""
    allowed_namespaces: tuple[str, ...] = ()
    """Patterns of namespaces that it may read and write; none is nothing."""

    def covers(self, namespace: str) -> bool:
        """Whether a namespace is among the allowed ones."""
        return any(matches_namespace(one, namespace) for one in self.allowed_namespaces)


_DECODER: Final = msgspec.json.Decoder(dict[str, PeerScope])


@dataclass(frozen=True, slots=True)
class PeerAttestation:
    """The scopes by the peers' identities; `scopes` None is no attestation at all."""

    scopes: Mapping[str, PeerScope] | None = None

    @property
    def is_configured(self) -> bool:
        """Whether peers that are not named may nothing."""
        return self.scopes is not None

    def scope_of(self, name: str) -> PeerScope | None:
        """What a peer may do; None if nothing was written about it, or about anybody."""
        return None if self.scopes is None else self.scopes.get(name)


def parse_attestation(text: str | None) -> PeerAttestation:
    """Read the setting; None is no attestation."""
    if text is None:
        return PeerAttestation()
    try:
        return PeerAttestation(_DECODER.decode(text))
    except (msgspec.MsgspecError, UnicodeError) as error:
        _LOGGER.error(  # noqa: TRY400 - the operator's text is at fault, not a line of ours
            "AI_MEMORY_FED_PEER_ATTESTATION cannot be read, so no peer may do anything: %s", error
        )
        return PeerAttestation({})


class AttestedScopes:
    """The namespaces of nodes, by the names under which they are bound: a `Scopes`."""

    def __init__(self, attestation: PeerAttestation, name_of: Callable[[str], str]) -> None:
        self._attestation = attestation
        self._name_of = name_of

    def is_limited(self, node_id: str) -> bool:
        if not self._attestation.is_configured:
            return False
        scope = self._scope(node_id)
        return scope is None or _EVERYWHERE not in scope.allowed_namespaces

    def may_read(self, node_id: str, namespace: str) -> bool:
        return self._covers(node_id, namespace)

    def may_write(self, node_id: str, namespace: str) -> bool:
        return self._covers(node_id, namespace)

    def _covers(self, node_id: str, namespace: str) -> bool:
        if not self._attestation.is_configured:
            return True
        scope = self._scope(node_id)
        return scope is not None and scope.covers(namespace)

    def _scope(self, node_id: str) -> PeerScope | None:
        return self._attestation.scope_of(self._name_of(node_id))
