"""The typed door to simd/: picks the instruction set once, turns arrays into the structs of cgru.h, and shows single
kernels to the tests.

`CGRU_SIMD` in the environment (avx512, avx2, baseline, scalar) forces a level; without it the best one of the machine
is taken.
"""

import os

import numpy as np

cimport numpy as cnp
from libc.string cimport memset

from cgru.core.checks cimport real, rows
from cgru.core.memory cimport Workspace

cnp.import_array()

cdef extern from "simd/cgru.h":
    const cgru_kernels *cgru_level(const char *level, int itemsize)

LEVELS = ("avx512", "avx2", "baseline", "scalar")

cdef const cgru_kernels *_float32 = NULL
cdef const cgru_kernels *_float64 = NULL


cdef const cgru_kernels *kernels(Py_ssize_t itemsize) noexcept nogil:
    return _float32 if itemsize == 4 else _float64


def levels():
    return tuple(name for name in LEVELS if cgru_level(name.encode(), 4) != NULL)


def level():
    return _float32.level.decode()


def use_level(str name not None):
    global _float32, _float64
    if name not in levels():
        raise ValueError(f"CGRU_SIMD: expected one of {', '.join(levels())} on this machine, got {name!r}")
    _float32 = cgru_level(name.encode(), 4)
    _float64 = cgru_level(name.encode(), 8)


def activation(int code, double alpha, x):
    cdef cnp.ndarray given = np.ascontiguousarray(x), out = np.empty_like(given)
    cdef cgru_activation f = cgru_activation(code, alpha)
    if given.dtype not in (np.float32, np.float64):
        raise TypeError(f"x: expected float32 or float64, got {given.dtype}")
    kernels(cnp.PyArray_ITEMSIZE(given)).activation(
        f, cnp.PyArray_DATA(given), cnp.PyArray_DATA(out), cnp.PyArray_SIZE(given)
    )
    return out


cdef cgru_activation _activation(tuple pair) except *:
    cdef cgru_activation f
    f.code, f.alpha = pair
    return f


cdef cgru_call new_call(cnp.ndarray X, Py_ssize_t u, tuple activations, object order, object running) except *:
    """A call for X (m, s, e); its arrays and rows are still NULL.

    activations: the (code, alpha) of activate, activate_update and activate_reset, or None. order, running: intp, or
    None.
    """
    cdef cgru_call call
    cdef Py_ssize_t lanes = kernels(cnp.PyArray_ITEMSIZE(X)).lanes
    memset(&call, 0, sizeof(call))
    call.m, call.s, call.e, call.u = cnp.PyArray_DIM(X, 0), cnp.PyArray_DIM(X, 1), cnp.PyArray_DIM(X, 2), u
    call.up, call.ep = (u + lanes - 1) // lanes * lanes, (call.e + lanes - 1) // lanes * lanes
    if activations is not None:
        call.activate, call.activate_update, call.activate_reset = (
            _activation(activations[0]), _activation(activations[1]), _activation(activations[2])
        )
    if order is not None:
        call.order = <const Py_ssize_t *>cnp.PyArray_DATA(order)
        call.running = <const Py_ssize_t *>cnp.PyArray_DATA(running)
    return call


cdef cgru_array array(dict arrays, str name) except *:
    """The array of that name, (m, s, n) or (m, n), last axis contiguous; NULL data where there is none."""
    cdef cgru_array view
    cdef cnp.ndarray source
    memset(&view, 0, sizeof(view))
    found = arrays.get(name)
    if found is not None:
        source = found
        view.data = cnp.PyArray_DATA(source)
        view.sample = cnp.PyArray_STRIDE(source, 0) // cnp.PyArray_ITEMSIZE(source)
        if cnp.PyArray_NDIM(source) == 3:
            view.step = cnp.PyArray_STRIDE(source, 1) // cnp.PyArray_ITEMSIZE(source)
    return view


cdef int options(cgru_call *call, dict p, dict arrays, bint reverse) except -1:
    """What makes a call another variant: chh among the parameters, zoneout's mask or rate among the arrays."""
    call.after, call.reverse, call.c = "chh" in p, reverse, array(arrays, "c")
    zoneout = arrays.get("zoneout")
    if zoneout is not None and cnp.PyArray_NDIM(zoneout) == 0:
        call.zoneout = zoneout
    elif zoneout is not None:
        call.kept = array(arrays, "zoneout")
    return 0


cdef void *data(dict arrays, str name) except NULL:
    """Where the array of that name begins."""
    return cnp.PyArray_DATA(arrays[name])


cdef cgru_matrix matrix(cnp.ndarray W) noexcept:
    cdef Py_ssize_t itemsize = cnp.PyArray_ITEMSIZE(W)
    return cgru_matrix(cnp.PyArray_DATA(W), cnp.PyArray_STRIDE(W, 0) // itemsize, cnp.PyArray_STRIDE(W, 1) // itemsize)


cdef int weights(cgru_weights *w, dict p) except -1:
    """Where the parameters of each gate lie."""
    w.U[CGRU_R], w.V[CGRU_R], w.b[CGRU_R] = matrix(p["Ur"]), matrix(p["Vr"]), matrix(p["br"])
    w.U[CGRU_Z], w.V[CGRU_Z], w.b[CGRU_Z] = matrix(p["Uz"]), matrix(p["Vz"]), matrix(p["bz"])
    w.U[CGRU_HH], w.V[CGRU_HH], w.b[CGRU_HH] = matrix(p["Uhh"]), matrix(p["Vhh"]), matrix(p["bhh"])
    if "chh" in p:
        w.b[CGRU_C] = matrix(p["chh"])
    return 0


cdef cgru_matrix transpose(cgru_matrix W) noexcept nogil:
    return cgru_matrix(W.data, W.column, W.row)


cdef Py_ssize_t steps_of_single(const cgru_call *call) noexcept nogil:
    """How many steps the one sample of a call has."""
    cdef Py_ssize_t steps = call.s
    while call.running != NULL and steps > 0 and call.running[steps - 1] == 0:
        steps -= 1
    return steps


cdef Py_ssize_t odd_lines(Py_ssize_t numbers, Py_ssize_t itemsize) noexcept nogil:
    """`numbers`, padded to an odd number of cache lines: the same column of several rows then lies in several sets."""
    cdef Py_ssize_t lines = (numbers * itemsize + 63) // 64
    return (lines + (lines + 1) % 2) * 64 // itemsize


cdef cgru_product new_product(const cgru_kernels *k, const cgru_call *call, cgru_epilogue *epilogue, Py_ssize_t columns,
                              const void *weights, const void *bias) noexcept nogil:
    """A product of `columns` columns; its operands are still to be added."""
    cdef cgru_product product
    memset(&product, 0, sizeof(product))
    product.call, product.epilogue = call, epilogue
    product.weights, product.bias = weights, bias
    product.columns, product.vectors = columns, (columns + k.lanes - 1) // k.lanes
    return product


cdef void add_operand(cgru_product *product, const void *data, Py_ssize_t ld, Py_ssize_t k) noexcept nogil:
    product.operand[product.operands] = cgru_operand(data, ld, k)
    product.operands += 1


cdef void pack(const cgru_kernels *k, const cgru_product *product, Py_ssize_t k0, Py_ssize_t column0, cgru_matrix W,
               Py_ssize_t depth, Py_ssize_t columns) noexcept nogil:
    """Put W (depth, columns) into the packed weights, from row k0 and column column0 on."""
    k.pack(product, <void *>product.weights, k0, column0 // k.lanes, W, depth, columns)


cdef void pack_bias(const cgru_kernels *k, const cgru_product *product, Py_ssize_t column0, cgru_matrix b,
                    Py_ssize_t columns) noexcept nogil:
    """Put b (1, columns) into the bias, from column column0 on."""
    cdef cgru_product row = product[0]
    row.operands = 0
    row.weights = row.bias
    add_operand(&row, NULL, 0, 1)
    pack(k, &row, 0, column0, b, 1, columns)


def matmul(A, B):
    if not (np.ndim(A) == np.ndim(B) == 2 and A.dtype == B.dtype and A.dtype in (np.float32, np.float64)
            and A.shape[1] == B.shape[0] and A.size and B.size):
        raise ValueError(f"A, B: expected (m, k) and (k, n) of one float dtype, none empty, got "
                         f"{np.asarray(A).dtype} {np.shape(A)} and {np.asarray(B).dtype} {np.shape(B)}")
    cdef cnp.ndarray out, left = rows(real(A, "A", None, A.dtype)), right = real(B, "B", None, A.dtype)
    cdef Py_ssize_t m = left.shape[0], depth = left.shape[1], n = right.shape[1], itemsize = left.itemsize
    cdef const cgru_kernels *k = kernels(itemsize)
    cdef Workspace work = Workspace((n + k.lanes) * depth, itemsize)
    cdef cgru_call call
    memset(&call, 0, sizeof(call))
    call.m = m
    cdef cgru_product product = new_product(k, &call, k.put, n, work.take((n + k.lanes) * depth), NULL)
    out = np.empty((m, n), left.dtype)
    add_operand(&product, cnp.PyArray_DATA(left), cnp.PyArray_STRIDE(left, 0) // itemsize, depth)
    pack(k, &product, 0, 0, matrix(right), depth, n)
    product.out = cgru_array(cnp.PyArray_DATA(out), n, 0)
    with nogil:
        k.product(&product, 0, 0, m)
    return out


try:
    use_level(os.environ.get("CGRU_SIMD") or levels()[0])
except ValueError as error:
    raise ImportError(str(error)) from None
