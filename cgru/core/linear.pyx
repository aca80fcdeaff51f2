"""Run a linear layer, A = activate(X W + b), with weights that are packed once.

m rows, n inputs, u units. dense.py has checked all arguments. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp
from cython cimport floating
from libc.string cimport memset

from cgru.core.checks cimport contiguous_rows
from cgru.core.kernels cimport (
    add_operand, cgru_activation, cgru_array, cgru_call, cgru_kernels, cgru_product, kernels, matrix, new_product, pack,
    pack_bias,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport share, threads_for

cnp.import_array()

cdef extern from "simd/cgru.h":
    enum: CGRU_SIGMOID

SOFTMAX_CODE = SOFTMAX

cdef double SHORT = 1e4  # operations of a call that is too short to release the GIL for

cdef floating _most(const floating *z, Py_ssize_t n) noexcept nogil:
    """Return the largest of n numbers, by four independent chains; unspecified if there is a NaN."""
    cdef floating[4] most = [z[0], z[0], z[0], z[0]]
    cdef Py_ssize_t j = 0, c
    while j + 4 <= n:
        for c in range(4):
            most[c] = z[j + c] if z[j + c] > most[c] else most[c]
        j += 4
    for c in range(j, n):
        most[0] = z[c] if z[c] > most[0] else most[0]
    return max(max(most[0], most[1]), max(most[2], most[3]))


cdef double _sum(const floating *a, Py_ssize_t n) noexcept nogil:
    """Return the sum of n numbers in double, by four independent chains."""
    cdef double[4] total = [0, 0, 0, 0]
    cdef Py_ssize_t j = 0, c
    while j + 4 <= n:
        for c in range(4):
            total[c] += a[j + c]
        j += 4
    for c in range(j, n):
        total[0] += a[c]
    return (total[0] + total[1]) + (total[2] + total[3])


cdef void _below_most(const floating *z, floating *a, Py_ssize_t u, double temperature) noexcept nogil:
    """Write (z - max z) / temperature into a row, so that its exponentials do not overflow."""
    cdef Py_ssize_t j
    cdef floating most = _most(z, u)
    for j in range(u):
        a[j] = z[j] - most
    if temperature != 1:
        for j in range(u):  # in double: a float32 could not hold any temperature
            a[j] = <floating>(a[j] / temperature)


cdef void _shares(floating *s, Py_ssize_t u) noexcept nogil:
    """Turn a row of sigmoid(x) into softmax(x), by exp(x) = sigmoid(x) / (1 - sigmoid(x)). A NaN fills the row."""
    cdef Py_ssize_t j
    cdef floating inverse
    for j in range(u):
        s[j] /= 1 - s[j]
    inverse = <floating>(1 / _sum(s, u))
    for j in range(u):
        s[j] *= inverse


cdef void _softmax(const cgru_kernels *k, const floating *z, floating *a, Py_ssize_t m, Py_ssize_t u,
                   double temperature) noexcept nogil:
    """Write the softmax of each row of z (m, u) into a."""
    cdef cgru_activation sigmoid = cgru_activation(CGRU_SIGMOID, 0)
    cdef Py_ssize_t i
    for i in range(m):
        _below_most(z + i * u, a + i * u, u, temperature)
    k.activation(sigmoid, a, a, m * u)
    for i in range(m):
        _shares(a + i * u, u)


cdef void activated(const cgru_kernels *k, cgru_activation f, const void *Z, void *A, Py_ssize_t m,
                    Py_ssize_t u) noexcept nogil:
    """Write the activation of Z (m, u) into A, which may be Z."""
    if f.code != SOFTMAX:
        k.activation(f, Z, A, m * u)
    elif k.size == 4:
        _softmax(k, <float *>Z, <float *>A, m, u, f.alpha)
    else:
        _softmax(k, <double *>Z, <double *>A, m, u, f.alpha)


cdef void _part(void *given, Py_ssize_t part) noexcept nogil:
    """Compute the rows of part number `part` of a LinearCall; the callback of `share`."""
    cdef LinearCall *work = <LinearCall *>given
    cdef Py_ssize_t u = work.product.columns, row = part * work.rows
    cdef Py_ssize_t m = min(work.rows, work.call.m - row), start = row * u * work.k.size
    work.k.product(&work.product, 0, row, m)
    if work.A == NULL:
        return
    activated(work.k, work.activate, work.Z + start, work.A + start, m, u)


cdef void execute(LinearCall *call) noexcept:
    """Run a prepared call on as many threads as its size is worth."""
    cdef int threads
    if call.flop < SHORT:
        _part(call, 0)
        return
    threads = threads_for(call.flop)
    call.rows = (call.call.m + threads - 1) // threads
    with nogil:
        share(_part, call, (call.call.m + call.rows - 1) // call.rows, threads)


cdef class Linear:
    """A linear layer with packed weights W (n, u), a bias b (1, u) and an activation (code, alpha).

    The code is one of the kernels, or SOFTMAX_CODE with the temperature as its alpha; None: no activation.
    """

    def __cinit__(self, cnp.ndarray W not None, cnp.ndarray b=None, tuple activate=None):
        """Pack W (n, u) and b (1, u) into memory of this object; `activate` is (code, alpha) or None."""
        cdef cgru_call call
        cdef cgru_product product
        cdef Py_ssize_t columns
        self.k = kernels(cnp.PyArray_ITEMSIZE(W))
        self.n, self.u = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
        self.activated = activate is not None
        if self.activated:
            self.activate.code, self.activate.alpha = activate
        columns = self.u + self.k.lanes
        self.memory = Workspace(columns * (self.n + 1), self.k.size)
        self.weights, self.bias = self.memory.take(columns * self.n), NULL
        memset(&call, 0, sizeof(call))
        product = new_product(self.k, &call, self.k.store_product, self.u, self.weights, NULL)
        add_operand(&product, NULL, 0, self.n)
        pack(self.k, &product, 0, 0, matrix(W), self.n, self.u)
        if b is not None:
            product.bias = self.bias = self.memory.take(columns)
            pack_bias(self.k, &product, 0, matrix(b), self.u)

    cdef void prepare(self, LinearCall *call, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A) noexcept:
        """Fill `call`, to be executed, for X (m, n), rows `ld` apart; results go to the caller's Z and A (or NULL)."""
        memset(call, 0, sizeof(LinearCall))
        call.k, call.call.m, call.activate, call.Z, call.A = self.k, m, self.activate, <char *>Z, <char *>A
        call.product = new_product(self.k, &call.call, self.k.store_product, self.u, self.weights, self.bias)
        call.product.out = cgru_array(Z, self.u, 0, 1)
        add_operand(&call.product, X, ld, self.n)
        call.rows, call.flop = m, 2.0 * m * self.n * self.u

    def outputs(self, cnp.ndarray X not None):
        """Return activate(X W + b) for X (m, n)."""
        return self._multiply(contiguous_rows(X), True)[0]

    def both(self, cnp.ndarray X not None):
        """Return (X W + b, its activation), the second None if the layer has none."""
        return self._multiply(contiguous_rows(X), False)

    cdef tuple _multiply(self, cnp.ndarray X, bint in_place):
        """Return (X W + b, its activation or None); with `in_place` the activation overwrites the first."""
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray Z, A = None
        cdef LinearCall call
        shape[0], shape[1] = cnp.PyArray_DIM(X, 0), self.u
        Z = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        if self.activated:
            A = Z if in_place else cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        self.prepare(
            &call, cnp.PyArray_DATA(X), cnp.PyArray_STRIDE(X, 0) // self.k.size, shape[0], cnp.PyArray_DATA(Z),
            NULL if A is None else cnp.PyArray_DATA(A),
        )
        execute(&call)
        return Z, A
