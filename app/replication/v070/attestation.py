"""What peers may do by `AI_MEMORY_FED_PEER_ATTESTATION` (federation 3.3)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping


class PeerGrant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one peer may do."""

    allowed_sender_agent_ids: tuple[str, ...] = ()
    """In whose name it may push, beside its own."""
    allowed_namespaces: tuple[str, ...] = ()
    """What it may pull: globs, `*` one segment, `**` any number of them."""


@dataclass(frozen=True, slots=True)
class PeerAttestation:
    """The grants; `is_set` tells a variable that grants nothing from none at all."""

    is_set: bool = False
    grants: Mapping[str, PeerGrant] = field(default_factory=dict)

    def may_send_as(self, peer: str, sender: str) -> bool:
        """Whether a peer may push in this name."""
        grant = self.grants.get(peer)
        return sender == peer or (grant is not None and sender in grant.allowed_sender_agent_ids)

    def may_read(self, peer: str, namespace: str) -> bool:
        """Whether a peer may pull what is in a namespace."""
        grant = self.grants.get(peer)
        return grant is not None and any(
            _form(glob).fullmatch(namespace) for glob in grant.allowed_namespaces
        )


_DECODER: Final = msgspec.json.Decoder(dict[str, PeerGrant])


def parse_attestation(text: str | None) -> PeerAttestation:
    """The variable's value; what cannot be read grants nothing to anybody."""
    if text is None:
        return PeerAttestation()
    try:
        return PeerAttestation(True, _DECODER.decode(text))
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError):
        return PeerAttestation(is_set=True)


@lru_cache(maxsize=1_024)
def _form(glob: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*|\*)", glob)
    forms = {"**": ".*", "*": "[^/]*"}
    return re.compile("".join(forms.get(part) or re.escape(part) for part in parts), re.DOTALL)
