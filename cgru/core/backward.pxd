"""The layer backward, without the GIL: its memory is handed in, its arrays are those of the call.

The call of `execute`; all past a sample's length is written as zero, or, where `call.padded` is False, not at all:

    hp hh z r      (m, s, u)    read; and the variant's caches: c, or c nU nV iU iV
    recurrent      (m, 3, u)    read: as forward had it
    dA             (m, s, u)    read; none: zero. Past a sample's length it is not looked at
    h0             (m, u)       read: dL/d(last state) of each sample; none: zero
    dhh_ dz_ dr_   (m, s, u)    written; gradients reads them
    dc             (m, s, u)    reset_after, layer_norm: written
    dU_ dV_        (m, s, 3 u)  layer_norm: written; dL/d of the products of X and hp before they are normalised
    dh_ dh         (m, s, u)    written where they are there
    dX             (m, s, e)    likewise
    last           (m, u)       likewise: dL/dh0 of each sample

A call that was forward's has h0 and last bound to other arrays: bind both anew, if only to None. Where forward had no
h0, `call.fresh` says so: then the products with V of the step that ran first are left out, unless dh or last is wanted,
and its part of the gradients of V.
"""

from cgru.core.kernels cimport cgru_call, cgru_few, cgru_kernels, cgru_norm, cgru_product, cgru_single, cgru_weights


cdef struct Backward:
    const cgru_kernels *k
    cgru_call *call
    cgru_product reset, dX
    cgru_product state[3]  # of all gates, or, where each saw another hp, of one after the other
    int parts  # how many
    cgru_product no_reset  # in place of `reset`, where hp is zero and its dh is not wanted
    bint later  # whether dX is that of many steps at once
    cgru_norm norm
    cgru_single single  # instead of the first two, where there is one sample
    cgru_few few  # instead of all, where lanes are samples
    Py_ssize_t start, stop  # the samples to run
    Py_ssize_t rows  # of a block
    int threads
    bint ragged
    bint lies  # whether the weights are read where they lie
    bint first, last  # whether the steps to run are the first ones to go back through, and the last


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil
cdef Py_ssize_t row_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef void prepare(Backward *b, const cgru_kernels *k, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil
cdef void sequence(Backward *b, bint first, bint last) noexcept nogil
cdef Py_ssize_t room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1
