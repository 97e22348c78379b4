"""`doctor`: is everything well, and where does each setting come from?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click
import httpx

from app.bootstrap.files import look_at, scrub_file
from app.bootstrap.place import place_of
from app.bootstrap.sources import SystemClock
from app.cli import diagnosis, reachability
from app.cli.connection import API, NodeRefusedError, connect
from app.cli.diagnosis import Diagnosis, Section, Severity
from app.cli.exit_codes import ExitCode
from app.cli.output import emit
from app.cli.progress import Progress
from app.cli.session import Session
from app.cli.verb import verb
from app.domain.errors import AiMemoryError
from app.domain.timestamps import format_instant

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from app.bootstrap.files import StoreFacts
    from app.bootstrap.place import StorePlace
    from app.config.resolve import Resolution
    from app.domain.memory import Json
    from app.store.writing.scrub import ScrubReport

REMOTE_SECONDS: Final = 5.0
CRITICAL_EXIT: Final = 2
_RAW: Final = "needs the database; not asked over HTTP"

_MENDING: Final = (
    "stored rows are not what was written: a running node with peers mends them once a day,"
    " and at once after `ai-memory federation scrub`"
)


@verb("doctor")
@click.option("--remote", metavar="URL", help="Ask a node over HTTP instead.")
@click.option("--fail-on-warn", is_flag=True, help="Exit code 1 for a warning, too.")
@click.option("--scrub", is_flag=True, help="Hash every stored row and chain again.")
@click.option("--provenance", is_flag=True, help="Every setting and where it comes from.")
def doctor(
    session: Session, remote: str | None, fail_on_warn: bool, scrub: bool, provenance: bool
) -> int:
    """Check the store, the index, recall and the configured model servers. Nothing is changed.

    Exit codes: 0 well, 1 a warning with --fail-on-warn, 2 something is critical.
    """
    resolution = session.resolve(lenient=True)
    if remote is not None:
        sections = _remote(remote, resolution)
    else:
        sections = _local(session, resolution)
        sections += [
            reachability.language_model(resolution),
            reachability.embeddings(resolution),
        ]
    sections.append(_configuration(resolution, every_key=provenance))
    if scrub and remote is None:
        sections.append(_scrub(session.place))
    found = Diagnosis(
        mode="local" if remote is None else "remote",
        source=session.place.shown if remote is None else remote,
        generated_at=format_instant(SystemClock().now()),
        sections=sections,
    )
    emit(session, found.document(), found.text())
    if found.overall is Severity.CRITICAL:
        return CRITICAL_EXIT
    is_warned = fail_on_warn and found.overall is Severity.WARNING
    return ExitCode.FAILED if is_warned else ExitCode.OK


def _local(session: Session, resolution: Resolution) -> list[Section]:
    place = place_of(resolution)
    shown = [("db", place.shown)]
    try:
        facts = _look_at(place)
        if facts.kind == "empty" or (facts.kind == "v57_foreign" and facts.problem is None):
            return [_untouched(place, facts.kind)]
        if facts.problem is not None:
            return [Section("Storage", Severity.CRITICAL, shown, facts.problem)]
        with connect(session) as node:
            stats = node.call("GET", "/stats").body
            capabilities = node.call("GET", "/capabilities").body
            mesh = node.call("GET", "/federation/status").body
        durability = _durability(place)
    except (AiMemoryError, NodeRefusedError) as error:
        return [Section("Storage", Severity.CRITICAL, shown, error.message)]
    return [
        diagnosis.storage(stats),
        *durability,
        diagnosis.index(stats),
        diagnosis.recall(capabilities),
        diagnosis.governance(capabilities),
        diagnosis.sync(mesh),
        diagnosis.webhook(capabilities),
        diagnosis.abilities(capabilities),
        diagnosis.absent("Reflection Health", "no reflections are kept yet"),
    ]


def _look_at(place: StorePlace) -> StoreFacts:
    if place.address is None:
        return look_at(place.local)
    from app.bootstrap.postgres import look_at_server  # noqa: PLC0415  # its driver is not for all

    return look_at_server(place.address.reveal())


def _durability(place: StorePlace) -> list[Section]:
    """Of a server; a file is flushed by the node itself."""
    if place.address is None:
        return []
    from app.bootstrap.postgres import (  # noqa: PLC0415  # its driver is not for all
        flushing_of_server,
    )

    found = flushing_of_server(place.address.reveal())
    return [
        diagnosis.durability(flushes=found.is_on, commit_waits_for=found.commit_waits_for),
    ]


def _untouched(place: StorePlace, kind: str) -> Section:
    """A store that the first command would make or adopt; looking must not do it."""
    note = (
        "no database yet; the first command makes it"
        if kind == "empty"
        else "a v0.7.0 database; the first command adopts it and keeps a copy"
    )
    return Section("Storage", Severity.INFO, [("db", place.shown)], note)


def _remote(url: str, resolution: Resolution) -> list[Section]:
    key = resolution.settings.api_key
    headers = {"X-Agent-Id": _agent(resolution)}
    if key is not None:
        headers["X-API-Key"] = key.reveal()
    base = url.rstrip("/")
    try:
        with httpx.Client(base_url=base + API, headers=headers, timeout=REMOTE_SECONDS) as client:
            capabilities = _json(client.get("/capabilities"))
            mesh = client.get("/federation/status")
            stats_reply = client.get("/stats")
            stats = _json(stats_reply) if stats_reply.is_success else None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        return [Section("Capabilities", Severity.CRITICAL, [("url", url)], f"no answer: {error}")]
    missing = f"statistics are for admins ({stats_reply.status_code})"
    return [
        diagnosis.absent("Storage", missing) if stats is None else diagnosis.storage(stats),
        diagnosis.absent("Index", missing) if stats is None else diagnosis.index(stats),
        diagnosis.recall(capabilities),
        diagnosis.governance(capabilities),
        diagnosis.sync(_json(mesh)) if mesh.is_success else diagnosis.absent("Sync", _RAW),
        diagnosis.webhook(capabilities),
        diagnosis.abilities(capabilities),
        diagnosis.absent("Reflection Health", _RAW),
    ]


def _agent(resolution: Resolution) -> str:
    identity = resolution.settings.identity
    return identity.agent_id or identity.default_agent_id


def _json(reply: httpx.Response) -> Mapping[str, Json]:
    reply.raise_for_status()
    body = reply.json()
    return body if isinstance(body, dict) else {}


def _configuration(resolution: Resolution, *, every_key: bool) -> Section:
    facts = [("file", str(resolution.file or "none"))]
    facts += [
        (row.key, f"{row.value} ({row.source}{f' {row.origin}' if row.origin else ''})")
        for row in resolution.rows()
        if every_key or row.source != "CompiledDefault"
    ]
    facts += [("unknown key", key) for key in resolution.unknown_keys]
    if resolution.rejection is not None:
        return Section("Configuration", Severity.CRITICAL, facts, resolution.rejection.message)
    if resolution.unknown_keys:
        note = "keys that nothing reads: misspelt?"
        return Section("Configuration", Severity.WARNING, facts, note)
    return Section("Configuration", Severity.INFO, facts)


def _scrub(place: StorePlace) -> Section:
    try:
        with Progress() as progress:
            report = _scrubbed(place, progress.report)
    except AiMemoryError as error:
        return Section("Scrub", Severity.CRITICAL, (), error.message)
    facts = [
        ("rows", str(report.rows)),
        ("damaged_states", ", ".join(report.damaged_states) or "none"),
        ("wrong_projections", ", ".join(report.wrong_projections) or "none"),
        ("wrong_buckets", str(len(report.wrong_buckets))),
        ("broken_chains", ", ".join(report.broken_chains) or "none"),
    ]
    if report.is_sound:
        return Section("Scrub", Severity.INFO, facts)
    return Section("Scrub", Severity.CRITICAL, facts, _MENDING)


def _scrubbed(place: StorePlace, report: Callable[[str, int, int], None]) -> ScrubReport:
    if place.address is None:
        return scrub_file(place.local, report)
    from app.bootstrap.postgres import scrub_server  # noqa: PLC0415  # its driver is not for all

    return scrub_server(place.address.reveal(), report)
