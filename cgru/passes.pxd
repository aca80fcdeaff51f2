"""`Pass`: one forward run of a layer, which can be backpropagated."""


cdef class Pass:
    cdef readonly object A
    cdef dict _fc
    cdef dict _bc
