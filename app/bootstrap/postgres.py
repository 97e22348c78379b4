"""The PostgreSQL store as the settings describe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.store.postgres import schema
from app.store.postgres.catalogue import Catalogue, create_graph, read_catalogue
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.settings import Settings


@dataclass(frozen=True, slots=True)
class Initialised:
    """A store that was made or brought up to date. `shown_url` has no password."""

    shown_url: str
    schema_version: int | None
    catalogue: Catalogue
    dim: int | None
    dim_changed: bool
    graph_created: bool


def postgres_options(settings: Settings, address: str) -> PostgresOptions:
    """How a node reaches its store.

    Raises:
        InvalidInputError: the address cannot be read.
    """
    return PostgresOptions(
        PostgresUrl.parse(address),
        most=settings.postgres_pool_max_connections,
        least=settings.postgres_pool_min_connections,
        acquire_seconds=settings.postgres_acquire_timeout_secs,
        statement_seconds=settings.postgres_statement_timeout_secs,
        lock_seconds=settings.postgres_lock_timeout_secs,
        pooled=settings.postgres_pooled,
    )


def initialise(
    address: str, dim: int | None, report: Callable[[str, int, int], None], *, force: bool
) -> Initialised:
    """Make a store, or bring one to this version's schema and to vectors of `dim` dimensions.

    Raises:
        InvalidInputError: the address cannot be read, or there is no such dimension.
        StoreOpenError: the store cannot be used, or would lose vectors and `force` is not set.
        StoreUnavailableError: no server takes writes now.
    """
    url = PostgresUrl.parse(address)
    before = schema.inspect(url).dim
    # Before there is a column, the dimension is that of the new one.
    found = schema.migrate(
        url, lambda sentence: report(sentence, 0, 0), dim=dim if before is None else None
    )
    changed = dim is not None and schema.change_dimension(url, dim, force=force)
    return Initialised(
        str(url),
        found.status.version,
        read_catalogue(url),
        dim if changed else found.dim,
        changed,
        create_graph(url),
    )
