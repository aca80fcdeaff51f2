"""The four functions of the layer's parameters, for any object that carries the attributes they name.

They serve `cgru.GRU` and EpyNN's own GRU layer alike, whatever the strides and the real dtype of its arrays. Each
checks all that it needs before it writes anything.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating

from cgru.checks import positive
from cgru.reference import PARAMETERS
from cgru.checks cimport entry, real, rows
from cgru.kernels cimport cgru_array, cgru_call, cgru_kernels, cgru_outer, kernels, new_call
from cgru.memory cimport Workspace
from cgru.threads cimport share, threads_for

cnp.import_array()

__all__ = [
    "gru_compute_gradients",
    "gru_compute_shapes",
    "gru_initialize_parameters",
    "gru_update_parameters",
]

cdef cnp.dtype FLOAT32 = np.dtype(np.float32), FLOAT64 = np.dtype(np.float64)

cdef enum:
    DEPTH = 256  # rows whose outer products are summed in registers before they are added to the gradients
    MOST_SHARES = 64


cdef dict _needed(layer, str attribute, tuple keys, str due):
    """`layer.attribute`, in which the keys are; RuntimeError, naming the call that was due before, where one is not."""
    cdef dict entries = getattr(layer, attribute, None) or {}
    for key in keys:
        if key not in entries:
            raise RuntimeError(f"layer.{attribute}[{key!r}]: missing; expected {due} before this call")
    return entries


def gru_compute_shapes(layer, A):
    shape = np.shape(A if isinstance(A, np.ndarray) else real(A, "A"))
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
    fs["h"] = (m, s, u)


def gru_initialize_parameters(layer):
    dtype = getattr(layer, "dtype", None)
    for attribute in ("np_rng", "initialization"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before gru_initialize_parameters")
    shapes = _needed(layer, "fs", PARAMETERS, "compute_shapes")
    fresh = {}
    for name in PARAMETERS:
        shape = shapes[name]
        if name[0] == "b":
            fresh[name] = np.zeros(shape, dtype or np.float64)
        else:
            drawn = layer.initialization(shape, rng=layer.np_rng)
            fresh[name] = np.array(real(drawn, f"initialization(shape={shape})", shape, dtype), order="C")  # a copy
    for name in PARAMETERS:  # in this order, whatever the dict held before
        layer.p.pop(name, None)
    layer.p.update(fresh)


cdef struct Work:
    const cgru_kernels *k
    cgru_outer *outer  # one for each share of the gradients' columns


cdef void _accumulate(void *work, Py_ssize_t part) noexcept nogil:
    """From the last step to the first, over the samples that have that step, in chunks of rows:

    dU += X^T d_, dVhh += (r * hp)^T dhh_, dVz += hp^T dz_, dVr += hp^T dr_, db += d_.
    """
    cdef const cgru_kernels *k = (<Work *>work).k
    cdef cgru_outer *outer = &(<Work *>work).outer[part]
    cdef Py_ssize_t t, row, n, live = outer.call.m
    for t in range(outer.call.s - 1, -1, -1):
        if outer.call.running:
            live = outer.call.running[t]
        row = 0
        while row < live:
            n = min(live - row, outer.depth - outer.count)
            k.collect(outer, t, row, n)
            row += n
            if outer.count == outer.depth:
                k.multiply(outer)
    k.multiply(outer)


cdef cgru_array _array(const floating[:, :, :] view) noexcept nogil:
    return cgru_array(<void *>&view[0, 0, 0], view.strides[0] // <Py_ssize_t>sizeof(floating),
                      view.strides[1] // <Py_ssize_t>sizeof(floating))


cdef void _gradients(cnp.ndarray dU, cnp.ndarray dV, cnp.ndarray db, list caches, order, running, floating _):
    cdef const floating[:, :, :] X = caches[0], hp = caches[1], r = caches[2]
    cdef const floating[:, :, :] dhh_ = caches[3], dz_ = caches[4], dr_ = caches[5]
    cdef floating[:, :, ::1] dUs = dU, dVs = dV, dbs = db
    cdef Py_ssize_t u = hp.shape[2], gate, i
    cdef const cgru_kernels *k = kernels(sizeof(floating))
    cdef cgru_call call = new_call(caches[0], u, None, order, running)
    call.X, call.hp, call.r = _array(X), _array(hp), _array(r)
    call.dhh_, call.dz_, call.dr_ = _array(dhh_), _array(dz_), _array(dr_)

    # Each share is some of the panels of the gates' columns, through all rows: no sum is shared.
    cdef Py_ssize_t depth = min(call.m * call.s, DEPTH), parts = 3 * k.panels(u)
    cdef int shares = <int>min(parts, MOST_SHARES, threads_for(6.0 * call.m * call.s * u * (call.e + u)))
    cdef cgru_outer outer[MOST_SHARES]
    cdef Workspace workspace = Workspace(shares * (2 * u + call.e + 3 * call.up) * depth, sizeof(floating))
    for i in range(shares):
        outer[i].call, outer[i].count, outer[i].depth = &call, 0, depth
        outer[i].first, outer[i].last = i * parts // shares, (i + 1) * parts // shares
        outer[i].operands = workspace.take((2 * u + call.e) * depth)
        outer[i].gates = workspace.take(3 * call.up * depth)
        for gate in range(3):
            outer[i].dU[gate] = &dUs[gate, 0, 0]
            outer[i].dV[gate] = &dVs[gate, 0, 0]
            outer[i].db[gate] = &dbs[gate, 0, 0]
    cdef Work work = Work(k, &outer[0])
    with nogil:
        share(_accumulate, &work, shares, shares)


def gru_compute_gradients(layer):
    cdef dict p = _needed(layer, "p", PARAMETERS, "initialize_parameters")
    cdef dict fc = _needed(layer, "fc", ("X", "hp", "r"), "forward")
    cdef dict bc = _needed(layer, "bc", ("dhh_", "dz_", "dr_"), "backward")
    cdef dict g = {}
    cdef bint single = True
    for name in PARAMETERS:
        single = single and getattr(p[name], "dtype", None) == np.float32
    cdef cnp.dtype dtype = FLOAT32 if single else FLOAT64
    cdef cnp.ndarray X = entry(fc, "fc", "X", ("m", "s", "e"), dtype)
    m, s, e = cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2)
    u = np.shape(p["Vz"])[0] if np.ndim(p["Vz"]) else 0
    cdef tuple states = (m, s, u), U = (e, u), V = (u, u), b = (1, u)
    for name in PARAMETERS:
        entry(p, "p", name, U if name[0] == "U" else V if name[0] == "V" else b, dtype)
    cdef list caches = [
        rows(X), rows(entry(fc, "fc", "hp", states, dtype)), rows(entry(fc, "fc", "r", states, dtype)),
        rows(entry(bc, "bc", "dhh_", states, dtype)), rows(entry(bc, "bc", "dz_", states, dtype)),
        rows(entry(bc, "bc", "dr_", states, dtype)),
    ]
    order, running = getattr(layer, "_ragged", None) or (None, None)
    if order is not None and (order.shape != (m,) or running.shape != (s,)):
        order = running = None

    dU, dV, db = np.zeros((3, e, u), dtype), np.zeros((3, u, u), dtype), np.zeros((3, 1, u), dtype)
    if single:
        _gradients[float](dU, dV, db, caches, order, running, 0)
    else:
        _gradients[double](dU, dV, db, caches, order, running, 0)
    (g["dUhh"], g["dUz"], g["dUr"]), (g["dVhh"], g["dVz"], g["dVr"]), (g["dbhh"], g["dbz"], g["dbr"]) = dU, dV, db
    for name in p:
        key = "d" + name
        layer.g[key] = g[key] if key in g else np.zeros(np.shape(p[name]), dtype)


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
    cdef bint plain = cnp.PyArray_IS_C_CONTIGUOUS(p) and cnp.PyArray_IS_C_CONTIGUOUS(g)
    cdef bint table = cnp.PyArray_NDIM(p) == 2
    if same and plain and kind == cnp.NPY_FLOAT:
        _descend_plain(<float *>cnp.PyArray_DATA(p), <const float *>cnp.PyArray_DATA(g), cnp.PyArray_SIZE(p), lrate)
    elif same and plain and kind == cnp.NPY_DOUBLE:
        _descend_plain(<double *>cnp.PyArray_DATA(p), <const double *>cnp.PyArray_DATA(g), cnp.PyArray_SIZE(p), lrate)
    elif same and table and kind == cnp.NPY_FLOAT:
        _descend[float](p, g, lrate)
    elif same and table and kind == cnp.NPY_DOUBLE:
        _descend[double](p, g, lrate)
    else:
        np.subtract(p, lrate * g, out=p, casting="same_kind")
    return 0


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
    cdef cnp.ndarray p
    cdef list pairs = []
    if not g:
        raise RuntimeError("layer.g: empty; expected compute_gradients before update_parameters")
    for attribute in ("lrate", "e"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before update_parameters")
    lrate = learning_rate(layer.lrate, layer.e)
    parameters = _needed(layer, "p", tuple([key[1:] for key in g]), "initialize_parameters")
    for key in g:
        value = parameters[key[1:]]
        if not isinstance(value, np.ndarray) or value.dtype.kind != "f":
            raise TypeError(f"p[{key[1:]!r}]: expected an array of floats to update in place, got "
                            f"{value.dtype if isinstance(value, np.ndarray) else type(value).__name__}")
        p = value
        if not cnp.PyArray_ISWRITEABLE(p):
            raise ValueError(f"p[{key[1:]!r}]: expected an array to update in place, got a read-only one")
        pairs.append((p, _gradient(g, key, value.shape)))
    for p, gradient in pairs:
        _update(p, gradient, lrate)
