"""A sentence model in this process, on onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from app.recall.embedding.model_directory import packaged_model
from app.recall.embedding.protocol import (
    EmbedderUnavailableError,
    EmbeddingError,
    cut_to_bytes,
    unit_vector,
)

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from app.recall.embedding.model_directory import SentenceModel
    from app.recall.embedding.protocol import Vector

# Text this long always fills a model's window (a piece of natural text is 3 to 5 bytes),
# so the rest is not even tokenized.
_BYTES_PER_TOKEN = 32


class _Port(Protocol):
    name: str
    shape: list[int | str | None]


class _Session(Protocol):
    """The part of onnxruntime.InferenceSession that is used here."""

    def get_inputs(self) -> list[_Port]: ...

    def get_outputs(self) -> list[_Port]: ...

    def run(
        self, output_names: list[str], input_feed: dict[str, NDArray[np.int64]]
    ) -> list[NDArray[np.float32]]: ...


class _Encoding(Protocol):
    ids: list[int]


class _Tokenizer(Protocol):
    def encode(self, sequence: str) -> _Encoding: ...


class LocalEmbedder:
    """One text a call, in the caller's own thread, without a lock.

    Batches are slower on a CPU (padding and cache misses), and with int8 activations a
    vector would depend on its neighbours. The session has no threads of its own, so a
    query never queues behind a document; both share one copy of the weights.
    """

    def __init__(self, model: SentenceModel, kept_at: Path | None = None) -> None:
        """Load the model (some 0.3 s).

        Args:
            model: What to load.
            kept_at: Where a rewritten graph is kept for the next start; see `int8_cache`.

        Raises:
            EmbedderUnavailableError: If the extra is missing or the model cannot be run.
        """
        self._model = model
        try:
            revision = model.revision()
            self._session = _load_session(model, revision, kept_at)
            self._tokenizer = _load_tokenizer(model)
        except ImportError as error:
            raise EmbedderUnavailableError(
                f"local embeddings need {error.name}; install the extra: ai-memory[embeddings]"
            ) from error
        except Exception as error:  # the runtimes raise types of their own, without a base
            raise EmbedderUnavailableError(f"{model.graph} cannot be run: {error}") from error
        self._inputs = {port.name for port in self._session.get_inputs()}
        output = self._session.get_outputs()[0]
        self._output = output.name
        dim = output.shape[-1]
        self._dim = dim if isinstance(dim, int) else len(self._infer("dim"))
        self._fingerprint = f"{model.name}/{self._dim}/{revision}"

    @classmethod
    def packaged(cls, kept_at: Path | None = None) -> LocalEmbedder:
        """MiniLM from the installed packages; `kept_at` as in the constructor.

        Raises:
            EmbedderUnavailableError: If they are not installed.
        """
        return cls(packaged_model(), kept_at)

    @property
    def fingerprint(self) -> str:
        return self._fingerprint

    @property
    def dim(self) -> int:
        return self._dim

    def embed_query(self, text: str) -> Vector:
        return self.embed_document(text)

    def embed_document(self, text: str) -> Vector:
        return unit_vector(self._infer(text), self._dim)

    def close(self) -> None:
        """Nothing to close: the session goes with the object."""

    def _infer(self, text: str) -> NDArray[np.float32]:
        """The pooled output, of whatever length."""
        text = cut_to_bytes(text, self._model.tokens_max * _BYTES_PER_TOKEN)
        ids = np.asarray([self._tokenizer.encode(text).ids], np.int64)
        feed = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "token_type_ids": np.zeros_like(ids),
        }
        try:
            (output,) = self._session.run(
                [self._output], {name: feed[name] for name in self._inputs}
            )
        except Exception as error:  # the runtime raises types of its own, without a base
            raise EmbeddingError(f"the model {self._model.name} failed on a text") from error
        rows: NDArray[np.float32] = output[0]
        if rows.ndim == 1:  # the graph pools by itself
            return rows
        pooled: NDArray[np.float32] = rows[0] if self._model.pooling == "cls" else rows.mean(axis=0)
        return pooled


def _load_session(model: SentenceModel, revision: str, kept_at: Path | None) -> _Session:
    import onnxruntime  # noqa: PLC0415  # an optional extra, and slow to import

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Texts differ in length, so a plan of one run's buffers hardly ever serves another and costs
    # 20 MB after a few long texts; a run is as fast without.
    options.enable_mem_pattern = False
    graph: str | bytes = str(model.graph)
    if model.computes_in_int8:
        graph = _int8_graph(model.graph, revision, kept_at)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return cast("_Session", session)


def _int8_graph(source: Path, revision: str, kept_at: Path | None) -> str | bytes:
    """The path of the kept graph, or the graph itself if there is no keeping it."""
    if kept_at is not None:
        from app.recall.embedding.int8_cache import kept_graph  # noqa: PLC0415  # the same

        kept = kept_graph(source, revision, kept_at)
        if kept is not None:
            return str(kept)
    from app.recall.embedding.int8_graph import int8_computing  # noqa: PLC0415  # the same

    return int8_computing(source)


def _load_tokenizer(model: SentenceModel) -> _Tokenizer:
    from tokenizers import Tokenizer  # noqa: PLC0415  # an optional extra

    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    tokenizer.no_padding()
    tokenizer.enable_truncation(model.tokens_max)
    return cast("_Tokenizer", tokenizer)
