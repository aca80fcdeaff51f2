"""The matrix products of a GRU's backward step, without the GIL, in memory that the caller allocates.

The arrays of a call are listed below. Past a sample's length they are zero; if `call.padded` is False they are not
written there:

    hp hh z r      (m, s, u)    read, and the caches of the variant: c, or c nU nV iU iV
    recurrent      (m, 3, u)    read: the recurrent dropout masks of the forward pass
    dA             (m, s, u)    read; missing: zero. Not read past a sample's length
    h0             (m, u)       read: dL/d(last state) of each sample; missing: zero
    dhh_ dz_ dr_   (m, s, u)    written; gradients.pyx reads them
    dc             (m, s, u)    reset_after, layer_norm: written
    dU_ dV_        (m, s, 3 u)  layer_norm: written: dL/d of the products of X and of hp before normalisation
    dh_ dh         (m, s, u)    written if bound
    dX             (m, s, e)    written if bound
    last           (m, u)       written if bound: dL/dh0 of each sample

A call that has run forward has h0 and last bound to other arrays: bind both anew, to None if need be. `call.fresh` says
that forward had no h0. Then the step that ran first has no products with V, unless dh or last is wanted, and adds
nothing to the gradients of V.
"""

from cgru.core.products cimport Run

# Build the products of a backward step, or set up single_sample.h or batch_simd.h, which run all steps. If `run.packs`,
# pack their weights from `packed` on.
cdef void build_products(Run *run, char *packed) noexcept nogil
cdef void build_single_sample(Run *run, char *packed) noexcept nogil
cdef void build_batch_simd(Run *run, char *packed) noexcept nogil
