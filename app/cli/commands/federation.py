"""`federation`: how the mesh is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from app.cli.connection import connect
from app.cli.output import emit, rows_of
from app.cli.session import Session, note
from app.cli.verb import Family, verb

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.domain.memory import Json

UNWELL_EXIT: Final = 1
_PEER_COLUMNS: Final = ("node", "name", "state", "key", "certificate", "address")
_DIGITS: Final = 16
_COLUMNS: Final = ("peer", "state", "behind", "seconds", "states", "clock offset", "detail")
_STATES: Final = {True: "equal", False: "differ"}


@click.group("federation", cls=Family)
def federation() -> None:
    """Look at the mesh, and decide whom to trust."""


@verb("status")
@click.option(
    "--check",
    is_flag=True,
    help="Exit code 1 if a peer is down, behind, blocked, or its clock off.",
)
def status(session: Session, check: bool) -> int:
    """Peers, how far each is behind, and whether something is kept apart."""
    with connect(session) as node:
        reply = node.call("GET", "/federation/status").body
    emit(session, reply, _text(reply))
    return UNWELL_EXIT if check and not _is_well(reply) else 0


@verb("peers")
def peers(session: Session) -> None:
    """Whose keys and certificates are bound, and which ones wait to be accepted."""
    with connect(session) as node:
        reply = node.call("GET", "/federation/peers").body
    rows = rows_of(reply.get("peers"))
    if not rows:
        note("no peer has said hello yet")
    table = [_PEER_COLUMNS, *(_peer_row(one) for one in rows)] if rows else []
    emit(session, reply, _aligned(table))


@verb("accept")
@click.argument("peer")
def accept(session: Session, peer: str) -> None:
    """Bind the key or certificate that PEER showed and was refused with.

    PEER is a node id or its beginning, a name, or an address, as `federation peers` lists them.
    """
    _decide(session, "accept", peer)


@verb("forget")
@click.argument("peer")
def forget(session: Session, peer: str) -> None:
    """Bind PEER no longer: its next hello counts as its first."""
    _decide(session, "forget", peer)


@verb("leave")
def leave(session: Session) -> None:
    """Leave the fleet: peers keep nothing for this node any more, and it talks to none.

    It keeps its memories and goes on serving. Started again with peers it joins again.
    """
    with connect(session) as node:
        reply = node.call("POST", "/federation/leave", body={}).body
    emit(session, reply, f"{reply.get('state')}: {reply.get('node_id')}\n{reply.get('message')}")


@verb("scrub")
def scrub(session: Session) -> None:
    """Let the running node check all that it stores now, and mend it with its peers' help.

    It does so once a day by itself. `federation status` and the log tell what came of it.
    """
    with connect(session) as node:
        reply = node.call("POST", "/federation/scrub", body={}).body
    emit(session, reply, "begun; see federation status")


def _decide(session: Session, what: str, peer: str) -> None:
    with connect(session) as node:
        reply = node.call("POST", f"/federation/{what}", body={"peer": peer}).body
    emit(session, reply, f"{reply.get('state')}: {reply.get('node_id')} ({reply.get('name')})")


def _peer_row(peer: Mapping[str, Json]) -> tuple[str, ...]:
    certificate = peer.get("fingerprint")
    return (
        str(peer.get("node_id")),
        str(peer.get("name")),
        str(peer.get("state")),
        str(peer.get("public_key"))[:_DIGITS],
        "" if certificate is None else str(certificate)[:_DIGITS],
        str(peer.get("url") or ""),
    )


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    if not rows:
        return ""
    widths = [max(len(row[no]) for row in rows) for no in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _is_well(reply: Mapping[str, Json]) -> bool:
    return not (reply.get("quarantined") or reply.get("warnings")) and all(
        one["state"] in {"up", "same_store"}
        and not (one["lag_entries"] or one["blocked"] or one["clock_is_off"])
        for one in rows_of(reply.get("peers"))
    )


def _text(reply: Mapping[str, Json]) -> str:
    if not reply.get("enabled"):
        return "this node has no peers (--quorum-peers)"
    nodes = f"{reply.get('nodes')} nodes, writes wait for {reply.get('quorum_writes')}"
    lines = [
        f"{reply.get('identity')} ({reply.get('origin')}): {nodes}",
        f"digest {reply.get('digest')}",
    ]
    lines.append(_aligned([_COLUMNS, *(_row(one) for one in rows_of(reply.get("peers")))]))
    if off := [_name(one) for one in rows_of(reply.get("peers")) if one.get("clock_is_off")]:
        far = f"further away than {reply.get('max_clock_offset_ms')} ms"
        lines.append(f"clocks {far}: {', '.join(off)}; what is written there ahead of time waits")
    if reply.get("repairs"):
        lines.append(
            f"repaired by comparing: {reply.get('repaired_states')} states"
            f" in {reply.get('repaired_buckets')} buckets, {reply.get('repairs')} times"
        )
    if reply.get("snapshots"):
        lines.append(f"snapshots taken: {reply['snapshots']}")
    if reply.get("damaged_rows"):
        lines.append(f"damaged rows: {reply['damaged_rows']}, mended: {reply.get('mended_rows')}")
    if reply.get("quarantined"):
        lines.append(f"kept apart: {reply['quarantined']} {reply.get('quarantine_codes')}")
    lacks = reply.get("lacks")
    if isinstance(lacks, list) and lacks:
        lines.append(f"this node lacks entries of {len(lacks)} origins and is fetching them")
    lines.extend(f"member {_member(one)}" for one in rows_of(reply.get("members")))
    warnings = reply.get("warnings")
    lines.extend(f"warning: {one}" for one in (warnings if isinstance(warnings, list) else ()))
    return "\n".join(lines)


def _name(peer: Mapping[str, Json]) -> str:
    return str(peer.get("identity") or peer.get("url"))


def _member(member: Mapping[str, Json]) -> str:
    name, silent = member.get("identity") or member.get("node_id"), member.get("silent_seconds")
    said = f"{name} ({member.get('node_id')}): {member.get('state')} since {member.get('since')}"
    if member.get("is_self"):
        return f"{said}, this node"
    return f"{said}, heard of {silent:.0f} s ago" if isinstance(silent, int | float) else said


def _row(peer: Mapping[str, Json]) -> tuple[str, ...]:
    offset, seconds = peer.get("clock_offset_ms"), peer.get("lag_seconds")
    blocked, equal = peer.get("blocked"), peer.get("digests_equal")
    detail = peer.get("detail") or ", ".join(
        str(one) for one in (blocked.values() if isinstance(blocked, dict) else ())
    )
    return (
        _name(peer),
        str(peer.get("state")),
        str(peer.get("lag_entries")),
        "" if not isinstance(seconds, int | float) else f"{seconds:.1f}",
        "" if equal is None else _STATES[bool(equal)],
        "" if offset is None else f"{offset} ms",
        str(detail),
    )


for _command in (status, peers, accept, forget, leave, scrub):
    federation.add_command(_command)
