"""Who holds a name, and how it comes free (decisions on names, http-api 7.2 row 19)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from app.domain.errors import ConflictError
from app.domain.validation import TITLE_CHARACTERS_MAX
from app.log import drafts
from app.log.names import Name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.log.entry import Draft
    from app.log.projection import Snapshot
    from app.services.caller import Caller
    from app.store.protocol import View

EXPIRED_REASON: Final = "ttl_expired"
_VERSIONED_TITLES_MAX: Final = 1_024


@dataclass(frozen=True, slots=True)
class Place:
    """A name as a writer finds it: who has it, and what must go first if it only expired."""

    name: Name
    holder: Snapshot | None
    clearing: Sequence[Draft] = ()


def look(view: View, namespace: str, title: str, actor: str, *, archive: bool) -> Place:
    """The current holder of a name; an expired one is moved aside, as the sweep would do.

    `archive` False deletes it without a copy.
    """
    found = view.holder(namespace, title)
    name = Name(namespace, title)
    if found is None or found.is_current(view.now):
        return Place(name, found)
    return Place(name, None, (moved_aside(found, actor, view.now, archive=archive),))


def moved_aside(found: Snapshot, actor: str, now: str, *, archive: bool) -> Draft:
    """The end of a row that only expired."""
    ids = (found.memory.id,)
    if archive:
        return drafts.archive(ids, actor, now, EXPIRED_REASON)
    return drafts.delete(ids, actor, now, archived=False, reason=EXPIRED_REASON)


def versioned(view: View, place: Place, actor: str, *, archive: bool) -> Place:
    """The first free of `title (2)` to `title (1024)` (http-api 3.2, stage 7).

    Raises:
        ConflictError: all are taken, or the next would be too long.
    """
    for number in range(2, _VERSIONED_TITLES_MAX + 1):
        title = f"{place.name.title} ({number})"
        if len(title) > TITLE_CHARACTERS_MAX:
            break
        other = look(view, place.name.namespace, title, actor, archive=archive)
        if other.holder is None:
            return other
    raise ConflictError("could not pick a versioned title")


def taken(place: Place, holder: Snapshot, caller: Caller) -> ConflictError:
    """The refusal of a name; it names the holder only to who may see it."""
    seen = {"existing_id": holder.memory.id} if caller.sees(holder.memory) else {}
    return ConflictError(
        f"memory with title '{place.name.title}' already exists"
        f" in namespace '{place.name.namespace}'",
        **seen,
    )


def title_taken(place: Place, holder: Snapshot, caller: Caller) -> ConflictError:
    """The refusal of a new title for a row that exists (http-api 3.2, PUT)."""
    text = f"title '{place.name.title}' already exists in namespace '{place.name.namespace}'"
    if not caller.sees(holder.memory):
        return ConflictError(text)
    return ConflictError(f"{text} (memory {holder.memory.id})", existing_id=holder.memory.id)
