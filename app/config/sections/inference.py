"""Language models, embeddings, reranking and confidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from app.config.key import Key, OnInvalid
from app.config.secret import Secret
from app.config.section import Section
from app.config.values import EmbeddingModel, Flag, NonEmpty, Positive, Share, Whole

_RATHER_THAN_A_KEY = "keys themselves are never written here; exclusive with the other of the two"


class AutoTag(Section):
    """The model for short structured calls; what is unset comes from `[llm]`."""

    backend: Annotated[NonEmpty | None, Key("As `llm.backend`.")] = None
    model: Annotated[NonEmpty | None, Key("As `llm.model`.", legacy=("auto_tag_model",))] = None
    base_url: Annotated[NonEmpty | None, Key("As `llm.base_url`.")] = None
    api_key_env: Annotated[
        NonEmpty | None, Key("Variable that holds the key.", note=_RATHER_THAN_A_KEY)
    ] = None
    api_key_file: Annotated[
        Path | None, Key("File that holds the key, mode 0400.", note=_RATHER_THAN_A_KEY)
    ] = None


class Llm(Section):
    """The language model."""

    backend: Annotated[
        NonEmpty,
        Key(
            "Vendor or wire shape, such as `ollama`, `openai`, `openai-compatible`.",
            env=("AI_MEMORY_LLM_BACKEND",),
        ),
    ] = "ollama"
    model: Annotated[
        NonEmpty | None,
        Key(
            "The model's name, passed on as it is.",
            env=("AI_MEMORY_LLM_MODEL",),
            legacy=("llm_model",),
            note="unset: the backend's own",
        ),
    ] = None
    base_url: Annotated[
        NonEmpty | None,
        Key(
            "Address of the API.",
            env=("AI_MEMORY_LLM_BASE_URL",),
            legacy=("ollama_url",),
            note="unset: the backend's own; `openai-compatible` needs it. `OLLAMA_BASE_URL` is "
            "read after its variable when the backend is `ollama`",
        ),
    ] = None
    api_key: Annotated[
        Secret | None,
        Key(
            "The key.",
            env=("AI_MEMORY_LLM_API_KEY",),
            in_file=False,
            note="else the vendor's variable, `api_key_env`, `api_key_file`",
        ),
    ] = None
    api_key_env: Annotated[
        NonEmpty | None, Key("Variable that holds the key.", note=_RATHER_THAN_A_KEY)
    ] = None
    api_key_file: Annotated[
        Path | None, Key("File that holds the key, mode 0400.", note=_RATHER_THAN_A_KEY)
    ] = None
    auto_tag: AutoTag = Field(default_factory=AutoTag)


class Embeddings(Section):
    """Vectors for recall by meaning."""

    backend: Annotated[
        NonEmpty,
        Key(
            "Vendor or wire shape, as `llm.backend`; (ours) `local` runs a model in this process.",
            env=("AI_MEMORY_EMBED_BACKEND",),
            note="with nothing set, tier `semantic` uses `local`",
        ),
    ] = "ollama"
    base_url: Annotated[
        NonEmpty | None,
        Key(
            "Address of the API.",
            env=("AI_MEMORY_EMBED_BASE_URL",),
            also=("url",),
            legacy=("embed_url", "ollama_url"),
            note="unset: the backend's own; `openai-compatible` needs it",
        ),
    ] = None
    model: Annotated[
        EmbeddingModel,
        Key("The model's name.", env=("AI_MEMORY_EMBED_MODEL",), legacy=("embedding_model",)),
    ] = "nomic-embed-text-v1.5"
    model_dir: Annotated[
        Path | None,
        Key(
            "Folder with an ONNX sentence model and its `tokenizer.json`, for backend `local`.",
            ours=True,
            note="unset: the packaged MiniLM",
        ),
    ] = None
    api_key: Annotated[
        Secret | None,
        Key(
            "The key.",
            env=("AI_MEMORY_EMBED_API_KEY",),
            in_file=False,
            note="else the vendor's variable, `api_key_env`, `api_key_file`",
        ),
    ] = None
    api_key_env: Annotated[
        NonEmpty | None, Key("Variable that holds the key.", note=_RATHER_THAN_A_KEY)
    ] = None
    api_key_file: Annotated[
        Path | None, Key("File that holds the key, mode 0400.", note=_RATHER_THAN_A_KEY)
    ] = None
    dim: Annotated[
        Positive | None,
        Key("Length of a vector; unset: known from the model.", unit="numbers"),
    ] = None
    backfill_batch: Annotated[
        Annotated[Whole, Field(ge=1, le=10_000)],
        Key(
            "Rows that one pass over missing vectors takes.",
            unit="rows",
            env=("AI_MEMORY_EMBED_BACKFILL_BATCH",),
            on_invalid=OnInvalid.DEFAULT,
            note="1 .. 10000",
        ),
    ] = 100
    offline: Annotated[
        Flag,
        Key(
            "Never fetch a model; use what is already here.",
            env=("AI_MEMORY_EMBED_OFFLINE", "HF_HUB_OFFLINE"),
            in_file=False,
        ),
    ] = False


class Reranker(Section):
    """The cross-encoder that reorders the best results."""

    enabled: Annotated[
        Flag,
        Key("Rerank.", legacy=("cross_encoder",), note="unset: true on tier `autonomous` only"),
    ] = False
    model: Annotated[NonEmpty, Key("The model's name.")] = "ms-marco-MiniLM-L-6-v2"
    max_seq_tokens: Annotated[
        Annotated[Whole, Field(ge=1, le=512)],
        Key(
            "Tokens of a pair that the model reads.",
            unit="tokens",
            env=("AI_MEMORY_RERANK_MAX_SEQ",),
            on_invalid=OnInvalid.NEXT_LAYER,
            note="1 .. 512",
        ),
    ] = 256


class Confidence(Section):
    """Automatic confidence."""

    auto: Annotated[
        Flag,
        Key(
            "Estimate the confidence of a memory stored without one.",
            env=("AI_MEMORY_AUTO_CONFIDENCE",),
            in_file=False,
        ),
    ] = False
    decay: Annotated[
        Flag,
        Key(
            "Let confidence fade with age.",
            env=("AI_MEMORY_CONFIDENCE_DECAY",),
            in_file=False,
        ),
    ] = False
    shadow: Annotated[
        Flag,
        Key(
            "Note estimated confidences beside the stored ones, without using them.",
            env=("AI_MEMORY_CONFIDENCE_SHADOW",),
            in_file=False,
        ),
    ] = False
    shadow_sample_rate: Annotated[
        Share,
        Key(
            "Share of stores noted in shadow.",
            env=("AI_MEMORY_CONFIDENCE_SHADOW_SAMPLE_RATE",),
            on_invalid=OnInvalid.NEXT_LAYER,
            in_file=False,
            note="0.0 .. 1.0",
        ),
    ] = 0.0
    shadow_retention_days: Annotated[
        Whole,
        Key("Age at which shadow notes are purged.", unit="days", note="0 or below: never"),
    ] = 30
