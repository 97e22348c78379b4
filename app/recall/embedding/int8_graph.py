"""Makes an int8-weight ONNX graph compute in int8 too.

A graph exported with int8 weights often only stores them so: `Mul(Cast(weight), scale)`
widens them and the product runs in 32-bit floats. Here each such product with its bias
becomes one `DynamicQuantizeMatMul` (onnxruntime's contributed operators) over the very
same int8 weights, activations being rounded to 8 bits on the way in. Figures in
bench/embedding.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import helper, numpy_helper

from app.recall.embedding.int8_probe import (
    PROBE_SIZE,
    PROBE_WEIGHT,
    signed_products_are_exact,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from onnx import GraphProto, NodeProto, TensorProto

_DOMAIN = "com.microsoft"
_ZERO_POINT = 128  # of weights moved from int8 to uint8


@dataclass(frozen=True, slots=True)
class _Product:
    """One `MatMul(input, Mul(Cast(weight), scale)) + bias` of the graph."""

    matmul: NodeProto
    add: NodeProto
    widened: tuple[NodeProto, NodeProto]
    weight: TensorProto
    scale: TensorProto
    bias: str


def int8_computing(path: Path) -> bytes:
    """The graph in `path`, rewritten; serialised.

    Raises:
        ValueError: If it holds no product of the expected shape.
    """
    model = onnx.load(str(path))
    products = list(_products(model.graph))
    if not products:
        raise ValueError(f"{path} has no int8 products to rewrite")
    signed = _signed_products_are_exact()
    fused: dict[str, NodeProto] = {}
    gone = set[str]()
    for product in products:
        node, tensors = _fuse(product, signed=signed)
        fused[product.add.output[0]] = node
        gone |= {product.matmul.output[0], *(n.output[0] for n in product.widened)}
        model.graph.initializer.extend(tensors)
    nodes = [fused.get(n.output[0], n) for n in model.graph.node if n.output[0] not in gone]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    tensors_kept = [t for t in model.graph.initializer if t.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(tensors_kept)
    if all(opset.domain != _DOMAIN for opset in model.opset_import):
        model.opset_import.append(helper.make_opsetid(_DOMAIN, 1))
    serialised: bytes = model.SerializeToString()
    return serialised


def _products(graph: GraphProto) -> Iterator[_Product]:
    tensors: Mapping[str, TensorProto] = {t.name: t for t in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    users: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            users.setdefault(name, []).append(node)
    for matmul in graph.node:
        widen = makers.get(matmul.input[1]) if matmul.op_type == "MatMul" else None
        cast = makers.get(widen.input[0]) if widen and widen.op_type == "Mul" else None
        add = users.get(matmul.output[0], [matmul])[0]
        if not widen or not cast or cast.op_type != "Cast" or add.op_type != "Add":
            continue
        weight, scale = tensors.get(cast.input[0]), tensors.get(widen.input[1])
        (bias,) = [name for name in add.input if name != matmul.output[0]]
        only = all(len(users[n.output[0]]) == 1 for n in (matmul, widen, cast))
        if only and weight is not None and scale is not None and bias in tensors:
            yield _Product(matmul, add, (widen, cast), weight, scale, bias)


def _fuse(product: _Product, *, signed: bool) -> tuple[NodeProto, list[TensorProto]]:
    name = product.weight.name
    weight = numpy_helper.to_array(product.weight)
    scale = numpy_helper.to_array(product.scale).reshape(-1).astype(np.float32)
    zero = np.zeros(len(scale), np.int8)
    if not signed:
        weight = (weight.astype(np.int16) + _ZERO_POINT).astype(np.uint8)
        zero = np.full(len(scale), _ZERO_POINT, np.uint8)
    tensors = [
        numpy_helper.from_array(weight, f"{name}.weight"),
        numpy_helper.from_array(scale, f"{name}.scale"),
        numpy_helper.from_array(zero, f"{name}.zero"),
    ]
    inputs = [product.matmul.input[0], *(tensor.name for tensor in tensors), product.bias]
    node = helper.make_node(
        "DynamicQuantizeMatMul", inputs, [product.add.output[0]], domain=_DOMAIN, name=name
    )
    return node, tensors


def probe_graph() -> bytes:
    """A product that comes out wrong where uint8 by int8 saturates; see `int8_probe`."""
    node = helper.make_node("MatMulInteger", ["a", "b"], ["c"])
    weight = np.full((PROBE_SIZE, PROBE_SIZE), PROBE_WEIGHT, np.int8)
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info("a", onnx.TensorProto.UINT8, [1, PROBE_SIZE])],
        [helper.make_tensor_value_info("c", onnx.TensorProto.INT32, [1, PROBE_SIZE])],
        [numpy_helper.from_array(weight, "b")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    serialised: bytes = model.SerializeToString()
    return serialised


def _signed_products_are_exact() -> bool:
    return signed_products_are_exact(probe_graph())
