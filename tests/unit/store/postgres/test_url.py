"""Addresses of a PostgreSQL store: every form of libpq, and no password in any text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import InvalidInputError
from app.store.postgres.connection import PostgresOptions
from app.store.postgres.url import PostgresUrl

SECRET = "s3cr@t/:%x"
QUOTED = "s3cr%40t%2F%3A%25x"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_an_address_is_taken_apart_by_libpq(scheme: str) -> None:
    url = PostgresUrl.parse(f"{scheme}://alice:{QUOTED}@db.example:6432/memories?sslmode=require")
    assert url.parameters == {
        "user": "alice",
        "password": SECRET,
        "host": "db.example",
        "port": "6432",
        "dbname": "memories",
        "sslmode": "require",
    }
    assert url.search_path == ("public",)


def test_several_hosts_and_their_attributes_pass() -> None:
    url = PostgresUrl.parse("postgresql://a:1,b:2/db?target_session_attrs=any")
    given_to_libpq = PostgresOptions(url).connection_arguments()
    assert given_to_libpq["host"] == "a,b"
    assert given_to_libpq["port"] == "1,2"
    assert given_to_libpq["target_session_attrs"] == "any"
    assert str(url) == "postgresql://a:1,b:2/db"


def test_a_store_wants_a_server_that_takes_writes_unless_told_otherwise() -> None:
    url = PostgresUrl.parse("postgresql://a,b/db")
    assert PostgresOptions(url).connection_arguments()["target_session_attrs"] == "read-write"


@pytest.mark.parametrize(
    ("options", "path"),
    [
        ("-csearch_path%3Dmemories", ("memories",)),
        ("-c%20search_path%3Dmemories", ("memories",)),
        ("--search_path%3Dmemories,shared", ("memories", "shared")),
        ("-csearch_path%3DMemories", ("memories",)),
        ("-csearch_path%3D%22My%20Own%22", ("My Own",)),
        ("-csearch_path%3D%22a%22%22b%22", ('a"b',)),
        ("-csearch_path%3D%24user,public", ("public",)),
        ("-csearch_path%3D%22%24user%22,public", ("public",)),
        ("-csearch_path%3Da%20-clock_timeout%3D2s", ("a",)),
    ],
)
def test_options_are_read_and_not_sent(options: str, path: tuple[str, ...]) -> None:
    # A quoted name with a space is one word to the server when a backslash stands before the space.
    text = options.replace("%20Own", "%5C%20Own")
    url = PostgresUrl.parse(f"postgresql://h/db?options={text}")
    assert url.search_path == path
    assert "options" not in PostgresOptions(url).connection_arguments()


@pytest.mark.parametrize(
    ("value", "milliseconds"), [("1500", 1500), ("2s", 2000), ("1min", 60_000), ("0", 0)]
)
def test_timeouts_of_the_address_win_over_the_settings(value: str, milliseconds: int) -> None:
    url = PostgresUrl.parse(f"postgresql://h/db?options=-cstatement_timeout%3D{value}")
    options = PostgresOptions(url, statement_seconds=7, lock_seconds=3)
    assert options.statement_timeout_ms == milliseconds
    assert options.lock_timeout_ms == 3000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("mysql://h/db", "begins with postgresql://"),
        (f"postgresql://u:{SECRET}%zz@h/db", "cannot be read"),
        (f"postgresql://u:{SECRET}@h/db", "cannot be read"),
        ("postgresql://h/db?nonsense=1", "cannot be read"),
        ("postgresql://h/db?options=-cwork_mem%3D1GB", "search_path"),
        ("postgresql://h/db?options=-csearch_path", "search_path"),
        ("postgresql://h/db?options=-cstatement_timeout%3Dsoon", "no duration"),
    ],
)
def test_a_wrong_address_is_refused_without_repeating_it(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said) as refused:
        PostgresUrl.parse(text)
    assert "s3cr" not in refused.value.message
    assert refused.value.__suppress_context__ or refused.value.__context__ is None


@given(st.text("abcdefXYZ0123456789", min_size=6))
def test_no_text_shows_the_password(password: str) -> None:
    url = PostgresUrl.parse(f"postgresql://u:{password}@h/db?sslpassword={password}&user=u")
    for text in (str(url), repr(url), repr(PostgresOptions(url)), f"{url}"):
        assert password not in text.replace("postgresql", "")
    assert password not in url.without_secrets(f"failed with {password} and password={password}")
