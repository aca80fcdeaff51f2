"""Compute the shapes, the initial values, the gradients and the updates of a GRU layer's parameters.

The four functions take `cgru.GRU` or EpyNN's GRU layer, with arrays of any strides and any real dtype. Each checks the
attributes that it reads before it writes any.
"""

import numpy as np

cimport numpy as cnp

from cgru import reference
from cgru.core import gradients, masks
from cgru.core.checks import positive
from cgru.core.lengths import by_length
from cgru.core.memory import Buffers
from cgru.initializers import draw
from cgru.passes import GRUPass
from cgru.variant import NAMES, RESET_BEFORE, Variant, by_letter
from cgru.core.checks cimport entry, real
from cgru.core.kernels cimport kernels

cnp.import_array()

__all__ = [
    "gru_compute_gradients",
    "gru_compute_shapes",
    "gru_initialize_parameters",
    "gru_update_parameters",
]

# Names of the parameters that only some variants have.
cdef tuple OPTIONAL = tuple([name for name in NAMES if name not in RESET_BEFORE.names])
cdef cnp.dtype FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64)


cdef dict _needed(layer, str attribute, tuple keys, str due):
    """Return the dict `layer.attribute`; RuntimeError, naming the call `due` that fills it, if a key is missing."""
    given = getattr(layer, attribute, None) or {}
    cdef dict found = given if isinstance(given, dict) else dict(given)  # of a Bidirectional p is a view
    for key in keys:
        if key not in found:
            raise RuntimeError(f"layer.{attribute}[{key!r}]: missing; expected {due} before this call")
    return found


cdef _variant(layer):
    """Return the variant of a layer; RESET_BEFORE for a layer of EpyNN, which has no such attribute."""
    variant = getattr(layer, "variant", None)
    return variant if isinstance(variant, Variant) else RESET_BEFORE


def gru_compute_shapes(layer, A):
    """Set `layer.d['m'], d['s'], d['e']` and the shapes in `layer.fs`, from the shape of A (m, s, e) and `d['u']`.

    The shapes are those of X (m, s, e), h (m, s, u), the nine parameters U (e, u), V (u, u), b (1, u), and further
    parameters of the variant of a `cgru.GRU`.

    Args:
        layer: a `cgru.GRU`, or EpyNN's GRU layer.
        A: an input (m, s, e). Its numbers are not read.

    Raises:
        ValueError: A does not have three dimensions, or one of them is zero.
        RuntimeError: `d['u']` is missing.

    Examples:
        >>> layer = cgru.GRU(4)
        >>> cgru.parameters.gru_compute_shapes(layer, np.zeros((2, 6, 3)))
        >>> layer.d, layer.fs["Uz"]
        ({'u': 4, 'm': 2, 's': 6, 'e': 3}, (3, 4))
    """
    cdef tuple shape = (A if type(A) is np.ndarray else real(A, "A")).shape
    if len(shape) != 3:
        advice = "; for one feature a step give A[:, :, None]" if len(shape) == 2 else ""
        raise ValueError(f"A: expected shape (m, s, e), got {shape}{advice}")
    if 0 in shape:
        what = ("samples", "steps", "features")[shape.index(0)]
        raise ValueError(f"A: expected at least one of its {what}, got shape {shape}")
    m, s, e = shape
    cdef dict d = _needed(layer, "d", ("u",), "the number of unit cells"), fs = layer.fs
    u = positive(d["u"], "layer.d['u']")

    cdef tuple names = _variant(layer).names
    cdef dict due = by_letter(e, u)
    cdef str name

    d["m"], d["s"], d["e"] = m, s, e
    fs["X"] = shape
    for name in names:
        fs[name] = due[name[0]]
    for name in OPTIONAL:
        if name in fs and name not in names:
            del fs[name]
    fs["h"] = (m, s, u)


def gru_initialize_parameters(layer):
    """Set `layer.p` to new parameters Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, in this order, with zero biases.

    Further parameters of the variant of a `cgru.GRU` follow: gains are ones, a learned h0 is zeros. Weights are drawn
    in this order by `layer.initialization(shape, rng=layer.np_rng)`, and cast to the dtype of the layer if it has one.

    Args:
        layer: a `cgru.GRU`, or EpyNN's GRU layer.

    Raises:
        RuntimeError: `fs`, `np_rng` or `initialization` is missing.
        ValueError, TypeError: the initializer returned another shape, or numbers that are not real.

    Examples:
        >>> layer = cgru.GRU(4, rng=0)
        >>> cgru.parameters.gru_compute_shapes(layer, np.zeros((2, 6, 3)))
        >>> cgru.parameters.gru_initialize_parameters(layer)
        >>> list(layer.p)
        ['Uz', 'Vz', 'bz', 'Ur', 'Vr', 'br', 'Uhh', 'Vhh', 'bhh']
    """
    dtype = getattr(layer, "dtype", None)
    for attribute in ("np_rng", "initialization"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before gru_initialize_parameters")
    names = _variant(layer).names
    shapes = _needed(layer, "fs", names, "compute_shapes")
    weights = [name for name in names if name[0] not in "bcgh"]
    found = dict(zip(weights, draw(layer.initialization, [shapes[name] for name in weights], layer.np_rng)))
    fresh = {}
    for name in names:
        shape = shapes[name]
        if name not in found:
            fresh[name] = np.zeros(shape, dtype or np.float64)
            if name[0] == "g":  # a gain begins as one
                fresh[name][...] = 1
        else:
            fresh[name] = np.array(real(found[name], ("initialization", name), shape), dtype, order="C")  # a copy
    for name in NAMES:  # in this order, whatever the dict held before
        layer.p.pop(name, None)
    layer.p.update(fresh)


def gru_compute_gradients(layer):
    """Compute `layer.g['d' + name]` for every parameter from the caches of `forward` and `backward`.

    Gradients are summed over samples and steps, from the last step to the first. Read are `fc['X'], fc['hp'], fc['r'],
    bc['dhh_'], bc['dz_'], bc['dr_']`, and the caches of the variant of a `cgru.GRU`. The arrays in `g` are new at each
    call:

        dUhh = sum X^T dhh_    dVhh = sum (r * hp)^T dhh_    dbhh = sum dhh_
        dUz  = sum X^T dz_     dVz  = sum hp^T dz_           dbz  = sum dz_        and r as z

    For other variants of a `cgru.GRU`, and with dropout, they are those of `cgru.reference.gradients`. A learned h0
    also needs `bc['dh']`.

    Args:
        layer: a `cgru.GRU`, or EpyNN's GRU layer.

    Raises:
        RuntimeError: a parameter or a cache is missing.
        ValueError, TypeError: one has another shape, or numbers that are not real.

    Examples:
        >>> layer = cgru.GRU(4, rng=0)
        >>> dX = layer.backward(layer.forward(np.ones((2, 6, 3))))
        >>> cgru.parameters.gru_compute_gradients(layer)
        >>> np.allclose(layer.g["dbz"], layer.bc["dz_"].sum(axis=(0, 1)))
        True
    """
    variant = _variant(layer)
    cdef tuple made = ("dhh_", "dz_", "dr_", *variant.gradients, *(("dh",) if variant.learn_h0 else ()))
    cdef dict p = _needed(layer, "p", variant.names, "initialize_parameters")
    cdef dict fc = _needed(layer, "fc", ("X", "hp", "r", *variant.caches), "forward")
    cdef dict bc = _needed(layer, "bc", made, "backward")
    cdef bint single = True
    for name in variant.names:
        single = single and getattr(p[name], "dtype", None) == np.float32
    cdef cnp.dtype dtype = FLOAT32 if single else FLOAT64
    cdef cnp.ndarray X = entry(fc, "fc", "X", ("m", "s", "e"), dtype)
    m, s, e = cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2)
    u = np.shape(p["Vz"])[0] if np.ndim(p["Vz"]) else 0
    cdef dict due = by_letter(e, u), caches = {}, g = layer.g, fresh
    for name in variant.names:
        entry(p, "p", name, due[name[0]], dtype)
    for name in ("hp", "r", *variant.caches):
        caches[name] = entry(fc, "fc", name, (m, s, variant.width(name, u)), dtype)
    for name in made:
        caches[name] = entry(bc, "bc", name, (m, s, variant.width(name, u)), dtype)

    last = getattr(layer, "last", None)  # the last pass of a cgru.GRU has its lengths and masks
    known = isinstance(last, GRUPass) and np.shape(last.fc["X"]) == (m, s, e)
    lengths, dropped = (last.lengths, last.masks) if known else (None, {})
    caches["X"] = masks.apply_input_mask(X, dropped["input_mask"]) if "input_mask" in dropped else X
    if "recurrent_masks" in dropped:
        caches["recurrent"] = dropped["recurrent_masks"].swapaxes(0, 1)
    fresh = Buffers().take_gradients(variant, e, u, dtype)
    if variant.learn_h0:
        begins, reverse = (last.begins, last.reverse) if known else (True, layer.reverse)
        fresh["dh0"][...] = reference.start_gradient(caches.pop("dh"), begins, lengths, reverse)
    gradients.run(variant, fresh, caches, *(by_length(lengths, s) or (None, None)), anew=True)
    for key in fresh:
        g.pop(key, None)
    for name in p:
        key = "d" + name
        g[key] = fresh[key] if key in fresh else np.zeros(np.shape(p[name]), dtype)


cdef int _update(cnp.ndarray p, cnp.ndarray g, double lrate) except -1:
    """Subtract lrate * g from p in place, in C where that is possible, else in NumPy."""
    if not _plain(p, g):
        np.subtract(p, lrate * g, out=p, casting="same_kind")
    else:
        kernels(cnp.PyArray_ITEMSIZE(p)).add_multiple(cnp.PyArray_DATA(p), 1, -lrate, cnp.PyArray_DATA(g),
                                                      cnp.PyArray_SIZE(p))
    return 0


cdef bint _plain(cnp.ndarray p, cnp.ndarray g) noexcept:
    """Return whether p and g are contiguous, of the same shape, and both float32 or both float64."""
    cdef int kind = cnp.PyArray_TYPE(p)
    return ((kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and kind == cnp.PyArray_TYPE(g)
            and cnp.PyArray_ISCARRAY(p) and cnp.PyArray_ISCARRAY_RO(g) and cnp.PyArray_SAMESHAPE(p, g))


cdef tuple _pair(dict parameters, dict g, str key, gradient):
    """Return (p[key[1:]], its gradient g[key]), both checked and of the same shape."""
    value = parameters[key[1:]]
    if type(value) is np.ndarray and type(gradient) is np.ndarray and _plain(value, gradient):
        return value, gradient
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise TypeError(f"p[{key[1:]!r}]: expected an array of floats to update in place, got "
                        f"{value.dtype if isinstance(value, np.ndarray) else type(value).__name__}")
    if not cnp.PyArray_ISWRITEABLE(value):
        raise ValueError(f"p[{key[1:]!r}]: expected an array to update in place, got a read-only one")
    gradient = _gradient(g, key, value.shape)
    # Contiguous by now: an update of contiguous parameters allocates nothing, so that none is left half done.
    return value, np.ascontiguousarray(gradient) if gradient.dtype == value.dtype else gradient


cdef cnp.ndarray _gradient(dict g, key, tuple shape):
    """Return `g[key]` broadcast to its parameter's shape, since EpyNN's layers have (u,) for (1, u)."""
    cdef cnp.ndarray gradient = real(g[key], ("g", key))
    if np.shape(gradient) == shape:
        return gradient
    try:
        return np.broadcast_to(gradient, shape)
    except ValueError:
        raise ValueError(f"g[{key!r}]: expected shape {shape}, got {np.shape(gradient)}") from None


def learning_rate(lrate, e):
    """Return the learning rate `lrate[e]` of epoch e; TypeError without numbers, ValueError without such an entry."""
    try:
        if e >= 0:
            return float(lrate[e])
    except (TypeError, KeyError, ValueError):
        raise TypeError(f"lrate: expected a sequence of numbers with one for e = {e!r}, got {lrate!r}") from None
    except IndexError:
        pass
    raise ValueError(f"lrate: expected a learning rate for epoch e = {e}, got {len(lrate)} of them")


def gru_update_parameters(layer):
    """Update the parameters in place: `p[key[1:]] -= lrate[e] * g[key]` for every key of `layer.g`.

    Args:
        layer: a `cgru.GRU`, or EpyNN's GRU layer, with a sequence `lrate` of learning rates and the number `e` of the
            epoch.

    Raises:
        RuntimeError: `g` is empty, or `lrate`, `e` or a parameter is missing.
        ValueError: `lrate` is shorter than `e`, a gradient has another shape than its parameter, or a parameter is
            read-only.
        TypeError: a parameter is not an array of floats.

    Examples:
        >>> layer = cgru.GRU(4, rng=0)
        >>> dX = layer.backward(layer.forward(np.ones((2, 6, 3))))
        >>> layer.compute_gradients()
        >>> layer.lrate, layer.e = [0.1], 0
        >>> cgru.parameters.gru_update_parameters(layer)
        >>> np.allclose(layer.p["bz"], -0.1 * layer.g["dbz"])  # it was zero
        True
    """
    cdef dict g = layer.g, parameters
    cdef list pairs = []
    if not g:
        raise RuntimeError("layer.g: empty; expected compute_gradients before update_parameters")
    for attribute in ("lrate", "e"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before update_parameters")
    lrate = learning_rate(layer.lrate, layer.e)
    parameters = _needed(layer, "p", tuple([key[1:] for key in g]), "initialize_parameters")
    for key, gradient in g.items():
        pairs.append(_pair(parameters, g, key, gradient))
    for p, gradient in pairs:
        _update(p, gradient, lrate)
