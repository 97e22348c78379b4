"""What is known of the embedder at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EmbeddingState:
    """`model` and `dim` are None without an embedder; `fingerprint` names the vectors it makes.

    `is_ready` is false while the model still loads, and after it failed to.
    """

    is_ready: bool = False
    model: str | None = None
    dim: int | None = None
    fingerprint: str | None = None
    made: int = 0
    """Vectors that were made of new texts since the start."""
