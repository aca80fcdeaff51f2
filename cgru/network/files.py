"""Write and read model files: uncompressed `.npz` files that load with `allow_pickle=False`.

Its arrays: `format`, the number of the format; `model`, a JSON text with the layers and the network's settings; the
parameters of layer i as `i.name`; `mean` and `scale` where the model has a standardisation; `extra`, a JSON text of
tools, which is not read with the model.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from cgru import activations, initializers
from cgru.bidirectional import Bidirectional
from cgru.core.checks import flag
from cgru.files import Archive, Header, atomic_write
from cgru.gru import GRU
from cgru.grud import GRUD
from cgru.layers import KINDS as LAYERS
from cgru.layers.layer import Layer
from cgru.network import branches, chain
from cgru.optimizers import is_matrix
from cgru.switching_gru import SwitchingGRU
from cgru.variant import named as variant_named

__all__ = [
    "FORMAT", "LONGEST", "SETTINGS", "FileError", "array_from_json", "array_to_json", "file_error", "pack", "read",
    "read_checked", "read_extra", "read_json", "unpack", "write",
]  # fmt: skip

FORMAT = 1
LONGEST = 1 << 22  # characters of the JSON text
MOST_BYTES = 1 << 26  # of an array in a description
MOST_SHOWN = 2000  # characters of what is wrong with a file

Path = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]
Headers = dict[str, Header]


_OPTIONAL = dict.fromkeys(("feature_names", "classes", "target_names"))  # left out where they are None
SETTINGS = ("loss", "class_names", "seed", *_OPTIONAL)
_READERS = {
    "model": "cgru.load",
    "forecaster": "cgru.forecast.load",
    "checkpoint": "a cgru.Checkpoint(path, resume=True) of a fit",
}


class FileError(ValueError):
    """The error for a file that is not a cgru file of the expected kind. Its message begins with the path."""


def file_error(path: Path, why: Any, kind: str = "model") -> FileError:
    """Return the error for a file at `path` that is not a cgru file of this `kind`, with the reason `why`."""
    text = str(why)
    return FileError(f"{os.fspath(path)} is not a cgru {kind}: {text[:MOST_SHOWN]}{'...' * (len(text) > MOST_SHOWN)}")


def _kinds() -> dict[str, type[Layer]]:
    """Return the layer classes that model files may contain, by name."""
    from cgru.integer_layer import IntegerLayer  # needed by nothing else of a float network

    own = GRU, GRUD, SwitchingGRU, Bidirectional, IntegerLayer
    return {kind.__name__: kind for kind in (*own, *LAYERS, *branches.KINDS)}


def _input_shape(layers: Sequence[Layer], rows: Callable[[str], int], at: str = "") -> tuple[int, ...] | None:
    """Return the input shape of one sample with one step, (1, 1, e) or for tokens (1, 1); None if e is unknown.

    `rows(key)` is the number of rows of a parameter of that key: those of the lowest matrix are the input features.
    """
    if not at and "tokens" in layers[0].reads:
        return 1, 1
    for i, layer in enumerate(layers):
        n, within = None, layer.branches
        if not within:
            n = _matrix_features(layer, lambda name, key=f"{at}{i}": rows(f"{key}.{name}")) or layer.features
        for b, branch in enumerate(within):
            n = (_input_shape(branch, rows, f"{at}{i}.{b}.") or (n,))[-1]
        if n is not None:
            return 1, 1, chain.input_features(layers[:i], n)
    if not at:
        raise ValueError("layers: expected one that has parameters, got none")
    return None


def _matrix_features(layer: Layer, rows: Callable[[str], int]) -> int | None:
    """Return the number of input features of a layer from the rows of its first matrix; None if it has no matrix."""
    parts = chain.parts_of(layer)
    for place, part in enumerate(parts):
        for name in filter(is_matrix, part.arrays(1)):
            return chain.input_features(parts[:place], rows(name))
    return None


def _headers_of(layers: Sequence[Layer], shape: tuple[int, ...]) -> Iterator[tuple[str, Layer, tuple, Headers]]:
    """Yield (key, layer, input shape, headers of the parameters) of each layer, for inputs of a given shape."""
    for (key, layer), own in zip(chain.leaves(layers), chain.leaf_inputs(layers, shape), strict=True):
        yield key, layer, own, {name: Header(*each) for name, each in layer.arrays(own[-1]).items()}


# --- writing ---


def write(
    path: Path,
    layers: Sequence[Layer],
    settings: Mapping[str, Any],
    standardisation: Mapping[str, np.ndarray],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write a model file to `path`, completely or not at all; `extra` is additional data for `read_extra`.

    ValueError for what is not from this package, RuntimeError for missing parameters, before a file is touched; the
    errors of `cgru.files.atomic_write` for the file.
    """
    arrays = {"format": np.array(FORMAT), **pack(layers, settings, standardisation)}
    if extra:
        arrays["extra"] = np.array(text := json.dumps(extra))
        if len(text) > LONGEST:
            raise ValueError(f"extra: expected at most {LONGEST} characters as JSON, got {len(text)}")
    with atomic_write(path) as file:
        np.savez(file, **arrays)


def pack(layers: Sequence[Layer], settings: Mapping[str, Any], standardisation: Mapping[str, np.ndarray]) -> Arrays:
    """Return a model as the arrays of a model file, without `format`; the errors are those of `write`."""
    if callable(settings.get("loss")):
        raise ValueError(f"loss: expected a named loss to save, got {settings['loss']!r}")
    kept = {name: value for name, value in settings.items() if name not in _OPTIONAL or value is not None}
    if "classes" in kept:
        kept["classes"] = array_to_json(kept["classes"], "classes")
    model = json.dumps({"layers": [_description(layer, i) for i, layer in enumerate(layers)], **kept})
    if len(model) > LONGEST:
        due = f"a description of at most {LONGEST} characters"
        raise ValueError(f"class_names, feature_names, layers: expected {due}, got {len(model)}")
    arrays = {"model": np.array(model)}
    p = {f"{key}.{name}": array for key, layer in chain.leaves(layers) for name, array in layer.p.items()}
    shape = _input_shape(layers, lambda key: len(p[key]))
    e = shape[-1]
    for key, layer, _, headers in _headers_of(layers, shape):
        for name, (due, dtype) in headers.items():
            got = np.shape(layer.p[name])
            if got != due:
                raise ValueError(f"layers: expected {name} of layer {key} with shape {due}, got {got}")
            arrays[f"{key}.{name}"] = np.asarray(layer.p[name], dtype)
    for name, values in standardisation.items():
        if np.shape(values) != (e,):
            raise ValueError(f"{name}: expected shape ({e},), a number for each feature, got {np.shape(values)}")
        arrays[name] = np.asarray(values, np.float64)
    return arrays


def _description(layer: Layer, i: int) -> dict[str, Any]:
    """Return the description of layer i, without its parameters, as JSON types."""
    name, fields = type(layer).__name__, layer.fields
    if fields is None or _kinds().get(name) is not type(layer):
        raise ValueError(f"layers: expected cgru's own to save, got {name} as layer {i}")
    if fields.branches:
        return {"class": name, "branches": [[_description(each, i) for each in branch] for branch in layer.branches]}
    if fields.half:
        halves = [_description(half, i) for half in layer.halves]
        _check_halves(layer, halves, i)
        return {"class": name, "merge": layer.merge, "layer": halves[0]}
    if fields.of:
        own = {key: getattr(layer, key) for key in fields.first}
        return {"class": name, "layer": _description(getattr(layer, fields.of), i), **own}
    missing = [parameter for parameter in layer.arrays(1) if parameter not in layer.p]
    if missing:
        cure = "fit or predict first"
        raise RuntimeError(f"layers: expected parameters to save, got no {missing[0]} in layer {i}: {cure}")
    description = {"class": name, "trainable": bool(layer.trainable)}
    description |= {key: layer.d[at] if at else getattr(layer, key) for key, at in fields.first.items()}
    description |= {role: _callable_name(layer, role, i) for role in fields.callables}
    description |= {key: bool(getattr(layer, key)) for key in fields.flags}
    description |= {key: getattr(layer, key) for key in fields.options if getattr(layer, key)}
    if fields.dtype and layer.parameter_names:
        description["dtype"] = layer.dtype.name
    if "activate" in fields.callables and layer.se_hPars is not None:
        numbers = (key for key in activations.DEFAULTS if key in layer.se_hPars)
        description["se_hPars"] = {key: activations.parameter(layer.se_hPars, key) for key in numbers}
    if fields.variant:
        description["variant"] = layer.variant.name
    if layer.weights is not None:
        description |= {"weights": layer.weights, "x_bound": layer.weights.x_bound}
    return description


def _callable_name(layer: Layer, role: str, i: int) -> str:
    """Return the name that stands for a callable of layer i, such as an activation; ValueError if it has none."""
    f = getattr(layer, role)
    if role == "initialization":
        name = next((name for name, own in initializers.NAMED.items() if own is f), None)
    else:
        own = activations.ours(f)
        name = None if own is None else activations.name_of(own)
    if name is None:
        raise ValueError(f"{role}: expected one of cgru's own to save, got {activations.name_of(f)} in layer {i}")
    return name


def _check_halves(layer: Any, halves: Sequence[dict[str, Any]], i: int) -> None:
    """Raise ValueError if the two GRUs of a `Bidirectional` differ in more than their direction."""
    first, second = ({key: value for key, value in half.items() if key != "reverse"} for half in halves)
    if first != second or halves[0].get("reverse", False) == halves[1].get("reverse", False):
        due = "two GRUs that differ only in direction"
        raise ValueError(f"layers: expected {due}, got {layer.halves} in layer {i}")


def array_to_json(value: Any, name: str) -> dict[str, Any]:
    """Return an array of booleans, numbers or strings as JSON types; TypeError, naming `name`, for other arrays."""
    array = np.asarray(value)
    words = array.dtype == object and all(isinstance(each, str) for each in array.flat)
    if not words and (array.dtype.kind not in "biufU" or (array.dtype.kind != "U" and array.dtype.itemsize > 8)):
        kind = type(array.flat[0]).__name__ if array.dtype == object else array.dtype
        raise TypeError(f"{name}: expected booleans, numbers of up to 64 bits or strings to save, got {kind}")
    dtype = "object" if words else array.dtype.str
    return {"dtype": dtype, "shape": list(array.shape), "values": array.ravel().tolist()}


def array_from_json(text: Mapping[str, Any]) -> np.ndarray:
    """Return the array that `array_to_json` converted; KeyError, TypeError or ValueError for anything else."""
    values, shape, given = text["values"], text["shape"], text["dtype"]
    dtype = np.dtype(given) if isinstance(given, str) else np.dtype(np.void)
    if dtype.kind not in "biufUO":
        raise ValueError(f"dtype: expected one of booleans, numbers or strings, got {str(given)[:40]!r}")
    kinds = str if dtype.kind in "UO" else int | float
    if not isinstance(values, list) or not all(isinstance(each, kinds) for each in values):
        raise ValueError(f"values: expected a list of {str(given)[:40]} values")
    n = len(values)
    if not 0 < dtype.itemsize <= MOST_BYTES // max(n, 1):  # each string has the room of the longest
        raise ValueError(f"dtype: expected at most {MOST_BYTES} bytes, got {n} of {given[:40]!r}")
    ends = (
        isinstance(shape, list) and len(shape) <= 8 and all(isinstance(k, int) and 0 <= k <= max(n, 100) for k in shape)
    )
    if not ends or math.prod(shape) != n:
        raise ValueError(f"shape: expected one of {n} values, got {str(shape)[:40]}")
    return np.array(values, dtype).reshape(shape)


# --- reading ---


def read(path: Path) -> tuple[list[Layer], dict[str, Any], Arrays]:
    """Read a model file; return the layers with their parameters, the network's settings and its standardisation.

    ValueError for a file that is damaged, foreign or newer; OSError where it cannot be opened. Arrays are read only
    when the file is known to hold just those of the description, so that a forged file takes no more memory than they
    need.
    """
    return read_checked(path, "model", FORMAT, _unpack_archive)


def read_checked(path: Path, kind: str, newest: int, unpack: Callable[[Archive], Any]) -> Any:
    """Open the file at `path`, check its kind and format, and return what `unpack` returns; errors as in `read`.

    `kind` is the name of its JSON text, such as "model", and `newest` the newest format that can be read.
    """
    with open(path, "rb") as file:
        try:
            archive = Archive(file, compressed=False)
            _check_kind(archive, kind)
            _check_format(archive, newest)
            return unpack(archive)
        except (MemoryError, SystemError):
            raise
        except KeyError as error:
            raise file_error(path, f"{error} is missing", kind) from None
        except ValueError as error:
            raise file_error(path, error, kind) from None
        except Exception as error:  # a damaged description fails in more ways than can be listed
            raise file_error(path, f"it is damaged ({type(error).__name__}: {error})", kind) from None


def read_extra(path: Path) -> dict[str, Any]:
    """Read the additional data that was saved in a model file by `Network.save(path, extra)`.

    Args:
        path: the file.

    Returns:
        The dict, {} where there is none.

    Raises:
        OSError: the file cannot be opened.
        ValueError: it is no model, or this part of it is damaged.

    Examples:
        >>> net = cgru.Network([cgru.GRU(4), cgru.Dense(2, "softmax")], seed=0)
        >>> net.make(np.ones((5, 7, 3)))
        >>> net.save("model.npz", {"columns": {"id": ["machine"]}})
        >>> cgru.network.read_extra("model.npz")
        {'columns': {'id': ['machine']}}
    """

    def found(archive: Archive) -> dict[str, Any]:
        """Return the additional data of an archive."""
        extra = read_json("extra", archive) if "extra" in archive.headers else {}
        if not isinstance(extra, dict):
            raise ValueError(f"extra: expected a JSON object, got {type(extra).__name__}")
        return extra

    return read_checked(path, "model", FORMAT, found)


def unpack(arrays: Arrays) -> tuple[list[Layer], dict[str, Any], Arrays]:
    """Return the layers, settings and standardisation of a model from the arrays that `pack` returned.

    KeyError for a missing array, ValueError for one that does not fit.
    """
    headers = {name: Header(array.shape, array.dtype) for name, array in arrays.items()}
    return _unpack_archive(SimpleNamespace(headers=headers, read=arrays.__getitem__))


def _check_kind(archive: Archive, kind: str) -> None:
    """Raise ValueError for a cgru file of another kind; the error names the function that reads that kind."""
    for other, reader in _READERS.items():
        if kind not in archive.headers and other in archive.headers:
            raise ValueError(f"it is a{'n' * (other[0] in 'aeiou')} {other}, which {reader} reads")


def _check_format(archive: Archive, newest: int) -> None:
    """Raise ValueError for a file whose format is newer than `newest`, or not a number."""
    header = archive.headers.pop("format")
    number = archive.read("format") if header.shape == () and header.dtype.kind in "iu" else 0
    if number < 1:
        raise ValueError(f"format: expected a number from 1 to {newest}")
    if number > newest:
        raise ValueError(f"its format {number} is newer than {newest}, the latest that this version of cgru reads")


def _unpack_archive(archive: Archive) -> tuple[list[Layer], dict[str, Any], Arrays]:
    """Return the layers, settings and standardisation of a file; all headers are checked before an array is read."""
    model, headers, read = _read_description(archive), archive.headers, archive.read
    layers = [_make_layer(description) for description in model["layers"]]
    settings = {name: model[name] for name in SETTINGS}
    shape = _input_shape(layers, lambda key: headers[key].shape[0])
    made = [*_headers_of(layers, shape)]
    due = {f"{key}.{name}": header for key, _, _, own in made for name, header in own.items()}
    if "mean" in headers or "scale" in headers:
        if len(shape) == 2:
            raise ValueError("it has a standardisation of tokens")
        due |= dict.fromkeys(("mean", "scale"), Header((shape[-1],), np.dtype(np.float64)))
    for name, header in due.items():
        if headers[name] != header:
            got = headers[name]
            raise ValueError(f"{name}: expected {header.dtype} {header.shape}, got {got.dtype} {got.shape}")
    for name in headers.keys() - due.keys() - {"model", "extra"}:
        raise ValueError(f"it has an unknown array, {name}")
    for key, layer, inputs, own in made:
        layer.compute_shapes(np.zeros(inputs, np.intp))
        layer.p.update((name, read(f"{key}.{name}")) for name in own)
    if settings["classes"] is not None:
        settings["classes"] = array_from_json(settings["classes"])
    return layers, settings, {name: read(name) for name in ("mean", "scale") if name in due}


def _read_description(archive: Archive) -> dict[str, Any]:
    """Return the JSON description of the model, whose layers are not checked yet."""
    model = read_json("model", archive)
    if not isinstance(model, dict) or not isinstance(model["layers"], list):
        raise ValueError("model: expected a JSON object with a list of layers")
    _refuse_unknown(model.keys() - {"layers", *SETTINGS}, "model")
    return _OPTIONAL | model


def read_json(name: str, archive: Archive, hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Parse the JSON text `name` in the archive; `hook` may convert its objects, like `object_hook` of `json.loads`."""
    shape, dtype = archive.headers[name]
    if shape != () or dtype.kind != "U" or dtype.itemsize > 4 * LONGEST:
        raise ValueError(f"{name}: expected a text of at most {LONGEST} characters, got {dtype} {shape}")
    try:
        return json.loads(str(archive.read(name)), object_hook=hook)
    except RecursionError:
        raise ValueError(f"{name}: expected JSON of a few levels, got it nested too deeply") from None


def _make_layer(description: Mapping[str, Any]) -> Layer:
    """Make a layer from its description, without parameters."""
    options = dict(description)
    kind = _kinds()[options.pop("class")]
    fields = kind.fields
    if fields.branches:
        within = options.pop("branches")
        _refuse_unknown(options, kind.__name__)
        return kind(*(list(map(_make_layer, branch)) for branch in within))
    if fields.half:
        half, merge = options.pop("layer"), options.pop("merge")
        _refuse_unknown(options, kind.__name__)
        if half["class"] != fields.half:
            raise ValueError(f"layer: expected a {fields.half} in a {kind.__name__}, got {half['class']}")
        return kind(_make_layer(half), merge)
    if fields.of:
        own = _make_layer(options.pop("layer")), *map(options.pop, fields.first)
        _refuse_unknown(options, kind.__name__)
        return kind(*own)
    first, trainable = [options.pop(name) for name in fields.first], flag(options.pop("trainable"), "trainable")
    named = {role: initializers if role == "initialization" else activations for role in fields.callables}
    made = {role: module.named(options.pop(role), role) for role, module in named.items()}
    made |= {name: flag(options.pop(name), name) for name in fields.flags}
    made |= {name: options.pop(name) for name in fields.options if name in options}
    if fields.dtype and "dtype" in options:
        made["dtype"] = options.pop("dtype")
    if "se_hPars" in options and "activate" in fields.callables:
        numbers = options.pop("se_hPars")
        made["se_hPars"] = {key: activations.parameter(numbers, key) for key in numbers}
    if fields.variant:
        made = variant_named(options.pop("variant")).options | made
    stored = [options.pop(name) for name in ("weights", "x_bound") if name in options and "packing" in vars(kind)]
    _refuse_unknown(options, kind.__name__)
    layer = kind(*first, **made)
    if fields.dtype and layer.parameter_names and "dtype" not in made:
        raise KeyError("dtype")
    layer.trainable = trainable
    if stored:
        from cgru.quantized.stored_weights import StoredWeights

        return StoredWeights(*stored).apply(layer)
    return layer


def _refuse_unknown(names: Iterable[str], where: str) -> None:
    """Raise ValueError if there are unknown `names` in a description."""
    for name in names:
        raise ValueError(f"{where}: expected no other entries, got {name}")
