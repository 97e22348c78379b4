"""What is said when a server cannot be used: the cause, what to do, and no secret."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from app.domain.errors import (
    AiMemoryError,
    StoreOpenError,
    StoreReadOnlyError,
    StoreUnavailableError,
)
from app.store.postgres.connection import PostgresOptions, Preamble, connect, transaction
from app.store.postgres.errors import explaining
from app.store.postgres.url import PostgresUrl
from tests.certificates import Authority
from tests.postgres.languages import LOCALE, make_german
from tools.postgres.cluster import HOST, Cluster
from tools.postgres.programs import find_programs

SECRET = "hunter2-hunter2"
PATIENCE_SECONDS = 10.0


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server of this test's own, because these tests change who may come in and how."""
    made = Cluster.create(find_programs(lambda _: None))
    made.start()
    yield made
    made.stop()


def options(text: str, **chosen: float) -> PostgresOptions:
    return PostgresOptions(PostgresUrl.parse(text), **chosen)  # type: ignore[arg-type]


def answers(chosen: PostgresOptions) -> bool:
    try:
        connect(chosen).close()
    except AiMemoryError:
        return False
    return True


def refusal(text: str) -> AiMemoryError:
    with pytest.raises(AiMemoryError) as refused:
        connect(options(text))
    assert SECRET not in refused.value.message
    assert SECRET not in repr(refused.value)
    return refused.value


def test_a_role_and_its_password(postgres_cluster: Cluster) -> None:
    at = f"{HOST}:{postgres_cluster.port}"
    postgres_cluster.execute(f"CREATE ROLE asleep NOLOGIN PASSWORD '{SECRET}'")

    for user in ("postgres", "nobody-such"):
        refused = refusal(f"postgresql://{user}:{SECRET}@{at}/postgres")
        assert isinstance(refused, StoreOpenError)
        assert refused.details["reason"] == "access"
        assert "refuses the user name or password" in refused.message
        assert f"{user}@{at}/postgres" in refused.message
    assert "no password" not in refusal(f"postgresql://postgres@{at}/postgres").message
    asleep = refusal(f"postgresql://asleep:{SECRET}@{at}/postgres")
    assert "may not log in" in asleep.message


def test_a_database_that_is_not_there(postgres_cluster: Cluster) -> None:
    refused = refusal(postgres_cluster.url("absent"))
    assert refused.details["reason"] == "database_missing"
    assert "CREATE DATABASE" in refused.message


def test_a_user_whom_the_server_does_not_admit(cluster: Cluster) -> None:
    cluster.execute("CREATE ROLE outsider LOGIN PASSWORD 'x'")
    cluster.admit("host all postgres 127.0.0.1/32 scram-sha-256")
    cluster.execute("SELECT pg_reload_conf()")
    refused = refusal(cluster.url(user="outsider", password=SECRET, sslmode="disable"))
    assert "no encryption" not in refused.message  # it is not about TLS, but the server says so


def test_tls(cluster: Cluster, tmp_path: Path) -> None:
    ours, other = Authority(tmp_path, "ours"), Authority(tmp_path, "other")
    refused = refusal(cluster.url(sslmode="require"))
    assert "the server does not offer it" in refused.message

    cluster.switch_tls_on(*ours.issue(HOST))
    verified = {"sslmode": "verify-full"}
    with closing(connect(options(cluster.url(**verified, sslrootcert=str(ours.file))))) as opened:
        row = opened.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
        assert row == (1,)

    wrong_authority = refusal(cluster.url(**verified, sslrootcert=str(other.file)))
    assert "not signed by the authority in sslrootcert" in wrong_authority.message
    assert wrong_authority.details["reason"] == "tls"
    no_file = refusal(cluster.url(**verified, sslrootcert=str(tmp_path / "absent.pem")))
    assert "file that sslrootcert names does not exist" in no_file.message

    cluster.switch_tls_on(*ours.issue("db.example"))
    wrong_host = refusal(cluster.url(**verified, sslrootcert=str(ours.file)))
    assert "for another host name" in wrong_host.message

    cluster.admit("hostssl all all 127.0.0.1/32 scram-sha-256")
    unencrypted = options(cluster.url(sslmode="disable"))
    deadline = time.monotonic() + PATIENCE_SECONDS
    # The server reads its file when it gets round to it; until then it lets us in.
    while answers(unencrypted):
        assert time.monotonic() < deadline
    plain = refusal(cluster.url(sslmode="disable"))
    assert "refuses connections without TLS" in plain.message
    assert "sslmode=verify-full" in plain.message


def test_a_server_that_is_not_there(cluster: Cluster) -> None:
    cluster.halt()
    refused = refusal(cluster.url(password=SECRET))
    assert isinstance(refused, StoreUnavailableError)
    assert "no server listens there" in refused.message
    assert refused.details["retry_after_seconds"] == 5


def test_a_host_that_cannot_be_resolved() -> None:
    refused = refusal("postgresql://u@host.invalid/db")
    assert isinstance(refused, StoreUnavailableError)
    assert "cannot be resolved" in refused.message


def test_a_standby_is_read_only(cluster: Cluster) -> None:
    cluster.halt()
    signal = cluster.data / "standby.signal"
    signal.touch()
    cluster.start({"hot_standby": "on"})

    refused = refusal(cluster.url())

    assert isinstance(refused, StoreReadOnlyError)
    assert "standby" in refused.message
    reading = options(cluster.url(target_session_attrs="any"))
    with closing(connect(reading)) as opened:
        with transaction(opened, Preamble.reading(reading)):
            assert opened.execute("SELECT 1").fetchone() == (1,)
        with (
            pytest.raises(StoreReadOnlyError),
            explaining(reading.url),
            transaction(opened, Preamble.writing(reading)),
        ):
            opened.execute("CREATE TABLE here (x int)")


def test_the_host_that_takes_writes_is_found_among_several(
    cluster: Cluster, postgres_cluster: Cluster
) -> None:
    cluster.halt()
    port = postgres_cluster.port
    several = postgres_cluster.url().replace(
        f"{HOST}:{port}", f"{HOST}:{cluster.port},{HOST}:{port}"
    )
    with closing(connect(options(several))) as opened:
        assert opened.info.port == port


def test_a_server_that_is_full(cluster: Cluster) -> None:
    cluster.halt()
    settings = {"max_connections": "3", "superuser_reserved_connections": "0"}
    cluster.start({**settings, "max_wal_senders": "0"})
    held = [psycopg.connect(cluster.url()) for _ in range(3)]
    try:
        refused = refusal(cluster.url())
    finally:
        for one in held:
            one.close()
    assert isinstance(refused, StoreUnavailableError)
    assert "postgres_pool_max_connections" in refused.message


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("FATAL:  the database system is starting up", "is starting"),
        ("FATAL:  the database system is not yet accepting connections", "is starting"),
        ("FATAL:  the database system is shutting down", "shutting down"),
    ],
)
def test_moments_of_a_start_that_a_test_would_seldom_meet(text: str, fits: str) -> None:
    url = PostgresUrl.parse("postgresql://h/db")
    with pytest.raises(StoreUnavailableError, match=fits), explaining(url):
        raise psycopg.OperationalError(f"connection failed: {text}")


def test_a_server_that_speaks_german(monkeypatch: pytest.MonkeyPatch) -> None:
    programs = find_programs(lambda _: None)
    made = Cluster.create(programs)
    try:
        locales = made.folder / "locales"
        make_german(programs, locales)
        monkeypatch.setenv("LOCPATH", str(locales))
        made.start({"lc_messages": LOCALE})
        # Before a connection stands there is no code, only words: the server's own are passed on.
        refused = refusal(made.url(password=SECRET, passfile="/dev/null"))
        assert isinstance(refused, StoreUnavailableError)
        assert (
            "Passwort-Authentifizierung für Benutzer »postgres« fehlgeschlagen" in refused.message
        )
        made.admit("host all all 127.0.0.1/32 reject")
        barred = refusal(made.url())
        assert barred.details["reason"] == "access"
        made.admit_with_password()
        # Once it stands, every error has a code.
        with closing(psycopg.connect(made.url(), autocommit=True)) as connection:
            missing = "Relation »nowhere« existiert nicht"
            with pytest.raises(psycopg.errors.UndefinedTable, match=missing):
                connection.execute("SELECT 1 FROM nowhere")
            with (
                pytest.raises(StoreOpenError, match="schema-init") as told,
                explaining(PostgresUrl.parse(made.url())),
            ):
                connection.execute("SELECT 1 FROM nowhere")
        assert told.value.details["reason"] == "schema_missing"
    finally:
        made.stop()


def test_words_that_are_not_known_are_passed_on_without_the_password() -> None:
    url = PostgresUrl.parse(f"postgresql://u:{SECRET}@h/db")
    with pytest.raises(StoreUnavailableError, match="quelque chose") as refused, explaining(url):
        raise psycopg.OperationalError(f"quelque chose: {SECRET} password={SECRET}")
    assert SECRET not in refused.value.message


# --- a transaction -----------------------------------------------------------------------------


def test_every_transaction_states_its_schema_and_limits(empty_database: str, ask) -> None:
    ask(empty_database, "CREATE SCHEMA mine")
    chosen = options(
        f"{empty_database}&options=-csearch_path%3Dmine", statement_seconds=7, lock_seconds=2
    )
    with closing(connect(chosen)) as opened:
        with transaction(opened, Preamble.writing(chosen)):
            shown = [
                opened.execute(f"SHOW {name}".encode()).fetchone()
                for name in ("search_path", "statement_timeout", "lock_timeout", "TimeZone")
            ]
            opened.execute("CREATE TABLE here (x int)")
        assert shown == [("mine, public",), ("7s",), ("2s",), ("UTC",)]
        assert opened.execute("SHOW statement_timeout").fetchone() == ("0",)
    assert ask(empty_database, "SELECT to_regclass('mine.here') IS NOT NULL") == [(True,)]


def test_a_transaction_that_fails_is_undone_and_the_connection_goes_on(
    empty_database: str, ask
) -> None:
    chosen = options(empty_database)
    with closing(connect(chosen)) as opened:
        with (
            pytest.raises(psycopg.errors.DivisionByZero),
            transaction(opened, Preamble.writing(chosen)),
        ):
            opened.execute("CREATE TABLE gone AS SELECT 1 / 0")
        with transaction(opened, Preamble.writing(chosen)):
            assert opened.execute("SELECT to_regclass('gone')").fetchone() == (None,)


def test_a_statement_that_takes_too_long(empty_database: str) -> None:
    chosen = options(empty_database, statement_seconds=0.2)
    with (
        closing(connect(chosen)) as opened,
        pytest.raises(StoreUnavailableError, match="postgres_statement_timeout_secs"),
        explaining(chosen.url),
        transaction(opened, Preamble.writing(chosen)),
    ):
        opened.execute("SELECT pg_sleep(5)")


def test_a_lock_that_is_not_given_back(empty_database: str, ask) -> None:
    ask(empty_database, "CREATE TABLE held (x int)")
    chosen = options(empty_database, lock_seconds=0.2)
    with closing(psycopg.connect(empty_database)) as holder, closing(connect(chosen)) as opened:
        holder.execute("LOCK TABLE held")
        with (
            pytest.raises(StoreUnavailableError, match="postgres_lock_timeout_secs"),
            explaining(chosen.url),
            transaction(opened, Preamble.writing(chosen)),
        ):
            opened.execute("SELECT * FROM held")


def test_values_come_as_sqlite_gives_them(empty_database: str) -> None:
    chosen = options(empty_database)
    statement = (
        "SELECT '2026-06-01 12:00:00.5+02'::timestamptz, '2026-06-01T12:00:00Z'::timestamptz,"
        """ '{"b": [1, null], "a": "é"}'::jsonb, true, 5::bigint, 0.5::float8, '\\x01ff'::bytea,"""
        " NULL::timestamptz"
    )
    with closing(connect(chosen)) as opened, transaction(opened, Preamble.reading(chosen)):
        assert opened.execute(statement.encode()).fetchone() == (
            "2026-06-01T10:00:00.500000+00:00",
            "2026-06-01T12:00:00.000000+00:00",
            '{"a":"é","b":[1,null]}',
            1,
            5,
            0.5,
            b"\x01\xff",
            None,
        )
