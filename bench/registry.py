"""The list of measurements. A new one is a file with a `MEASUREMENT`, and a line here."""

from importlib import import_module

from bench.measurement import Measurement

# Name -> module, imported when asked for, so that one heavy import slows no other figure.
MODULES = {
    "baseline": "bench.baseline.raw_store",
    "raw-embedding": "bench.baseline.raw_embedding",
    "embedding": "bench.embedding",
    "vector-index": "bench.vector_index",
    "stores": "bench.load.stores",
    "postgres-stores": "bench.load.postgres_stores",
    "mesh": "bench.load.mesh",
    "mesh-sizes": "bench.load.mesh_sizes",
    "mesh-catchup": "bench.load.mesh_catchup",
    "embedding-behind": "bench.load.embedding_behind",
    "recall": "bench.recall",
    "filtered": "bench.filtered",
    "postgres-recall": "bench.postgres_recall",
    "reads": "bench.load.reads",
    "residence": "bench.residence",
    "text-leg": "bench.textleg",
    "fusion": "bench.fusion",
    "graph": "bench.graph",
    "shared-schema": "bench.load.shared_schema",
    "row-bytes": "bench.row_bytes",
}


def measurement(name: str) -> Measurement:
    """Return the measurement of that name.

    Raises:
        KeyError: There is none.
    """
    found = import_module(MODULES[name]).MEASUREMENT
    assert isinstance(found, Measurement), f"{MODULES[name]} has no MEASUREMENT"
    return found
