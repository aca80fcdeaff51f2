"""`Pass`: one forward pass of a layer, with its backward pass."""


cdef class Pass:
    cdef readonly object A
    cdef dict _fc
    cdef dict _bc
