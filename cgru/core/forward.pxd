"""The layer forward, without the GIL: its memory is handed in, its arrays are those of the call.

The call of driver.pxd, m samples, s steps, e elements, u unit cells, all arrays of one dtype:

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

from cgru.core.products cimport Run

# Make the products of a call, and unless its weights are packed already pack them, from `packed` on.
cdef void lay_out_forward(Run *run, char *packed) noexcept nogil
