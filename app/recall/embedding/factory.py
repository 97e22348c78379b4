"""From plain values to an embedder, or to the reason why there is none."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from app.recall.embedding.local import LocalEmbedder
from app.recall.embedding.model_directory import model_in
from app.recall.embedding.protocol import Embedder, EmbedderUnavailableError
from app.recall.embedding.remote import OllamaEmbedder, OpenAIEmbedder

if TYPE_CHECKING:
    from pathlib import Path

_LOGGER = logging.getLogger(__name__)

LOCAL: Final = "local"
OLLAMA: Final = "ollama"
KEYWORD_TIER: Final = "keyword"

# Dimensions that the vendors state for their models, tags and vendors' prefixes left out.
_KNOWN_DIMS: Final = {
    "all-minilm": 384,
    "all-minilm-l6-v2": 384,
    "bge-base-en-v1.5": 768,
    "bge-large-en-v1.5": 1024,
    "bge-m3": 1024,
    "bge-small-en-v1.5": 384,
    "codestral-embed": 1536,
    "embeddinggemma": 768,
    "gemini-embedding-001": 3072,
    "gemini-embedding-2": 3072,
    "mistral-embed": 1024,
    "mxbai-embed-large": 1024,
    "nomic-embed-text": 768,
    "nomic-embed-text-v1": 768,
    "nomic-embed-text-v1.5": 768,
    "snowflake-arctic-embed": 1024,
    "text-embedding-3-large": 3072,
    "text-embedding-3-small": 1536,
    "text-embedding-ada-002": 1536,
    "text-embedding-v3": 1024,
}


@dataclass(frozen=True, slots=True)
class EmbedderChoice:
    """What the operator asked for, resolved."""

    tier: str
    backend: str
    model: str
    dim: int | None = None
    """Wins over the table of known models; also sent as `dimensions` where the wire has it."""
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    model_dir: Path | None = None
    graph_kept_at: Path | None = None
    """Where the local model keeps its rewritten graph: a path to which suffixes are added."""
    timeout_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class BuiltEmbedder:
    """An embedder, or None with a reason that doctor and health can show."""

    embedder: Embedder | None
    reason: str | None = None
    degraded: bool = False
    """True if one was asked for and could not be built: recall runs by keyword until then."""


def build_embedder(choice: EmbedderChoice) -> BuiltEmbedder:
    """Build what was chosen; a failure degrades to keyword recall, and says so in the log."""
    if choice.tier == KEYWORD_TIER:
        return BuiltEmbedder(None, "tier keyword has no embeddings")
    try:
        return BuiltEmbedder(_build(choice))
    except EmbedderUnavailableError as error:
        _LOGGER.error("no embeddings, recall is by keyword only: %s", error.message)  # noqa: TRY400  # an operator's mistake, not a crash
        return BuiltEmbedder(None, error.message, degraded=True)


def known_dim(model: str) -> int | None:
    """Dimensions of a model by its name, `vendor/name:tag` included; None if unknown."""
    return _KNOWN_DIMS.get(model.rsplit("/", 1)[-1].split(":", 1)[0].lower())


def _build(choice: EmbedderChoice) -> Embedder:
    if choice.backend == LOCAL:
        return _local(choice)
    dim = choice.dim or known_dim(choice.model)
    if dim is None:
        raise EmbedderUnavailableError(f"unknown dim of model {choice.model}: set [embeddings] dim")
    if not choice.base_url:
        raise EmbedderUnavailableError(f"backend {choice.backend} needs [embeddings] base_url")
    if not choice.base_url.startswith(("http://", "https://")):
        raise EmbedderUnavailableError("[embeddings] base_url must be an http or https address")
    if choice.backend == OLLAMA:
        return OllamaEmbedder(
            base_url=choice.base_url,
            model=choice.model,
            dim=dim,
            timeout_seconds=choice.timeout_seconds,
        )
    return OpenAIEmbedder(
        base_url=choice.base_url,
        model=choice.model,
        dim=dim,
        sends_dim=choice.dim is not None,
        api_key=choice.api_key,
        timeout_seconds=choice.timeout_seconds,
    )


def _local(choice: EmbedderChoice) -> Embedder:
    if choice.model_dir:
        embedder = LocalEmbedder(model_in(choice.model_dir), choice.graph_kept_at)
    else:
        embedder = LocalEmbedder.packaged(choice.graph_kept_at)
    if choice.dim not in (None, embedder.dim):
        raise EmbedderUnavailableError(
            f"the local model has {embedder.dim} dimensions, [embeddings] dim says {choice.dim}"
        )
    return embedder
