"""One GRU cell for other compiled code: no GIL, no allocation, no exception. docs/inside.md shows it in use.

Letters: m samples, s steps, e elements per step, u unit cells. All arrays are C-contiguous, batch-major, and of the
dtype in the function's name, which must be the cell's. Every address, a workspace's and a cache's too, is a multiple
of the size of that dtype. Every function answers with a `cell_code`; on all but CELL_OK nothing has been written.
Reading functions may share a cell between any number of threads, each with a workspace of its own; `update_*` may not
run beside any other call on that cell.
"""

cdef extern from *:
    """
    typedef struct cgru_cell cgru_cell;
    """
    ctypedef struct cgru_cell  # opaque

cdef enum cell_code:
    CELL_OK
    CELL_NULL  # a pointer that is needed is NULL
    CELL_DTYPE  # the cell is of the other dtype
    CELL_SIZE  # fewer than one sample or step, more samples than the cell was made for, more than memory could hold
    CELL_ROOM  # fewer bytes of workspace or cache than were asked for
    CELL_READ_ONLY  # the cell was not made from arrays that it may write to
    CELL_QUANTIZED  # the cell is of a quantised layer, which does not train
    CELL_ALIGNMENT  # an address is no multiple of 4 (float) or 8 (double)

# The cell of a `cgru.Cell`; it lives as long as that object. NULL, with a TypeError, for anything else.
cdef cgru_cell *pointer(object cell) except NULL

# Bytes of workspace for any one call with so many samples and steps; of the cache between `forward_*` and
# `gradients_*`; numbers of all parameters, in the order Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh and, for "reset_after",
# chh, for "layer_norm" chh, gU, gV. 0 for wrong sizes.
cdef Py_ssize_t workspace_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil
cdef Py_ssize_t cache_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil
cdef Py_ssize_t parameter_count(const cgru_cell *cell) noexcept nogil

# One step: x (m, e); h (m, u) in and out.
cdef int step_float(const cgru_cell *cell, Py_ssize_t m, const float *x, float *h,
                    void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int step_double(const cgru_cell *cell, Py_ssize_t m, const double *x, double *h,
                     void *workspace, Py_ssize_t bytes) noexcept nogil

# A sequence: X (m, s, e); h (m, u) in and out; H (m, s, u) all states, or NULL.
cdef int sequence_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                        void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int sequence_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *h, double *H,
                         void *workspace, Py_ssize_t bytes) noexcept nogil

# The same, and into `cache` goes what `backward_*` reads.
cdef int forward_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *h, float *H,
                       void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int forward_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *h, double *H,
                        void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# Back: dH (m, s, u) is dL/dH, or NULL for zero; dh (m, u) is dL/d(last state) in, dL/dh0 out; dX (m, s, e) is written,
# or NULL. Into `cache` goes what `gradients_*` reads.
cdef int backward_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *dH, float *dh, float *dX,
                        void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int backward_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *dH, double *dh, double *dX,
                         void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# g (parameter_count) += the gradients, summed over samples and steps; X as in `forward_*`.
cdef int gradients_float(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const float *X, float *g,
                         const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int gradients_double(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const double *X, double *g,
                          const void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# p -= rate * g, in the arrays that the cell was made from and in the cell itself.
cdef int update_float(cgru_cell *cell, const float *g, double rate) noexcept nogil
cdef int update_double(cgru_cell *cell, const double *g, double rate) noexcept nogil
