"""`serve`: run a node until it is told to stop."""

from __future__ import annotations

import click

from app.bootstrap.place import URL_FORMS
from app.cli.progress import Progress
from app.cli.session import Session, note
from app.cli.verb import verb


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
) -> None:
    """Run a node.

    It answers HTTP until SIGINT or SIGTERM, then drains. Tier and API key come from the
    configuration.
    """
    resolution = session.resolve({"store_url": store_url, "store_read_url": store_read_url})
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
