"""`Cell`: the packed weights of one layer, and the functions by which other compiled code runs, trains and updates it.

They fill the calls of core/, as the layer's passes do: the same bits come out, but for the gradients of few units.
"""

import numpy as np

cimport numpy as cnp
from cpython.pyport cimport PY_SSIZE_T_MAX
from cython cimport embedsignature, floating
from libc.string cimport memcpy, memset

from cgru.activations import compiled
from cgru.core.checks import parameters, positive
from cgru.variant import RESET_BEFORE
from cgru.variant import named as variant_named
from cgru.core cimport gradients
from cgru.core.driver cimport prepare, sequence
from cgru.core.gradients cimport Sums
from cgru.core.kernels cimport (
    array_place, cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_matrix, cgru_weights, kernels, new_call,
    parameter_place, weights,
)
from cgru.core.memory cimport LINE, Workspace, first_line, fits, lines_of
from cgru.core.plan cimport BACKWARD, FORWARD, GRADIENTS, Direction, Plan, packed_rows, plan_of
from cgru.core.products cimport Run
from cgru.core.low_precision cimport NarrowCell, NarrowGRU, narrow_room, narrow_sequence

cnp.import_array()

__all__ = ["Cell"]

CACHES = ("hh", "z", "r", "dhh_", "dz_", "dr_")  # of every variant, beside h

cdef enum:
    MOST = 16  # parameters of a cell, and arrays of a cache


cdef struct Shape:
    int place  # among the parameters of cgru_weights, or the arrays of cgru_call
    Py_ssize_t rows, columns


cdef struct Inside:
    const cgru_kernels *k
    cgru_call call  # sizes and activations; m is the most samples of a call
    cgru_weights weights  # where the arrays lie that the cell was made from
    Shape parameters[MOST]  # in their order
    Shape caches[MOST]  # of each step and sample
    int parameter_count, cache_count
    Py_ssize_t width  # of all caches
    bint writes  # whether the arrays may be written to
    void *packed[4]  # weights for one sample and for several, forward and backward
    Run one  # for single steps
    Py_ssize_t step_bytes  # of their workspace, where single_sample.h has them whole
    const NarrowCell *narrow  # in the place of all packs, of a quantised layer


cdef cgru_call _call(const Inside *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef cgru_call call = cell.call
    call.m, call.s = m, s
    return call


cdef Plan _plan(const Inside *cell, const cgru_call *call, Direction direction) noexcept nogil:
    """The plan of a call whose weights are packed, on one thread."""
    return plan_of(cell.k, call, NULL, direction, 1)


cdef void _caches(const Inside *inside, cgru_call *call, const void *cache) noexcept nogil:
    """The arrays that go from forward to gradients, time-major: h from step -1 on, then the others."""
    cdef Py_ssize_t step = call.m * call.u, width
    cdef int i, size = inside.k.size
    cdef char *h = <char *>cache
    cdef char *free = h + (call.s + 1) * step * size
    call.hp, call.h = cgru_array(h, call.u, step, 1), cgru_array(h + step * size, call.u, step, 1)
    for i in range(inside.cache_count):
        width = inside.caches[i].columns
        call.array[inside.caches[i].place] = cgru_array(free, width, call.m * width, 1)
        free += call.s * call.m * width * size


cdef int _wrong(const Inside *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                size_t optional, const void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Return the code of what is wrong with a call, or CELL_OK.

    The arrays a and b are needed; `optional` joins the addresses of all others by OR, 0 for a missing one.
    """
    if cell == NULL or a == NULL or b == NULL or workspace == NULL:
        return CELL_NULL
    if cell.k.size != size:
        return CELL_DTYPE
    if (<size_t>a | <size_t>b | <size_t>workspace | optional) & (size - 1):
        return CELL_ALIGNMENT
    cdef Py_ssize_t due = workspace_bytes(<const cgru_cell *>cell, m, s)
    if due == 0:
        return CELL_SIZE
    return CELL_ROOM if bytes < due else CELL_OK


cdef int _wrong_with(const Inside *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                     size_t optional, const void *cache, Py_ssize_t room, const void *workspace,
                     Py_ssize_t bytes) noexcept nogil:
    """Return the same for a call that has a cache."""
    cdef int wrong = _wrong(cell, size, m, s, a, b, optional | <size_t>cache, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    if cell.narrow != NULL:
        return CELL_QUANTIZED
    cdef Py_ssize_t due = cache_bytes(<const cgru_cell *>cell, m, s)
    if cache == NULL:
        return CELL_NULL
    if due == 0:
        return CELL_SIZE
    return CELL_ROOM if room < due else CELL_OK


cdef cgru_cell *pointer(object cell) except NULL:
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a cgru.Cell, got {type(cell).__name__}")
    if (<Cell>cell).inside.k == NULL:
        raise TypeError("cell: expected a cgru.Cell that was made, got one whose making failed")
    return <cgru_cell *>&(<Cell>cell).inside


cdef Py_ssize_t workspace_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m:
        return 0
    cdef cgru_call call = _call(inside, m, s)
    if not fits(<double>m * s * (call.u + call.e), inside.k.size):  # then there can be no X and no h
        return 0
    if inside.narrow != NULL:
        return LINE + narrow_room(inside.narrow, m)
    if not fits(<double>m * 128 * (call.up + call.ep), inside.k.size):  # more than the rows take
        return 0
    return LINE + lines_of(packed_rows(inside.k, &call), inside.k.size)


cdef Py_ssize_t cache_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m or inside.narrow != NULL:
        return 0
    if not fits((<double>inside.width * s + inside.call.u) * m, inside.k.size):
        return 0
    return (inside.width * s + inside.call.u) * m * inside.k.size


cdef Py_ssize_t parameter_count(const cgru_cell *cell) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    cdef Py_ssize_t count = 0
    cdef int i
    for i in range(0 if cell == NULL else inside.parameter_count):
        count += inside.parameters[i].rows * inside.parameters[i].columns
    return count


cdef int _step(const cgru_cell *cell, Py_ssize_t m, const floating *x, floating *h, void *workspace,
               Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    if m != 1:
        return _sequence(cell, m, 1, x, h, <floating *>NULL, workspace, bytes)
    if cell == NULL or x == NULL or h == NULL or workspace == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if (<size_t>x | <size_t>h | <size_t>workspace) & (sizeof(floating) - 1):
        return CELL_ALIGNMENT
    if bytes < inside.step_bytes:  # too few, or not a step that single_sample.h has
        return _sequence(cell, 1, 1, x, h, <floating *>NULL, workspace, bytes)
    if inside.narrow != NULL:
        inside.narrow.k.single(&inside.narrow.layer, x, h, first_line(workspace))
    else:
        inside.k.single_step(&inside.one.single, x, h, first_line(workspace))
    return CELL_OK


cdef int _sequence(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                   void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    cdef int wrong = _wrong(inside, sizeof(floating), m, s, X, h, <size_t>H, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    if inside.narrow != NULL:
        narrow_sequence(inside.narrow, m, s, <const float *>X, <float *>h, <float *>H, first_line(workspace))
        return CELL_OK
    cdef cgru_call call = _call(inside, m, s)
    call.h = cgru_array(H, s * call.u, call.u, 1)
    _forward(inside, &call, X, h, workspace)
    return CELL_OK


cdef void _forward(const Inside *inside, cgru_call *call, const void *X, void *h, void *workspace) noexcept nogil:
    cdef Run run
    cdef Plan plan
    call.X = cgru_array(<void *>X, call.s * call.e, call.e, 1)
    call.h0 = call.last = cgru_array(h, call.u, 0, 1)
    plan = _plan(inside, call, FORWARD)
    prepare(&run, &plan, call, inside.packed[call.m > 1], first_line(workspace), NULL)
    sequence(&run, True, True)


cdef int _forward_cached(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                         void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, X, h, <size_t>H, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef Py_ssize_t i, t, u = call.u
    _caches(inside, &call, cache)
    memcpy(call.hp.data, h, m * u * sizeof(floating))
    _forward(inside, &call, X, h, workspace)
    if H != NULL:
        for i in range(m):
            for t in range(s):
                memcpy(H + (i * s + t) * u, <floating *>call.h.data + (t * m + i) * u, u * sizeof(floating))
    return CELL_OK


cdef int _backward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *dH, floating *dh, floating *dX,
                   void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    cdef size_t optional = <size_t>dH | <size_t>dX
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, dh, cache, optional, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef Run run
    cdef Plan plan
    _caches(inside, &call, cache)
    call.dA = cgru_array(<void *>dH, s * call.u, call.u, 1)
    call.dX = cgru_array(dX, s * call.e, call.e, 1)
    call.h0 = call.last = cgru_array(dh, call.u, 0, 1)
    plan = _plan(inside, &call, BACKWARD)
    prepare(&run, &plan, &call, inside.packed[2 + (m > 1)], first_line(workspace), NULL)
    sequence(&run, True, True)
    return CELL_OK


cdef cgru_gradients _gradients_of(const Inside *inside, const void *g) noexcept nogil:
    """Where the gradients lie in g: in the order of the parameters."""
    cdef cgru_gradients to
    cdef char *free = <char *>g
    cdef int i
    memset(&to, 0, sizeof(to))
    for i in range(inside.parameter_count):
        (<void **>&to)[inside.parameters[i].place] = free
        free += inside.parameters[i].rows * inside.parameters[i].columns * inside.k.size
    return to


cdef int _gradients(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *g,
                    const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    cdef int wrong = _wrong_with(inside, sizeof(floating), m, s, X, g, 0, cache, room, workspace, bytes)
    if wrong != CELL_OK:
        return wrong
    cdef cgru_call call = _call(inside, m, s)
    cdef cgru_gradients to = _gradients_of(inside, g)
    cdef Sums sums
    cdef Plan plan
    _caches(inside, &call, cache)
    call.X = cgru_array(<void *>X, s * call.e, call.e, 1)
    plan = _plan(inside, &call, GRADIENTS)
    gradients.prepare(&sums, &plan, &call, &to, first_line(workspace))
    gradients.sequence(&sums, True, True)
    return CELL_OK


cdef void _descend(const cgru_matrix *p, const floating *g, Py_ssize_t rows, Py_ssize_t columns,
                   double rate) noexcept nogil:
    cdef floating *to = <floating *>p.data
    cdef Py_ssize_t i, j
    for i in range(rows):
        for j in range(columns):
            to[i * p.row + j * p.column] -= <floating>rate * g[i * columns + j]


cdef int _update(cgru_cell *cell, const floating *g, double rate) noexcept nogil:
    cdef Inside *inside = <Inside *>cell
    if cell == NULL or g == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if <size_t>g & (sizeof(floating) - 1):
        return CELL_ALIGNMENT
    if not inside.writes:
        return CELL_READ_ONLY if inside.narrow == NULL else CELL_QUANTIZED
    cdef cgru_gradients of = _gradients_of(inside, g)
    cdef Shape shape
    cdef int i
    for i in range(inside.parameter_count):
        shape = inside.parameters[i]
        _descend(&(<cgru_matrix *>&inside.weights)[shape.place], (<const floating **>&of)[shape.place], shape.rows,
                 shape.columns, rate)
    _pack(inside)
    return CELL_OK


cdef void _pack(Inside *inside) noexcept nogil:
    """Pack the weights as they stand in the arrays."""
    cdef cgru_call call
    cdef Run run
    cdef Plan plan
    cdef int several
    for several in range(1 if inside.call.m == 1 else 2):
        call = _call(inside, 1 + several, 1)
        plan = _plan(inside, &call, FORWARD)
        prepare(&run, &plan, &call, inside.packed[several], NULL, &inside.weights)
        plan = _plan(inside, &call, BACKWARD)
        prepare(&run, &plan, &call, inside.packed[2 + several], NULL, &inside.weights)


cdef class Cell:
    """Cell(source, variant=None, *, batch=1, activate=None, activate_update=None, activate_reset=None, se_hPars=None)

    The packed weights of one GRU layer, for the functions of `cgru.cell` that other compiled code calls.

    `from cgru.cell cimport ...` in Cython, `cgru.cell.__pyx_capi__` for Numba, ctypes and SciPy; their declarations, in
    cgru/cell.pxd, say what each does. They hold no GIL, allocate nothing and raise nothing.

    Args:
        source: a `GRU`, one of `cgru.quantize`, whose cell does not train (CELL_QUANTIZED), or a dict of a GRU's
            parameters, all float32 or float64. The arrays themselves are kept: `update_*` writes into them. A learned
            h0 is not among them, for states are the caller's: that is where to begin.
        variant: "reset_before", "reset_after" or "layer_norm", or a `cgru.variant.Variant`; None: "reset_before". With
            a layer it must be None, as must the arguments below `batch`: the layer says.
        batch: the most samples of one call.
        activate, activate_update, activate_reset: cgru's own or EpyNN's activations, or their names; None: tanh,
            sigmoid, sigmoid.
        se_hPars: their parameters `LRELU_alpha` and `ELU_alpha`.

    Attributes:
        p: the arrays that the cell was made from; copies of those that were not of its dtype, or lay at odd bytes, and
            then `update_*` answers CELL_READ_ONLY.
        variant, dtype: the variant's name; float32 or float64.

    Raises:
        TypeError: the source is neither a layer nor a dict, or its arrays are neither float32 nor float64.
        ValueError: an array has the wrong shape, an activation is a callable of one's own, which would need Python, the
            layer cannot run a step at a time, or no memory could hold so many samples.
    """

    cdef Inside inside
    cdef readonly dict p
    cdef readonly str variant
    cdef object kind  # the Variant of that name
    cdef tuple lent  # the arrays whose memory `inside` points to, whatever becomes of `p`
    cdef readonly object dtype
    cdef Workspace memory

    @embedsignature(False)  # Cython puts the star one argument too late
    def __init__(self, source, variant=None, *, batch=1, activate=None, activate_update=None, activate_reset=None,
                 se_hPars=None):
        memset(&self.inside, 0, sizeof(Inside))
        given = {"activate": activate, "activate_update": activate_update, "activate_reset": activate_reset}
        zoneout = 0.0
        if getattr(source, "stream", None) == "recurrent":
            for name, value in {"variant": variant, **given, "se_hPars": se_hPars}.items():
                if value is not None:
                    raise TypeError(f"{name}: expected None beside a layer, which has its own, got {value!r}")
            if source.reverse:
                raise ValueError("source: expected a layer that runs a step at a time, got one in reverse")
            if not source.trains:
                self._narrow(source, positive(batch, "batch"))
                return
            functions = {name: getattr(source, name) for name in given}
            p, se_hPars, self.dtype, zoneout = source.p, source.se_hPars, source.dtype, source.zoneout
            self.kind = source.variant.step
        elif isinstance(source, dict):
            functions = {name: f or ("tanh" if name == "activate" else "sigmoid") for name, f in given.items()}
            p, self.kind = source, variant_named(RESET_BEFORE if variant is None else variant).step
            self.dtype = getattr(p.get("Vz"), "dtype", None)
            if self.dtype not in (np.float32, np.float64):
                raise TypeError(f"source['Vz']: expected an array of float32 or float64, got {self.dtype}")
        else:
            raise TypeError(f"source: expected a cgru.GRU or a dict of arrays, got {type(source).__name__}")
        codes = tuple([compiled(f, name, se_hPars) for name, f in functions.items()])
        if np.ndim(p.get("Uz")) != 2:
            parameters(p, "e", "u", self.dtype, self.kind, "source")  # says what is missing
        if 0 in np.shape(p["Uz"]):
            raise ValueError(f"source['Uz']: expected at least one element and one unit, got shape {np.shape(p['Uz'])}")
        checked = parameters(p, *np.shape(p["Uz"]), self.dtype, self.kind, "source")
        self._hold(checked, p, codes, positive(batch, "batch"), zoneout)

    def _narrow(self, source, batch):
        """Hold the packed weights of a quantised layer."""
        cdef NarrowGRU packed = source.packed()
        cdef Inside *inside = &self.inside
        self.p, self.kind, self.dtype, self.lent = dict(source.p), source.variant.step, source.dtype, (packed,)
        self.variant = self.kind.name
        if batch > PY_SSIZE_T_MAX // 4096 // (packed.e + packed.u):
            raise ValueError(f"batch: expected fewer samples, whose rows memory could hold, got {batch}")
        inside.k, inside.narrow, inside.call = kernels(4), &packed.cell, packed.cell.call
        inside.call.m, inside.step_bytes = batch, LINE + narrow_room(inside.narrow, 1)

    def _hold(self, dict checked, dict p, tuple codes, batch, double zoneout):
        """Keep the arrays, find room for their packs and fill it."""
        cdef Inside *inside = &self.inside
        cdef cgru_call *call = &inside.call
        cdef Py_ssize_t forth, back, i, e, u
        e, u = np.shape(checked["Uz"])
        self.p, self.variant, self.lent = checked, self.kind.name, tuple([each.view() for each in checked.values()])
        call[0] = new_call(1, 1, e, u, self.dtype.itemsize, self.kind, codes)
        call.zoneout = zoneout
        weights(&inside.weights, checked, self.kind.names)
        inside.writes = all([checked[name] is p[name] and p[name].flags.writeable for name in checked])
        self._describe()
        inside.k = kernels(self.dtype.itemsize)
        if batch > PY_SSIZE_T_MAX or not fits(batch * 128.0 * (call.up + call.ep), inside.k.size):
            inside.k = NULL
            raise ValueError(f"batch: expected fewer samples, whose rows memory could hold, got {batch}")
        call.m = batch
        forth, back = _plan(inside, call, FORWARD).packed, _plan(inside, call, BACKWARD).packed
        self.memory = Workspace(2 * (forth + back), inside.k.size)
        for i in range(1 if batch == 1 else 2):
            inside.packed[i], inside.packed[2 + i] = self.memory.take(forth), self.memory.take(back)
        self.refresh()
        cdef cgru_call one = _call(inside, 1, 1)
        cdef Plan plan = _plan(inside, &one, FORWARD)
        prepare(&inside.one, &plan, &one, inside.packed[0], NULL, NULL)
        inside.step_bytes = PY_SSIZE_T_MAX
        if inside.one.single.call != NULL:
            inside.step_bytes = workspace_bytes(<cgru_cell *>inside, 1, 1)
        # The call has no `projections`: a step takes its input as it comes.
        inside.one.call = inside.one.single.call = call

    cdef int _describe(self) except -1:
        """The shapes of the parameters and of the caches, in their order."""
        cdef Inside *inside = &self.inside
        for name, (rows, columns) in self.kind.shapes(inside.call.e, inside.call.u).items():
            inside.parameters[inside.parameter_count] = Shape(parameter_place(name), rows, columns)
            inside.parameter_count += 1
        inside.width = inside.call.u  # of h
        for name in (*CACHES, *self.kind.caches, *self.kind.gradients):
            columns = self.kind.width(name, inside.call.u)
            inside.caches[inside.cache_count] = Shape(array_place(name), 1, columns)
            inside.width += columns
            inside.cache_count += 1
        return 0

    def refresh(self):
        """Pack the weights anew, after something else than `update_*` wrote into the arrays."""
        pointer(self)  # says no where there is nothing to refresh
        if self.inside.narrow == NULL:
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
        sizes = f"elements={self.elements}, units={self.units}, batch={self.batch}"
        return f"Cell({self.variant}, {sizes}, dtype={self.dtype.name})"

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
