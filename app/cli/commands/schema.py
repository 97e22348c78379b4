"""`schema-init`: make a store, or bring one up to date, and say what is in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from app.bootstrap.files import look_at
from app.bootstrap.place import URL_FORMS, path_of
from app.cli.connection import connect
from app.cli.output import emit, object_of
from app.cli.progress import Progress
from app.cli.session import GlobalOptions, Session
from app.cli.verb import verb
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from app.domain.memory import Json

_POSTGRES: Final = ("postgresql://", "postgres://")


@verb("schema-init")
@click.option(
    "--store-url",
    help=f"Else the database of the settings. {URL_FORMS}. A password is better left"
    " to PGPASSWORD or a password file than written here.",
)
@click.option("--embedding-dim", type=int, help="Of the vectors in a PostgreSQL store: 384 or 768.")
@click.option(
    "--force-reembed", is_flag=True, help="Change the dimension though the vectors there are lost."
)
def schema_init(
    session: Session, store_url: str | None, embedding_dim: int | None, force_reembed: bool
) -> None:
    """Make a store, or bring it to this version's schema, and list what it has."""
    if store_url is not None and store_url.startswith(_POSTGRES):
        document = _postgres(session, store_url, embedding_dim, force=force_reembed)
    elif embedding_dim is not None or force_reembed:
        raise InvalidInputError(
            "--embedding-dim and --force-reembed are for a PostgreSQL store: an SQLite file takes"
            " the vectors of any model"
        )
    else:
        if store_url is not None:
            session.set_options(GlobalOptions(db=path_of(store_url)))
        document = _sqlite(session)
    emit(session, document, _sentences(document))


def _postgres(session: Session, address: str, dim: int | None, *, force: bool) -> dict[str, Json]:
    from app.bootstrap.postgres import initialise  # noqa: PLC0415  # the driver is not for all verbs

    with Progress() as progress:
        made = initialise(
            address,
            dim,
            progress.report,
            force=force,
            index_texts=session.settings.storage.near_duplicate != "off",
        )
    found = made.catalogue
    return {
        "url": made.shown_url,
        "kind": "postgres",
        "tables": list(found.tables),
        "views": list(found.views),
        "functions": list(found.functions),
        "indices": list(found.indices),
        "extensions": list(found.extensions),
        "schema_version": made.schema_version,
        "age_projection_created": made.graph_created,
        "embedding_dim": made.dim,
        "embedding_dim_migrated": made.dim_changed,
    }


def _sqlite(session: Session) -> dict[str, Json]:
    with connect(session) as node:
        capabilities = node.call("GET", "/capabilities").body
    database = session.database
    found = _catalogue(database)
    return {
        "url": f"sqlite://{database.absolute()}",
        "kind": "sqlite",
        "tables": list(found["table"]),
        "views": list(found["view"]),
        "functions": [],
        "indices": list(found["index"]),
        "extensions": [],
        "schema_version": look_at(database).schema_version,
        "age_projection_created": False,
        "embedding_dim": object_of(capabilities.get("models")).get("embedding_dim"),
        "embedding_dim_migrated": False,
    }


def _sentences(document: dict[str, Json]) -> str:
    counted = ", ".join(
        f"{len(names)} {kind}"
        for kind in ("tables", "views", "functions", "indices")
        if isinstance(names := document[kind], list)
    )
    extensions = document["extensions"]
    named = ", ".join(map(str, extensions)) if isinstance(extensions, list) and extensions else ""
    return (
        f"schema initialized at {document['url']}\n"
        f"{counted}, schema version {document['schema_version']}"
        + (f"\nextensions: {named}" if named else "")
    )


def _catalogue(database: Path) -> dict[str, list[str]]:
    """The names of what the file holds, by kind."""
    found: dict[str, list[str]] = {"table": [], "view": [], "index": []}
    uri = f"{database.absolute().as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as connection:
        rows = connection.execute("SELECT type, name FROM sqlite_master ORDER BY name")
        for kind, name in rows:
            if kind in found and not str(name).startswith("sqlite_"):
                found[kind].append(str(name))
    return found
