"""How values pass between our text form and PostgreSQL's own types."""

import json
import struct
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Dialect

from app.store.tables import log_entries, memories, metadata
from app.store.tables.types import Embedding, JsonText, Timestamp

POSTGRESQL: Dialect = postgresql.dialect()
SQLITE: Dialect = sqlite.dialect()

documents = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_timestamp_comes_back_from_postgresql_as_it_went(moment: datetime) -> None:
    text = moment.isoformat(timespec="microseconds")
    bound = Timestamp().process_bind_param(text, POSTGRESQL)
    assert bound == moment
    assert Timestamp().process_result_value(bound, POSTGRESQL) == text


@given(documents)
def test_a_document_comes_back_from_postgresql_with_the_same_value(document: object) -> None:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    bound = JsonText().process_bind_param(text, POSTGRESQL)
    assert bound == document
    assert JsonText().process_result_value(bound, POSTGRESQL) == (
        None if document is None else text
    )


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_an_embedding_comes_back_from_postgresql_with_its_header(floats: list[float]) -> None:
    body = struct.pack(f"<{len(floats)}f", *floats)
    headed = Embedding().process_bind_param(b"\x01" + body, POSTGRESQL)
    headless = Embedding().process_bind_param(body, POSTGRESQL)
    assert headed == headless
    assert Embedding().process_result_value(headed, POSTGRESQL) == b"\x01" + body


@pytest.mark.parametrize(
    ("kind", "value"),
    [(Timestamp(), "2026-06-01T00:00:00Z"), (JsonText(), '{"b": 1}'), (Embedding(), b"\x01")],
)
def test_sqlite_stores_what_it_is_given(
    kind: Timestamp | JsonText | Embedding, value: str | bytes
) -> None:
    assert kind.process_bind_param(value, SQLITE) == value  # type: ignore[arg-type]
    assert kind.process_result_value(value, SQLITE) == value  # type: ignore[arg-type]


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=lambda dialect: dialect.name)
def test_a_null_stays_a_null(dialect: Dialect) -> None:
    for kind in (Timestamp(), JsonText(), Embedding()):
        assert kind.process_bind_param(None, dialect) is None
        assert kind.process_result_value(None, dialect) is None


def test_the_local_order_of_entries_is_never_given_twice() -> None:
    """A follower's cursor would skip an entry that took the number of a deleted one."""
    assert log_entries.dialect_options["sqlite"]["autoincrement"] is True


def test_tables_can_be_copied_for_a_second_schema() -> None:
    copied = memories.to_metadata(type(metadata)(), schema="other")
    assert [column.name for column in copied.columns] == [
        column.name for column in memories.columns
    ]
    assert copied.c.scope_idx.computed is not None
