"""`Cell`: the packed weights of one layer, and C functions with which other compiled code runs and trains it.

These make the same calls of core/ as the layer's passes. So the bits are the same, except for the gradients of layers
with few units, which are summed in another order.
"""

import numpy as np

cimport numpy as cnp
from cpython.pyport cimport PY_SSIZE_T_MAX
from cython cimport embedsignature, floating, no_gc
from libc.string cimport memcpy, memset

from cgru.activations import compiled
from cgru.core.checks import parameters, positive
from cgru.variant import RESET_BEFORE
from cgru.variant import named as variant_named
from cgru.core cimport gradients as weight_gradients
from cgru.core.crew cimport Crew, close_crew, open_crew
from cgru.core.driver cimport join_crew, prepare, run_steps
from cgru.core.gradients cimport Sums
from cgru.core.kernels cimport (
    array_index, bind_weights, cgru_array, cgru_call, cgru_gradients, cgru_kernels, cgru_matrix, cgru_weights, kernels,
    cgru_product, new_call, parameter_index,
)
from cgru.core.memory cimport LINE, Workspace, first_line, fits, lines_of
from cgru.core.plan cimport (
    BACKWARD, FORWARD, GRADIENTS, UNITS_IN_LANES, Direction, Plan, count_members, plan_of, rows_workspace_size,
)
from cgru.core.products cimport Run
from cgru.core.threads cimport available, await_late_members, gather_members
from cgru.core.low_precision cimport LowPrecisionCell, LowPrecisionGRU, layer_workspace, run_quantized

cnp.import_array()

__all__ = ["Cell"]

CACHES = ("hh", "z", "r", "dhh_", "dz_", "dr_")  # of every variant, beside h

cdef enum:
    MOST = 16  # parameters of a cell, and arrays of a cache
    MOST_THREADS = 256  # as in thread_pool.c
    MOST_READY = 3  # products of a step


cdef struct Shape:
    int place  # index of a parameter in cgru_weights, or of an array in cgru_call
    Py_ssize_t rows, columns


cdef struct PackedCell:
    const cgru_kernels *k
    cgru_call call  # sizes and activations; m is the most samples of a call
    cgru_weights weights  # the arrays that the cell was made from
    Shape parameters[MOST]  # in the order of the variant
    Shape caches[MOST]  # of one step of one sample
    int parameter_count, cache_count
    int threads  # that a call may use
    Py_ssize_t width  # columns of all caches together
    bint writes  # whether `update` may write to the arrays
    void *packed[4]  # packed weights: forward for one sample and for several, then backward
    Run one  # a prepared run of one step of one sample
    Py_ssize_t step_bytes  # workspace of that step; PY_SSIZE_T_MAX: single_sample.h alone cannot run it
    Py_ssize_t room  # workspace of one step of `call.m` samples
    cgru_product ready[MOST_READY]  # of one step of `call.m` samples; their rows count from a workspace at 0
    int ready_count  # 0: such a step needs a plan
    const LowPrecisionCell *low_precision  # of a quantised layer, which has no `packed`; else NULL


cdef cgru_call _call(const PackedCell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    """Return the description of a call of the cell for m samples and s steps, without its arrays."""
    cdef cgru_call call = cell.call
    call.m, call.s = m, s
    return call


cdef Plan _plan(const PackedCell *cell, const cgru_call *call, Direction direction, int most) noexcept nogil:
    """Return the plan of a call with packed weights that uses at most `most` threads."""
    cdef Plan plan = plan_of(cell.k, call, NULL, direction, most)
    if most > 1:
        plan.members = count_members(&plan, call, most, True)
    return plan


cdef void _bind_caches(const PackedCell *inside, cgru_call *call, const void *cache) noexcept nogil:
    """Set the call's array addresses to parts of the memory `cache`: first h from step -1 on, then the others."""
    cdef Py_ssize_t step = call.m * call.u, width
    cdef int i, size = inside.k.size
    cdef char *h = <char *>cache
    cdef char *free = h + (call.s + 1) * step * size
    call.hp, call.h = cgru_array(h, call.u, step, 1), cgru_array(h + step * size, call.u, step, 1)
    for i in range(inside.cache_count):
        width = inside.caches[i].columns
        call.array[inside.caches[i].place] = cgru_array(free, width, call.m * width, 1)
        free += call.s * call.m * width * size


cdef int _check_call(const PackedCell *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                     size_t optional, const void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Return CELL_OK, or the error code of the first invalid array, size or workspace among a call's arguments.

    The arrays a and b are required. `optional` is the bitwise OR of the addresses of all others, 0 for a missing one.
    """
    if cell == NULL or a == NULL or b == NULL or workspace == NULL:
        return CELL_NULL
    if cell.k.size != size:
        return CELL_DTYPE
    if (<size_t>a | <size_t>b | <size_t>workspace | optional) & (size - 1):
        return CELL_ALIGNMENT
    cdef Py_ssize_t due = cell.room
    if s != 1 or m != cell.call.m:
        due = workspace_bytes(<const cgru_cell *>cell, m, s)
    if due == 0:
        return CELL_SIZE
    return CELL_ROOM if bytes < due else CELL_OK


cdef int _check_cached(const PackedCell *cell, int size, Py_ssize_t m, Py_ssize_t s, const void *a, const void *b,
                       size_t optional, const void *cache, Py_ssize_t room, const void *workspace,
                       Py_ssize_t bytes) noexcept nogil:
    """Return what `_check_call` returns, and check the `cache` of `room` bytes, too."""
    cdef int code = _check_call(cell, size, m, s, a, b, optional | <size_t>cache, workspace, bytes)
    if code != CELL_OK:
        return code
    if cell.low_precision != NULL:
        return CELL_QUANTIZED
    cdef Py_ssize_t due = cache_bytes(<const cgru_cell *>cell, m, s)
    if cache == NULL:
        return CELL_NULL
    if due == 0:
        return CELL_SIZE
    return CELL_ROOM if room < due else CELL_OK


cdef cgru_cell *pointer(object cell) except NULL:
    """Return the C address of the cell in a `Cell`, valid while that object lives; TypeError for other objects."""
    if not isinstance(cell, Cell):
        raise TypeError(f"cell: expected a cgru.Cell, got {type(cell).__name__}")
    if (<Cell>cell).inside.k == NULL:
        raise TypeError("cell: expected a complete cgru.Cell, got one whose construction failed")
    return <cgru_cell *>&(<Cell>cell).inside


cdef Py_ssize_t workspace_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    """Return the bytes of workspace that a call with m samples and s steps needs; 0 for invalid sizes."""
    cdef PackedCell *inside = <PackedCell *>cell
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m:
        return 0
    cdef cgru_call call = _call(inside, m, s)
    if not fits(<double>m * s * (call.u + call.e), inside.k.size):  # no memory could hold X and h
        return 0
    if inside.low_precision != NULL:
        return LINE + layer_workspace(inside.low_precision, m)
    if not fits(<double>m * 128 * (call.up + call.ep), inside.k.size):  # an upper bound of the rows
        return 0
    return LINE + lines_of(rows_workspace_size(inside.k, &call), inside.k.size)


cdef Py_ssize_t cache_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil:
    """Return the bytes of cache that a training call with m samples and s steps needs; 0 for invalid sizes."""
    cdef PackedCell *inside = <PackedCell *>cell
    if cell == NULL or m < 1 or s < 1 or m > inside.call.m or inside.low_precision != NULL:
        return 0
    if not fits((<double>inside.width * s + inside.call.u) * m, inside.k.size):
        return 0
    return (inside.width * s + inside.call.u) * m * inside.k.size


cdef Py_ssize_t parameter_count(const cgru_cell *cell) noexcept nogil:
    """Return the total number of elements of all parameters."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef Py_ssize_t count = 0
    cdef int i
    for i in range(0 if cell == NULL else inside.parameter_count):
        count += inside.parameters[i].rows * inside.parameters[i].columns
    return count


cdef int step(const cgru_cell *cell, Py_ssize_t m, const floating *x, floating *h, void *workspace,
              Py_ssize_t bytes) noexcept nogil:
    """Run one step of x (m, e), which updates the states h (m, u) in place; return an error code or CELL_OK.

    A single sample goes straight to single_sample.h, without a plan.
    """
    cdef PackedCell *inside = <PackedCell *>cell
    if m != 1:
        return sequence(cell, m, 1, x, h, <floating *>NULL, workspace, bytes)
    if cell == NULL or x == NULL or h == NULL or workspace == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if (<size_t>x | <size_t>h | <size_t>workspace) & (sizeof(floating) - 1):
        return CELL_ALIGNMENT
    if bytes < inside.step_bytes:  # too few, or single_sample.h alone cannot run this cell
        return sequence(cell, 1, 1, x, h, <floating *>NULL, workspace, bytes)
    if inside.low_precision != NULL:
        inside.low_precision.k.single(&inside.low_precision.layer, x, h, first_line(workspace))
    else:
        inside.k.single_step(&inside.one.single, x, h, first_line(workspace))
    return CELL_OK


cdef int sequence(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                  void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Run the sequences X (m, s, e) from the states h, updated in place; write all states to H unless it is NULL."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef int code = _check_call(inside, sizeof(floating), m, s, X, h, <size_t>H, workspace, bytes)
    if code != CELL_OK:
        return code
    cdef cgru_call call = _call(inside, m, s)
    call.h = cgru_array(H, s * call.u, call.u, 1)
    if inside.ready_count and s == 1 and m == inside.call.m and H == NULL:
        _ready_step(inside, &call, X, h, workspace)
    else:
        _forward(inside, &call, X, h, workspace)
    return CELL_OK


cdef void _ready_step(const PackedCell *inside, cgru_call *call, const void *x, void *h,
                      void *workspace) noexcept nogil:
    """Run one step of `call.m` samples by products built in advance, since planning takes as long as a small step."""
    cdef cgru_product product
    cdef int n, i
    call.rows = first_line(workspace)
    call.X, call.h0 = cgru_array(<void *>x, call.e, 0, 1), cgru_array(h, call.u, 0, 1)
    call.last = call.h0
    inside.k.load_h0(call, 0, call.m)
    inside.k.load_x(call, 0, 0, call.m)
    for n in range(inside.ready_count):
        product = inside.ready[n]
        product.call = call
        for i in range(product.operands):
            product.operand[i].rows = <char *>call.rows + <size_t>product.operand[i].rows
        inside.k.product(&product, 0, 0, call.m)
    inside.k.store_last(call, 0, call.m)


cdef int sequence_decay(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, const floating *decay,
                        Py_ssize_t n, const floating *h0, floating *h, floating *H, void *workspace,
                        Py_ssize_t bytes) noexcept nogil:
    """Run as `sequence` does, but multiply the state by the factors decay (m, s, 1) or (m, s, u) before each step."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef size_t others = <size_t>H | <size_t>decay | <size_t>h0
    cdef int code = _check_call(inside, sizeof(floating), m, s, X, h, others, workspace, bytes)
    if code == CELL_OK and decay == NULL:
        code = CELL_NULL
    elif code == CELL_OK and n != 1 and n != inside.call.u:
        code = CELL_SIZE
    if code != CELL_OK:
        return code
    cdef cgru_call call = _call(inside, m, s)
    call.h = cgru_array(H, s * call.u, call.u, 1)
    call.decay = cgru_array(<void *>decay, s * n, n, n > 1)
    call.start = cgru_array(<void *>h0, 0, 0, 1)
    _forward(inside, &call, X, h, workspace)
    return CELL_OK


cdef int step_decay(const cgru_cell *cell, Py_ssize_t m, const floating *x, const floating *decay, Py_ssize_t n,
                    const floating *h0, floating *h, void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Run one step as `step` does, but multiply the states by factors before it."""
    return sequence_decay(cell, m, 1, x, decay, n, h0, h, <floating *>NULL, workspace, bytes)


cdef void _forward(const PackedCell *inside, cgru_call *call, const void *X, void *h, void *workspace) noexcept nogil:
    """Run a checked forward call from the states h (m, u), and overwrite them with the last states."""
    call.X = cgru_array(<void *>X, call.s * call.e, call.e, 1)
    call.h0 = call.last = cgru_array(h, call.u, 0, 1)
    if inside.low_precision != NULL:
        run_quantized(inside.low_precision, call, first_line(workspace))
    else:
        _run(inside, call, FORWARD, inside.packed[call.m > 1], workspace)


cdef void _run(const PackedCell *inside, cgru_call *call, Direction direction, void *packed,
               void *workspace) noexcept nogil:
    """Plan and run a call with packed weights, which the threads of a crew read without copying."""
    cdef Plan plan = _plan(inside, call, direction, min(inside.threads, available()))
    cdef Crew crew
    cdef bint shared = plan.members > 1 and open_crew(&crew, &plan, call, packed)
    cdef Run run
    prepare(&run, &plan, call, packed, first_line(workspace), NULL)
    if shared:
        gather_members()  # of few steps each one counts
        join_crew(&run, &crew)
    run_steps(&run, True, True)
    if shared:
        close_crew()


cdef int forward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                 void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Run as `sequence` does, and write the caches for `backward` and `gradients` into `cache`, of `room` bytes."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef int code = _check_cached(inside, sizeof(floating), m, s, X, h, <size_t>H, cache, room, workspace, bytes)
    if code != CELL_OK:
        return code
    cdef cgru_call call = _call(inside, m, s)
    cdef Py_ssize_t i, t, u = call.u
    _bind_caches(inside, &call, cache)
    memcpy(call.hp.data, h, m * u * sizeof(floating))
    _forward(inside, &call, X, h, workspace)
    if H != NULL:
        for i in range(m):
            for t in range(s):
                memcpy(H + (i * s + t) * u, <floating *>call.h.data + (t * m + i) * u, u * sizeof(floating))
    return CELL_OK


cdef int backward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *dH, floating *dh, floating *dX,
                  void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Backpropagate dH (NULL: zero): overwrite dh by dL/dh0, and write dL/dX to dX unless that is NULL."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef size_t optional = <size_t>dH | <size_t>dX
    cdef int code = _check_cached(inside, sizeof(floating), m, s, dh, cache, optional, cache, room, workspace, bytes)
    if code != CELL_OK:
        return code
    cdef cgru_call call = _call(inside, m, s)
    _bind_caches(inside, &call, cache)
    call.dA = cgru_array(<void *>dH, s * call.u, call.u, 1)
    call.dX = cgru_array(dX, s * call.e, call.e, 1)
    call.h0 = call.last = cgru_array(dh, call.u, 0, 1)
    _run(inside, &call, BACKWARD, inside.packed[2 + (m > 1)], workspace)
    return CELL_OK


cdef cgru_gradients _gradients_of(const PackedCell *inside, const void *g) noexcept nogil:
    """Return the addresses of the parameters' gradients in the array g, which stores them one after another."""
    cdef cgru_gradients to
    cdef char *free = <char *>g
    cdef int i
    memset(&to, 0, sizeof(to))
    for i in range(inside.parameter_count):
        (<void **>&to)[inside.parameters[i].place] = free
        free += inside.parameters[i].rows * inside.parameters[i].columns * inside.k.size
    return to


cdef int gradients(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *g, const void *cache,
                   Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil:
    """Add the gradients of all parameters to g; call it after `backward` with the same `cache`."""
    cdef PackedCell *inside = <PackedCell *>cell
    cdef int code = _check_cached(inside, sizeof(floating), m, s, X, g, 0, cache, room, workspace, bytes)
    if code != CELL_OK:
        return code
    cdef cgru_call call = _call(inside, m, s)
    cdef cgru_gradients to = _gradients_of(inside, g)
    cdef Sums sums
    cdef Plan plan
    _bind_caches(inside, &call, cache)
    call.X = cgru_array(<void *>X, s * call.e, call.e, 1)
    plan = _plan(inside, &call, GRADIENTS, 1)
    weight_gradients.prepare(&sums, &plan, &call, &to, first_line(workspace), False)
    weight_gradients.run_steps(&sums, True, True)
    return CELL_OK


cdef int update(cgru_cell *cell, const floating *g, double rate) noexcept nogil:
    """Subtract rate * g from the parameters in place and pack the new weights; return an error code or CELL_OK."""
    cdef PackedCell *inside = <PackedCell *>cell
    if cell == NULL or g == NULL:
        return CELL_NULL
    if inside.k.size != sizeof(floating):
        return CELL_DTYPE
    if <size_t>g & (sizeof(floating) - 1):
        return CELL_ALIGNMENT
    if not inside.writes:
        return CELL_READ_ONLY if inside.low_precision == NULL else CELL_QUANTIZED
    cdef cgru_gradients of = _gradients_of(inside, g)
    cdef Shape shape
    cdef cgru_matrix p
    cdef Py_ssize_t i, row
    for i in range(inside.parameter_count):
        shape = inside.parameters[i]
        p = (<cgru_matrix *>&inside.weights)[shape.place]
        for row in range(shape.rows):
            inside.k.add_multiple(<floating *>p.data + row * p.row, p.column, -rate,
                                  (<const floating **>&of)[shape.place] + row * shape.columns, shape.columns)
    _pack(inside)
    return CELL_OK


cdef void _pack(PackedCell *inside) noexcept nogil:
    """Pack the current weights for one sample and for several, forward and backward."""
    cdef cgru_call call
    cdef Run run
    cdef Plan plan
    cdef int several
    if inside.threads > 1:
        await_late_members()
    for several in range(1 if inside.call.m == 1 else 2):
        call = _call(inside, 1 + several, 1)
        plan = _plan(inside, &call, FORWARD, 1)
        prepare(&run, &plan, &call, inside.packed[several], NULL, &inside.weights)
        plan = _plan(inside, &call, BACKWARD, 1)
        prepare(&run, &plan, &call, inside.packed[2 + several], NULL, &inside.weights)


@no_gc
cdef class _PackedMemory(Workspace):
    """Memory for packed weights, which is freed only when no thread of a crew still reads it."""

    def __dealloc__(self):
        await_late_members()


cdef class Cell:
    """Cell(source, variant=None, *, batch=1, threads=1, activate=None, activate_update=None, activate_reset=None, \
se_hPars=None)

    The packed weights of one GRU layer, for the functions of `cgru.cell` that other compiled code calls.

    Use `from cgru.cell cimport ...` in Cython, and `cgru.cell.__pyx_capi__` for Numba, ctypes and SciPy. cgru/cell.pxd
    documents the functions. They hold no GIL, allocate nothing and raise nothing.

    Args:
        source: a `GRU`, a layer of `cgru.quantize`, or a dict of a GRU's parameters, all float32 or float64. The cell
            of a quantised layer cannot be trained (CELL_QUANTIZED). The cell keeps the arrays, and `update` writes
            into them. It ignores a learned h0, because the caller passes the states: begin with h0.
        variant: "reset_before", "reset_after" or "layer_norm", or a `cgru.variant.Variant`; None: "reset_before". With
            a layer it must be None, like the arguments below `batch`, which the layer has itself.
        batch: the most samples of one call.
        threads: the most threads that a call may use; more than `cgru.get_num_threads()` are never used. They share the
            units of wide layers, from about 350 on, or the samples of a large batch, with the same bits. Gradients, and
            cells of quantised layers, run on one.
        activate: activation of the candidate state, cgru's own or EpyNN's, or its name; None: tanh.
        activate_update: that of the update gate, likewise; None: sigmoid.
        activate_reset: that of the reset gate, likewise; None: sigmoid.
        se_hPars: their parameters `LRELU_alpha` and `ELU_alpha`.

    Attributes:
        p: the arrays that the cell was made from. Arrays of another dtype or at unaligned addresses are copied, and
            then `update` returns CELL_READ_ONLY.
        variant: the variant's name.
        dtype: float32 or float64.

    Raises:
        TypeError: the source is neither a layer nor a dict, or its arrays are neither float32 nor float64.
        ValueError: an array has the wrong shape; an activation is a callable of one's own, which would need Python; the
            layer cannot run a step at a time; or memory could not hold so many samples.

    Examples:
        >>> layer = cgru.GRU(4, rng=0)
        >>> layer.make(np.zeros((1, 1, 3)))
        >>> cell = cgru.Cell(layer, batch=8)
        >>> cell.features, cell.units, cell.variant, cell.dtype.name
        (3, 4, 'reset_before', 'float64')
        >>> cell.address != 0
        True
        >>> layer.p["bz"] += 1
        >>> cell.refresh()
    """

    cdef PackedCell inside
    cdef readonly dict p
    cdef readonly str variant
    cdef object kind  # the Variant of that name
    cdef tuple lent  # owns the memory that `inside` points to, even if `p` is changed
    cdef readonly object dtype
    cdef Workspace memory

    @embedsignature(False)  # Cython puts the star one argument too late
    def __init__(self, source, variant=None, *, batch=1, threads=1, activate=None, activate_update=None,
                 activate_reset=None, se_hPars=None):
        memset(&self.inside, 0, sizeof(PackedCell))
        self.inside.threads = min(positive(threads, "threads"), MOST_THREADS)
        given = {"activate": activate, "activate_update": activate_update, "activate_reset": activate_reset}
        zoneout = 0.0
        if getattr(source, "cells", ()) == (source,):
            for name, value in {"variant": variant, **given, "se_hPars": se_hPars}.items():
                if value is not None:
                    raise TypeError(f"{name}: expected None with a layer, which has its own, got {value!r}")
            if source.reverse:
                raise ValueError("source: expected a layer that runs a step at a time, got one in reverse")
            if source.weights:
                self._hold_quantized(source, positive(batch, "batch"))
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
            parameters(p, "e", "u", self.dtype, self.kind, "source")  # raises, naming what is missing
        if 0 in np.shape(p["Uz"]):
            raise ValueError(f"source['Uz']: expected at least one feature and one unit, got shape {np.shape(p['Uz'])}")
        checked = parameters(p, *np.shape(p["Uz"]), self.dtype, self.kind, "source")
        self._hold(checked, p, codes, positive(batch, "batch"), zoneout)

    def _hold_quantized(self, source, batch):
        """Use the packed weights of a quantised layer for this cell."""
        cdef LowPrecisionGRU packed = source.weights.packed(source)
        cdef PackedCell *inside = &self.inside
        self.p, self.kind, self.dtype, self.lent = dict(source.p), source.variant.step, source.dtype, (packed,)
        self.variant = self.kind.name
        if batch > PY_SSIZE_T_MAX // 4096 // (packed.e + packed.u):
            raise ValueError(f"batch: expected fewer samples, whose rows fit into memory, got {batch}")
        inside.k, inside.low_precision, inside.call = kernels(4), &packed.cell, packed.cell.call
        inside.call.m, inside.step_bytes = batch, LINE + layer_workspace(inside.low_precision, 1)
        inside.room = workspace_bytes(<cgru_cell *>inside, batch, 1)

    def _hold(self, dict checked, dict p, tuple codes, batch, double zoneout):
        """Store the checked arrays and activation codes, allocate memory for packed weights, and pack them."""
        cdef PackedCell *inside = &self.inside
        cdef cgru_call *call = &inside.call
        cdef Py_ssize_t forth, back, i, e, u
        e, u = np.shape(checked["Uz"])
        self.p, self.variant, self.lent = checked, self.kind.name, tuple([each.view() for each in checked.values()])
        call[0] = new_call(1, 1, e, u, self.dtype.itemsize, self.kind, codes)
        call.zoneout = zoneout
        bind_weights(&inside.weights, checked, self.kind.names)
        inside.writes = all([checked[name] is p[name] and p[name].flags.writeable for name in checked])
        self._describe()
        inside.k = kernels(self.dtype.itemsize)
        if batch > PY_SSIZE_T_MAX or not fits(batch * 128.0 * (call.up + call.ep), inside.k.size):
            inside.k = NULL
            raise ValueError(f"batch: expected fewer samples, whose rows fit into memory, got {batch}")
        call.m = batch
        forth, back = _plan(inside, call, FORWARD, 1).packed_size, _plan(inside, call, BACKWARD, 1).packed_size
        self.memory = _PackedMemory(2 * (forth + back), inside.k.size)
        for i in range(1 if batch == 1 else 2):
            inside.packed[i], inside.packed[2 + i] = self.memory.take(forth), self.memory.take(back)
        self.refresh()
        cdef cgru_call one = _call(inside, 1, 1)
        cdef Plan plan = _plan(inside, &one, FORWARD, inside.threads)
        prepare(&inside.one, &plan, &one, inside.packed[0], NULL, NULL)
        inside.step_bytes, inside.room = PY_SSIZE_T_MAX, workspace_bytes(<cgru_cell *>inside, batch, 1)
        if inside.one.single.call != NULL and plan.members == 1:
            inside.step_bytes = workspace_bytes(<cgru_cell *>inside, 1, 1)
        # Without `projections`: a single step has no batched input projection.
        inside.one.call = inside.one.single.call = call
        if batch > 1:
            self._make_ready()

    cdef void _make_ready(self):
        """Build the products of one step of `call.m` samples in advance, if one thread runs such steps."""
        cdef PackedCell *inside = &self.inside
        cdef cgru_call call = inside.call
        cdef Run run
        cdef int i
        call.h0.data = inside.packed[1]  # which says that there is a state
        cdef Plan plan = _plan(inside, &call, FORWARD, inside.threads)
        if plan.layout != UNITS_IN_LANES or plan.splits_products or max(plan.threads, plan.members) > 1:
            return
        prepare(&run, &plan, &call, inside.packed[1], NULL, NULL)
        if run.norm.call != NULL or run.feature_product.W != NULL or run.products > MOST_READY:
            return
        inside.call.ld, inside.ready_count = call.ld, run.products
        for i in range(run.products):
            inside.ready[i] = run.each[i]

    cdef int _describe(self) except -1:
        """Set the shapes of the parameters and of the caches from the variant."""
        cdef PackedCell *inside = &self.inside
        for name, (rows, columns) in self.kind.shapes(inside.call.e, inside.call.u).items():
            inside.parameters[inside.parameter_count] = Shape(parameter_index(name), rows, columns)
            inside.parameter_count += 1
        inside.width = inside.call.u  # of h
        for name in (*CACHES, *self.kind.caches, *self.kind.gradients):
            columns = self.kind.width(name, inside.call.u)
            inside.caches[inside.cache_count] = Shape(array_index(name), 1, columns)
            inside.width += columns
            inside.cache_count += 1
        return 0

    def refresh(self):
        """Pack the weights again, after their arrays were changed by anything but `update`."""
        pointer(self)  # raises for a cell whose construction failed
        if self.inside.low_precision == NULL:
            with nogil:
                _pack(&self.inside)

    @property
    def address(self):
        """The address of the C cell, for foreign-function interfaces; it is valid as long as this object lives."""
        return <size_t>&self.inside

    @property
    def batch(self):
        """The maximum number of samples of one call."""
        return self.inside.call.m

    @property
    def features(self):
        """The number e of input features."""
        return self.inside.call.e

    @property
    def units(self):
        """The number u of units."""
        return self.inside.call.u

    def __repr__(self):
        sizes = f"features={self.features}, units={self.units}, batch={self.batch}"
        return f"Cell({self.variant}, {sizes}, dtype={self.dtype.name})"

    def __reduce__(self):
        raise TypeError("a Cell does not pickle: it lends pointers to its memory; make a new one from its layer")
