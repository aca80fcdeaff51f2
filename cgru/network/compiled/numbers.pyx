"""Loops over the numbers of stages, of either dtype."""

from cython cimport floating

from cgru.network.compiled.stage cimport live


cdef double kept_by(double rate, int size) noexcept nogil:
    """What dropout multiplies the numbers by that it keeps, 1 / (1 - rate), in the dtype's arithmetic."""
    return 1 / <float>(1 - rate) if size == 4 else 1 / (1 - rate)


cdef void _draw(bitgen_t *random, double rate, floating below, floating above, floating *to,
                Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    for j in range(n):
        to[j] = below if random.next_double(random.state) < rate else above


cdef void draw(bitgen_t *random, double rate, double below, double above, void *to, Py_ssize_t n,
               int size) noexcept nogil:
    """n numbers, each `below` with probability `rate` and else `above`: as `Generator.random` draws them."""
    if size == 4:
        _draw[float](random, rate, <float>below, <float>above, <float *>to, n)
    else:
        _draw[double](random, rate, below, above, <double *>to, n)


cdef void _combine(int how, const floating *a, const floating *b, floating *to, Py_ssize_t n) noexcept nogil:
    cdef Py_ssize_t j
    if how == ADD:
        for j in range(n):
            to[j] = a[j] + b[j]
    elif how == MULTIPLY:
        for j in range(n):
            to[j] = a[j] * b[j]
    else:
        for j in range(n):
            to[j] = a[j] / 2


cdef void combine(int how, cgru_array a, cgru_array b, cgru_array to, const Piece *piece, bint each, Py_ssize_t n,
                  int size) noexcept nogil:
    """`to` = a + b, a * b or a / 2, row by row, at `each` step that a row has."""
    cdef Py_ssize_t t, i, of_a, of_b, of_to
    for t in range(piece.s if each else 1):
        for i in range(live(piece, each, t)):
            of_a, of_b = (i * a.sample + t * a.step) * size, (i * b.sample + t * b.step) * size
            of_to = (i * to.sample + t * to.step) * size
            if size == 4:
                _combine[float](how, <float *>(<char *>a.data + of_a), <float *>(<char *>b.data + of_b),
                                <float *>(<char *>to.data + of_to), n)
            else:
                _combine[double](how, <double *>(<char *>a.data + of_a), <double *>(<char *>b.data + of_b),
                                 <double *>(<char *>to.data + of_to), n)


cdef void add(void *to, const void *a, Py_ssize_t n, int size) noexcept nogil:
    """to += a"""
    if size == 4:
        _combine[float](ADD, <float *>to, <const float *>a, <float *>to, n)
    else:
        _combine[double](ADD, <double *>to, <const double *>a, <double *>to, n)


cdef double _largest(const floating *a, Py_ssize_t n) noexcept nogil:
    cdef floating most = 0
    cdef Py_ssize_t j
    for j in range(n):
        if not (a[j] <= most and -a[j] <= most):  # NaN stays
            most = a[j] if a[j] > 0 or a[j] != a[j] else -a[j]
            if most != most:
                break
    return most


cdef double largest(const void *a, Py_ssize_t n, int size) noexcept nogil:
    """The largest magnitude, NaN where there is one."""
    return _largest[float](<const float *>a, n) if size == 4 else _largest[double](<const double *>a, n)


cdef double _squares(const floating *a, Py_ssize_t n, double unit) noexcept nogil:
    cdef double[4] sums = [0, 0, 0, 0]
    cdef Py_ssize_t j, c
    for j in range(0, n - 3, 4):
        for c in range(4):
            sums[c] += (a[j + c] / unit) * (a[j + c] / unit)
    for j in range(n // 4 * 4, n):
        sums[0] += (a[j] / unit) * (a[j] / unit)
    return (sums[0] + sums[1]) + (sums[2] + sums[3])


cdef double squares(const void *a, Py_ssize_t n, double unit, int size) noexcept nogil:
    """The sum of (a / unit)^2."""
    return _squares[float](<const float *>a, n, unit) if size == 4 else _squares[double](<const double *>a, n, unit)


cdef void scale(void *a, Py_ssize_t n, double factor, int size) noexcept nogil:
    """a *= factor"""
    cdef Py_ssize_t j
    for j in range(n):
        if size == 4:
            (<float *>a)[j] *= <float>factor
        else:
            (<double *>a)[j] *= factor
