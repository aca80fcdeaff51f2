"""An ONNX model as a network: what `to_onnx` wrote as it was, any other as the chain of layers that it is.

m samples, s steps, e elements per step, u units, D directions.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from cgru import layers as plain
from cgru.bidirectional import PREFIXES
from cgru.interop.gates import ONNX
from cgru.interop.onnx_to import MARK, onnx_package, to_onnx
from cgru.network import Network, files
from cgru.network.network import restored
from cgru.variant import named

__all__ = ["from_onnx"]

Arrays = dict[str, np.ndarray]


def from_onnx(source: Any, weights: Mapping[str, Any] | None = None) -> Network:
    """A model that `to_onnx` wrote as it was; any other as the layers that it is a chain of, GRU nodes among them.

    Each is on all the output of the one below it: GRU; MatMul or Gemm with constant weights, and Add; Relu, LeakyRelu,
    Elu, Sigmoid, Tanh, Softmax over the elements, Clip; Add, Sub, Mul and Div with a constant or one for each element;
    first of all a Gather of tokens from a table. ReduceMean and ReduceMax over all steps are a `Pool`, as is the last
    step, taken by Gather or Slice, and last states may stand for all. In between is nothing but nodes that keep all
    numbers: Identity, Dropout in inference, a Cast to the same type, and the Transpose, Squeeze, Unsqueeze, Reshape and
    Flatten that exporters put there. A product, its bias and its function are one `Dense`.

    `predict(X, lengths, h0)` takes X (m, s, e) or tokens (m, s), whatever `layout` and the order of the axes are, and
    gives what the graph does in our order, (m, s, n) or (m, n). Where `sequence_lens` is an input of the graph it is
    `lengths` here, with GRU nodes alone from the first of them on; and where the nodes' `initial_h` are the layers of
    one input, taken out of it by Slice, Split or Gather, that is `h0`, as are inputs for each layer, one upon another.
    Missing biases are zeros. The outputs of the graph are those of the last layer, or last states. Whatever else stands
    before, between or behind is refused by name, and so is what takes two layers' outputs.

    Args:
        source: an `onnx.ModelProto`, its bytes or the path of its file, a `GraphProto` or a `NodeProto`.
        weights: arrays for those of W, R and B that are inputs, by the names that they have there.

    Raises:
        ImportError: the onnx package is not installed.
        TypeError, ValueError: the source is something else, or holds what has no counterpart here, with the reason.
    """
    onnx = onnx_package()
    if isinstance(source, str | os.PathLike | bytes):
        source = _loaded(onnx, source)
    opsets, functions = {"": onnx.defs.onnx_opset_version()}, set()
    if isinstance(source, onnx.ModelProto):
        opsets = {"" if opset.domain == "ai.onnx" else opset.domain: opset.version for opset in source.opset_import}
        functions = {("" if own.domain == "ai.onnx" else own.domain, own.name) for own in source.functions}
        net = _own(onnx, source)
        if net is not None:
            return net
        source = source.graph
    if isinstance(source, onnx.NodeProto):
        inputs = [onnx.ValueInfoProto(name=name) for name in source.input if name]
        outputs = [onnx.ValueInfoProto(name=name) for name in source.output if name]
        source = onnx.helper.make_graph([source], "node", inputs, outputs)
    if not isinstance(source, onnx.GraphProto):
        raise TypeError(f"source: expected an ONNX model, graph or node, or a path, got {type(source).__name__}")
    from cgru.interop.onnx_reader import Reader  # whose import would cost everybody's

    return Network(Reader(onnx, source, dict(weights or {}), opsets, functions).chain.layers)


def _loaded(onnx: Any, source: Any) -> Any:
    from google.protobuf.message import DecodeError  # which onnx depends on

    try:
        return onnx.load_model_from_string(source) if isinstance(source, bytes) else onnx.load(os.fspath(source))
    except DecodeError as error:
        raise ValueError(f"source: expected an ONNX model, got something else ({error})") from None


# --- what to_onnx wrote ---


def _own(onnx: Any, proto: Any) -> Network | None:
    """The network that the model was written from; None where it was not, or was changed since."""
    marks = [entry.value for entry in proto.metadata_props if entry.key == MARK]
    try:
        mark = json.loads(marks[0])
        found = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
        model = json.loads(mark.pop("model"))
        arrays, dtype = _unstacked(found, model["layers"])
        layers, settings, standardisation = files.unpacked({"model": np.array(json.dumps(model)), **arrays})
        net = restored(layers, settings, standardisation)
        again = to_onnx(net, dtype=dtype, **mark)
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError):
        return None
    return net if _told(again) == _told(proto) else None


def _told(proto: Any) -> tuple[Any, ...]:
    """All of a model that its outputs depend on."""
    opsets = sorted((opset.domain, opset.version) for opset in proto.opset_import)
    return proto.graph.SerializeToString(deterministic=True), opsets, len(proto.functions)


def _unstacked(found: Arrays, layers: list[dict[str, Any]]) -> tuple[Arrays, np.dtype]:
    """The parameters by the names that a model file gives them, and their dtype, which the layers now have too."""
    arrays = {name: found[name] for name in ("mean", "scale") if name in found}
    dtype = next((value.dtype for name, value in found.items() if name.endswith((".W", ".E", ".scale"))), None)
    for i, layer in enumerate(layers):
        part = layer.get("layer", layer)
        if "dtype" in part:
            part["dtype"] = dtype.name
        if part["class"] != "GRU":
            names = getattr(plain, part["class"]).parameter_names
            arrays |= {f"{i}.{name}": np.atleast_2d(found[f"{i}.{name}"]) for name in names}
            continue
        W, R, B = (found[f"{i}.{name}"] for name in "WRB")
        for d, prefix in enumerate(PREFIXES if part is not layer else ("",)):
            p = ONNX.ours(W[d], R[d], *np.split(B[d], 2), named(part["variant"]))
            if part.get("learn_h0"):
                p["h0"] = found[f"{i}.h0"].reshape(len(W), 1, -1)[d]
            arrays |= {f"{i}.{prefix}{name}": value for name, value in p.items()}
    return arrays, dtype
