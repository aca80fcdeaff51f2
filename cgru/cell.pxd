"""Run and train one GRU cell from other compiled code, without the GIL, allocation or exceptions; see docs/inside.md.

m samples, s steps, e features, u units. All arrays are C-contiguous and batch-major, of float or double (Cython chooses
by the pointers; `step[float]` says so), which has to be the dtype of the cell. Every address, also of a workspace or a
cache, is a multiple of its size. `bytes` is the size of the workspace, `room` the size of the cache, both in bytes.

Every function returns a `cell_code`. With any code but CELL_OK nothing has been written. Any number of threads may call
the reading functions of one cell, each with its own workspace. `update` must not run beside another call on its cell.
"""

from cython cimport floating

cdef extern from *:
    """
    typedef struct cgru_cell cgru_cell;
    """
    ctypedef struct cgru_cell  # opaque

cdef enum cell_code:
    CELL_OK
    CELL_NULL  # a required pointer is NULL
    CELL_DTYPE  # the cell has the other dtype
    CELL_SIZE  # m or s is below 1, m exceeds the batch of the cell, or memory could not hold the arrays
    CELL_ROOM  # the workspace or the cache is too small
    CELL_READ_ONLY  # the cell may not write to the arrays that it was made from
    CELL_QUANTIZED  # the cell belongs to a quantised layer, which cannot be trained
    CELL_ALIGNMENT  # an address is not a multiple of 4 (float) or 8 (double)

# Return the cell of a `cgru.Cell`, which is valid as long as that object lives. TypeError, and NULL, for anything else.
cdef cgru_cell *pointer(object cell) except NULL

# Return the bytes of workspace for any call with m samples and s steps; 0 for wrong sizes.
cdef Py_ssize_t workspace_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil
# Return the bytes of the cache that `forward`, `backward` and `gradients` share; 0 for wrong sizes.
cdef Py_ssize_t cache_bytes(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s) noexcept nogil
# Return how many numbers all parameters have, in the order Uz, Vz, bz, Ur, Vr, br, Uhh, Vhh, bhh, and then chh for
# "reset_after", or chh, gU, gV for "layer_norm".
cdef Py_ssize_t parameter_count(const cgru_cell *cell) noexcept nogil

# Run one step: x (m, e) is read, h (m, u) is read and overwritten.
cdef int step(const cgru_cell *cell, Py_ssize_t m, const floating *x, floating *h, void *workspace,
              Py_ssize_t bytes) noexcept nogil

# Run a sequence: X (m, s, e) is read, h (m, u) is read and overwritten. All states are written to H (m, s, u), or NULL.
cdef int sequence(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                  void *workspace, Py_ssize_t bytes) noexcept nogil

# Run a step or a sequence like these, with factors for the states as they enter each step: h <- g h + (1 - g) h0.
# g = 1 changes nothing, g = 0 begins anew, whatever h was. decay (m, s, n), of a step (m, n), holds them, from 0 to 1:
# one for all units (n = 1), or one for each (n = u). h0 (u) is a learned initial state, or NULL for zero.
cdef int step_decay(const cgru_cell *cell, Py_ssize_t m, const floating *x, const floating *decay, Py_ssize_t n,
                    const floating *h0, floating *h, void *workspace, Py_ssize_t bytes) noexcept nogil
cdef int sequence_decay(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, const floating *decay,
                        Py_ssize_t n, const floating *h0, floating *h, floating *H, void *workspace,
                        Py_ssize_t bytes) noexcept nogil

# Run a sequence like `sequence`, and write to `cache` what `backward` reads.
cdef int forward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *h, floating *H,
                 void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# Backpropagate: dH (m, s, u) is dL/dH, or NULL for zero. dh (m, u) holds dL/d(last state) and is overwritten by dL/dh0.
# dL/dX is written to dX (m, s, e), or NULL. `cache` receives what `gradients` reads.
cdef int backward(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *dH, floating *dh, floating *dX,
                  void *cache, Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# Add the gradients, summed over samples and steps, to g (parameter_count). X is that of `forward`.
cdef int gradients(const cgru_cell *cell, Py_ssize_t m, Py_ssize_t s, const floating *X, floating *g, const void *cache,
                   Py_ssize_t room, void *workspace, Py_ssize_t bytes) noexcept nogil

# Subtract rate * g from the parameters, in the arrays that the cell was made from and in the cell.
cdef int update(cgru_cell *cell, const floating *g, double rate) noexcept nogil
