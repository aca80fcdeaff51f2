"""Pack int8 or bfloat16 weights and multiply by them; cgru/quantized/quantized_reference.py has the equations.

m samples, s steps, e features, u units. The layers have checked all arguments. All but the weights is float32.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset

from cgru.core.checks import aligned
from cgru.core.kernels cimport (
    CGRU_BFLOAT16, CGRU_INT8, cgru_array, cgru_call, cgru_quantized, cgru_low_precision_kernels,
    cgru_low_precision_layer, cgru_operand, in_pieces, low_precision_kernels, new_call,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport available, block_rows, share, worth

cnp.import_array()


def level():
    """Return the SIMD level of the low-precision kernels in use: that of `cgru.core.kernels` and a suffix.

    The suffix is "vnni", or "dot" on arm64, with products of bytes.
    """
    return low_precision_kernels().level.decode()


cdef Py_ssize_t _padded(const cgru_low_precision_kernels *k, Py_ssize_t n) noexcept nogil:
    """Return n rounded up to a multiple of the SIMD vector length."""
    return (n + k.lanes - 1) // k.lanes * k.lanes


cdef Py_ssize_t _bytes_of(const cgru_low_precision_kernels *k, int kind, Py_ssize_t rows,
                          Py_ssize_t columns) noexcept nogil:
    """Return the bytes of packed weights (rows, columns), stored as int8 or bfloat16."""
    return 4 * _padded(k, columns) * (k.depth(kind, rows) + (2 if kind == CGRU_INT8 else 0))


cdef cnp.ndarray _stack_columns(list parts, Py_ssize_t width):
    """Concatenate arrays (rows, columns) along the columns, each padded with zeros to `width` columns."""
    return np.hstack([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])


cdef int _kind_of(cnp.ndarray W) noexcept:
    """Return the kind of weights in an array: int8 codes, or bfloat16 bits in uint16."""
    return CGRU_INT8 if cnp.PyArray_ITEMSIZE(W) == 1 else CGRU_BFLOAT16


cdef int _pack(const cgru_low_precision_kernels *k, cgru_quantized *to, cnp.ndarray W, cnp.ndarray scale,
               Workspace memory) except -1:
    """Pack W (rows, columns) at `to`: int8 codes with scales (1, columns), or bfloat16 bits."""
    cdef Py_ssize_t rows, columns, width
    cdef int kind = _kind_of(W)
    cdef void *words
    cdef void *begin = NULL
    cdef float *scales = NULL
    W = aligned(W)
    rows, columns = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
    width = _padded(k, columns)
    words = memory.take(4 * width * k.depth(kind, rows))
    if kind == CGRU_INT8:
        begin, scales = memory.take(4 * width), <float *>memory.take(4 * width)
        _copy_padded(scale, columns, scales, width)
    k.pack(kind, cnp.PyArray_DATA(W), columns, rows, columns, words, begin)
    to[0] = cgru_quantized(kind, k.depth(kind, rows), columns, words, scales, <const int *>begin)
    return 0


cdef int _copy_padded(cnp.ndarray row, Py_ssize_t n, float *to, Py_ssize_t width) except -1:
    """Copy n numbers, zeros if the row is None, to `to`, padded with zeros to `width` numbers."""
    memset(to, 0, 4 * width)
    if row is not None:
        row = aligned(row, np.float32)
        memcpy(to, cnp.PyArray_DATA(row), 4 * n)
    return 0


cdef const void *_pack_bias(Workspace memory, cnp.ndarray b, Py_ssize_t n, Py_ssize_t width) except NULL:
    """Copy a bias of n numbers into `memory`, padded with zeros to `width`; return its address."""
    cdef void *to = memory.take(4 * width)
    _copy_padded(b, n, <float *>to, width)
    return to


cdef struct LayerRun:
    const LowPrecisionCell *cell
    cgru_call call
    Py_ssize_t rows, block_bytes
    char *memory
    int threads


cdef void _run_block(void *given, Py_ssize_t part) noexcept nogil:
    """Run all steps of block number `part` of rows; called by `share`, `given` is a LayerRun."""
    cdef LayerRun *work = <LayerRun *>given
    cdef cgru_low_precision_layer layer = work.cell.layer
    cdef Py_ssize_t row = part * work.rows
    layer.call = &work.call
    work.cell.k.forward(&layer, row, min(work.rows, work.call.m - row), work.memory + part * work.block_bytes)


cdef void _run_piece(void *given, bint first, bint last) noexcept nogil:
    """Run one piece of a LayerRun's steps, with blocks of rows on threads; called by `in_pieces`."""
    cdef LayerRun *work = <LayerRun *>given
    share(_run_block, work, (work.call.m + work.rows - 1) // work.rows, work.threads)


cdef Py_ssize_t layer_workspace(const LowPrecisionCell *cell, Py_ssize_t m) noexcept nogil:
    """Return the bytes of workspace that a layer needs for m samples."""
    return (cell.k.workspace_size(&cell.layer, m) + 63) // 64 * 64


cdef void run_quantized(const LowPrecisionCell *cell, const cgru_call *call, void *memory) noexcept nogil:
    """Run a forward call of a quantised `Cell` on this thread."""
    cdef cgru_low_precision_layer layer = cell.layer
    layer.call = call
    cell.k.forward(&layer, 0, call.m, memory)


cdef class LowPrecisionGRU:
    """A GRU layer with packed int8 or bfloat16 weights.

    Args:
        p: the parameters of a GRU by name. U and V are int8 codes, or bits of bfloat16 as uint16. int8 codes have
            scales of their columns (1, u), "scale_Uz" and so on.
        x_bound, bound: bounds of |x| and of |h|. Within its bound a value is quantised by one fixed scale; 0: each row
            has a scale of its own.
        variant, codes: a `cgru.variant.Variant` without layer normalisation, and (code, alpha) of its activations.
    """

    def __cinit__(self, dict p not None, double x_bound, variant, tuple codes not None, double bound=0.0,
                  double zoneout=0.0):
        """Pack the parameters `p` for the kernels in use; see the class for the arguments."""
        cdef cnp.ndarray U = p["Uz"]
        cdef int kind = _kind_of(U)
        cdef Py_ssize_t width, each
        self.cell.k = low_precision_kernels()
        self.e, self.u = cnp.PyArray_DIM(U, 0), cnp.PyArray_DIM(U, 1)
        width = _padded(self.cell.k, self.u)
        self.cell.call = new_call(1, 1, self.e, self.u, 4, variant, codes)
        self.cell.call.up, self.cell.call.zoneout = width, zoneout
        self.cell.layer.call = &self.cell.call
        self.cell.layer.x_bound, self.cell.layer.bound = x_bound, bound
        each = _bytes_of(self.cell.k, kind, self.e, self.u) + _bytes_of(self.cell.k, kind, self.u, self.u)
        self.weight_bytes = 3 * each
        self.memory = Workspace(3 * each + 4 * 4 * width, 1)
        self._matrix(&self.cell.layer.U, p, ["Ur", "Uz", "Uhh"])
        self._matrix(&self.cell.layer.V, p, ["Vr", "Vz"])
        self._matrix(&self.cell.layer.Vhh, p, ["Vhh"])
        biases = [p[name] for name in variant.biases]
        self.cell.layer.b = _pack_bias(self.memory, _stack_columns(biases, width), len(biases) * width, 4 * width)
        if len(biases) > 3:
            self.cell.layer.recurrent_bias = <const float *>self.cell.layer.b + 3 * width

    cdef int _matrix(self, cgru_quantized *to, dict p, list names) except -1:
        """Pack the matrices with these names side by side at `to`."""
        W, scales = ([p[key + name] for name in names if key + name in p] for key in ("", "scale_"))
        scale = _stack_columns(scales, self.cell.call.up) if scales else None
        return _pack(self.cell.k, to, _stack_columns(W, self.cell.call.up), scale, self.memory)

    @property
    def level(self):
        """The level of the kernels for which the weights are packed."""
        return self.cell.k.level.decode()

    cdef int execute(self, const cgru_call *call) except -1:
        """Run a forward call, with blocks of rows on threads; the call's arrays must include h0 and `last`."""
        cdef Py_ssize_t m = call.m, blocks
        cdef LayerRun work
        cdef Workspace memory
        work.cell, work.call = &self.cell, call[0]
        # int8 has a quarter of the bytes of float32, and about four times as many operations a cycle
        work.threads = worth(1.5 * m * call.s * self.u * (self.e + self.u), available())
        work.rows = block_rows(m, layer_workspace(&self.cell, 1), self.weight_bytes, work.threads, call.running != NULL)
        work.block_bytes, blocks = layer_workspace(&self.cell, work.rows), (m + work.rows - 1) // work.rows
        memory = Workspace(blocks * work.block_bytes, 1)
        work.memory = <char *>memory.take(blocks * work.block_bytes)
        with nogil:
            in_pieces(&work.call, m, 0, 4, call.reverse, _run_piece, &work)
        return 0


cdef enum:
    ROWS = 256  # of a product at once, so that their quantised copies stay in a cache


cdef Py_ssize_t product_workspace(const LowPrecisionProduct *product, Py_ssize_t m) noexcept nogil:
    """Return the bytes of workspace that a matrix product needs for m rows."""
    return (product.k.linear_workspace_size(product.W.kind, product.n, min(m, ROWS)) + 63) // 64 * 64


cdef void multiply_quantized(const LowPrecisionProduct *product, const cgru_operand *X, Py_ssize_t row, Py_ssize_t m,
                             float *to, void *memory) noexcept nogil:
    """Write X W + b to `to`, for m rows from number `row` on; `memory` is workspace."""
    cdef Py_ssize_t u = product.W.columns, end = row + m
    cdef cgru_operand some = X[0]
    while row < end:
        m = min(ROWS, end - row)
        some.rows = <const float *>X.rows + row * X.ld
        product.k.linear(&product.W, product.b, &some, cgru_array(to + row * u, u, 0, 1), m, product.bound, memory)
        row += m


cdef Workspace pack_product(LowPrecisionProduct *product, cnp.ndarray W, cnp.ndarray b, cnp.ndarray scale,
                            double bound):
    """Pack W (n, u), int8 with `scale` (1, u) or bfloat16, and the bias b (1, u); return the packed memory.

    `bound` bounds |x|, as `x_bound` of a LowPrecisionGRU.
    """
    cdef Py_ssize_t u = cnp.PyArray_DIM(W, 1), width
    product.k, product.n, product.bound = low_precision_kernels(), cnp.PyArray_DIM(W, 0), bound
    width = _padded(product.k, u)
    memory = Workspace(_bytes_of(product.k, _kind_of(W), product.n, u) + 4 * width, 1)
    _pack(product.k, &product.W, W, scale, memory)
    product.b = _pack_bias(memory, b, u, width)
    return memory
