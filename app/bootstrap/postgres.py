"""The PostgreSQL store as the settings describe it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from app.bootstrap.files import StoreFacts
from app.store.postgres import digests, schema
from app.store.postgres.adapter import PostgresStore
from app.store.postgres.adoption import Adoption
from app.store.postgres.age import create_graph, ensure_age
from app.store.postgres.catalogue import Catalogue, Flushing, read_catalogue, read_flushing
from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.identity import NodeFile
from app.store.postgres.transactions import PostgresReader
from app.store.postgres.url import PostgresUrl
from app.store.postgres.writes import WriteOptions
from app.store.schema import SchemaKind
from app.store.writing.scrub import scrub

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.config.settings import Settings
    from app.store.protocol import Store
    from app.store.registry import StoreOptions
    from app.store.sqlite.adapter import Sources
    from app.store.writing.scrub import ScrubReport


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


def replica_options(settings: Settings, primary: PostgresOptions) -> PostgresOptions | None:
    """How a node reaches the replicas, if it is told of any.

    Raises:
        InvalidInputError: their address cannot be read.
    """
    address = settings.store_read_url
    if address is None:
        return None
    given = postgres_options(settings, address.reveal())
    # A copy has its tables where the original has them.
    return replace(given, url=replace(given.url, search_path=primary.url.search_path))


def open_on_server(
    address: str,
    options: StoreOptions,
    settings: Settings,
    sources: Sources,
    report: Callable[[str, int, int], None],
    *,
    use_replicas: bool,
) -> Store:
    """Bring a server's schema up to date and open it.

    `options.path` says where the node keeps who it is. With `use_replicas`, reads go to the
    replicas that the settings name.

    Raises:
        InvalidInputError: an address cannot be read.
        StoreOpenError: the server refuses us, or the schema is of another version or dimension.
        StoreUnavailableError: no server takes writes now.
    """
    reached = postgres_options(settings, address)
    replicas = replica_options(settings, reached) if use_replicas else None
    schema.migrate(
        reached.url,
        lambda sentence: report(sentence, 0, 0),
        dim=options.dim or None,
        adoption=Adoption(report, index_texts=options.index_texts),
    )
    ensure_age(reached.url)
    return PostgresStore(
        WriteOptions(
            reached,
            replicas=replicas,
            model=options.model,
            index_texts=options.index_texts,
            node_file=NodeFile(options.path, sources.disk_sync),
            new_epoch=options.new_epoch,
            max_offset_ms=options.max_offset_ms,
        ),
        sources.clock,
        sources.randomness,
        dim=options.dim,
    )


def look_at_server(address: str) -> StoreFacts:
    """What the address's schema is, without changing it.

    Raises:
        InvalidInputError: the address cannot be read.
        StoreOpenError, StoreUnavailableError: the server cannot be reached or refuses us.
    """
    status = schema.inspect(PostgresUrl.parse(address)).status
    usable = {SchemaKind.EMPTY, SchemaKind.OURS, SchemaKind.V57_FOREIGN}
    problem = None if status.kind in usable else status.detail or f"the store is {status.kind}"
    return StoreFacts(status.kind.value, status.version, problem)


def flushing_of_server(address: str) -> Flushing:
    """Whether what the server acknowledges is on its disk.

    Raises:
        InvalidInputError, StoreOpenError, StoreUnavailableError: as `look_at_server`.
    """
    return read_flushing(PostgresUrl.parse(address))


def scrub_server(address: str, report: Callable[[str, int, int], None]) -> ScrubReport:
    """Hash every row, projection and chain again, in one snapshot.

    Raises:
        InvalidInputError, StoreOpenError, StoreUnavailableError: as `look_at_server`.
    """
    options = PostgresOptions(PostgresUrl.parse(address))
    with (
        closing(connect(options)) as connection,
        explaining(options.url),
        transaction(connection, Preamble.reading(options)),
    ):
        return scrub(
            PostgresReader(connection),
            digests.read(connection),
            lambda done, total: report("scrub", done, total),
        )


def initialise(
    address: str,
    dim: int | None,
    report: Callable[[str, int, int], None],
    *,
    force: bool,
    index_texts: bool,
) -> Initialised:
    """Make a store, or bring one to this version's schema and to vectors of `dim` dimensions.

    A database of v0.7.0 is adopted.

    Raises:
        InvalidInputError: the address cannot be read, or there is no such dimension.
        StoreOpenError: the store cannot be used, or would lose vectors and `force` is not set.
        StoreUnavailableError: no server takes writes now.
    """
    url = PostgresUrl.parse(address)
    before = schema.inspect(url)
    # Before there is a column of ours, the dimension is that of the new one.
    is_new = before.dim is None or before.status.kind is SchemaKind.V57_FOREIGN
    found = schema.migrate(
        url,
        lambda sentence: report(sentence, 0, 0),
        dim=dim if is_new else None,
        adoption=Adoption(report, index_texts=index_texts),
    )
    ensure_age(url)
    changed = dim is not None and schema.change_dimension(url, dim, force=force)
    return Initialised(
        str(url),
        found.status.version,
        read_catalogue(url),
        dim if changed else found.dim,
        changed,
        create_graph(url),
    )
