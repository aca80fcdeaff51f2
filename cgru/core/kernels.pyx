"""Select the kernels of one SIMD instruction set, and convert arrays to the structs of simd/cgru.h.

The environment variable `CGRU_SIMD` (avx512, avx2, baseline, scalar) forces a level. Without it the fastest level of
the machine is used.
"""

import os
from sys import intern

import numpy as np

cimport numpy as cnp
from libc.string cimport memset

cnp.import_array()

cdef extern from "Python.h":
    int PyErr_CheckSignals() except -1

cdef extern from *:
    """
    #include "simd/cgru.h"
    #define NAME(name) #name,
    static const char *const names_of_arrays[] = {CGRU_ARRAYS(NAME)};
    static const char *const names_of_parameters[] = {CGRU_PARAMETERS(NAME)};
    """
    const char *const *names_of_arrays
    const char *const *names_of_parameters

cdef extern from "simd/cgru.h":
    const cgru_kernels *cgru_level(const char *level, int itemsize)
    const cgru_low_precision_kernels *cgru_low_precision_level(const char *level)

LEVELS = ("avx512", "avx2", "baseline", "scalar")

cdef enum:
    MOST_STEPS = 4096  # of a piece
    ROWS_BYTES = 1 << 26  # bytes of all rows that are in memory together
cdef Py_ssize_t _most_steps = MOST_STEPS, _rows_bytes = ROWS_BYTES
cdef double PIECE = 4e9  # operations of a piece: some tens of milliseconds

# The index of each array in cgru_call, and of each parameter in cgru_weights and cgru_gradients. Names are interned, so
# that a look-up compares no characters.
cdef dict ARRAYS = {intern(names_of_arrays[place].decode()): place for place in range(CGRU_PLACES)}
cdef dict PARAMETERS = {
    intern(names_of_parameters[place].decode()): place for place in range(sizeof(cgru_weights) // sizeof(cgru_matrix))
}

cdef const cgru_kernels *_float32 = NULL
cdef const cgru_kernels *_float64 = NULL
cdef const cgru_low_precision_kernels *_low_precision = NULL


cdef const cgru_kernels *kernels(Py_ssize_t itemsize) noexcept nogil:
    """Return the table of the kernels in use, for float32 (itemsize 4) or float64."""
    return _float32 if itemsize == 4 else _float64


cdef const cgru_low_precision_kernels *low_precision_kernels() noexcept nogil:
    """Return the table of the low-precision kernels in use."""
    return _low_precision


def levels():
    """Return the SIMD levels that this build and this CPU support, the fastest first."""
    return tuple(name for name in LEVELS if cgru_level(name.encode(), 4) != NULL)


def level():
    """Return the SIMD level in use: the fastest one, or the one set by `CGRU_SIMD`."""
    return _float32.level.decode()


def use_level(str name not None, bint vnni=True):
    """Use the kernels of SIMD level `name` from now on; ValueError if this build or this CPU does not support it.

    Without `vnni`, for the tests, weights of int8 use no instructions for products of bytes.
    """
    global _float32, _float64, _low_precision
    if name not in levels():
        raise ValueError(f"CGRU_SIMD: expected one of {', '.join(levels())} on this machine, got {name!r}")
    _float32 = cgru_level(name.encode(), 4)
    _float64 = cgru_level(name.encode(), 8)
    _low_precision = NULL
    for extension in ("vnni", "dot", "") if vnni else ("",):
        if _low_precision == NULL:
            _low_precision = cgru_low_precision_level((name + extension).encode())


def use_pieces(steps=None, rows_bytes=None):
    """Set the most steps between two checks for Ctrl-C, and the bytes of workspace rows; for tests.

    None restores the default.
    """
    global _most_steps, _rows_bytes
    _most_steps = MOST_STEPS if steps is None else steps
    _rows_bytes = ROWS_BYTES if rows_bytes is None else rows_bytes


def activation(int code, double alpha, x):
    """Apply the compiled activation number `code` (see `cgru.activations.CODES`) to x, an array of any shape."""
    cdef cnp.ndarray given = np.ascontiguousarray(x), out = np.empty_like(given)
    cdef cgru_activation f = cgru_activation(code, alpha)
    if given.dtype not in (np.float32, np.float64):
        raise TypeError(f"x: expected float32 or float64, got {given.dtype}")
    kernels(cnp.PyArray_ITEMSIZE(given)).activation(
        f, cnp.PyArray_DATA(given), cnp.PyArray_DATA(out), cnp.PyArray_SIZE(given)
    )
    return out


cdef cgru_activation _activation(tuple pair) except *:
    """Return an activation's pair (code, alpha) as a C struct."""
    cdef cgru_activation f
    f.code, f.alpha = pair
    return f


cdef cgru_call new_call(Py_ssize_t m, Py_ssize_t s, Py_ssize_t e, Py_ssize_t u, int itemsize, object variant,
                        tuple activations) except *:
    """Return the description of a call of a variant, with its sizes and activations but no arrays."""
    cdef cgru_call call
    cdef Py_ssize_t lanes = kernels(itemsize).lanes
    memset(&call, 0, sizeof(call))
    call.m, call.s, call.e, call.u, call.column = m, s, e, u, 1
    call.up, call.ep = (u + lanes - 1) // lanes * lanes, (e + lanes - 1) // lanes * lanes
    call.variant, call.padded = variant.code, True
    if activations is not None:
        call.activate, call.activate_update, call.activate_reset = (
            _activation(activations[0]), _activation(activations[1]), _activation(activations[2])
        )
    return call


cdef int bind(cgru_call *call, str name, cnp.ndarray array) except -1:
    """Set the array `name` of a call to a NumPy array, which must outlive the call; None unsets it."""
    call.array[array_index(name)] = cgru_array(NULL, 0, 0, 1) if array is None else view(array)
    return 0


cdef int set_lengths(cgru_call *call, cnp.ndarray order, cnp.ndarray running) except -1:
    """Set the order of a call's samples, longest first, and how many of them have each step; None: no padding."""
    call.order, call.running = NULL, NULL
    if order is not None:
        call.order, call.running = <Py_ssize_t *>cnp.PyArray_DATA(order), <Py_ssize_t *>cnp.PyArray_DATA(running)
    return 0


cdef int set_zoneout(cgru_call *call, object zoneout) except -1:
    """Set the zoneout of a call: a mask (m, s, u), a rate, or None."""
    if isinstance(zoneout, np.ndarray) and cnp.PyArray_NDIM(zoneout):
        call.kept = view(zoneout)
    elif zoneout is not None:
        call.zoneout = zoneout
    return 0


cdef cgru_array mask_of(const cgru_call *call, int gate, int size) noexcept nogil:
    """Return the recurrent dropout mask of a gate; if there is none, an array with a NULL address."""
    cdef const cgru_array *all = &call.recurrent
    if all.data == NULL:
        return all[0]
    return cgru_array(<char *>all.data + (2 - gate) * all.step * size, all.sample, 0, 1)


cdef cgru_array view(cnp.ndarray source) noexcept:
    """Return a NumPy array (m, s, n) or (m, n) as address and strides in numbers, without a copy."""
    cdef Py_ssize_t size = cnp.PyArray_ITEMSIZE(source)
    cdef int last = cnp.PyArray_NDIM(source) - 1
    return cgru_array(cnp.PyArray_DATA(source), cnp.PyArray_STRIDE(source, 0) // size,
                      cnp.PyArray_STRIDE(source, 1) // size if last == 2 else 0,
                      cnp.PyArray_STRIDE(source, last) // size)


cdef Py_ssize_t samples_at_once(Py_ssize_t m, Py_ssize_t row_bytes) noexcept nogil:
    """Return how many of m samples to run together, so that their workspace rows of `row_bytes` fit a fixed budget."""
    return max(1, min(m, _rows_bytes // row_bytes))


cdef Py_ssize_t steps_of_piece(const cgru_call *call, Py_ssize_t m) noexcept nogil:
    """Return how many steps of m samples run between two checks for Ctrl-C."""
    cdef double flop = 6.0 * m * call.u * (call.e + call.u)  # of a step
    return <Py_ssize_t>max(1.0, min(<double>_most_steps, PIECE / flop))


cdef void slice_steps(cgru_call *call, const cgru_call *whole, Py_ssize_t start, Py_ssize_t steps,
                      int size) noexcept nogil:
    """Make `call` a view of `steps` steps of the call `whole`, from step `start` on."""
    cdef int place
    call[0] = whole[0]
    call.s = steps
    if call.running != NULL:
        call.running += start
    for place in range(CGRU_PLACES):
        if call.array[place].data != NULL:
            call.array[place].data = <char *>call.array[place].data + start * call.array[place].step * size
    # These have no steps, whatever stride they are given.
    call.h0, call.last, call.recurrent = whole.h0, whole.last, whole.recurrent


cdef int check_signals() except -1 nogil:
    """Let Python handle pending signals such as Ctrl-C, and raise what their handlers raise."""
    with gil:
        PyErr_CheckSignals()
    return 0


cdef int in_pieces(cgru_call *call, Py_ssize_t m, Py_ssize_t block, int size, bint last_first, run_piece *run,
                   void *work) except -1 nogil:
    """Call run(work, first, last) on `call` cut into pieces of some steps, and check for Ctrl-C between the pieces.

    A piece has `block` steps at most; 0: as many as run between two looks. With `last_first` the piece with the last
    steps runs first. Raise what a signal's handler raises, KeyboardInterrupt for one. `call` is restored.
    """
    cdef Py_ssize_t look = steps_of_piece(call, m), most = min(look, block) if block else look
    cdef Py_ssize_t done = 0, looked = 0, steps
    if call.s <= most:
        run(work, True, True)
        return 0
    cdef cgru_call whole = call[0]
    while done < whole.s:
        steps = min(most, whole.s - done)
        slice_steps(call, &whole, whole.s - done - steps if last_first else done, steps, size)
        run(work, done == 0, done + steps == whole.s)
        done += steps
        call[0] = whole
        if done < whole.s and done - looked >= look:
            looked = done
            check_signals()
    return 0


cdef cgru_matrix matrix(cnp.ndarray W) noexcept:
    """Return a NumPy matrix (k, n) as address and strides in numbers, without a copy."""
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(W)
    return cgru_matrix(cnp.PyArray_DATA(W), cnp.PyArray_STRIDE(W, 0) // itemsize, cnp.PyArray_STRIDE(W, 1) // itemsize)


cdef void copy_rows(const cgru_kernels *k, cgru_matrix rows, Py_ssize_t m, Py_ssize_t n, cgru_array to) noexcept nogil:
    """Copy contiguous rows (m, n) to the first step of an array with any strides."""
    if to.column == 1:
        k.copy(rows, m, n, to.data, to.sample)
    else:
        k.copy(transpose(rows), n, m, to.data, to.column)


cdef int array_index(str name) except -1:
    """Return the index of the array `name` in cgru_call."""
    return ARRAYS[name]


cdef int parameter_index(str name) except -1:
    """Return the index of a parameter in cgru_weights and cgru_gradients."""
    return PARAMETERS[name]


cdef int bind_weights(cgru_weights *w, dict p, tuple names) except -1:
    """Set the addresses in `w` to the parameters with these names, which must outlive it; NULL for all others."""
    memset(w, 0, sizeof(w[0]))
    for name in names:
        (<cgru_matrix *>w)[parameter_index(name)] = matrix(p[name])
    return 0


cdef int bind_gradients(cgru_gradients *to, dict g) except -1:
    """Set the addresses in `to` to the gradient arrays in `g` (keys 'd' + name), which must outlive it."""
    memset(to, 0, sizeof(to[0]))
    for name, array in g.items():
        (<void **>to)[parameter_index(name[1:])] = cnp.PyArray_DATA(array)
    return 0


cdef cgru_matrix transpose(cgru_matrix W) noexcept nogil:
    """Return the transpose of a matrix, without a copy."""
    return cgru_matrix(W.data, W.column, W.row)


cdef Py_ssize_t steps_of_row(const cgru_call *call, Py_ssize_t row, Py_ssize_t first) noexcept nogil:
    """Return how many of the CGRU_STEPS steps from `first` on are real for the sample in a workspace row."""
    cdef Py_ssize_t steps = min(<Py_ssize_t>CGRU_STEPS, call.s - first)
    while call.running != NULL and steps > 0 and call.running[first + steps - 1] <= row:
        steps -= 1
    return steps


cdef Py_ssize_t steps_of_single(const cgru_call *call) noexcept nogil:
    """Return the number of real steps of a single sample."""
    cdef Py_ssize_t steps = call.s
    while call.running != NULL and steps > 0 and call.running[steps - 1] == 0:
        steps -= 1
    return steps


cdef cgru_product new_product(const cgru_kernels *k, const cgru_call *call, cgru_epilogue *epilogue, Py_ssize_t columns,
                              const void *weights, const void *bias) noexcept nogil:
    """Return a matrix product of `columns` columns, without operands yet; `weights` and `bias` stay with the caller."""
    cdef cgru_product product
    memset(&product, 0, sizeof(product))
    product.call, product.epilogue = call, epilogue
    product.weights, product.bias = weights, bias
    product.columns, product.vectors = columns, (columns + k.lanes - 1) // k.lanes
    product.chains = 4 if call.m == 1 else 1
    return product


cdef void add_operand(cgru_product *product, const void *data, Py_ssize_t ld, Py_ssize_t k) noexcept nogil:
    """Add the left operand rows (m, k), `ld` numbers apart, to a product."""
    product.operand[product.operands] = cgru_operand(data, ld, k)
    product.operands += 1


cdef cgru_product with_operand(const cgru_product *whole, int operand) noexcept nogil:
    """Return a product restricted to one of its operands and that operand's weights; -1: to its bias alone."""
    cdef cgru_product part = whole[0]
    cdef int i
    part.operands, part.depth, part.k0, part.unpacked[0] = 0, 0, 0, NULL
    for i in range(whole.operands):
        part.depth += whole.operand[i].k
        if i < operand:
            part.k0 += whole.operand[i].k
    if operand >= 0:
        part.operands, part.operand[0], part.unpacked[0] = 1, whole.operand[operand], whole.unpacked[operand]
    return part


cdef void pack(const cgru_kernels *k, const cgru_product *product, Py_ssize_t k0, Py_ssize_t column0, cgru_matrix W,
               Py_ssize_t depth, Py_ssize_t columns) noexcept nogil:
    """Pack W (depth, columns) into the weights of a product, at row k0 and column column0; W may be NULL."""
    if W.data != NULL:
        k.pack(product, <void *>product.weights, k0, column0 // k.lanes, W, depth, columns)


cdef void pack_bias(const cgru_kernels *k, const cgru_product *product, Py_ssize_t column0, cgru_matrix b,
                    Py_ssize_t columns) noexcept nogil:
    """Pack the bias b (1, columns) of a product, from column column0 on."""
    cdef cgru_product row = product[0]
    row.operands = 0
    row.weights = row.bias
    add_operand(&row, NULL, 0, 1)
    pack(k, &row, 0, column0, b, 1, columns)


cdef void pack_gains(const cgru_kernels *k, const cgru_weights *w, Py_ssize_t u, Py_ssize_t up,
                     char *to) noexcept nogil:
    """Pack the gains gU and gV, with columns for z, r and hh, into (2, 3, up) in the order r, z, hh."""
    cdef Py_ssize_t *column = [u, 0, 2 * u]
    cdef cgru_matrix g
    cdef int part, gate
    for part in range(2):
        for gate in range(3):
            g = w.g[part]
            g.data = <const char *>g.data + column[gate] * g.column * k.size
            k.pack_single(g, 1, u, to + (3 * part + gate) * up * k.size)


try:
    use_level(os.environ.get("CGRU_SIMD") or levels()[0])
except ValueError as error:
    raise ImportError(str(error)) from None
