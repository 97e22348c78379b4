"""The kinds of entry. A new kind is one file and one line here.

An unknown kind is stored and forwarded and has no effect on this node.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from app.log.kinds.agent import Agent
from app.log.kinds.alias import Alias
from app.log.kinds.consolidate import Consolidate
from app.log.kinds.embedding import Embedding
from app.log.kinds.forget import Forget
from app.log.kinds.governance import Decision, Pending, Vote
from app.log.kinds.life import Archive, Delete, Purge, Restore
from app.log.kinds.links import Invalidate, Link, Unlink
from app.log.kinds.member import Member
from app.log.kinds.promote import Promote
from app.log.kinds.standard import StandardClear, StandardSet
from app.log.kinds.store import Store
from app.log.kinds.touch import Touch
from app.log.kinds.update import Update
from app.log.kinds.v070 import V070

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.log.kinds.effect import Kind

_ALL: tuple[Kind, ...] = (
    Store(),
    Update(),
    Delete(),
    Archive(),
    Restore(),
    Promote(),
    Purge(),
    Link(),
    Unlink(),
    Invalidate(),
    Alias(),
    Consolidate(),
    Touch(),
    Embedding(),
    Agent(),
    Member(),
    Forget(),
    StandardSet(),
    StandardClear(),
    Pending(),
    Vote(),
    Decision(),
    V070(),
)

KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _ALL})
