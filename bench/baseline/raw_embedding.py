"""How fast the local model embeds when nothing else is done; the ruler for the backlog."""

import time
from collections.abc import Sequence

from app.recall.embedding.local import LocalEmbedder
from app.recall.embedding.protocol import Embedder, EmbedderUnavailableError, embedding_text
from bench.baseline.rows import Row, make_rows
from bench.measurement import Finding, Measurement, MeasurementError, Options, Spread

ROWS_DEFAULT = 100


def open_embedder() -> Embedder:
    """Load the packaged model.

    Raises:
        MeasurementError: It is not installed.
    """
    try:
        return LocalEmbedder.packaged()
    except EmbedderUnavailableError as error:
        raise MeasurementError(f"no local embedding model: {error}") from error


def embeddings_per_second(embedder: Embedder, rows: Sequence[Row]) -> float:
    """Embed the rows in one thread, one text a call (batches gain nothing on a processor)."""
    texts = [embedding_text(row.title, row.content) for row in rows]
    embedder.embed_document(texts[0])  # the first call also allocates
    started = time.perf_counter()
    for text in texts:
        embedder.embed_document(text)
    return len(texts) / (time.perf_counter() - started)


def run(options: Options) -> tuple[Finding, ...]:
    embedder = open_embedder()
    try:
        rates = [
            embeddings_per_second(embedder, make_rows(options.rows or ROWS_DEFAULT, number))
            for number in range(options.repeats)
        ]
    finally:
        embedder.close()
    return (Finding("embeddings, one thread", "1/s", Spread.of(rates)),)


MEASUREMENT = Measurement(
    "raw-embedding",
    "The packaged embedding model over memories of 1 kB, in one thread, with nothing stored.",
    run,
)
