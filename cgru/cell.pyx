"""`Cell`: the packed weights of one layer, and the functions by which other compiled code runs, trains and updates it.

They fill the call that forward.pyx, backward.pyx and parameters.pyx run, as layer.py does: the same bits come out.
"""

import numpy as np

cimport numpy as cnp
from cython cimport embedsignature, floating
from libc.string cimport memcpy, memset

from cgru.activations import code_of, name_of, sigmoid, tanh
from cgru.core.checks import parameters, positive
from cgru.gru import GRU
from cgru.core.backward cimport Backward
from cgru.core.backward cimport pack_room as backward_pack_room
from cgru.core.backward cimport pack_weights as backward_pack
from cgru.core.backward cimport prepare as backward_prepare
from cgru.core.backward cimport rows_room as backward_rows_room
from cgru.core.backward cimport sequence as backward_sequence
from cgru.core.forward cimport Forward
from cgru.core.forward cimport pack_room as forward_pack_room
from cgru.core.forward cimport pack_weights as forward_pack
from cgru.core.forward cimport prepare as forward_prepare
from cgru.core.forward cimport rows_room as forward_rows_room
from cgru.core.forward cimport sequence as forward_sequence
from cgru.core.kernels cimport (
    CGRU_C, CGRU_HH, CGRU_R, CGRU_Z, cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_matrix,
    cgru_single, cgru_weights, kernels, weights,
)
from cgru.core.memory cimport Workspace
from cgru.core.gradients cimport gradients_room, sum_gradients

cnp.import_array()

__all__ = ["Cell"]

VARIANTS = ("reset_before", "reset_after")

cdef enum:
    LINE = 64  # bytes of a cache line, at which workspaces are cut


cdef struct Inside:
    const cgru_kernels *k
    cgru_call call  # sizes and activations; m is the most samples of a call
    cgru_weights weights  # where the arrays lie that the cell was made from
    bint writes  # whether they may be written to
    void *packed[4]  # weights for one sample and for several, forward and backward
    cgru_single one  # for single steps
    Py_ssize_t step_bytes  # of their workspace


cdef Inside *_inside(const cgru_cell *cell) noexcept nogil:
    return <Inside *>cell


cdef Py_ssize_t _lines(Py_ssize_t numbers, int size) noexcept nogil:
    """Bytes of so many numbers, in whole cache lines."""
    return (numbers * size + LINE - 1) // LINE * LINE


cdef char *_line(const void *memory) noexcept nogil:
    """Where the first cache line begins."""
    return <char *>((<size_t>memory + LINE - 1) // LINE * LINE)


cdef cgru_call _call(const Inside *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef cgru_call call = cell.call
    call.m, call.s = m, s
    return call


cdef void _caches(cgru_call *call, int size, const void *cache) noexcept nogil:
    """The arrays that go from forward to gradients, time-major: h from step -1 on, then the others."""
    cdef Py_ssize_t step = call.m * call.u, whole = call.s * step * size
    cdef char *h = <char *>cache
    cdef char *rest = h + step * size + whole
    call.hp, call.h = cgru_array(h, call.u, step), cgru_array(h + step * size, call.u, step)
    call.hh, call.z = cgru_array(rest, call.u, step), cgru_array(rest + whole, call.u, step)
    call.r, call.dhh_ = cgru_array(rest + 2 * whole, call.u, step), cgru_array(rest + 3 * whole, call.u, step)
    call.dz_, call.dr_ = cgru_array(rest + 4 * whole, call.u, step), cgru_array(rest + 5 * whole, call.u, step)
    if call.after:
        call.c, call.dc = cgru_array(rest + 6 * whole, call.u, step), cgru_array(rest + 7 * whole, call.u, step)


cdef int _wrong(const Inside *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                const void *workspace, Py_ssize_t bytes) noexcept nogil:
    """What is wrong with a call, of which a and b are needed: CELL_OK if nothing."""
    if cell == NULL or a == NULL or b == NULL or workspace == NULL:
        return CELL_NULL
    if cell.k.size != size:
        return CELL_DTYPE
    if m < 1 or s < 1 or m > cell.call.m:
        return CELL_SIZE
    if bytes < workspace_bytes(<const cgru_cell *>cell, m, s):
        return CELL_ROOM
    return CELL_OK


cdef int _wrong_with(const Inside *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                     const void *cache, Py_ssize_t room, const void *workspace, Py_ssize_t bytes) noexcept nogil:
    """The same for a call that has a cache."""
    cdef int wrong = _wrong(cell, size, m, s, a, b, workspace, bytes)
    if wrong == CELL_OK and cache == NULL:
        return CELL_NULL
    return CELL_ROOM if wrong == CELL_OK and room < cache_bytes(<const cgru_cell *>cell, m, s) else wrong


cdef cgru_cell *pointer(object cell) except NULL:
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a cgru.Cell, got {type(cell).__name__}")
    if (<Cell>cell).inside.k == NULL:
        raise TypeError("cell: expected a cgru.Cell that was made, got one whose making failed")
    return <cgru_cell *>&(<Cell>cell).inside


cdef Py_ssize_t workspace_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m:
        return 0
    cdef cgru_call call = _call(inside, m, s)
    cdef Py_ssize_t rows = max(forward_rows_room(inside.k, &call), backward_rows_room(inside.k, &call))
    return LINE + _lines(max(rows, gradients_room(&call, 1)), inside.k.size)


cdef Py_ssize_t cache_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m:
        return 0
    return ((9 if inside.call.after else 7) * s + 1) * m * inside.call.u * inside.k.size


cdef Py_ssize_t parameter_count(const cgru_cell *cell) noexcept nogil:
    return 0 if cell == NULL else (
        3 * (_inside(cell).call.e + _inside(cell).call.u + 1) + _inside(cell).call.after) * _inside(cell).call.u


cdef int _step(const cgru_cell *cell, Py_ssize_t m, const floating *x, floating *h, void *workspace,
               Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    if m != 1:
        return _sequence(cell, m, 1, x, h, <floating *>NULL, workspace, bytes)
    if cell == NULL or x == NULL or h == NULL or workspace == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if bytes < inside.step_bytes:
        return CELL_ROOM
    inside.k.single_step(&inside.one, x, h, _line(workspace))
    return CELL_OK


cdef int _sequence(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                   void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    cdef int wrong = _wrong(inside, sizeof(floating), m, s, X, h, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    call.h = cgru_array(H, s * call.u, call.u)
    _forward(inside, &call, X, h, workspace)
    return CELL_OK


cdef void _forward(const Inside *inside, cgru_call *call, const void *X, void *h, void *workspace) noexcept nogil:
    cdef Forward f
    call.X = cgru_array(<void *>X, call.s * call.e, call.e)
    call.h0 = call.last = cgru_array(h, call.u, 0)
    forward_prepare(&f, inside.k, call, inside.packed[call.m > 1], _line(workspace))
    forward_sequence(&f, True, True)


cdef int _forward_cached(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                         void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, X, h, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef Py_ssize_t i, t, u = call.u
    _caches(&call, sizeof(floating), cache)
    memcpy(call.hp.data, h, m * u * sizeof(floating))
    _forward(inside, &call, X, h, workspace)
    if H != NULL:
        for i in range(m):
            for t in range(s):
                memcpy(H + (i * s + t) * u, <floating *>call.h.data + (t * m + i) * u, u * sizeof(floating))
    return CELL_OK


cdef int _backward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *dH, floating *dh, floating *dX,
                   void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, dh, cache, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef Backward b
    _caches(&call, sizeof(floating), cache)
    call.dA = cgru_array(<void *>dH, s * call.u, call.u)
    call.dX = cgru_array(dX, s * call.e, call.e)
    call.h0 = call.last = cgru_array(dh, call.u, 0)
    backward_prepare(&b, inside.k, &call, inside.packed[2 + (m > 1)], _line(workspace))
    backward_sequence(&b, True, True)
    return CELL_OK


cdef cgru_gradients _gradients_of(const Inside *inside, const void *g) noexcept nogil:
    """Where the gradients of each gate lie in g: those of z, r and hh, each U, V and b, and that of chh."""
    cdef cgru_gradients to
    cdef Py_ssize_t u = inside.call.u, e = inside.call.e, size = inside.k.size, i
    cdef int gate
    cdef char *start = <char *>g
    for i in range(3):
        gate = CGRU_Z if i == 0 else CGRU_R if i == 1 else CGRU_HH
        to.U[gate] = start
        to.V[gate] = start + e * u * size
        to.b[gate] = start + (e + u) * u * size
        start += (e + u + 1) * u * size
    to.V[CGRU_C], to.b[CGRU_C] = NULL, start
    return to


cdef int _gradients(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *g,
                    const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, X, g, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef cgru_gradients to = _gradients_of(inside, g)
    if call.after:
        to.V[CGRU_C], to.V[CGRU_HH] = to.V[CGRU_HH], NULL
    _caches(&call, sizeof(floating), cache)
    call.X = cgru_array(<void *>X, s * call.e, call.e)
    sum_gradients(inside.k, &call, &to, 1, _line(workspace))
    return CELL_OK


cdef void _descend(const cgru_matrix *p, const floating *g, Py_ssize_t rows, Py_ssize_t columns,
                   double rate) noexcept nogil:
    cdef floating *to = <floating *>p.data
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            to[i * p.row + j * p.column] -= <floating>rate * g[i * columns + j]


cdef int _update(cgru_cell *cell, const floating *g, double rate) noexcept nogil:
    cdef Inside *inside = _inside(cell)
    if cell == NULL or g == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if not inside.writes:
        return CELL_READ_ONLY
    cdef cgru_gradients of = _gradients_of(inside, g)
    cdef int gate
    if inside.call.after:
        _descend(&inside.weights.b[CGRU_C], <const floating *>of.b[CGRU_C], 1, inside.call.u, rate)
    for gate in range(3):
        _descend(&inside.weights.U[gate], <const floating *>of.U[gate], inside.call.e, inside.call.u, rate)
        _descend(&inside.weights.V[gate], <const floating *>of.V[gate], inside.call.u, inside.call.u, rate)
        _descend(&inside.weights.b[gate], <const floating *>of.b[gate], 1, inside.call.u, rate)
    _pack(inside)
    return CELL_OK


cdef void _pack(Inside *inside) noexcept nogil:
    """Pack the weights as they stand in the arrays."""
    cdef cgru_call call
    cdef Forward f
    cdef Backward b
    cdef int several
    for several in range(1 if inside.call.m == 1 else 2):
        call = _call(inside, 1 + several, 1)
        forward_prepare(&f, inside.k, &call, inside.packed[several], NULL)
        forward_pack(&f, &inside.weights)
        backward_prepare(&b, inside.k, &call, inside.packed[2 + several], NULL)
        backward_pack(&b, &inside.weights)


cdef class Cell:
    """Cell(source, variant=None, *, batch=1, activate=None, activate_update=None, activate_reset=None, se_hPars=None)

    The packed weights of one GRU layer, for the functions of `cgru.cell` that other compiled code calls.

    `from cgru.cell cimport ...` in Cython, `cgru.cell.__pyx_capi__` for Numba, ctypes and SciPy; their declarations, in
    cgru/cell.pxd, say what each does. They hold no GIL, allocate nothing and raise nothing.

    Args:
        source: a `GRU`, or a dict of its parameters (Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, for "reset_after" chh), all
            float32 or float64. The arrays themselves are kept: `update_*` writes into them.
        variant: "reset_before" or "reset_after", where the reset gate is applied to the matrix product; None: before.
            With a layer it must be None, as must the arguments below `batch`: the layer says.
        batch: the most samples of one call.
        activate, activate_update, activate_reset: cgru's own or EpyNN's activations; None: tanh, sigmoid, sigmoid.
        se_hPars: their parameters `LRELU_alpha` and `ELU_alpha`.

    Attributes:
        p: the arrays that the cell was made from; copies of those that were not of its dtype, or lay at odd bytes, and
            then `update_*` answers CELL_READ_ONLY.
        variant, dtype: what was given.

    Raises:
        TypeError: the source is neither a layer nor a dict, or its arrays are neither float32 nor float64.
        ValueError: an array has the wrong shape, an activation is a callable of one's own, which would need Python, or
            the layer cannot run a step at a time.
    """

    cdef Inside inside
    cdef readonly dict p
    cdef readonly str variant
    cdef readonly object dtype
    cdef Workspace memory

    @embedsignature(False)  # Cython puts the star one argument too late
    def __init__(self, source, variant=None, *, batch=1, activate=None, activate_update=None, activate_reset=None,
                 se_hPars=None):
        memset(&self.inside, 0, sizeof(Inside))
        given = {"activate": activate, "activate_update": activate_update, "activate_reset": activate_reset}
        if isinstance(source, GRU):
            for name, value in {"variant": variant, **given, "se_hPars": se_hPars}.items():
                if value is not None:
                    raise TypeError(f"{name}: expected None beside a layer, which has its own, got {value!r}")
            if source.reverse:
                raise ValueError("source: expected a layer that runs a step at a time, got one in reverse")
            functions = {name: getattr(source, name) for name in given}
            p, se_hPars, self.dtype = source.p, source.se_hPars, source.dtype
            variant, self.inside.call.zoneout = VARIANTS[source.reset_after], source.zoneout
        elif isinstance(source, dict):
            functions = {name: f or (tanh if name == "activate" else sigmoid) for name, f in given.items()}
            p, variant = source, "reset_before" if variant is None else variant
            self.dtype = getattr(p.get("Vz"), "dtype", None)
            if self.dtype not in (np.float32, np.float64):
                raise TypeError(f"source['Vz']: expected an array of float32 or float64, got {self.dtype}")
        else:
            raise TypeError(f"source: expected a cgru.GRU or a dict of arrays, got {type(source).__name__}")
        if variant not in VARIANTS:
            raise ValueError(f"variant: expected one of {', '.join(VARIANTS)}, got {variant!r}")
        codes = []
        for name, f in functions.items():
            code = code_of(f, se_hPars) if callable(f) else None
            if code is None:
                raise ValueError(f"{name}: expected one of cgru's own activations, which run without Python, got "
                                 f"{name_of(f) if callable(f) else type(f).__name__}")
            codes.append(code)
        if np.ndim(p.get("Uz")) != 2:
            parameters(p, "e", "u", self.dtype)  # says what is missing
        if 0 in np.shape(p["Uz"]):
            raise ValueError(f"source['Uz']: expected at least one element and one unit, got shape {np.shape(p['Uz'])}")
        self.variant = variant
        checked = parameters(p, *np.shape(p["Uz"]), self.dtype, "source", variant == "reset_after")
        self._hold(checked, p, codes, positive(batch, "batch"))

    def _hold(self, dict checked, dict p, list codes, Py_ssize_t batch):
        """Keep the arrays, find room for their packs and fill it."""
        cdef Inside *inside = &self.inside
        cdef cgru_call *call = &inside.call
        cdef Py_ssize_t lanes, room, i
        self.p = checked
        inside.k = kernels(self.dtype.itemsize)
        lanes = inside.k.lanes
        call.e, call.u = checked["Uz"].shape
        call.m, call.s, call.after = batch, 1, "chh" in checked
        call.up, call.ep = (call.u + lanes - 1) // lanes * lanes, (call.e + lanes - 1) // lanes * lanes
        (call.activate.code, call.activate.alpha), (call.activate_update.code, call.activate_update.alpha), (
            call.activate_reset.code, call.activate_reset.alpha) = codes
        weights(&inside.weights, checked)
        inside.writes = all([checked[name] is p[name] and p[name].flags.writeable for name in checked])
        room = forward_pack_room(call) + backward_pack_room(call)
        self.memory = Workspace(2 * room, inside.k.size)
        for i in range(1 if batch == 1 else 2):
            inside.packed[i] = self.memory.take(forward_pack_room(call))
            inside.packed[2 + i] = self.memory.take(backward_pack_room(call))
        self.refresh()
        cdef cgru_call one = _call(inside, 1, 1)
        cdef Forward f
        forward_prepare(&f, inside.k, &one, inside.packed[0], NULL)
        inside.one = f.single
        inside.one.call = call
        inside.step_bytes = workspace_bytes(<const cgru_cell *>inside, 1, 1)

    def refresh(self):
        """Pack the weights anew, after something else than `update_*` wrote into the arrays."""
        pointer(self)  # says no where there is nothing to refresh
        with nogil:
            _pack(&self.inside)

    @property
    def address(self):
        """Of the cell, for foreign-function interfaces; it is valid as long as this object lives."""
        return <size_t>&self.inside

    @property
    def batch(self):
        """The most samples of one call."""
        return self.inside.call.m

    @property
    def elements(self):
        """e, the elements of a step."""
        return self.inside.call.e

    @property
    def units(self):
        """u, the units of the state."""
        return self.inside.call.u

    def __repr__(self):
        return (f"Cell({self.variant}, elements={self.elements}, units={self.units}, batch={self.batch}, "
                f"dtype={self.dtype.name})")

    def __reduce__(self):
        raise TypeError("a Cell does not pickle: it lends pointers to its memory; make it anew from its layer")


cdef int step_float(const cgru_cell *cell, Py_ssize_t m, const float *x, float *h,
                    void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _step(cell, m, x, h, workspace, bytes)


cdef int step_double(const cgru_cell *cell, Py_ssize_t m, const double *x, double *h,
                     void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _step(cell, m, x, h, workspace, bytes)


cdef int sequence_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                        void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _sequence(cell, m, s, X, h, H, workspace, bytes)


cdef int sequence_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *h, double *H,
                         void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _sequence(cell, m, s, X, h, H, workspace, bytes)


cdef int forward_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                       void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _forward_cached(cell, m, s, X, h, H, cache, room, workspace, bytes)


cdef int forward_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *h, double *H,
                        void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _forward_cached(cell, m, s, X, h, H, cache, room, workspace, bytes)


cdef int backward_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *dH, float *dh, float *dX,
                        void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _backward(cell, m, s, dH, dh, dX, cache, room, workspace, bytes)


cdef int backward_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *dH, double *dh, double *dX,
                         void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _backward(cell, m, s, dH, dh, dX, cache, room, workspace, bytes)


cdef int gradients_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *g,
                         const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _gradients(cell, m, s, X, g, cache, room, workspace, bytes)


cdef int gradients_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *g,
                          const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    return _gradients(cell, m, s, X, g, cache, room, workspace, bytes)


cdef int update_float(cgru_cell *cell, const float *g, double rate) noexcept nogil:
    return _update(cell, g, rate)


cdef int update_double(cgru_cell *cell, const double *g, double rate) noexcept nogil:
    return _update(cell, g, rate)
