"""Where the settings say the store is."""

from pathlib import Path

import pytest

from app.bootstrap.place import StorePlace, place_of, without_password
from app.config.resolve import resolve
from app.domain.errors import InvalidInputError

ADDRESS = "postgresql://ada:secret@db.example:5433/memory?options=-csearch_path%3Dnode_a"


def place(url: str, environ: dict[str, str] | None = None) -> StorePlace:
    return place_of(resolve({"store_url": url}, {"HOME": "/nowhere", **(environ or {})}))


def test_without_an_address_the_store_is_the_file() -> None:
    assert place_of(resolve({}, {"HOME": "/nowhere"})) == StorePlace(Path("ai-memory.db"))


def test_an_address_of_a_file_names_the_file() -> None:
    assert place("sqlite:///var/x.db") == StorePlace(Path("/var/x.db"))
    assert place("sqlite://./x.db") == StorePlace(Path("x.db"))


def test_a_server_is_shown_without_its_password_and_stood_for_by_a_name_of_its_own() -> None:
    found = place(ADDRESS)
    assert found.shown == ADDRESS.replace(":secret", "")
    assert "secret" not in repr(found)
    assert found.local == place(ADDRESS.replace("secret", "another")).local
    assert found.local != place(ADDRESS.replace("node_a", "node_b")).local


def test_an_address_comes_from_the_environment_too() -> None:
    found = place_of(resolve({}, {"HOME": "/nowhere", "AI_MEMORY_STORE_URL": ADDRESS}))
    assert found.address is not None
    assert found.address.reveal() == ADDRESS


def test_a_file_beside_an_address_is_refused_naming_both() -> None:
    with pytest.raises(InvalidInputError, match=r"AI_MEMORY_DB and --store-url"):
        place(ADDRESS, {"AI_MEMORY_DB": "x.db"})


@pytest.mark.parametrize("url", ["mysql://h/d", "sqlite://x.db", "memory"])
def test_other_addresses_are_refused_with_the_forms(url: str) -> None:
    with pytest.raises(InvalidInputError, match="postgresql://host/database"):
        place(url)


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://h/d?password=secret&sslmode=require",
        "postgresql://u:secret@[::1]:5432,other:5433/d",
        "postgres://u:secret@h",
        "postgresql:///d?user=u&pass%77ord=secret",
        "postgresql://u:sec%72et@h/d?sslpassword=secret",
    ],
)
def test_no_form_of_a_password_is_shown(address: str) -> None:
    assert "sec" not in without_password(address)
