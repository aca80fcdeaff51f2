"""The part of a `GRUD` in front of its GRU: the decay of missing values, and the decay factors of the states."""

cimport numpy as cnp

from cgru.core.kernels cimport cgru_fading
from cgru.core.linear cimport Linear, LinearCall


cdef class Fading:
    cdef readonly dict fc
    cdef readonly tuple seen
    cdef readonly cnp.ndarray X
    cdef cgru_fading loops
    cdef Linear rates
    cdef LinearCall call  # of `rates`
    cdef cnp.ndarray gh
    cdef tuple held
    cdef object lengths, given

    cpdef cnp.ndarray run(self, cnp.ndarray given)
