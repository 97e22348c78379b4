"""The settings of a node as its PostgreSQL store takes them."""

from app.bootstrap.postgres import postgres_options
from app.config.resolve import resolve

ADDRESS = "postgresql://h/db"


def test_what_is_not_set_is_as_in_v070() -> None:
    options = postgres_options(resolve({}, {"AI_MEMORY_NO_CONFIG": "1"}).settings, ADDRESS)
    assert (options.most, options.least, options.acquire_seconds) == (16, 2, 30)
    assert (options.statement_timeout_ms, options.lock_timeout_ms) == (30_000, 5_000)
    assert not options.pooled
    assert "prepare_threshold" not in options.connection_arguments()


def test_every_setting_arrives(tmp_path) -> None:
    file = tmp_path / "config.toml"
    file.write_text(
        "postgres_pool_min_connections = 3\npostgres_statement_timeout_secs = 0\n"
        "postgres_lock_timeout_secs = 9\npostgres_pooled = true\n"
    )
    file.chmod(0o600)
    environ = {"AI_MEMORY_PG_POOL_MAX": "7", "AI_MEMORY_PG_ACQUIRE_TIMEOUT_SECS": "4"}
    options = postgres_options(resolve({}, environ, file).settings, ADDRESS)
    assert (options.most, options.least, options.acquire_seconds) == (7, 3, 4)
    assert (options.statement_timeout_ms, options.lock_timeout_ms) == (0, 9_000)
    assert options.connection_arguments()["prepare_threshold"] is None
