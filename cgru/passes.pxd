"""One run of a layer."""


cdef class Pass:
    cdef readonly object A
    cdef readonly dict fc
    cdef public dict bc
