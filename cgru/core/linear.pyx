"""The linear layer: A = activate(X W + b), its weights packed once.

m rows, n inputs, u units. Whatever is given here is trusted: dense.py has checked it. All arrays are of one dtype,
float32 or float64.
"""

cimport numpy as cnp
from cython cimport floating
from libc.math cimport exp
from libc.string cimport memset

from cgru.core.checks cimport rows
from cgru.core.kernels cimport (
    add_operand, cgru_activation, cgru_array, cgru_call, cgru_kernels, cgru_product, kernels, matrix, new_product, pack,
    pack_bias,
)
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport share, threads_for

cnp.import_array()

SOFTMAX_CODE = SOFTMAX

cdef double SHORT = 1e4  # operations that are over before another thread could take the GIL

cdef struct Work:
    const cgru_kernels *k
    cgru_call call
    cgru_product product
    cgru_activation activate
    char *Z
    char *A  # NULL: not wanted
    Py_ssize_t rows  # of a part


cdef void _softmax(const floating *z, floating *a, Py_ssize_t m, Py_ssize_t u, double temperature) noexcept nogil:
    """In double, and from the largest down: nothing overflows, whatever the temperature. NaN in a row fills it."""
    cdef Py_ssize_t i, j
    cdef double most, total
    for i in range(m):
        most = z[i * u]
        for j in range(u):
            if not z[i * u + j] <= most:
                most = z[i * u + j]
        total = 0
        for j in range(u):
            a[i * u + j] = <floating>exp((z[i * u + j] - most) / temperature)
            total += a[i * u + j]
        for j in range(u):
            a[i * u + j] /= <floating>total


cdef void _part(void *given, Py_ssize_t part) noexcept nogil:
    """The rows of one part."""
    cdef Work *work = <Work *>given
    cdef Py_ssize_t u = work.product.columns, row = part * work.rows
    cdef Py_ssize_t m = min(work.rows, work.call.m - row), start = row * u * work.k.size
    work.k.product(&work.product, 0, row, m)
    if work.A == NULL:
        return
    if work.activate.code != SOFTMAX:
        work.k.activation(work.activate, work.Z + start, work.A + start, m * u)
    elif work.k.size == 4:
        _softmax(<float *>(work.Z + start), <float *>(work.A + start), m, u, work.activate.alpha)
    else:
        _softmax(<double *>(work.Z + start), <double *>(work.A + start), m, u, work.activate.alpha)


cdef class Linear:
    """Rows times W (n, u), plus b (1, u), and the activation (code, alpha): None, a code of the kernels, or
    SOFTMAX_CODE with its temperature.
    """

    def __init__(self, cnp.ndarray W not None, cnp.ndarray b=None, tuple activate=None):
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
        product = new_product(self.k, &call, self.k.put, self.u, self.weights, NULL)
        add_operand(&product, NULL, 0, self.n)
        pack(self.k, &product, 0, 0, matrix(W), self.n, self.u)
        if b is not None:
            product.bias = self.bias = self.memory.take(columns)
            pack_bias(self.k, &product, 0, matrix(b), self.u)

    cdef void run(self, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A) noexcept:
        cdef Work work
        cdef double flop = 2.0 * m * self.n * self.u
        cdef int threads = threads_for(flop)
        memset(&work.call, 0, sizeof(work.call))
        work.k, work.call.m, work.activate, work.Z, work.A = self.k, m, self.activate, <char *>Z, <char *>A
        work.product = new_product(self.k, &work.call, self.k.put, self.u, self.weights, self.bias)
        work.product.out = cgru_array(Z, self.u, 0)
        add_operand(&work.product, X, ld, self.n)
        work.rows = (m + threads - 1) // threads
        if flop < SHORT:
            _part(&work, 0)
            return
        with nogil:
            share(_part, &work, (m + work.rows - 1) // work.rows, threads)

    def outputs(self, cnp.ndarray X not None):
        """activate(X W + b) for X (m, n)."""
        return self.made(rows(X), True)[0]

    def both(self, cnp.ndarray X not None):
        """X W + b, and the activation of it, None where there is none."""
        return self.made(rows(X), False)

    cdef tuple made(self, cnp.ndarray X, bint in_place):
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray Z, A = None
        shape[0], shape[1] = cnp.PyArray_DIM(X, 0), self.u
        Z = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        if self.activated:
            A = Z if in_place else cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        self.run(
            cnp.PyArray_DATA(X), cnp.PyArray_STRIDE(X, 0) // self.k.size, shape[0], cnp.PyArray_DATA(Z),
            NULL if A is None else cnp.PyArray_DATA(A),
        )
        return Z, A
