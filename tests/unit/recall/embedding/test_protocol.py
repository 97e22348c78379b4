"""What a vector and the text behind it are made of."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.text import content_hash
from app.recall.embedding.protocol import (
    EmbeddingError,
    cut_to_bytes,
    embedding_text,
    unit_vector,
)

finite = st.floats(-1e30, 1e30).filter(lambda x: x == 0 or abs(x) > 1e-30)


@given(st.lists(finite, min_size=1, max_size=64).filter(any))
def test_a_unit_vector_is_a_fixed_point_of_f16_rounding_and_points_the_same_way(
    values: list[float],
) -> None:
    vector = unit_vector(np.asarray(values), len(values))

    assert (vector.astype(np.float16).astype(np.float32) == vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=2e-3)
    assert float(vector @ np.asarray(values)) > 0


# A title holds no control characters, so the first NUL ends it, whatever the content holds.
titles = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]))


@given(titles, st.text())
def test_the_hash_names_title_and_content_and_where_they_part(title: str, content: str) -> None:
    expected = hashlib.sha256(f"{title}\0{content}".encode()).digest()
    assert content_hash(title, content) == expected
    if content and content[0] != "\0":
        assert content_hash(title + content[0], content[1:]) != expected


@given(st.text(st.characters()), st.integers(0, 50))
def test_a_cut_text_fits_is_a_prefix_and_as_long_as_can_be(text: str, byte_count: int) -> None:
    cut = cut_to_bytes(text, byte_count)
    clean = text.encode("utf-8", "replace").decode()
    assert len(cut.encode()) <= byte_count
    assert clean.startswith(cut)
    if cut != clean:
        assert len((cut + clean[len(cut)]).encode()) > byte_count


def test_the_text_of_a_memory_is_its_title_a_space_and_its_content_up_to_64_kib() -> None:
    assert embedding_text("A title", "the content") == "A title the content"
    assert len(embedding_text("t", "x" * 70_000)) == 65_536


@pytest.mark.parametrize("values", [[0.0, 0.0], [float("nan"), 1.0], [float("inf"), 1.0], [1.0]])
def test_what_has_no_direction_or_another_length_is_refused(values: list[float]) -> None:
    with pytest.raises(EmbeddingError):
        unit_vector(np.asarray(values), 2)
