"""Moving a store between addresses: who is asked for what, in which order."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from typing_extensions import override

from app.bootstrap.sources import SystemClock, SystemRandomness
from app.domain.errors import InvalidInputError
from app.store import schema
from app.store.moving.move import (
    Move,
    check_source,
    dimension_of,
    occupation,
    rows_of,
)
from app.store.sqlite import moving as sqlite
from app.store.sqlite.ownership import take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from app.config.settings import Settings
    from app.store.moving.move import Outcome
    from app.store.moving.port import Seen, Target
    from app.store.postgres.connection import PostgresOptions

    Report = Callable[[str, int, int], None]

FORMS: Final = (
    "sqlite:///absolute/path, sqlite://./relative/path, postgresql://host/database,"
    " postgres://host/database"
)
_POSTGRES: Final = ("postgresql://", "postgres://")
_RUNNER_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Plan:
    """What a move would do. `rows` are those of the source, by table."""

    rows: Mapping[str, int]
    would_resume: bool
    occupied_by: str | None
    """A table of the target that has rows already."""


class SqliteAddress:
    """A store in a file. Whoever reads or fills it holds its lock."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @override
    def __str__(self) -> str:
        return f"sqlite://{self.path.absolute()}"

    def place(self) -> object:
        if not self.path.exists():
            return self.path.resolve()
        found = self.path.stat()
        return found.st_dev, found.st_ino

    @contextmanager
    def source(self) -> Iterator[Seen]:
        sqlite.require(self.path)
        lock = take(self.path)
        try:
            with sqlite.seen(self.path) as found:
                yield found
        finally:
            lock.release()

    @contextmanager
    def target(self, dim: int | None, progress: Callable[[str], None]) -> Iterator[Target]:
        del dim  # a file takes vectors of any dimension
        lock = take(self.path)
        try:
            with sqlite.filling(self.path, progress) as found:
                yield found
        finally:
            lock.release()

    def look(self) -> tuple[bool, str | None]:
        """Whether an unfinished move is there, and else which table has rows."""
        status = schema.inspect(self.path)
        if status.kind is schema.SchemaKind.EMPTY:
            return False, None
        if status.kind is schema.SchemaKind.UNFINISHED:
            return True, None
        sqlite.require(self.path)
        with sqlite.seen(self.path) as found:
            return False, occupation(found.reader)


class PostgresAddress:
    """A store in a schema of a PostgreSQL database."""

    def __init__(self, options: PostgresOptions) -> None:
        self.options = options

    @override
    def __str__(self) -> str:
        return str(self.options.url)

    def place(self) -> object:
        from app.store.postgres import moving as postgres  # noqa: PLC0415

        return postgres.place_of(self.options)

    @contextmanager
    def source(self) -> Iterator[Seen]:
        from app.store.postgres import moving as postgres  # noqa: PLC0415

        postgres.require(self.options.url)
        with postgres.seen(self.options) as found:
            yield found

    @contextmanager
    def target(self, dim: int | None, progress: Callable[[str], None]) -> Iterator[Target]:
        from app.store.postgres import moving as postgres  # noqa: PLC0415

        with postgres.filling(self.options, dim, progress) as found:
            yield found

    def look(self) -> tuple[bool, str | None]:
        """Whether an unfinished move is there, and else which table has rows."""
        from app.store.postgres import moving as postgres  # noqa: PLC0415
        from app.store.postgres import schema as postgres_schema  # noqa: PLC0415

        kind = postgres_schema.inspect(self.options.url).status.kind
        if kind is schema.SchemaKind.EMPTY:
            return False, None
        if kind is schema.SchemaKind.UNFINISHED:
            return True, None
        postgres.require(self.options.url)
        with postgres.seen(self.options) as found:
            return False, occupation(found.reader)


Address = SqliteAddress | PostgresAddress


def address_of(settings: Settings, text: str, option: str) -> Address:
    """What an address names.

    Raises:
        InvalidInputError: no form that is accepted. The message repeats nothing of the address.
    """
    if text.startswith(_POSTGRES):
        # The driver is loaded for those who use it.
        from app.bootstrap.postgres import postgres_options  # noqa: PLC0415

        return PostgresAddress(postgres_options(settings, text))
    scheme, _, rest = text.partition("://")
    if scheme != "sqlite" or not rest.startswith(("/", "./")):
        raise InvalidInputError(f"{option} must be one of: {FORMS}")
    return SqliteAddress(Path(rest))


def move(source: Address, target: Address, report: Report, rows_a_page: int) -> Outcome:
    """Move a store, or go on with a move that was begun.

    The source is one snapshot: of a file whose lock is held, or of a schema that no node holds
    an origin in. What is written to a schema after that is not moved.

    Raises:
        InvalidInputError: both are the same, or there are no vectors of such a dimension there.
        ConflictError, StoreOpenError, StoreUnavailableError: as `Move.run`.
    """
    _refuse_same(source, target)
    with ExitStack() as stack:
        found = stack.enter_context(source.source())
        check_source(found)
        filled = stack.enter_context(
            target.target(dimension_of(found), lambda sentence: report(sentence, 0, 0))
        )
        runner = SystemRandomness().token(_RUNNER_BYTES).hex()
        return Move(found, filled, SystemClock(), runner, report, rows_a_page).run()


def plan(source: Address, target: Address) -> Plan:
    """What `move` would find, without changing anything.

    Raises:
        InvalidInputError, StoreOpenError, StoreUnavailableError: as `move`.
    """
    _refuse_same(source, target)
    with source.source() as found:
        check_source(found)
        rows = rows_of(found.reader)
    return Plan(rows, *target.look())


def _refuse_same(source: Address, target: Address) -> None:
    if source.place() == target.place():
        raise InvalidInputError("--from and --to are the same store")
