"""The four functions of the layer's parameters, for any object that carries the attributes they name.

They serve `cgru.GRU` and EpyNN's own GRU layer alike, whatever the strides and the real dtype of its arrays. Each
checks all that it needs before it writes anything.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating

from cgru.core.checks import positive
from cgru.core.masks import masked
from cgru.reference import gradients, names
from cgru.variant import variant_of
from cgru.core.checks cimport entries, entry, real, rows
from cgru.core.gradients import run
from cgru.core.memory import Buffers

cnp.import_array()

__all__ = [
    "gru_compute_gradients",
    "gru_compute_shapes",
    "gru_initialize_parameters",
    "gru_update_parameters",
]

cdef tuple GRADIENTS = ("dUhh", "dUz", "dUr", "dVhh", "dVz", "dVr", "dbhh", "dbz", "dbr")
cdef tuple OWN = (*GRADIENTS, "dchh")

# Options of a layer's forward that leave the sums as they are: the caches tell, but for the mask on X.
SUMMED = frozenset(("reset_after", "reverse", "zoneout", "input_mask"))

cdef tuple BEFORE = names(), AFTER = names(reset_after=True)
cdef tuple READ = ("dhh_", "dz_", "dr_"), READ_AFTER = (*READ, "dc")
cdef cnp.dtype FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64)

cdef dict _needed(layer, str attribute, tuple keys, str due):
    """`layer.attribute`, in which the keys are; RuntimeError, naming the call that was due before, where one is not."""
    cdef dict found = getattr(layer, attribute, None) or {}
    for key in keys:
        if key not in found:
            raise RuntimeError(f"layer.{attribute}[{key!r}]: missing; expected {due} before this call")
    return found


cdef tuple _names(layer):
    """The parameters' names in their order."""
    on = getattr(layer, "_on", None)  # the options of a cgru.GRU; other layers have none
    return AFTER if on and "reset_after" in on else BEFORE


def gru_compute_shapes(layer, A):
    cdef tuple shape = (A if type(A) is np.ndarray else real(A, "A")).shape
    if len(shape) != 3:
        raise ValueError(f"A: expected shape (m, s, e), got {shape}")
    if 0 in shape:
        what = ("samples", "steps", "elements")[shape.index(0)]
        raise ValueError(f"A: expected at least one of its {what}, got shape {shape}")
    m, s, e = shape
    cdef dict d = _needed(layer, "d", ("u",), "the number of unit cells"), fs = layer.fs
    u = positive(d["u"], "layer.d['u']")

    d["m"], d["s"], d["e"] = m, s, e
    fs["X"] = shape
    fs["Uz"] = fs["Ur"] = fs["Uhh"] = (e, u)
    fs["Vz"] = fs["Vr"] = fs["Vhh"] = (u, u)
    fs["bz"] = fs["br"] = fs["bhh"] = (1, u)
    if _names(layer) is AFTER:
        fs["chh"] = (1, u)
    elif "chh" in fs:
        del fs["chh"]
    fs["h"] = (m, s, u)


def gru_initialize_parameters(layer):
    dtype = getattr(layer, "dtype", None)
    for attribute in ("np_rng", "initialization"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before gru_initialize_parameters")
    shapes = _needed(layer, "fs", _names(layer), "compute_shapes")
    fresh = {}
    for name in _names(layer):
        shape = shapes[name]
        if name[0] in "bc":
            fresh[name] = np.zeros(shape, dtype or np.float64)
        else:
            drawn = layer.initialization(shape, rng=layer.np_rng)
            fresh[name] = np.array(real(drawn, f"initialization(shape={shape})", shape, dtype), order="C")  # a copy
    for name in AFTER:  # in this order, whatever the dict held before
        layer.p.pop(name, None)
    layer.p.update(fresh)


def gru_compute_gradients(layer):
    cdef tuple due = _names(layer)
    cdef tuple read = READ if due is BEFORE else READ_AFTER
    cdef dict p = _needed(layer, "p", due, "initialize_parameters")
    cdef dict fc = _needed(layer, "fc", ("X", "hp", "r"), "forward")
    cdef dict bc = _needed(layer, "bc", read, "backward")
    cdef bint single = True
    for name in due:
        single = single and getattr(p[name], "dtype", None) == np.float32
    cdef cnp.dtype dtype = FLOAT32 if single else FLOAT64
    cdef cnp.ndarray X = entry(fc, "fc", "X", ("m", "s", "e"), dtype)
    m, s, e = cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2)
    u = np.shape(p["Vz"])[0] if np.ndim(p["Vz"]) else 0
    cdef tuple states = (m, s, u), U = (e, u), V = (u, u), b = (1, u)
    for name in due:
        entry(p, "p", name, U if name[0] == "U" else V if name[0] == "V" else b, dtype)
    cdef dict caches = entries(fc, "fc", ("hp", "r"), states, dtype)
    caches |= entries(bc, "bc", read, states, dtype)
    caches["X"] = rows(X)
    order, running = getattr(layer, "_ragged", None) or (None, None)
    if order is not None and (order.shape != (m,) or running.shape != (s,)):
        order = running = None

    cdef dict g = layer.g, fresh
    for key in OWN:
        g.pop(key, None)  # else the layer itself would hold the arrays of the last call
    options = getattr(layer, "_options", None)
    if options and not options.keys() <= SUMMED:
        caches["h"] = caches["hp"]
        fresh = gradients({name: np.asarray(p[name], dtype) for name in due}, caches, caches, layer._lengths, **options)
    else:
        if options and "input_mask" in options:
            caches["X"] = masked(X, options["input_mask"])
        buffers = getattr(layer, "_buffers", None)
        fresh = dict(zip(GRADIENTS, (Buffers() if buffers is None else buffers).take_gradients(e, u, dtype)))
        if due is not BEFORE:
            fresh["dchh"] = np.zeros((1, u), dtype)
        run(variant_of(reset_after=due is not BEFORE), fresh, caches, order, running)
    for name in p:
        key = "d" + name
        g[key] = fresh[key] if key in fresh else np.zeros(np.shape(p[name]), dtype)


cdef void _descend(floating[:, :] p, const floating[:, :] g, double lrate) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            p[i, j] -= <floating>lrate * g[i, j]


cdef void _descend_plain(floating *p, const floating *g, Py_ssize_t n, double lrate) noexcept nogil:
    cdef Py_ssize_t i
    for i in range(n):
        p[i] -= <floating>lrate * g[i]


cdef int _update(cnp.ndarray p, cnp.ndarray g, double lrate) except -1:
    """p -= lrate * g: over memoryviews, over plain memory where both arrays are that, else (odd dtypes) in NumPy."""
    cdef int kind = cnp.PyArray_TYPE(p)
    cdef bint same = kind == cnp.PyArray_TYPE(g) and cnp.PyArray_ISNOTSWAPPED(p) and cnp.PyArray_ISNOTSWAPPED(g)
    cdef bint table = cnp.PyArray_NDIM(p) == 2
    if _plain(p, g) and kind == cnp.NPY_FLOAT:
        _descend_plain(<float *>cnp.PyArray_DATA(p), <const float *>cnp.PyArray_DATA(g), cnp.PyArray_SIZE(p), lrate)
    elif _plain(p, g):
        _descend_plain(<double *>cnp.PyArray_DATA(p), <const double *>cnp.PyArray_DATA(g), cnp.PyArray_SIZE(p), lrate)
    elif same and table and kind == cnp.NPY_FLOAT:
        _descend[float](p, g, lrate)
    elif same and table and kind == cnp.NPY_DOUBLE:
        _descend[double](p, g, lrate)
    else:
        np.subtract(p, lrate * g, out=p, casting="same_kind")
    return 0


cdef bint _plain(cnp.ndarray p, cnp.ndarray g) noexcept:
    """Whether both are float or double in plain memory and alike: what `_update` does at once."""
    cdef int kind = cnp.PyArray_TYPE(p)
    return ((kind == cnp.NPY_FLOAT or kind == cnp.NPY_DOUBLE) and kind == cnp.PyArray_TYPE(g)
            and cnp.PyArray_ISCARRAY(p) and cnp.PyArray_ISCARRAY_RO(g) and cnp.PyArray_SAMESHAPE(p, g))


cdef tuple _pair(dict parameters, dict g, str key, gradient):
    """A parameter, checked, and its gradient, checked and of its shape."""
    value = parameters[key[1:]]
    if type(value) is np.ndarray and type(gradient) is np.ndarray and _plain(value, gradient):
        return value, gradient
    if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
        raise TypeError(f"p[{key[1:]!r}]: expected an array of floats to update in place, got "
                        f"{value.dtype if isinstance(value, np.ndarray) else type(value).__name__}")
    if not cnp.PyArray_ISWRITEABLE(value):
        raise ValueError(f"p[{key[1:]!r}]: expected an array to update in place, got a read-only one")
    return value, _gradient(g, key, value.shape)


cdef cnp.ndarray _gradient(dict g, key, tuple shape):
    """`g[key]`, stretched to the shape of its parameter as NumPy would: EpyNN's layers have (u,) for (1, u)."""
    cdef cnp.ndarray gradient = real(g[key], ("g", key))
    if np.shape(gradient) == shape:
        return gradient
    try:
        return np.broadcast_to(gradient, shape)
    except ValueError:
        raise ValueError(f"g[{key!r}]: expected shape {shape}, got {np.shape(gradient)}") from None


def learning_rate(lrate, e):
    try:
        if e >= 0:
            return float(lrate[e])
    except (TypeError, KeyError, ValueError):
        raise TypeError(f"lrate: expected a sequence of numbers with one for e = {e!r}, got {lrate!r}") from None
    except IndexError:
        pass
    raise ValueError(f"lrate: expected a learning rate for epoch e = {e}, got {len(lrate)} of them")


def gru_update_parameters(layer):
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
