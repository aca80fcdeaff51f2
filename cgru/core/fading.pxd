"""Values that fade where they are missing, by cgru/grud_reference.py. m rows, s steps, e features."""

from cgru.core.kernels cimport cgru_array, cgru_kernels


cdef struct Fading:
    Py_ssize_t m, s, e
    const Py_ssize_t *length  # (m) the real steps of each row; NULL: all are
    cgru_array X  # (m, s, e), NaN where nothing was measured
    cgru_array anew  # (m, s, units): a step at which all of them are 0 forgets what was seen; no data: none does
    Py_ssize_t units
    const double *times  # of row i at step t: times[i * row + t * step]; NULL: each step is 1 after the one before
    Py_ssize_t row, step
    double unit  # the time that counts as 1
    # What the steps before have left, and then these: `Seen` of cgru/grud_reference.py.
    void *last  # (m, e)
    void *age  # (m, e)
    double *time  # (m)
    const void *W  # Wgx and bgx (e)
    const void *b
    cgru_array xm  # (m, s, 2 e)
    cgru_array delta, before, gx  # (m, s, e), time-major; `before` are the values last seen before each step
    cgru_array dxm  # backward: dL/dxm, which lies as xm
    cgru_array dgx_  # where the gradient of the argument of gx goes
    cgru_array dX  # where dL/dX goes; no data: it is not wanted
    void *later  # (m, e) memory, where dX is wanted
    void *dW  # (e) sums to add to; NULL: they are not wanted
    void *db


cdef void fade(const cgru_kernels *k, const Fading *fading) noexcept nogil
cdef void fade_backward(const cgru_kernels *k, const Fading *fading) noexcept nogil
cdef void fading_backward(const void *g, void *d, Py_ssize_t n, int size) noexcept nogil
