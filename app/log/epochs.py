"""Who this node is: a node id and an epoch, so that no two entries share (origin, seq).

A store that was copied or set back must never go on numbering where its twin or its own lost
future already did. The store holds a boot token, a sidecar file beside it another copy; every
boot replaces both. A store whose token is not the sidecar's is not the one that ran here last.

Order of writing, each step durable before the next:

1. the sidecar `Identity.prepared`, which admits the old token and the new one;
2. the store's own record: node id, epoch and new token, in one transaction;
3. the sidecar `Identity.settled`, which admits the new token alone.

A crash after any step costs an epoch at most.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from app.domain.sources import Randomness

FIRST_EPOCH: Final = 1
_NODE_ID_BYTES: Final = 8
_TOKEN_BYTES: Final = 16
_NODE_ID: Final = re.compile(r"[0-9a-f]{16}")
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_ORIGIN: Final = re.compile(r"([0-9a-f]{16})\.([1-9][0-9]{0,9})")


class Origin(NamedTuple):
    """A node in one of its epochs."""

    node_id: str
    epoch: int

    def text(self) -> str:
        """As entries name it, `<16 hex digits>.<epoch>`."""
        return f"{self.node_id}.{self.epoch}"


def parse_origin(text: str) -> Origin | None:
    """The inverse of `Origin.text`; None for an origin that no node of this kind made."""
    match = _ORIGIN.fullmatch(text)
    return None if match is None else Origin(match.group(1), int(match.group(2)))


def used_epochs(origins: Iterable[str]) -> Mapping[str, int]:
    """Node id → the highest epoch among these origins: none up to it may be given away again."""
    found: dict[str, int] = {}
    for one in filter(None, map(parse_origin, origins)):
        found[one.node_id] = max(one.epoch, found.get(one.node_id, 0))
    return found


def highest_epochs(*known: Mapping[str, int]) -> Mapping[str, int]:
    """Node id → the highest epoch that any of these knows of."""
    found: dict[str, int] = {}
    for one in known:
        for node_id, epoch in one.items():
            found[node_id] = max(epoch, found.get(node_id, 0))
    return found


class EpochReason(StrEnum):
    """Why this boot writes under the origin it does."""

    UNCHANGED = "unchanged"
    FIRST_BOOT = "first_boot"
    SIDECAR_MISSING = "sidecar_missing"
    STORE_MISSING = "store_missing"
    STORE_OF_ANOTHER_NODE = "store_of_another_node"
    BOOT_TOKEN = "boot_token"  # noqa: S105 - a reason, not a secret
    STORE_BEHIND = "store_behind"
    DATABASE_CHANGED = "database_changed"
    RESTORED = "restored"
    PEER_AHEAD = "peer_ahead"
    FORK = "fork"


@dataclass(frozen=True, slots=True)
class StoredIdentity:
    """What the store says about itself.

    `database` names the server and its timeline where there is one; `head_seq` is the last
    sequence number of `node_id.epoch` in the log.
    """

    node_id: str
    epoch: int
    boot_token: str
    head_seq: int = 0
    database: str | None = None


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What the file beside the store says. `head_seq` is a lower bound of what was committed."""

    node_id: str
    epoch: int
    boot_token: str
    next_boot_token: str | None = None
    head_seq: int = 0

    def admits(self, token: str) -> bool:
        """Whether the store that holds `token` is the one that ran here last."""
        return token in {self.boot_token, self.next_boot_token}

    def to_json(self) -> str:
        """The file's text."""
        return json.dumps(asdict(self), sort_keys=True) + "\n"


def parse_sidecar(text: str) -> Sidecar | None:
    """The inverse of `Sidecar.to_json`.

    None for a damaged file, which counts as missing: that costs an identity and never a fork.
    """
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    match fields:
        case {
            "node_id": str(node_id),
            "epoch": int(epoch),
            "boot_token": str(token),
            "next_boot_token": (None | str()) as following,
            "head_seq": int(head_seq),
        } if (
            _NODE_ID.fullmatch(node_id)
            and _TOKEN.fullmatch(token)
            and (following is None or _TOKEN.fullmatch(following))
            and not isinstance(epoch, bool)
            and not isinstance(head_seq, bool)
            and epoch >= FIRST_EPOCH
            and head_seq >= 0
        ):
            return Sidecar(node_id, epoch, token, following, head_seq)
    return None


@dataclass(frozen=True, slots=True)
class Identity:
    """What this boot is. `prepared` and `settled` are the sidecars to write, in this order."""

    node_id: str
    epoch: int
    new_boot_token: str
    reason: EpochReason
    prepared: Sidecar = field(repr=False)
    settled: Sidecar = field(repr=False)

    @property
    def is_new_epoch(self) -> bool:
        """Whether entries start again at 1, under an origin nobody has seen."""
        return self.reason is not EpochReason.UNCHANGED

    @property
    def origin(self) -> str:
        """The origin of this boot's entries."""
        return Origin(self.node_id, self.epoch).text()


def choose_identity(
    stored: StoredIdentity | None,
    sidecar: Sidecar | None,
    randomness: Randomness,
    *,
    database: str | None = None,
    forced: EpochReason | None = None,
    known_epochs: Mapping[str, int] | None = None,
) -> Identity:
    """Decide before the first write after a boot, or when a peer proves this origin used up.

    Args:
        stored: from the store; None for one that has no identity yet.
        sidecar: from the file beside it; None if missing or damaged.
        randomness: for node ids and boot tokens.
        database: the server and timeline that the store runs on now, if it has one.
        forced: a new epoch whatever the tokens say: restored, a peer is ahead, a fork.
        known_epochs: node id → the highest epoch that the log or a peer knows of.
    """
    reason = forced or _reason(stored, sidecar, database)
    token = randomness.token(_TOKEN_BYTES).hex()
    if stored is not None and reason is EpochReason.UNCHANGED:
        settled = Sidecar(stored.node_id, stored.epoch, token, None, stored.head_seq)
        prepared = Sidecar(stored.node_id, stored.epoch, stored.boot_token, token, stored.head_seq)
        return Identity(stored.node_id, stored.epoch, token, reason, prepared, settled)
    # The sidecar stays where the node runs. A store without one may be a copy whose original
    # still writes elsewhere, and two copies would choose the same next epoch.
    node_id = randomness.token(_NODE_ID_BYTES).hex() if sidecar is None else sidecar.node_id
    used = [one.epoch for one in (stored, sidecar) if one is not None and one.node_id == node_id]
    used.append((known_epochs or {}).get(node_id, 0))
    epoch = max(used) + 1
    settled = Sidecar(node_id, epoch, token)
    return Identity(node_id, epoch, token, reason, settled, settled)


def _reason(
    stored: StoredIdentity | None, sidecar: Sidecar | None, database: str | None
) -> EpochReason:
    if stored is None:
        return EpochReason.FIRST_BOOT if sidecar is None else EpochReason.STORE_MISSING
    if sidecar is None:
        return EpochReason.SIDECAR_MISSING
    doubts = (
        (sidecar.node_id != stored.node_id, EpochReason.STORE_OF_ANOTHER_NODE),
        (sidecar.epoch != stored.epoch, EpochReason.BOOT_TOKEN),
        (not sidecar.admits(stored.boot_token), EpochReason.BOOT_TOKEN),
        (stored.head_seq < sidecar.head_seq, EpochReason.STORE_BEHIND),
        (stored.database != database, EpochReason.DATABASE_CHANGED),
    )
    return next((reason for doubted, reason in doubts if doubted), EpochReason.UNCHANGED)
