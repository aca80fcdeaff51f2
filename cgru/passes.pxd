"""One run of a layer."""


cdef class Pass:
    cdef readonly object A
    cdef dict _fc
    cdef dict _bc
