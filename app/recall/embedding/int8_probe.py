"""Whether this processor multiplies uint8 by int8 without saturating."""

from __future__ import annotations

import numpy as np
import onnxruntime

PROBE_SIZE = 64
PROBE_WEIGHT = 127
_ACTIVATION = 255


def signed_products_are_exact(probe: bytes) -> bool:
    """Run the graph that `int8_graph.probe_graph` makes (a few ms).

    x86 without VNNI adds pairs of products in 16 bits and clips them; uint8 weights
    avoid that, a little slower, and give the same integers. So the choice changes the
    speed and never a vector (onnxruntime manual, "Quantize ONNX models": U8S8).
    """
    session = onnxruntime.InferenceSession(probe, providers=["CPUExecutionProvider"])
    (product,) = session.run(None, {"a": np.full((1, PROBE_SIZE), _ACTIVATION, np.uint8)})
    return bool((np.asarray(product) == _ACTIVATION * PROBE_WEIGHT * PROBE_SIZE).all())
