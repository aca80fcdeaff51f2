"""The four functions of the layer's parameters, for any object that carries the attributes they name.

They serve `cgru.GRU` and EpyNN's own GRU layer alike, whatever the strides and the real dtype of its arrays. Each
checks all that it needs before it writes anything.
"""

import numpy as np

cimport numpy as cnp
from cython cimport floating
from cython.parallel cimport prange

from cgru.checks import NAMES, positive
from cgru.checks cimport entry, real, rows
from cgru.kernels cimport cgru_kernels, cgru_outer, kernels
from cgru.memory cimport Workspace
from cgru.threads cimport threads_for

cnp.import_array()

__all__ = [
    "gru_compute_gradients",
    "gru_compute_shapes",
    "gru_initialize_parameters",
    "gru_update_parameters",
]

cdef enum:
    DEPTH = 128  # rows whose outer products are summed in registers before they are added to the gradients
    MAX_SHARES = 64


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


cdef void _accumulate(
    const cgru_kernels *k, cgru_outer *outer,
    const floating[:, :, :] X, const floating[:, :, :] hp, const floating[:, :, :] r,
    const floating[:, :, :] dhh_, const floating[:, :, :] dz_, const floating[:, :, :] dr_,
    const Py_ssize_t[:] order, const Py_ssize_t[:] running,
) noexcept nogil:
    """From the last step to the first, over the samples that have that step, in chunks of rows:

    dU += X^T d_, dVhh += (r * hp)^T dhh_, dVz += hp^T dz_, dVr += hp^T dr_, db += d_.
    """
    cdef Py_ssize_t t, row, i
    outer.count = 0
    for t in range(X.shape[1] - 1, -1, -1):
        for row in range(running[t]):
            i = order[row]
            k.collect(outer, &X[i, t, 0], &hp[i, t, 0], &r[i, t, 0], &dhh_[i, t, 0], &dz_[i, t, 0], &dr_[i, t, 0])
            if outer.count == outer.depth:
                k.multiply(outer)
    k.multiply(outer)


cdef void _gradients(dict g, list caches, const Py_ssize_t[:] order, const Py_ssize_t[:] running, floating _):
    cdef const floating[:, :, :] X = caches[0], hp = caches[1], r = caches[2]
    cdef const floating[:, :, :] dhh_ = caches[3], dz_ = caches[4], dr_ = caches[5]
    cdef floating[:, ::1] gradient
    cdef Py_ssize_t e = X.shape[2], u = hp.shape[2], steps = X.shape[0] * X.shape[1], gate, i
    cdef const cgru_kernels *k = kernels(sizeof(floating))
    cdef Py_ssize_t up = (u + k.lanes - 1) // k.lanes * k.lanes, parts = 3 * k.panels(u)
    cdef int threads = <int>min(parts, MAX_SHARES, threads_for(6.0 * steps * u * (e + u)))
    # Each thread takes the columns of some gates' panels, through all rows: no sum is shared.
    cdef cgru_outer share[MAX_SHARES]
    cdef Workspace work = Workspace(threads * (2 * u + e + 3 * up) * min(steps, DEPTH), sizeof(floating))
    for i in range(threads):
        share[i].e, share[i].u, share[i].depth = e, u, min(steps, DEPTH)
        share[i].first, share[i].last = i * parts // threads, (i + 1) * parts // threads
        share[i].operands = work.take((2 * u + e) * share[i].depth)
        share[i].gates = work.take(3 * up * share[i].depth)
        for gate, name in enumerate(("hh", "z", "r")):
            gradient = g["dU" + name]
            share[i].dU[gate] = &gradient[0, 0]
            gradient = g["dV" + name]
            share[i].dV[gate] = &gradient[0, 0]
            gradient = g["db" + name]
            share[i].db[gate] = &gradient[0, 0]
    for i in prange(threads, nogil=True, num_threads=threads, use_threads_if=threads > 1, schedule="static"):
        _accumulate(k, &share[i], X, hp, r, dhh_, dz_, dr_, order, running)


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
