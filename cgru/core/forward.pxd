"""The layer forward, without the GIL: its memory is handed in, its arrays are those of the call.

The call of `execute`, m samples, s steps, e elements, u unit cells, all arrays of one dtype:

    X       (m, s, e)    read
    h0      (m, u)       read; none: zero
    recurrent (m, 3, u)  read: what hp is multiplied by in the products of hh, z and r; none: nothing
    h       (m, s, u)    written where it is there, past a sample's length with its last state (in reverse: h0)
    last    (m, u)       written where it is there: the state after each sample's last step
    hh z r  (m, s, u)    written, all or none of them, `h` with them; zero past a sample's length
    hh_ z_ r_            likewise, all or none, never without those above
    c       (m, s, u)    reset_after, layer_norm: with hh, z and r
    nU nV   (m, s, 3 u)  layer_norm: with hh, z and r; the columns of z, r and hh side by side, as in gU and gV
    iU iV   (m, s, 1)    likewise

Where `call.padded` is False nothing is written past a sample's length but what has to be read: in reverse h.

`hp` is not bound: whoever wants it takes (m, s + 1, u), h0 in its first step (in reverse in its last), for both. Masks
on X are multiplied into it before.
"""

from cgru.core.kernels cimport (
    cgru_call, cgru_dots, cgru_few, cgru_kernels, cgru_norm, cgru_product, cgru_single, cgru_weights,
)


cdef struct Products:
    cgru_product gates[2]  # r and z together, or where each sees another hp one after the other
    cgru_product candidate
    cgru_product of_X  # what a variant has beside these, or in their place
    cgru_product of_hp[3]  # likewise


cdef struct Forward:
    const cgru_kernels *k
    cgru_call *call
    Products each, fresh  # of a step, and of the first one where there is no h0
    cgru_product inputs[2]  # of many steps, for r and z and for hh, where they are taken at once
    cgru_dots dots  # instead, where there are few units under many elements
    cgru_norm norm
    cgru_single single  # instead of the products, where there is one sample
    cgru_few few  # likewise, where lanes are samples
    Py_ssize_t start, stop  # the samples to run
    Py_ssize_t rows  # of a block
    int threads
    bint ragged
    bint lies  # whether the weights are read where they lie
    bint first, last  # whether the steps to run are the first ones of the sequence, and the last


cdef Py_ssize_t pack_room(const cgru_call *call) noexcept nogil
cdef Py_ssize_t row_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef Py_ssize_t rows_room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef void prepare(Forward *f, const cgru_kernels *k, cgru_call *call, void *packed, void *rows,
                  const cgru_weights *w) noexcept nogil
cdef void sequence(Forward *f, bint first, bint last) noexcept nogil
cdef Py_ssize_t room(const cgru_kernels *k, const cgru_call *call) noexcept nogil
cdef int perform(cgru_call *call, const cgru_weights *w, const cgru_kernels *k, void *memory,
                 int most) except -1 nogil
cdef int execute(cgru_call *call, const cgru_weights *w, const cgru_kernels *k) except -1
