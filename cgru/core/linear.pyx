"""Run a linear layer, A = activate(X W + b), with weights that are packed once.

m rows, n inputs, u units. dense.py has checked all arguments. All arrays are of one dtype, float32 or float64.
"""

cimport numpy as cnp
from libc.limits cimport INT_MAX
from libc.string cimport memset

from cgru.core.checks cimport contiguous_rows
from cgru.core.kernels cimport (
    CGRU_LOG_SOFTMAX, CGRU_SOFTMAX, add_operand, cgru_activation, cgru_array, cgru_call, cgru_kernels, cgru_product,
    kernels, matrix, new_product, pack, pack_bias,
)
from cgru.core.low_precision cimport multiply_quantized, pack_product, product_workspace
from cgru.core.memory cimport Workspace
from cgru.core.threads cimport share, threads_for

cnp.import_array()

SOFTMAX_CODE, LOG_SOFTMAX_CODE = CGRU_SOFTMAX, CGRU_LOG_SOFTMAX

cdef double SHORT = 1e4  # operations of a call that is too short to release the GIL for


cdef void activated(const cgru_kernels *k, cgru_activation f, const void *Z, void *A, Py_ssize_t m,
                    Py_ssize_t u) noexcept nogil:
    """Apply the activation to Z (m, u), and write the result to A, which may be the same memory."""
    if f.code >= 0:
        k.activation(f, Z, A, m * u)
    else:
        k.softmax(Z, A, m, u, f.alpha if f.code == CGRU_SOFTMAX else 0)


cdef void _part(void *given, Py_ssize_t part) noexcept nogil:
    """Compute part number `part` of the rows of a linear layer; called by `share` with its LinearCall."""
    cdef LinearCall *work = <LinearCall *>given
    cdef Py_ssize_t u = work.product.columns, row = part * work.rows
    cdef Py_ssize_t m = min(work.rows, work.call.m - row), start = row * u * work.k.size
    if work.narrow == NULL:
        work.k.product(&work.product, 0, row, m)
    else:
        multiply_quantized(work.narrow, &work.product.operand[0], row, m, <float *>work.Z,
                           work.memory + part * work.bytes)
    if work.A == NULL:
        return
    activated(work.k, work.activate, work.Z + start, work.A + start, m, u)


cdef void execute(LinearCall *call) noexcept:
    """Run a prepared linear layer on as many threads as its size warrants."""
    cdef int threads
    if call.flop < SHORT:
        _part(call, 0)
        return
    threads = min(threads_for(call.flop), call.most)
    call.rows = (call.call.m + threads - 1) // threads
    with nogil:
        share(_part, call, (call.call.m + call.rows - 1) // call.rows, threads)


cdef class Linear:
    """A linear layer with packed weights W (n, u), a bias b (1, u) and an activation (code, alpha).

    The code is one of the kernels, or SOFTMAX_CODE with the temperature as its alpha, or LOG_SOFTMAX_CODE; None: no
    activation. W is floats, int8 codes with the `scale` (1, u) of their columns, or bits of bfloat16; `bound` bounds
    |x| for int8.
    """

    def __cinit__(self, cnp.ndarray W not None, cnp.ndarray b=None, tuple activate=None, cnp.ndarray scale=None,
                  double bound=0.0):
        """Pack the weights into this object's memory; see the class for the arguments."""
        cdef cgru_call call
        cdef cgru_product product
        cdef Py_ssize_t columns
        self.is_narrow = cnp.PyArray_ITEMSIZE(W) < 4
        self.k = kernels(4 if self.is_narrow else cnp.PyArray_ITEMSIZE(W))
        self.n, self.u = cnp.PyArray_DIM(W, 0), cnp.PyArray_DIM(W, 1)
        self.activated = activate is not None
        if self.activated:
            self.activate.code, self.activate.alpha = activate
        if self.is_narrow:
            self.memory = pack_product(&self.narrow, W, b, scale, bound)
            return
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

    cdef Workspace prepare(self, LinearCall *call, const void *X, Py_ssize_t ld, Py_ssize_t m, void *Z, void *A):
        """Prepare `call` for X (m, n), with rows `ld` numbers apart; results go to the caller's Z and A (or NULL).

        Return the memory that the call must have, as long as it is executed.
        """
        cdef Workspace memory
        memset(call, 0, sizeof(LinearCall))
        call.k, call.call.m, call.activate, call.Z, call.A = self.k, m, self.activate, <char *>Z, <char *>A
        call.product = new_product(self.k, &call.call, self.k.store_product, self.u, self.weights, self.bias)
        call.product.out = cgru_array(Z, self.u, 0, 1)
        add_operand(&call.product, X, ld, self.n)
        call.rows, call.flop, call.most = m, 2.0 * m * self.n * self.u, INT_MAX
        if not self.is_narrow:
            return None
        call.narrow, call.flop, call.bytes = &self.narrow, call.flop / 4, product_workspace(&self.narrow, m)
        call.most = threads_for(call.flop)
        memory = Workspace(call.most * call.bytes, 1)
        call.memory = <char *>memory.take(call.most * call.bytes)
        return memory

    def outputs(self, cnp.ndarray X not None):
        """Return activate(X W + b) for X (m, n)."""
        return self._multiply(contiguous_rows(X), True)[0]

    def both(self, cnp.ndarray X not None):
        """Return (X W + b, its activation); the second is None if the layer has no activation."""
        return self._multiply(contiguous_rows(X), False)

    cdef tuple _multiply(self, cnp.ndarray X, bint in_place):
        """Return (X W + b, its activation or None); with `in_place` the activation overwrites the product."""
        cdef cnp.npy_intp shape[2]
        cdef cnp.ndarray Z, A = None
        cdef LinearCall call
        shape[0], shape[1] = cnp.PyArray_DIM(X, 0), self.u
        Z = cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        if self.activated:
            A = Z if in_place else cnp.PyArray_EMPTY(2, shape, cnp.PyArray_TYPE(X), 0)
        _memory = self.prepare(  # kept until the call is over
            &call, cnp.PyArray_DATA(X), cnp.PyArray_STRIDE(X, 0) // self.k.size, shape[0], cnp.PyArray_DATA(Z),
            NULL if A is None else cnp.PyArray_DATA(A),
        )
        execute(&call)
        return Z, A
