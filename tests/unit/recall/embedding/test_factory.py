"""What the operator chose becomes an embedder, or a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.recall.embedding.factory import EmbedderChoice, build_embedder, known_dim
from app.recall.embedding.local import LocalEmbedder
from app.recall.embedding.remote import OllamaEmbedder, OpenAIEmbedder

OLLAMA_URL = "http://localhost:11434"


def choice(backend: str = "ollama", model: str = "nomic-embed-text-v1.5", **more) -> EmbedderChoice:
    return EmbedderChoice(**{"tier": "semantic", "backend": backend, "model": model} | more)


def test_the_keyword_tier_has_none_and_that_is_no_failure() -> None:
    built = build_embedder(choice(tier="keyword", backend="local"))
    assert built.embedder is None
    assert not built.degraded


def test_each_backend_gets_its_wire() -> None:
    assert isinstance(build_embedder(choice("local")).embedder, LocalEmbedder)
    assert isinstance(build_embedder(choice(base_url=OLLAMA_URL)).embedder, OllamaEmbedder)
    built = build_embedder(choice("openai", "text-embedding-3-small", base_url="https://x.test/v1"))
    assert isinstance(built.embedder, OpenAIEmbedder)
    assert built.embedder.dim == 1536


def test_an_explicit_dim_wins_over_the_table() -> None:
    built = build_embedder(choice(base_url=OLLAMA_URL, dim=256))
    assert built.embedder is not None
    assert built.embedder.dim == 256


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        (choice(model="unheard-of", base_url=OLLAMA_URL), "unknown dim"),
        (choice("openai-compatible", dim=8), "base_url"),
        (choice(base_url="file:///etc/passwd"), "http"),
        (choice("local", dim=768), "768"),
        (choice("local", model_dir=Path("/nonexistent")), "/nonexistent"),
    ],
)
def test_a_failure_degrades_to_keyword_loudly_with_its_reason(
    wrong: EmbedderChoice, word: str, caplog: pytest.LogCaptureFixture
) -> None:
    built = build_embedder(wrong)

    assert built.embedder is None
    assert built.degraded
    assert word in str(built.reason)
    assert word in caplog.text


@pytest.mark.parametrize(
    ("model", "dim"),
    [
        ("nomic-embed-text-v1.5", 768),
        ("nomic-embed-text:latest", 768),
        ("google/gemini-embedding-2", 3072),
        ("sentence-transformers/all-MiniLM-L6-v2", 384),
        ("never-heard-of", None),
    ],
)
def test_dims_of_known_models_are_found_under_vendor_and_tag(model: str, dim: int | None) -> None:
    assert known_dim(model) == dim


def test_the_key_is_in_no_repr() -> None:
    assert "hush" not in repr(choice("openai", api_key="hush"))
