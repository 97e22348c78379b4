"""What an embedder is, and what a vector of one looks like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from app.domain.errors import BackendError, FeatureMissingError

Vector: TypeAlias = NDArray[np.float32]
"""Unit length, every component representable as f16."""

# semantics.md 5.1: longer input is cut before it reaches the model.
EMBEDDING_INPUT_BYTES_MAX = 64 * 1024


class EmbeddingError(BackendError):
    """The backend failed or answered nonsense; trying again later can help."""

    code = "EMBEDDING_FAILED"


class EmbeddingRefusedError(EmbeddingError):
    """The backend refuses this request; repeating it unchanged cannot help."""

    code = "EMBEDDING_REFUSED"

    def __init__(self, message: str, *, is_about_text: bool = False, **details: object) -> None:
        """`is_about_text`: another text may pass (as opposed to a wrong key or model)."""
        super().__init__(message, **details)
        self.is_about_text = is_about_text


class EmbedderUnavailableError(FeatureMissingError):
    """No embedder can be built from the given values; the message says why."""

    code = "EMBEDDER_UNAVAILABLE"


class Embedder(Protocol):
    """Text to a vector. Both methods block: call them in a thread.

    One thread may embed queries while another embeds documents; neither waits
    for the other.
    """

    @property
    def fingerprint(self) -> str:
        """Model, revision and dim: vectors compare only within one fingerprint."""
        ...

    @property
    def dim(self) -> int:
        """Components of a vector."""
        ...

    def embed_query(self, text: str) -> Vector:
        """The vector to search with.

        Raises:
            EmbeddingError: If the backend fails.
        """
        ...

    def embed_document(self, text: str) -> Vector:
        """The vector to store; `text` is what `embedding_text` makes.

        Raises:
            EmbeddingError: If the backend fails.
        """
        ...

    def close(self) -> None:
        """Free what the backend holds; no call may follow."""
        ...


class Unembedded(Protocol):
    """A memory whose current text has no vector yet."""

    @property
    def memory_id(self) -> str: ...

    @property
    def content_hash(self) -> bytes: ...

    @property
    def text(self) -> str:
        """What `embedding_text` makes."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """The vector of one text of a memory; stale once the memory's hash differs."""

    memory_id: str
    content_hash: bytes
    vector: NDArray[np.float16]


def embedding_text(title: str, content: str) -> str:
    """What a memory's vector is made from (semantics.md 5.1)."""
    return cut_to_bytes(f"{title} {content}", EMBEDDING_INPUT_BYTES_MAX)


def cut_to_bytes(text: str, byte_count: int) -> str:
    """The longest prefix that fits, whole characters only; a lone surrogate becomes `?`."""
    return text[:byte_count].encode("utf-8", "replace")[:byte_count].decode("utf-8", "ignore")


def unit_vector(values: NDArray[np.floating], dim: int) -> Vector:
    """Scale to length 1, then round every component to f16.

    Everyone, the origin too, uses the rounded value, so a vector means the same
    before and after it travelled.

    Raises:
        EmbeddingError: If there are not `dim` finite components, or all are zero.
    """
    flat = np.asarray(values, np.float64).reshape(-1)
    if len(flat) != dim:
        raise EmbeddingError(
            f"the model answered {len(flat)} dimensions where {dim} are configured",
            expected=dim,
            received=len(flat),
        )
    norm = float(np.linalg.norm(flat))
    if not np.isfinite(norm) or norm == 0.0:
        raise EmbeddingError("the model answered a vector without a direction")
    vector: Vector = (flat / norm).astype(np.float16).astype(np.float32)
    return vector
