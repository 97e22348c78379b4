"""`schema-init`: make a store, or bring one up to date, and say what is in it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from app.bootstrap.files import look_at
from app.cli.connection import connect
from app.cli.output import emit, object_of
from app.cli.session import GlobalOptions, Session
from app.cli.verb import verb
from app.domain.errors import InvalidInputError

if TYPE_CHECKING:
    from app.domain.memory import Json

_FORMS: Final = "sqlite:///absolute/path, sqlite://./relative/path"


@verb("schema-init")
@click.option("--store-url", help=f"Else the database of the settings. {_FORMS}.")
def schema_init(session: Session, store_url: str | None) -> None:
    """Make a store, or bring it to this version's schema, and list what it has."""
    if store_url is not None:
        session.set_options(GlobalOptions(db=path_of(store_url)))
    with connect(session) as node:
        capabilities = node.call("GET", "/capabilities").body
    database = session.database
    found = _catalogue(database)
    models = object_of(capabilities.get("models"))
    document: dict[str, Json] = {
        "url": f"sqlite://{database.absolute()}",
        "kind": "sqlite",
        "tables": list(found["table"]),
        "views": list(found["view"]),
        "functions": [],
        "indices": list(found["index"]),
        "extensions": [],
        "schema_version": look_at(database).schema_version,
        "age_projection_created": False,
        "embedding_dim": models.get("embedding_dim"),
        "embedding_dim_migrated": False,
    }
    text = (
        f"schema initialized at {document['url']}\n"
        f"{len(found['table'])} tables, {len(found['view'])} views, {len(found['index'])} indices,"
        f" schema version {document['schema_version']}"
    )
    emit(session, document, text)


def path_of(url: str) -> Path:
    """The file that a store URL names.

    Raises:
        InvalidInputError: no form that is accepted.
    """
    scheme, _, rest = url.partition("://")
    if scheme != "sqlite" or not rest.startswith(("/", "./")):
        raise InvalidInputError(f"--store-url must be one of: {_FORMS}")
    return Path(rest)


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
