"""Names: a claim on (namespace, title) is state, and one claimant wins.

Winner = the least (claim stamp, id) over live claimants; the others keep their
registers and show an aliased title. A claim dates from the later of the name
and the life register, so a restored memory does not take its old name back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, cast

from app.log.projection import life_of
from app.log.registers import Written
from app.log.state import LIVE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from app.log.hlc import Stamp
    from app.log.registers import Cells


class Name(NamedTuple):
    """What is unique among live memories."""

    namespace: str
    title: str


class Claim(NamedTuple):
    """One memory's claim; the least wins."""

    stamp: Stamp
    memory_id: str


def claim_of(memory_id: str, cells: Cells | None) -> tuple[Name, Claim] | None:
    """The claim that a state makes, or None if it is not live or has no name yet."""
    if cells is None or life_of(cells) != LIVE:
        return None
    name, life = cells.get("name"), cells.get("life")
    if not (isinstance(name, Written) and isinstance(life, Written)):
        return None
    namespace, title = cast("list[str]", name.value)
    return Name(namespace, title), Claim(max(name.stamp, life.stamp), memory_id)


def winner(claims: Mapping[str, Stamp]) -> str | None:
    """The id that holds a name, given every live claim on it (id → stamp)."""
    if not claims:
        return None
    return min(Claim(stamp, memory_id) for memory_id, stamp in claims.items()).memory_id
