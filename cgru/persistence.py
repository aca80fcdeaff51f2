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
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import numpy as np

from cgru import activations, initializers
from cgru.dense import Dense
from cgru.layer import GRU
from cgru.reference import PARAMETERS

__all__ = ["FORMAT", "beside", "read", "refused", "write"]

FORMAT = 1
VARIANT = "reset_before"  # the reset gate is applied before the matrix product

_INITIALIZERS = {name: getattr(initializers, name) for name in initializers.__all__}
_CALLABLES = {
    GRU: ("activate", "activate_update", "activate_reset", "initialization"),
    Dense: ("activate", "initialization"),
}
_SETTINGS = ("loss", "class_names", "seed")

Path = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]


def refused(path: Path, why: Any) -> ValueError:
    """The error for a file that is no model."""
    return ValueError(f"{os.fspath(path)} is not a cgru model: {why}")


# --- writing ---


def write(
    path: Path, layers: Sequence[GRU | Dense], settings: Mapping[str, Any], standardisation: Mapping[str, np.ndarray]
) -> None:
    """Write a model to exactly `path`, whole or not at all.

    ValueError for what is not from this package, RuntimeError for missing parameters, before a file is touched.
    """
    model = {"layers": [_description(layer, i) for i, layer in enumerate(layers)], **settings}
    arrays = {"format": np.array(FORMAT), "model": np.array(json.dumps(model)), **standardisation}
    for i, layer in enumerate(layers):
        shapes = _shapes(layer, layers[0].p["Uz"].shape[0] if i == 0 else layers[i - 1].d["u"])
        for name, shape in shapes.items():
            if np.shape(layer.p[name]) != shape:
                raise ValueError(f"layers: expected {name} of layer {i} with shape {shape}, got {layer.p[name].shape}")
            arrays[f"{i}.{name}"] = np.asarray(layer.p[name], layer.dtype)

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


def _description(layer: GRU | Dense, i: int) -> dict[str, Any]:
    """What a layer is made of, in JSON's types."""
    kind = type(layer)
    if kind not in _CALLABLES:
        raise ValueError(f"layers: expected cgru's own to save, got {kind.__name__} as layer {i}")
    missing = [name for name in _names(kind) if name not in layer.p]
    if missing:
        raise RuntimeError(
            f"layers: expected parameters to save, got no {missing[0]} in layer {i}: fit or predict first"
        )
    description = {"class": kind.__name__, "units": layer.d["u"], "dtype": layer.dtype.name}
    for role in _CALLABLES[kind]:
        f = getattr(layer, role)
        if role == "initialization":
            name = next((name for name, own in _INITIALIZERS.items() if own is f), None)
        else:
            own = activations.ours(f)
            name = None if own is None else activations.name_of(own)
        if name is None:
            raise ValueError(f"{role}: expected one of cgru's own to save, got {activations.name_of(f)} in layer {i}")
        description[role] = name
    numbers = layer.se_hPars
    known = activations.DEFAULTS
    description["se_hPars"] = None if numbers is None else {k: float(numbers[k]) for k in known if k in numbers}
    description["trainable"] = bool(layer.trainable)
    if kind is GRU:
        description |= {"sequences": bool(layer.sequences), "clip_gradients": bool(layer.clip_gradients)}
        description["variant"] = VARIANT
    return description


def _names(kind: type) -> tuple[str, ...]:
    return PARAMETERS if kind is GRU else ("W", "b")


def _shapes(layer: GRU | Dense, e: int) -> dict[str, tuple[int, int]]:
    u = layer.d["u"]
    rows = {"U": e, "W": e, "V": u, "b": 1}
    return {name: (rows[name[0]], u) for name in _names(type(layer))}


# --- reading ---


def read(path: Path) -> tuple[list[GRU | Dense], dict[str, Any], Arrays]:
    """The layers with their parameters, the network's settings and its standardisation, as `write` got them.

    ValueError for a file that is damaged, foreign or newer; OSError where it cannot be opened.
    """
    with open(path, "rb") as file:
        try:
            arrays = _arrays(file)
            model = json.loads(str(arrays.pop("model")[()]))
            layers = [_layer(description) for description in model["layers"]]
            settings = {name: model[name] for name in _SETTINGS}
            standardisation = {name: arrays.pop(name) for name in ("mean", "scale") if name in arrays}
            _fill(layers, arrays)
            _check_standardisation(standardisation, layers[0].p["Uz"].shape[0])
        except KeyError as error:
            raise refused(path, f"{error} is missing") from None
        except ValueError as error:
            raise refused(path, error) from None
        except Exception as error:  # a damaged file fails in more ways than can be listed
            raise refused(path, f"it is damaged ({type(error).__name__}: {error})") from None
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


def _layer(description: Mapping[str, Any]) -> GRU | Dense:
    """A layer without parameters."""
    options = dict(description)
    kind = {"GRU": GRU, "Dense": Dense}[options.pop("class")]
    units, trainable = options.pop("units"), options.pop("trainable")
    if kind is GRU and options.pop("variant") != VARIANT:
        raise ValueError(f"variant: expected {VARIANT}, got {description['variant']}")
    for role in _CALLABLES[kind]:
        options[role] = (_INITIALIZERS if role == "initialization" else activations.NAMED)[options[role]]
    layer = kind(units, **options)
    layer.trainable = bool(trainable)
    return layer


def _fill(layers: Sequence[GRU | Dense], arrays: Arrays) -> None:
    """Give the layers their parameters, all `arrays` and no others, each of the shape and dtype that is due."""
    e = arrays["0.Uz"].shape[0]
    for i, layer in enumerate(layers):
        layer.compute_shapes(np.zeros((1, e) if isinstance(layer, Dense) else (1, 1, e)))
        for name, shape in _shapes(layer, e).items():
            array = arrays.pop(f"{i}.{name}")
            if array.shape != shape or array.dtype != layer.dtype:
                raise ValueError(
                    f"{name} of layer {i}: expected {layer.dtype} {shape}, got {array.dtype} {array.shape}"
                )
            layer.p[name] = array
        e = layer.d["u"]
    if arrays:
        raise ValueError(f"it has an array too many, {next(iter(arrays))}")


def _check_standardisation(standardisation: Mapping[str, np.ndarray], e: int) -> None:
    if not standardisation:
        return
    for name in ("mean", "scale"):
        array = standardisation[name]
        if array.shape != (e,) or array.dtype != np.float64:
            raise ValueError(f"{name}: expected float64 ({e},), got {array.dtype} {array.shape}")
