"""The four functions of the layer's parameters, for any object that carries the attributes they name.

They serve `cgru.GRU` and EpyNN's own GRU layer alike, whatever the strides and the real dtype of its arrays. Each
checks all that it needs before it writes anything.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating

from cgru.checks import NAMES, positive
from cgru.checks cimport entry, real, rows
from cgru.kernels cimport cgru_array, cgru_kernels, cgru_outer, kernels
from cgru.memory cimport Workspace
from cgru.threads cimport share, threads_for

cnp.import_array()

__all__ = [
    "gru_compute_gradients",
    "gru_compute_shapes",
    "gru_initialize_parameters",
    "gru_update_parameters",
]

cdef enum:
    DEPTH = 128  # rows whose outer products are summed in registers before they are added to the gradients
    MOST_SHARES = 64


cdef object _entry(object layer, str attribute, object key, str due):
    """`layer.attribute[key]`; RuntimeError, naming the call that was due before, where it is not there."""
    try:
        return getattr(layer, attribute)[key]
    except (AttributeError, KeyError):
        raise RuntimeError(f"layer.{attribute}[{key!r}]: missing; expected {due} before this call") from None


def gru_compute_shapes(layer, A):
    shape = np.shape(A)
    if len(shape) != 3:
        raise ValueError(f"A: expected shape (m, s, e), got {shape}")
    if 0 in shape:
        what = ("samples", "steps", "elements")[shape.index(0)]
        raise ValueError(f"A: expected at least one of its {what}, got shape {shape}")
    m, s, e = shape
    u = positive(_entry(layer, "d", "u", "the number of unit cells"), "layer.d['u']")

    layer.d.update(m=m, s=s, e=e)
    layer.fs["X"] = shape
    for gate in ("z", "r", "hh"):
        layer.fs["U" + gate] = (e, u)
        layer.fs["V" + gate] = (u, u)
        layer.fs["b" + gate] = (1, u)
    layer.fs["h"] = (m, s, u)


def gru_initialize_parameters(layer):
    dtype = getattr(layer, "dtype", None)
    for attribute in ("np_rng", "initialization"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before gru_initialize_parameters")
    shapes = {name: _entry(layer, "fs", name, "compute_shapes") for name in NAMES}
    fresh = {}
    for name, shape in shapes.items():
        if name[0] == "b":
            fresh[name] = np.zeros(shape, dtype or np.float64)
        else:
            drawn = layer.initialization(shape, rng=layer.np_rng)
            fresh[name] = real(drawn, f"initialization(shape={shape})", shape, dtype)
    for name in NAMES:  # in this order, whatever the dict held before
        layer.p.pop(name, None)
    layer.p.update(fresh)


cdef struct Work:
    const cgru_kernels *k
    cgru_outer *outer  # one for each share of the gradients' columns
    cgru_array X, hp, r, dhh_, dz_, dr_
    const Py_ssize_t *order
    const Py_ssize_t *running
    Py_ssize_t s, itemsize


cdef const char *_row(const cgru_array *array, Py_ssize_t i, Py_ssize_t t, Py_ssize_t itemsize) noexcept nogil:
    return <const char *>array.data + (i * array.sample + t * array.step) * itemsize


cdef void _accumulate(void *work, Py_ssize_t part) noexcept nogil:
    """From the last step to the first, over the samples that have that step, in chunks of rows:

    dU += X^T d_, dVhh += (r * hp)^T dhh_, dVz += hp^T dz_, dVr += hp^T dr_, db += d_.
    """
    cdef Work *w = <Work *>work
    cdef cgru_outer *outer = &w.outer[part]
    cdef Py_ssize_t t, row, i, size = w.itemsize
    for t in range(w.s - 1, -1, -1):
        for row in range(w.running[t]):
            i = w.order[row]
            w.k.collect(outer, _row(&w.X, i, t, size), _row(&w.hp, i, t, size), _row(&w.r, i, t, size),
                        _row(&w.dhh_, i, t, size), _row(&w.dz_, i, t, size), _row(&w.dr_, i, t, size))
            if outer.count == outer.depth:
                w.k.multiply(outer)
    w.k.multiply(outer)


cdef cgru_array _array(const floating[:, :, :] view) noexcept nogil:
    return cgru_array(<void *>&view[0, 0, 0], view.strides[0] // <Py_ssize_t>sizeof(floating),
                      view.strides[1] // <Py_ssize_t>sizeof(floating))


cdef void _gradients(dict g, list caches, const Py_ssize_t[::1] order, const Py_ssize_t[::1] running, floating _):
    cdef const floating[:, :, :] X = caches[0], hp = caches[1], r = caches[2]
    cdef const floating[:, :, :] dhh_ = caches[3], dz_ = caches[4], dr_ = caches[5]
    cdef floating[:, ::1] dU, dV, db
    cdef Py_ssize_t m = X.shape[0], s = X.shape[1], e = X.shape[2], u = hp.shape[2], gate, i
    cdef const cgru_kernels *k = kernels(sizeof(floating))
    cdef Py_ssize_t up = (u + k.lanes - 1) // k.lanes * k.lanes, depth = min(m * s, DEPTH), parts = 3 * k.panels(u)
    # Each share is some of the panels of the gates' columns, through all rows: no sum is shared.
    cdef int shares = <int>min(parts, MOST_SHARES, threads_for(6.0 * m * s * u * (e + u)))
    cdef cgru_outer outer[MOST_SHARES]
    cdef Workspace workspace = Workspace(shares * (2 * u + e + 3 * up) * depth, sizeof(floating))
    for gate, name in enumerate(("hh", "z", "r")):
        dU, dV, db = g["dU" + name], g["dV" + name], g["db" + name]
        for i in range(shares):
            outer[i].dU[gate], outer[i].dV[gate], outer[i].db[gate] = &dU[0, 0], &dV[0, 0], &db[0, 0]
    for i in range(shares):
        outer[i].e, outer[i].u, outer[i].count, outer[i].depth = e, u, 0, depth
        outer[i].first, outer[i].last = i * parts // shares, (i + 1) * parts // shares
        outer[i].operands, outer[i].gates = workspace.take((2 * u + e) * depth), workspace.take(3 * up * depth)
    cdef Work work = Work(k, &outer[0], _array(X), _array(hp), _array(r), _array(dhh_), _array(dz_), _array(dr_),
                          &order[0], &running[0], s, sizeof(floating))
    with nogil:
        share(_accumulate, &work, shares, shares)


def gru_compute_gradients(layer):
    cdef cnp.ndarray X, Vz = np.asarray(_entry(layer, "p", "Vz", "initialize_parameters"))
    cdef dict p = layer.p, fc = layer.fc, bc = layer.bc, g = {}
    for name in NAMES:
        _entry(layer, "p", name, "initialize_parameters")
    for name in ("X", "hp", "r"):
        _entry(layer, "fc", name, "forward")
    for name in ("dhh_", "dz_", "dr_"):
        _entry(layer, "bc", name, "backward")

    single = all([np.asarray(p[name]).dtype == np.float32 for name in NAMES])
    cdef cnp.dtype dtype = np.dtype(np.float32 if single else np.float64)
    X = entry(fc, "fc", "X", ("m", "s", "e"), dtype)
    m, s, e = np.shape(X)
    u = Vz.shape[0] if Vz.ndim else 0
    cdef tuple states = (m, s, u), U = (e, u), V = (u, u), b = (1, u)
    for name in NAMES:
        entry(p, "p", name, U if name[0] == "U" else V if name[0] == "V" else b, dtype)
    cdef list caches = [rows(X)]
    for name in ("hp", "r"):
        caches.append(rows(entry(fc, "fc", name, states, dtype)))
    for name in ("dhh_", "dz_", "dr_"):
        caches.append(rows(entry(bc, "bc", name, states, dtype)))

    order, running = getattr(layer, "_ragged", None) or (None, None)
    if order is None or order.shape != (m,) or running.shape != (s,):
        order, running = np.arange(m), np.full(s, m)
    for name, value in p.items():
        g["d" + name] = np.zeros(np.shape(value), dtype)
    if single:
        _gradients[float](g, caches, order, running, 0)
    else:
        _gradients[double](g, caches, order, running, 0)
    layer.g.update(g)


cdef void _descend(floating[:, :] p, const floating[:, :] g, double lrate) noexcept nogil:
    cdef Py_ssize_t i, j
    for i in range(p.shape[0]):
        for j in range(p.shape[1]):
            p[i, j] -= <floating>lrate * g[i, j]


def gru_update_parameters(layer):
    if not layer.g:
        raise RuntimeError("layer.g: empty; expected compute_gradients before update_parameters")
    for attribute in ("lrate", "e"):
        if not hasattr(layer, attribute):
            raise RuntimeError(f"layer.{attribute}: missing; expected it to be set before update_parameters")
    try:
        lrate = float(layer.lrate[layer.e])
    except IndexError:
        raise ValueError(
            f"lrate: expected a learning rate for epoch e = {layer.e}, got {len(layer.lrate)} of them"
        ) from None
    cdef dict g = layer.g
    cdef list pairs = []
    for key in g:
        p = _entry(layer, "p", key[1:], "initialize_parameters")
        if not isinstance(p, np.ndarray) or p.dtype.kind != "f":
            raise TypeError(f"p[{key[1:]!r}]: expected an array of floats to update in place, got "
                            f"{p.dtype if isinstance(p, np.ndarray) else type(p).__name__}")
        if not cnp.PyArray_ISWRITEABLE(p):
            raise ValueError(f"p[{key[1:]!r}]: expected an array to update in place, got a read-only one")
        pairs.append((p, entry(g, "g", key, np.shape(p))))
    for p, gradient in pairs:
        if p.ndim == 2 and p.dtype == gradient.dtype == np.float64:
            _descend[double](p, gradient, lrate)
        elif p.ndim == 2 and p.dtype == gradient.dtype == np.float32:
            _descend[float](p, gradient, lrate)
        else:
            np.subtract(p, lrate * gradient, out=p, casting="same_kind")
