"""The layer backward, without the GIL: its memory is handed in, its arrays are those of the call.

The call of driver.pxd; all past a sample's length is written as zero, or, where `call.padded` is False, not at all:

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

from cgru.core.products cimport Run

# Make the products of a call, and unless its weights are packed already pack them, from `packed` on.
cdef void lay_out_backward(Run *run, char *packed) noexcept nogil
