"""Layers whose weights are int8 or bfloat16: packed once, and run, by the equations of cgru/quantized/reference.py.

m samples, s steps, e elements per step, u units. Whatever is given here is trusted. All but the weights is float32.
"""

import numpy as np

cimport numpy as cnp
from libc.string cimport memcpy, memset

from cgru.core import kernels as levels_of
from cgru.core.checks import aligned
from cgru.core.lengths import by_length
from cgru.core.kernels cimport (
    CGRU_BFLOAT16, CGRU_INT8, CGRU_ROUNDED, cgru_activation, cgru_array, cgru_call, cgru_quantized,
    cgru_low_precision_kernels, cgru_low_precision_layer, cgru_operand, in_pieces, kernels, low_precision_kernels,
    new_call, set_lengths, view,
)
from cgru.core.linear cimport activated
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport available, block_rows, share, threads_for, worth

cnp.import_array()

KINDS = {"int8": CGRU_INT8, "bfloat16": CGRU_BFLOAT16}
cdef object _vnni = None  # whether products of bytes are asked for: None wherever they are


cdef const cgru_low_precision_kernels *_kernels() except NULL:
    """Those of the level in use, with products of bytes where the machine has them."""
    cdef const cgru_low_precision_kernels *found = NULL
    name = levels_of.level()
    for extension in ("bf16", "vnni", "dot", "") if _vnni is not False else ("",):
        if found == NULL:
            found = low_precision_kernels(name + extension)
    return found


def level():
    """The level of what is made now: that of `cgru.core.kernels`, with "vnni" (on arm64 "dot") behind it where it has
    products of bytes, or "bf16" where it has those and products of bfloat16.
    """
    return _kernels().level.decode()


def use_vnni(choice=None):
    """From now on False: multiply neither bytes as VNNI or sdot does, nor bfloat16; None: wherever it can be. For the
    tests.
    """
    global _vnni
    _vnni = choice


cdef Py_ssize_t _padded(const cgru_low_precision_kernels *k, Py_ssize_t n) noexcept nogil:
    return (n + k.lanes - 1) // k.lanes * k.lanes


cdef Py_ssize_t _bytes(const cgru_low_precision_kernels *k, int kind, Py_ssize_t rows,
                       Py_ssize_t columns) noexcept nogil:
    """Of packed weights."""
    return 4 * _padded(k, columns) * (k.depth(kind, rows) + (2 if kind == CGRU_INT8 else 0))


cdef cnp.ndarray _side_by_side(list parts, Py_ssize_t width):
    """Arrays (rows, columns) beside each other, the columns of each padded by zeros to so many."""
    return np.hstack([np.pad(part, ((0, 0), (0, width - part.shape[1]))) for part in parts])


cdef int _pack(const cgru_low_precision_kernels *k, cgru_quantized *to, int kind, cnp.ndarray W, cnp.ndarray scale,
               Workspace memory) except -1:
    """Pack W (rows, columns): int8 codes, with the scales (1, columns) of their columns, or the bits of bfloat16."""
    cdef Py_ssize_t rows, columns, width
    cdef void *words
    cdef void *begin = NULL
    cdef float *scales = NULL
    W = aligned(W)
    rows, columns = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
    width = _padded(k, columns)
    words = memory.take(4 * width * k.depth(kind, rows))
    if kind == CGRU_INT8:
        begin, scales = memory.take(4 * width), <float *>memory.take(4 * width)
        _put(scale, columns, scales, width)
    k.pack(kind, cnp.PyArray_DATA(W), columns, rows, columns, words, begin)
    to[0] = cgru_quantized(kind, k.depth(kind, rows), columns, words, scales, <const int *>begin)
    return 0


cdef int _put(cnp.ndarray row, Py_ssize_t n, float *to, Py_ssize_t width) except -1:
    """A row of n numbers, None for zeros, padded."""
    memset(to, 0, 4 * width)
    if row is not None:
        row = aligned(row, np.float32)
        memcpy(to, cnp.PyArray_DATA(row), 4 * n)
    return 0


cdef const void *_bias(Workspace memory, cnp.ndarray b, Py_ssize_t n, Py_ssize_t width) except NULL:
    cdef void *to = memory.take(4 * width)
    _put(b, n, <float *>to, width)
    return to


cdef struct Work:
    const NarrowCell *cell
    cgru_call call
    Py_ssize_t rows, row_room
    char *memory
    int threads


cdef int _kind(const NarrowCell *cell, Py_ssize_t m) noexcept nogil:
    """How the rows of a call with m samples are seen: one alone keeps all of its bits."""
    if cell.layer.kind == CGRU_BFLOAT16 and cell.k.has_rounded and m > 1:
        return CGRU_ROUNDED
    return cell.layer.kind


cdef void _block(void *given, Py_ssize_t part) noexcept nogil:
    """The steps of one block of rows."""
    cdef Work *work = <Work *>given
    cdef cgru_low_precision_layer layer = work.cell.layer
    cdef Py_ssize_t row = part * work.rows
    layer.call, layer.kind = &work.call, _kind(work.cell, work.call.m)
    work.cell.k.forward(&layer, row, min(work.rows, work.call.m - row), work.memory + part * work.row_room)


cdef void _piece(void *given, bint first, bint last) noexcept nogil:
    cdef Work *work = <Work *>given
    share(_block, work, (work.call.m + work.rows - 1) // work.rows, work.threads)


cdef Py_ssize_t narrow_room(const NarrowCell *cell, Py_ssize_t m) noexcept nogil:
    return (cell.k.workspace_size(&cell.layer, m) + 63) // 64 * 64


cdef void narrow_sequence(const NarrowCell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                          void *memory) noexcept nogil:
    cdef cgru_low_precision_layer layer = cell.layer
    cdef cgru_call call = cell.call
    call.m, call.s = m, s
    call.X = cgru_array(<void *>X, s * call.e, call.e, 1)
    call.h0 = call.last = cgru_array(h, call.u, 0, 1)
    call.h = cgru_array(H, s * call.u, call.u, 1)
    layer.call, layer.kind = &call, _kind(cell, m)
    cell.k.forward(&layer, 0, m, memory)


cdef class NarrowGRU:
    """The packed weights of one layer.

    Args:
        p: by the names of a GRU's parameters the codes U, V (int8, or the bits of bfloat16 as uint16), the biases, and
            of int8 the scales of columns (1, u) as "scale_Uz" and so on.
        variant, codes: a `cgru.variant.Variant`, not normalised, and (code, alpha) of the activations.
        kind: "int8" or "bfloat16".
        x_bound, bound: of |x| and of |h|, which within them are coded by one scale; 0: by one of their own each time.
    """

    def __init__(self, dict p not None, variant, tuple codes not None, str kind not None, double x_bound=0.0,
                 double bound=0.0, double zoneout=0.0):
        cdef int number = KINDS[kind]
        cdef cnp.ndarray U = p["Uz"]
        cdef Py_ssize_t width, room
        self.cell.k = _kernels()
        self.e, self.u = cnp.PyArray_DIM(U, 0), cnp.PyArray_DIM(U, 1)
        width = _padded(self.cell.k, self.u)
        self.cell.call = new_call(1, 1, self.e, self.u, 4, variant, codes)
        self.cell.call.up, self.cell.call.zoneout = width, zoneout
        self.cell.layer.call, self.cell.layer.kind = &self.cell.call, number
        self.cell.layer.x_bound, self.cell.layer.bound = x_bound, bound
        room = _bytes(self.cell.k, number, self.e, self.u) + _bytes(self.cell.k, number, self.u, self.u)
        self.weight_bytes = 3 * room
        self.memory = Workspace(3 * room + 4 * 4 * width, 1)
        self._matrix(&self.cell.layer.U, number, p, ["Ur", "Uz", "Uhh"])
        self._matrix(&self.cell.layer.V, number, p, ["Vr", "Vz"])
        self._matrix(&self.cell.layer.Vhh, number, p, ["Vhh"])
        biases = [p["br"], p["bz"], p["bhh"], p.get("chh", np.zeros((1, self.u)))]
        self.cell.layer.b = _bias(self.memory, _side_by_side(biases, width), 4 * width, 4 * width)

    cdef int _matrix(self, cgru_quantized *to, int number, dict p, list names) except -1:
        """Pack some of the matrices side by side."""
        cdef Py_ssize_t width = self.cell.call.up
        scale = None
        if number == CGRU_INT8:
            scale = _side_by_side([p["scale_" + name] for name in names], width)
        return _pack(self.cell.k, to, number, _side_by_side([p[name] for name in names], width), scale, self.memory)

    @property
    def level(self):
        """That of the kernels which the weights are packed for."""
        return self.cell.k.level.decode()

    def forward(self, cnp.ndarray X not None, lengths, cnp.ndarray h0, *, bint reverse=False, bint every=False):
        """All states (m, s, u) if `every`, else None, and the last ones (m, u).

        X (m, s, e) is float32 and contiguous; lengths (m,), h0 (m, u), or None; past a sample's length states are zero.
        """
        cdef Py_ssize_t m = cnp.PyArray_DIM(X, 0), s = cnp.PyArray_DIM(X, 1), blocks
        cdef cnp.ndarray state, h = None
        cdef Work work
        cdef Workspace memory
        state = np.zeros((m, self.u), np.float32)
        if h0 is not None:
            state[...] = h0
        work.cell, work.call = &self.cell, self.cell.call
        work.call.m, work.call.s, work.call.reverse = m, s, reverse
        work.call.X, work.call.h0 = view(X), view(state)
        work.call.last = work.call.h0
        if every:
            h = np.zeros((m, s, self.u), np.float32) if lengths is not None else np.empty((m, s, self.u), np.float32)
            work.call.h = view(h)
        if lengths is not None:
            ragged = by_length(lengths, s)
            set_lengths(&work.call, ragged[0], ragged[1])
        # a quarter of the bytes, and some four times as many operations in a cycle as of float32
        work.threads = worth(1.5 * m * s * self.u * (self.e + self.u), available())
        work.rows = block_rows(m, narrow_room(&self.cell, 1), self.weight_bytes, work.threads, lengths is not None)
        work.row_room, blocks = narrow_room(&self.cell, work.rows), (m + work.rows - 1) // work.rows
        memory = Workspace(blocks * work.row_room, 1)
        work.memory = <char *>memory.take(blocks * work.row_room)
        with nogil:
            in_pieces(&work.call, m, 4, reverse, _piece, &work)
        return h, state


cdef enum:
    ROWS = 256  # of a product at once: what is seen of them lies in a cache


cdef struct Rows:
    const NarrowProduct *product
    const float *X
    float *Z
    float *A  # NULL: without an activation
    cgru_activation f
    Py_ssize_t m, rows, room  # of all, and those of a part, with its bytes of memory
    char *memory


cdef void _rows(void *given, Py_ssize_t part) noexcept nogil:
    """Those of one part."""
    cdef Rows *work = <Rows *>given
    cdef Py_ssize_t n = work.product.n, u = work.product.W.columns, row = part * work.rows, some
    cdef Py_ssize_t end = min(work.m, row + work.rows)
    while row < end:
        some = min(ROWS, end - row)
        narrow_product(work.product, work.X + row * n, some, work.Z + row * u, work.memory + part * work.room)
        if work.A != NULL:
            activated(kernels(4), work.f, work.Z + row * u, work.A + row * u, some, u)
        row += some


cdef Py_ssize_t product_room(const NarrowProduct *product, Py_ssize_t m) noexcept nogil:
    return (product.k.linear_workspace_size(product.W.kind, product.n, m) + 63) // 64 * 64


cdef void narrow_product(const NarrowProduct *product, const float *X, Py_ssize_t m, float *to,
                         void *memory) noexcept nogil:
    cdef cgru_operand operand = cgru_operand(X, product.n, product.n)
    product.k.linear(
        &product.W, product.b, &operand, cgru_array(to, product.W.columns, 0, 1), m, product.bound, memory
    )


cdef class NarrowLinear:
    """Rows times W (n, u), plus b (1, u): W as codes or bits, `scale` (1, u) as for a NarrowGRU, `bound` of |x|."""

    def __init__(self, cnp.ndarray W not None, cnp.ndarray scale, cnp.ndarray b, str kind not None, double bound=0.0):
        cdef int number = KINDS[kind]
        cdef NarrowProduct *product = &self.product
        cdef Py_ssize_t width
        self.n, self.u = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
        product.k, product.n, product.bound = _kernels(), self.n, bound
        width = _padded(product.k, self.u)
        self.memory = Workspace(_bytes(product.k, number, self.n, self.u) + 4 * width, 1)
        _pack(product.k, &product.W, number, W, scale, self.memory)
        product.b = _bias(self.memory, b, self.u, width)

    def outputs(self, cnp.ndarray X not None):
        """X W + b for X (m, n), float32 and contiguous."""
        return self.made(X, None)[0]

    def both(self, cnp.ndarray X not None, tuple activate not None):
        """X W + b, and the activation (code, alpha) of it, as of a `Linear`."""
        return self.made(X, activate)

    cdef tuple made(self, cnp.ndarray X, tuple activate):
        cdef Py_ssize_t m = cnp.PyArray_DIM(X, 0), parts
        cdef cnp.ndarray Z = np.empty((m, self.u), np.float32), A = None
        cdef Workspace memory
        cdef Rows work
        cdef int threads
        work.product, work.m = &self.product, m
        work.X, work.Z, work.A = <float *>cnp.PyArray_DATA(X), <float *>cnp.PyArray_DATA(Z), NULL
        if activate is not None:
            A = np.empty_like(Z)
            work.f.code, work.f.alpha = activate
            work.A = <float *>cnp.PyArray_DATA(A)
        threads = threads_for(0.5 * m * self.n * self.u)  # as those of a layer, fewer than of float32
        work.rows = max(1, (m + threads - 1) // threads)
        parts, work.room = (m + work.rows - 1) // work.rows, product_room(&self.product, min(ROWS, work.rows))
        memory = Workspace(parts * work.room, 1)
        work.memory = <char *>memory.take(parts * work.room)
        with nogil:
            share(_rows, &work, parts, threads)
        return Z, A
