"""The matrix products of a GRU's forward step, without the GIL, in memory that the caller allocates.

The arrays of a call, for m samples, s steps, e features, u units, all of one dtype:

    X       (m, s, e)    read
    h0      (m, u)       read; missing: zero
    recurrent (m, 3, u)  read: recurrent dropout masks of hp for hh, z and r; missing: no dropout
    h       (m, s, u)    written if bound; past a sample's length its last state (in reverse: h0)
    last    (m, u)       written if bound: the state after each sample's last step
    hh z r  (m, s, u)    written if bound, all three or none, and then h too; zero past a sample's length
    hh_ z_ r_            written if bound, all three or none, and only together with hh, z and r
    c       (m, s, u)    reset_after, layer_norm: written with hh, z and r
    nU nV   (m, s, 3 u)  layer_norm: written with hh, z and r; columns of z, r and hh side by side, as in gU and gV
    iU iV   (m, s, 1)    layer_norm: written with hh, z and r

Where `call.padded` is False, nothing is written past a sample's length, except h in reverse, which is read there.

`hp` is not bound. A caller that wants it allocates (m, s + 1, u) for h and hp together, and puts h0 into the first
step, in reverse into the last. The caller multiplies X by its input dropout mask.
"""

from cgru.core.products cimport Run

# Build the products of a forward step, or set up single_sample.h or batch_simd.h, which run all steps. If `run.packs`,
# pack their weights from `packed` on.
cdef void build_products(Run *run, char *packed) noexcept nogil
cdef void build_single_sample(Run *run, char *packed) noexcept nogil
cdef void build_batch_simd(Run *run, char *packed) noexcept nogil
