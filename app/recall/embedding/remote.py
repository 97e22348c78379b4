"""Embedders behind HTTP: Ollama, and whatever speaks OpenAI's `/embeddings`.

Errors name the address and the status, never a header or the answer's text: vendors
repeat the key in it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np

from app.recall.embedding.protocol import (
    EMBEDDING_INPUT_BYTES_MAX,
    EmbeddingError,
    EmbeddingRefusedError,
    cut_to_bytes,
    unit_vector,
)

if TYPE_CHECKING:
    from app.recall.embedding.protocol import Vector

_Answer = TypeVar("_Answer")

# Past these the vendor asks to come back later.
_TRY_AGAIN = frozenset(
    {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
)
_ABOUT_THE_TEXT = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)


class _OllamaRequest(msgspec.Struct):
    model: str
    input: str


class _OllamaAnswer(msgspec.Struct):
    embeddings: list[list[float]]


class _OldOllamaRequest(msgspec.Struct):
    model: str
    prompt: str


class _OldOllamaAnswer(msgspec.Struct):
    embedding: list[float]


class _OpenAIRequest(msgspec.Struct, omit_defaults=True):
    model: str
    input: str
    dimensions: int | None = None


class _OpenAIItem(msgspec.Struct):
    embedding: list[float]


class _OpenAIAnswer(msgspec.Struct):
    data: list[_OpenAIItem]


class _Endpoint:
    """One vendor's address."""

    def __init__(self, base_url: str, api_key: str | None, timeout_seconds: float) -> None:
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._base_url = base_url.rstrip("/")
        self.name = urlsplit(base_url).hostname or base_url
        self._client = httpx.Client(
            headers=headers | {"Content-Type": "application/json"}, timeout=timeout_seconds
        )

    def ask(self, path: str, body: msgspec.Struct, shape: type[_Answer]) -> _Answer:
        """Post `body` and parse what comes back.

        Raises:
            EmbeddingRefusedError: On a status that repeating cannot change.
            EmbeddingError: On anything else; trying again later can help.
        """
        content = msgspec.json.encode(body)
        try:
            response = self._client.post(self._base_url + path, content=content)
        except httpx.TimeoutException as error:
            raise EmbeddingError(f"{self.name} did not answer in time") from error
        except httpx.HTTPError as error:
            raise EmbeddingError(
                f"{self.name} cannot be reached ({type(error).__name__})"
            ) from error
        status = response.status_code
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
            raise EmbeddingError(f"{self.name} answered {status}", status=status)
        if status != HTTPStatus.OK:
            raise EmbeddingRefusedError(
                f"{self.name} answered {status}",
                is_about_text=status in _ABOUT_THE_TEXT,
                status=status,
            )
        try:
            return msgspec.json.decode(response.content, type=shape)
        except msgspec.DecodeError as error:
            raise EmbeddingError(f"{self.name} answered something else than vectors") from error

    def close(self) -> None:
        self._client.close()


class OllamaEmbedder:
    """Ollama's `/api/embed`, or `/api/embeddings` of a version that lacks the first."""

    def __init__(self, *, base_url: str, model: str, dim: int, timeout_seconds: float) -> None:
        self._endpoint = _Endpoint(base_url, None, timeout_seconds)
        self._model = model
        self._dim = dim
        self._is_old = False

    @property
    def fingerprint(self) -> str:
        """The vendor keeps the revision to itself: the model's name stands for it."""
        return f"{self._model}/{self._dim}/ollama"

    @property
    def dim(self) -> int:
        return self._dim

    def embed_query(self, text: str) -> Vector:
        return self.embed_document(text)

    def embed_document(self, text: str) -> Vector:
        text = cut_to_bytes(text, EMBEDDING_INPUT_BYTES_MAX)
        return _single([self._ask_old(text)] if self._is_old else self._ask(text), self._dim)

    def close(self) -> None:
        self._endpoint.close()

    def _ask(self, text: str) -> list[list[float]]:
        request = _OllamaRequest(self._model, text)
        try:
            return self._endpoint.ask("/api/embed", request, _OllamaAnswer).embeddings
        except EmbeddingRefusedError as error:
            if error.details.get("status") != HTTPStatus.NOT_FOUND:
                raise
            # Either the route or the model is unknown; the older route tells them apart.
            values = self._ask_old(text)
            self._is_old = True
            return [values]

    def _ask_old(self, text: str) -> list[float]:
        request = _OldOllamaRequest(self._model, text)
        return self._endpoint.ask("/api/embeddings", request, _OldOllamaAnswer).embedding


class OpenAIEmbedder:
    """Any endpoint with OpenAI's `/embeddings`."""

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        dim: int,
        sends_dim: bool,
        api_key: str | None,
        timeout_seconds: float,
    ) -> None:
        """An embedder; no request is made yet.

        Args:
            base_url: With the version, as in `https://api.openai.com/v1`.
            model: The vendor's name of it.
            dim: What the answers must have.
            sends_dim: Whether to ask for `dim` (`dimensions`); not every model takes it.
            api_key: Sent as a bearer token if given.
            timeout_seconds: For connecting, and for each wait on the socket.
        """
        self._endpoint = _Endpoint(base_url, api_key, timeout_seconds)
        self._model = model
        self._dim = dim
        self._sends_dim = sends_dim

    @property
    def fingerprint(self) -> str:
        """The vendor keeps the revision to itself: the model's name stands for it."""
        return f"{self._model}/{self._dim}/{self._endpoint.name}"

    @property
    def dim(self) -> int:
        return self._dim

    def embed_query(self, text: str) -> Vector:
        return self.embed_document(text)

    def embed_document(self, text: str) -> Vector:
        text = cut_to_bytes(text, EMBEDDING_INPUT_BYTES_MAX)
        dimensions = self._dim if self._sends_dim else None
        request = _OpenAIRequest(self._model, text, dimensions)
        answer = self._endpoint.ask("/embeddings", request, _OpenAIAnswer)
        return _single([item.embedding for item in answer.data], self._dim)

    def close(self) -> None:
        self._endpoint.close()


def _single(vectors: list[list[float]], dim: int) -> Vector:
    if len(vectors) != 1:
        raise EmbeddingError(f"{len(vectors)} vectors came back for one text")
    return unit_vector(np.asarray(vectors[0], np.float64), dim)
