"""What a v0.7.0 node is answered to its push (federation 1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import msgspec

from app.replication.v070.wire import PushAnswer

if TYPE_CHECKING:
    from app.replication.v070.wire import PushBody
    from app.services.commands.sync import Received

_CHANGED: Final = ("new", "updated")


class QuotaRefusal(msgspec.Struct, frozen=True):
    """A quota that ended a push. The memories before it are kept, nothing else is."""

    error: str
    limit: str
    current: int
    max: int
    agent_id: str
    applied_before_refusal: int
    quota_refused: int
    reset_at: str


def quota_refusal(received: Received, memories: int) -> QuotaRefusal:
    """The body of the 429 for a push of so many memories."""
    breach = received.breach
    assert breach is not None
    details = breach.details
    return QuotaRefusal(
        error="QUOTA_EXCEEDED",
        limit=str(details["limit"]),
        current=cast("int", details["current"]),
        max=cast("int", details["max"]),
        agent_id=str(details["agent_id"]),
        applied_before_refusal=received.count("memories", *_CHANGED),
        quota_refused=memories - breach.index,
        reset_at=breach.reset_at,
    )


def push_answer(
    received: Received, body: PushBody, identity: str, idempotency_key: str | None
) -> PushAnswer:
    """The body of the 200."""
    results = received.results

    def changed(name: str) -> int:
        return 0 if body.dry_run else received.count(name, *_CHANGED)

    accepted = [one for one in results if one.status != "skipped"]
    skipped = len(results) - len(accepted)
    noop = len(accepted) if body.dry_run else sum(one.status == "noop" for one in accepted)
    ids = list(dict.fromkeys(one.id for one in accepted))
    if not skipped and idempotency_key is not None and idempotency_key not in ids:
        # Under this name the sender looks for its item among ours.
        ids.append(idempotency_key)
    applied = list(dict.fromkeys(one.id for one in results if one.status in _CHANGED))
    clock = {} if received.latest is None else {body.sender_agent_id: received.latest}
    return PushAnswer(
        applied=changed("memories"),
        deleted=changed("deletions"),
        archived=changed("archives"),
        restored=changed("restores"),
        links_applied=changed("links"),
        pendings_applied=changed("pendings"),
        pending_decisions_applied=changed("pending_decisions"),
        namespace_meta_applied=changed("namespace_meta"),
        namespace_meta_cleared=changed("namespace_meta_clears"),
        noop=noop,
        skipped=skipped,
        quota_refused=0,
        dry_run=bool(body.dry_run),
        receiver_agent_id=identity,
        receiver_clock={"entries": clock},
        ids=ids,
        applied_ids=[] if body.dry_run else applied,
        results=list(results),
    )
