"""`sync-daemon`: pull from peers and push to them, beside a node or without one."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from app.cli.session import Session, note
from app.cli.verb import verb
from app.config.errors import ConfigRefusedError
from app.domain.peer_url import peer_url

_FILE: Final = click.Path(path_type=Path)
_NO_TRUST: Final = (
    "nothing says which servers to believe: name the authority that signed their certificates with"
    " --ca-cert (or quorum_ca_cert in [federation]), or pin them in the peer file"
)


_KEYS: Final = {
    "client_cert": "federation.quorum_client_cert",
    "client_key": "federation.quorum_client_key",
    "ca_cert": "federation.quorum_ca_cert",
}
"""The settings of the flags: what a node that serves shows and believes."""


@verb("sync-daemon")
@click.option("--peers", required=True, metavar="URL,...", help="Base addresses of the peers.")
@click.option(
    "--interval",
    default=2,
    show_default=True,
    type=click.IntRange(min=1),
    help="Seconds between two rounds with a peer.",
)
@click.option("--api-key", help="The peers' API key.")
@click.option(
    "--batch-size",
    default=500,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Rows of one request.",
)
@click.option("--client-cert", type=_FILE, help="Certificate for the peers, PEM; --client-key too.")
@click.option("--client-key", type=_FILE, help="Its private key, PEM.")
@click.option("--ca-cert", type=_FILE, help="Authority that signed the peers' certificates, PEM.")
@click.option(
    "--insecure-skip-server-verify",
    is_flag=True,
    help="Refused: v0.7.0's way to believe any server does not exist here.",
)
def sync_daemon(
    session: Session,
    peers: str,
    interval: int,
    api_key: str | None,
    batch_size: int,
    insecure_skip_server_verify: bool,
    **tls: Path | None,
) -> None:
    """Pull every peer's rows and push it ours, until SIGINT or SIGTERM.

    The node that serves the database does the work on it; without one each step opens it for a
    moment. Links, deletions and decisions travel between nodes that serve.
    """
    if (tls["client_cert"] is None) != (tls["client_key"] is None):
        raise click.UsageError("--client-cert and --client-key go together")
    if insecure_skip_server_verify:
        raise click.UsageError("--insecure-skip-server-verify is refused: " + _NO_TRUST)
    urls = _urls(peers)
    resolution = session.resolve({_KEYS[name]: value for name, value in tls.items()})
    place, agent_id = session.place, session.agent_id
    from app import server  # noqa: PLC0415  # the whole service; only this verb needs it
    from app.bootstrap.old_peers import DaemonPlan, run_daemon  # noqa: PLC0415
    from app.cli.logs import log_quietly  # noqa: PLC0415

    log_quietly()
    plan = DaemonPlan(urls, interval, batch_size, api_key)
    unknown = plan.unverifiable(resolution.settings.federation)
    if unknown:
        raise ConfigRefusedError(f"{', '.join(unknown)}: {_NO_TRUST}")
    note(f"ai-memory reconciles {place.shown} with {', '.join(urls)} every {interval} s")
    server.run(
        run_daemon(
            plan,
            resolution.settings,
            lambda: server.local_client(resolution, place, agent_id, lambda *_: None),
            note,
        )
    )


def _urls(text: str) -> tuple[str, ...]:
    try:
        found = tuple(dict.fromkeys(peer_url(one) for one in text.split(",") if one.strip()))
    except ValueError as error:
        raise click.UsageError(f"--peers: {error}") from None
    if not found:
        raise click.UsageError("--peers names nobody")
    return found
