"""The model file: an `.npz` that loads with `allow_pickle=False`.

Its arrays: `format`, the number of the format; `model`, a JSON text with the layers and the network's settings; the
parameters of layer i as `i.name`; `mean` and `scale` where the model has a standardisation.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np

from cgru import activations, initializers
from cgru.bidirectional import PREFIXES, Bidirectional
from cgru.gru import GRU
from cgru.layers.dense import Dense
from cgru.layers.dropout import Dropout
from cgru.layers.embedding import Embedding
from cgru.layers.flip import Flip
from cgru.layers.layer import Layer
from cgru.layers.pool import Pool
from cgru.reference import PARAMETERS, names

__all__ = ["FORMAT", "beside", "packed", "read", "refused", "unpacked", "write"]

FORMAT = 1
VARIANTS = ("reset_before", "reset_after")  # the matrix product


@dataclass(frozen=True)
class _Kind:
    """How a layer of one class stands in a file."""

    type: type
    sizes: dict[str, Callable[[Any], Any]]  # the arguments that come first, and where a layer keeps them
    callables: tuple[str, ...] = ()
    options: tuple[str, ...] = ()  # arguments that JSON can hold, under the names of the attributes
    parameters: tuple[str, ...] = ()


def _units(layer: GRU | Layer) -> int:
    return layer.d["u"]


_WHERE_ON = ("reverse", "dropout", "recurrent_dropout", "zoneout", "stateful")  # a GRU's options, else left out
_GATES = ("activate", "activate_update", "activate_reset")
_KINDS = {
    kind.type.__name__: kind
    for kind in (
        _Kind(GRU, {"units": _units}, (*_GATES, "initialization"), ("sequences", "clip_gradients"), PARAMETERS),
        _Kind(Bidirectional, {}),
        _Kind(Dense, {"units": _units}, ("activate", "initialization"), (), ("W", "b")),
        _Kind(Embedding, {"tokens": lambda layer: layer.d["v"], "units": _units}, ("initialization",), (), ("E",)),
        _Kind(Dropout, {"rate": lambda layer: layer.rate}),
        _Kind(Flip, {}),
        _Kind(Pool, {"how": lambda layer: layer.how}),
    )
}
_INITIALIZERS = {name: getattr(initializers, name) for name in initializers.__all__}
_SETTINGS = ("loss", "class_names", "seed")

Path = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]


def refused(path: Path, why: Any) -> ValueError:
    """The error for a file that is no model."""
    return ValueError(f"{os.fspath(path)} is not a cgru model: {why}")


# --- writing ---


def write(
    path: Path, layers: Sequence[GRU | Layer], settings: Mapping[str, Any], standardisation: Mapping[str, np.ndarray]
) -> None:
    """Write a model to exactly `path`, whole or not at all.

    ValueError for what is not from this package, RuntimeError for missing parameters, before a file is touched.
    """
    arrays = {"format": np.array(FORMAT), **packed(layers, settings, standardisation)}
    with beside(path) as file:
        np.savez(file, **arrays)


@contextlib.contextmanager
def beside(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path` that takes its place once all is written, so that no half of one ever stands there."""
    path = os.path.realpath(path)  # a link stays a link
    temporary = os.path.join(os.path.dirname(path), f".cgru-{secrets.token_hex(8)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        if os.path.exists(temporary):
            os.remove(temporary)
        raise


def packed(
    layers: Sequence[GRU | Layer], settings: Mapping[str, Any], standardisation: Mapping[str, np.ndarray]
) -> Arrays:
    """A model as arrays: all that stand in its file but `format`. Errors are those of `write`."""
    model = {"layers": [_description(layer, i) for i, layer in enumerate(layers)], **settings}
    arrays = {"model": np.array(json.dumps(model)), **standardisation}
    widths = _widths(layers)
    for i, layer in enumerate(layers):
        for name, shape in _shapes(layer, widths[i]).items():
            if np.shape(layer.p[name]) != shape:
                raise ValueError(f"layers: expected {name} of layer {i} with shape {shape}, got {layer.p[name].shape}")
            arrays[f"{i}.{name}"] = np.asarray(layer.p[name], layer.dtype)
    return arrays


def _kind(layer: GRU | Layer) -> _Kind:
    return _KINDS[type(layer).__name__]


def _description(layer: GRU | Layer, i: int) -> dict[str, Any]:
    """What a layer is made of, in JSON's types."""
    name = type(layer).__name__
    kind = _KINDS.get(name)
    if kind is None or kind.type is not type(layer):
        raise ValueError(f"layers: expected cgru's own to save, got {name} as layer {i}")
    if kind.type is Bidirectional:
        return {"class": name, "merge": layer.merge, "layer": _alike(layer, i)}
    missing = [name for name in _names(layer) if name not in layer.p]
    if missing:
        raise RuntimeError(
            f"layers: expected parameters to save, got no {missing[0]} in layer {i}: fit or predict first"
        )
    description = {"class": name, **{size: get(layer) for size, get in kind.sizes.items()}}
    if kind.parameters:
        description["dtype"] = layer.dtype.name
    for role in kind.callables:
        f = getattr(layer, role)
        if role == "initialization":
            name = next((name for name, own in _INITIALIZERS.items() if own is f), None)
        else:
            own = activations.ours(f)
            name = None if own is None else activations.name_of(own)
        if name is None:
            raise ValueError(f"{role}: expected one of cgru's own to save, got {activations.name_of(f)} in layer {i}")
        description[role] = name
    if "activate" in kind.callables:
        numbers, known = layer.se_hPars, activations.DEFAULTS
        description["se_hPars"] = None if numbers is None else {k: float(numbers[k]) for k in known if k in numbers}
    description["trainable"] = bool(layer.trainable)
    description |= {option: _plain(getattr(layer, option)) for option in kind.options}
    if kind.type is GRU:
        description["variant"] = VARIANTS[layer.reset_after]
        description |= {option: getattr(layer, option) for option in _WHERE_ON if getattr(layer, option)}
    return description


def _alike(layer: Bidirectional, i: int) -> dict[str, Any]:
    """The description of the first of the two layers; ValueError where the twin is not made like it."""
    first, second = (_description(half, i) for half in layer.halves)
    flags = first.get("reverse", False), second.pop("reverse", False)
    if flags[0] == flags[1] or second != {key: value for key, value in first.items() if key != "reverse"}:
        raise ValueError(
            f"layers: expected a twin like the other but for its direction, got {layer.halves} in layer {i}"
        )
    return first


def _plain(value: Any) -> Any:
    """A setting as JSON has it: NumPy's numbers and booleans as Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _names(layer: GRU | Layer) -> tuple[str, ...]:
    """The parameters of a layer; of those of the first layer that has any, the first has a row for each element."""
    if isinstance(layer, Bidirectional):
        return tuple(prefix + name for prefix in PREFIXES for name in names(layer.reset_after))
    return names(layer.reset_after) if isinstance(layer, GRU) else _kind(layer).parameters


def _widths(layers: Sequence[GRU | Layer]) -> list[int]:
    """How many elements each layer gets."""
    widths = [next(len(layer.p[_names(layer)[0]]) for layer in layers if _names(layer))]
    for layer in layers:
        widths.append(layer.d.get("u", widths[-1]))
    return widths


def _shapes(layer: GRU | Layer, e: int) -> dict[str, tuple[int, int]]:
    """The shape of each parameter of a layer that gets `e` elements."""
    u = getattr(layer, "forward_layer", layer).d.get("u", e)
    rows = {"U": e, "W": e, "V": u, "b": 1, "c": 1, "E": layer.d.get("v")}
    return {name: (rows[name.rpartition(".")[2][0]], u) for name in _names(layer)}


# --- reading ---


def read(path: Path) -> tuple[list[GRU | Layer], dict[str, Any], Arrays]:
    """The layers with their parameters, the network's settings and its standardisation, as `write` got them.

    ValueError for a file that is damaged, foreign or newer; OSError where it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            return unpacked(_arrays(file))
        except KeyError as error:
            raise refused(path, f"{error} is missing") from None
        except ValueError as error:
            raise refused(path, error) from None
        except Exception as error:  # a damaged file fails in more ways than can be listed
            raise refused(path, f"it is damaged ({type(error).__name__}: {error})") from None


def unpacked(arrays: Arrays) -> tuple[list[GRU | Layer], dict[str, Any], Arrays]:
    """What `packed` made these arrays of; KeyError for one that is missing, ValueError for one that does not fit."""
    arrays = dict(arrays)
    model = json.loads(str(arrays.pop("model")[()]))
    layers = [_layer(description) for description in model["layers"]]
    settings = {name: model[name] for name in _SETTINGS}
    standardisation = {name: arrays.pop(name) for name in ("mean", "scale") if name in arrays}
    _check_standardisation(standardisation, _fill(layers, arrays))
    return layers, settings, standardisation


def _arrays(file: Any) -> Arrays:
    """All arrays of the file but the format's number, in the machine's byte order."""
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no .npz archive, or only a part of one")
    file.seek(0)
    with np.load(file, allow_pickle=False) as npz:
        if "format" not in npz.files:
            raise KeyError("format")
        number = npz["format"]
        if number.shape != () or number.dtype.kind not in "iu" or number < 1:
            raise ValueError(f"format: expected a number from 1 to {FORMAT}, got {number}")
        if number > FORMAT:
            raise ValueError(f"its format {number} is newer than {FORMAT}, the latest that this version of cgru reads")
        arrays = {name: npz[name] for name in npz.files if name != "format"}
    return {name: a.astype(a.dtype.newbyteorder("="), copy=False) for name, a in arrays.items()}


def _layer(description: Mapping[str, Any]) -> GRU | Layer:
    """A layer without parameters."""
    options = dict(description)
    kind = _KINDS[options.pop("class")]
    if kind.type is Bidirectional:
        return Bidirectional(_layer(options["layer"]), options["merge"])
    sizes, trainable = [options.pop(size) for size in kind.sizes], options.pop("trainable")
    if kind.type is GRU:
        variant = options.pop("variant")
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected {' or '.join(VARIANTS)}, got {variant}")
        options["reset_after"] = variant == VARIANTS[1]
    for role in kind.callables:
        options[role] = (_INITIALIZERS if role == "initialization" else activations.NAMED)[options[role]]
    layer = kind.type(*sizes, **options)
    layer.trainable = bool(trainable)
    return layer


def _fill(layers: Sequence[GRU | Layer], arrays: Arrays) -> int | None:
    """Give the layers their parameters, all `arrays` and no others, each of the shape and dtype that is due.

    The elements of a step are returned, None where the layers take tokens.
    """
    first = next(i for i, layer in enumerate(layers) if _names(layer))
    e = arrays[f"{first}.{_names(layers[first])[0]}"].shape[0]
    tokens = isinstance(layers[0], Embedding)
    shape: tuple[int, ...] = (1, 1) if tokens else (1, 1, e)
    for i, layer in enumerate(layers):
        layer.compute_shapes(np.zeros(shape, np.intp))
        for name, due in _shapes(layer, shape[-1]).items():
            array = arrays.pop(f"{i}.{name}")
            if array.shape != due or array.dtype != layer.dtype:
                raise ValueError(f"{name} of layer {i}: expected {layer.dtype} {due}, got {array.dtype} {array.shape}")
            layer.p[name] = array
        shape = layer.output_shape(shape)
    if arrays:
        raise ValueError(f"it has an array too many, {next(iter(arrays))}")
    return None if tokens else e


def _check_standardisation(standardisation: Mapping[str, np.ndarray], e: int | None) -> None:
    if not standardisation:
        return
    if e is None:
        raise ValueError("it has a standardisation of tokens")
    for name in ("mean", "scale"):
        array = standardisation[name]
        if array.shape != (e,) or array.dtype != np.float64:
            raise ValueError(f"{name}: expected float64 ({e},), got {array.dtype} {array.shape}")
