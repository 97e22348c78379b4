"""Ollama and OpenAI-compatible backends, against a real server that speaks their wire format."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from typing_extensions import override

from app.domain.errors import BackendError
from app.recall.embedding.protocol import EmbeddingError, EmbeddingRefusedError
from app.recall.embedding.remote import OllamaEmbedder, OpenAIEmbedder

KEY = "sk-very-secret-0123456789"
DIM = 8


@dataclass
class Vendor:
    """What the server answers, and what it was asked."""

    status: int = 200
    body: bytes | None = None
    dim: int = DIM
    knows_embed: bool = True
    stall: threading.Event | None = None
    requests: list[tuple[str, dict[str, object], str | None]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, asked: dict[str, object]) -> tuple[int, bytes]:
        values = [
            float(n + len(str(asked.get("input", asked.get("prompt"))))) for n in range(self.dim)
        ]
        if self.body is not None or self.status != 200:
            return self.status, self.body or json.dumps({"error": f"bad key {KEY}"}).encode()
        if path == "/api/embed" and self.knows_embed:
            return 200, json.dumps({"model": "m", "embeddings": [values]}).encode()
        if path == "/api/embeddings":
            return 200, json.dumps({"embedding": values}).encode()
        if path == "/v1/embeddings":
            item = {"object": "embedding", "index": 0, "embedding": values}
            return 200, json.dumps({"object": "list", "data": [item], "usage": {}}).encode()
        return 404, b"404 page not found"


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    state = Vendor()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests.append((self.path, asked, self.headers.get("Authorization")))
            if state.stall:
                state.stall.wait(30)
                return
            status, body = state.answer(self.path, asked)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        state.url = f"http://127.0.0.1:{server.server_port}"
        yield state
        if state.stall:
            state.stall.set()
        server.shutdown()
        thread.join()


def ollama(vendor: Vendor, timeout_seconds: float = 10) -> OllamaEmbedder:
    return OllamaEmbedder(
        base_url=vendor.url + "/", model="nomic", dim=DIM, timeout_seconds=timeout_seconds
    )


def openai(
    vendor: Vendor, *, sends_dim: bool = False, timeout_seconds: float = 10
) -> OpenAIEmbedder:
    return OpenAIEmbedder(
        base_url=vendor.url + "/v1",
        model="text-embedding-3-small",
        dim=DIM,
        sends_dim=sends_dim,
        api_key=KEY,
        timeout_seconds=timeout_seconds,
    )


BOTH = pytest.mark.parametrize("make", [ollama, openai])


@BOTH
def test_a_vector_has_unit_length_and_survives_f16(vendor: Vendor, make) -> None:
    embedder = make(vendor)

    vector = embedder.embed_document("some text")

    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-3)
    assert (vector.astype(np.float16).astype(np.float32) == vector).all()
    assert embedder.dim == DIM
    embedder.close()


def test_ollama_is_asked_on_its_own_route_without_a_key(vendor: Vendor) -> None:
    ollama(vendor).embed_query("hello")
    assert vendor.requests == [("/api/embed", {"model": "nomic", "input": "hello"}, None)]


def test_an_older_ollama_is_asked_on_the_route_it_has_and_only_there_afterwards(
    vendor: Vendor,
) -> None:
    vendor.knows_embed = False
    embedder = ollama(vendor)

    embedder.embed_query("a")
    embedder.embed_query("b")

    assert [path for path, _, _ in vendor.requests] == ["/api/embed", *["/api/embeddings"] * 2]
    assert vendor.requests[1][1] == {"model": "nomic", "prompt": "a"}


def test_openai_gets_a_bearer_key_and_dimensions_only_when_chosen(vendor: Vendor) -> None:
    openai(vendor).embed_query("hello")
    openai(vendor, sends_dim=True).embed_query("hello")

    plain = {"model": "text-embedding-3-small", "input": "hello"}
    assert vendor.requests == [
        ("/v1/embeddings", plain, f"Bearer {KEY}"),
        ("/v1/embeddings", plain | {"dimensions": DIM}, f"Bearer {KEY}"),
    ]


def test_models_of_different_vendors_or_dims_have_different_fingerprints(vendor: Vendor) -> None:
    assert ollama(vendor).fingerprint == f"nomic/{DIM}/ollama"
    assert openai(vendor).fingerprint == f"text-embedding-3-small/{DIM}/127.0.0.1"


@BOTH
@pytest.mark.parametrize(
    ("status", "kind", "about_text"),
    [
        (401, EmbeddingRefusedError, False),
        (403, EmbeddingRefusedError, False),
        (404, EmbeddingRefusedError, False),
        (400, EmbeddingRefusedError, True),
        (413, EmbeddingRefusedError, True),
        (429, EmbeddingError, None),
        (500, EmbeddingError, None),
        (503, EmbeddingError, None),
    ],
)
def test_a_status_is_a_refusal_or_a_reason_to_try_again_and_never_shows_the_key(
    vendor: Vendor, make, status: int, kind: type[EmbeddingError], about_text: bool | None
) -> None:
    vendor.status = status

    with pytest.raises(BackendError) as caught:
        make(vendor).embed_document("text")

    assert type(caught.value) is kind
    assert getattr(caught.value, "is_about_text", None) is about_text
    assert caught.value.details["status"] == status
    assert KEY not in f"{caught.value!r} {caught.value.details} {caught.value.__cause__!r}"


@BOTH
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b'{"embeddings": [], "data": []}',
        b'{"embeddings": [["x"]], "data": [{"embedding": "x"}]}',
        b'{"embeddings": [[0,0,0,0,0,0,0,0]], "data": [{"embedding": [0,0,0,0,0,0,0,0]}]}',
        b'{"embeddings": [[1e999,0,0,0,0,0,0,0]], "data": [{"embedding": [1e999,0,0,0,0,0,0,0]}]}',
        b'{"embeddings": [[NaN,0,0,0,0,0,0,0]], "data": [{"embedding": [NaN,0,0,0,0,0,0,0]}]}',
    ],
)
def test_an_answer_without_a_usable_vector_is_an_error_to_try_again(
    vendor: Vendor, make, body: bytes
) -> None:
    vendor.body = body
    with pytest.raises(EmbeddingError) as caught:
        make(vendor).embed_document("text")
    assert type(caught.value) is EmbeddingError


@BOTH
def test_a_vector_of_another_dim_is_an_error_that_names_both(vendor: Vendor, make) -> None:
    vendor.dim = DIM + 1
    with pytest.raises(EmbeddingError) as caught:
        make(vendor).embed_document("text")
    assert caught.value.details == {"expected": DIM, "received": DIM + 1}


@BOTH
def test_a_silent_backend_times_out(vendor: Vendor, make) -> None:
    vendor.stall = threading.Event()
    with pytest.raises(EmbeddingError, match="in time"):
        make(vendor, timeout_seconds=0.05).embed_document("text")


@BOTH
def test_an_unreachable_backend_is_an_error_to_try_again(make) -> None:
    nobody = Vendor(url="http://127.0.0.1:1")
    with pytest.raises(EmbeddingError, match="cannot be reached"):
        make(nobody).embed_document("text")


def test_long_text_is_cut_at_a_character_before_it_is_sent(vendor: Vendor) -> None:
    openai(vendor).embed_document("é" * 40_000 + "x")
    sent = str(vendor.requests[0][1]["input"])
    assert sent == "é" * 32_768
