"""`serve`: run a node until it is told to stop."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from app.bootstrap.place import URL_FORMS
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb

_FILE: Final = click.Path(path_type=Path)
_POSITIVE: Final = click.IntRange(min=1)


@verb("serve")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=9077, show_default=True, type=click.IntRange(0, 65_535))
@click.option(
    "--shutdown-grace-secs",
    default=30,
    show_default=True,
    type=click.IntRange(min=0),
    help="How long running requests may go on after SIGTERM.",
)
@click.option(
    "--store-url",
    help=f"The store, instead of --db: {URL_FORMS}.  [env: AI_MEMORY_STORE_URL]",
)
@click.option("--tls-cert", type=_FILE, help="Certificate chain for HTTPS, PEM; with --tls-key.")
@click.option("--tls-key", type=_FILE, help="Its private key, PEM.")
@click.option(
    "--mtls-allowlist",
    type=_FILE,
    help="SHA-256 of each client certificate that may connect, one a line.",
)
@click.option(
    "--mtls-client-cert-dir",
    type=_FILE,
    help="Folder of client certificates that --quorum-ca-cert has not signed.",
)
@click.option(
    "--quorum-writes",
    type=click.IntRange(min=0),
    metavar="W",
    help="Copies of a write, this node's included, before its client hears of it.  [default: 0]",
)
@click.option("--quorum-peers", metavar="URL,...", help="Base addresses of the peers.")
@click.option("--peer-file", type=_FILE, help="File of more peers, one a line.")
@click.option(
    "--quorum-timeout-ms",
    type=_POSITIVE,
    help="How long a write waits for its copies.  [default: 2000]",
)
@click.option(
    "--durability",
    type=click.Choice(["local", "one", "majority", "all"]),
    help="Copies of a write whose request asks for none, instead of --quorum-writes.",
)
@click.option("--quorum-client-cert", type=_FILE, help="Certificate to show to peers, PEM.")
@click.option("--quorum-client-key", type=_FILE, help="Its private key, PEM.")
@click.option("--quorum-ca-cert", type=_FILE, help="Authority of the peers' certificates, PEM.")
@click.option(
    "--catchup-interval-secs",
    type=click.IntRange(min=0),
    help="How often peers are asked for what is missing; 0 never.  [default: 30]",
)
@click.option(
    "--federation-identity",
    help="Who this node is to its peers.  [env: AI_MEMORY_FED_IDENTITY; default: host:<hostname>]",
)
@click.option(
    "--max-clock-offset-ms",
    type=_POSITIVE,
    help="A peer's clock further away is alarmed.  [default: 60000]",
)
@click.option(
    "--log-retention-hours",
    type=_POSITIVE,
    help="How long the log is kept for a silent member.  [default: 168]",
)
@click.option(
    "--vector-takeover-secs",
    type=click.IntRange(min=15),
    help="How long a node may be silent before others embed what it wrote.  [default: 60]",
)
@click.option(
    "--fed-batch-bytes",
    type=click.IntRange(1_024, 8_388_608),
    help="Most bytes of one push.  [default: 262144]",
)
@click.option(
    "--fed-batch-ms",
    type=click.FloatRange(0, 1_000),
    help="How long a push waits for company.  [default: 1.5]",
)
@click.option(
    "--store-read-url",
    help="Replicas of a PostgreSQL store, for reads.  [env: AI_MEMORY_STORE_READ_URL]",
)
def serve(
    session: Session,
    host: str,
    port: int,
    shutdown_grace_secs: int,
    store_url: str | None,
    store_read_url: str | None,
    **mesh: object,
) -> None:
    """Run a node.

    It answers HTTP until SIGINT or SIGTERM, then drains. Tier and API key come from the
    configuration. With peers, or as somebody's peer, it is a node of a mesh. SIGHUP reads
    certificates, the allowlist and the peer file again, as their changing does.
    """
    flags = {_KEYS.get(name, f"federation.{name}"): value for name, value in mesh.items()}
    store = {"store_url": store_url, "store_read_url": store_read_url}
    resolution = session.resolve({**store, **flags})
    if resolution.file is not None:
        note(f"configuration: {resolution.file}")
    from app import server  # noqa: PLC0415  # the whole service; only this verb needs it
    from app.cli.logs import log_as_configured  # noqa: PLC0415

    log_as_configured(resolution)

    place = session.place
    options = server.ServeOptions(resolution, place, host, port, grace_seconds=shutdown_grace_secs)
    with Progress() as progress:
        server.run(
            server.serve(
                options,
                progress.report,
                lambda url: note(f"ai-memory listens on {url}, database {place.shown}"),
            )
        )


_KEYS: Final = {
    "tls_cert": "tls.cert",
    "tls_key": "tls.key",
    "mtls_allowlist": "tls.mtls_allowlist",
    "mtls_client_cert_dir": "tls.client_cert_dir",
    "federation_identity": "federation.identity",
    "fed_batch_bytes": "federation.batch_bytes",
    "fed_batch_ms": "federation.batch_ms",
}
"""The setting of a flag, where it is not `[federation]` and the flag's own name."""
