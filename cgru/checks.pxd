"""The checks that compiled modules use."""

cimport numpy as cnp

cpdef cnp.ndarray real(value, name, tuple shape=*, cnp.dtype dtype=*)
cpdef cnp.ndarray rows(cnp.ndarray array)
cpdef cnp.ndarray entry(dict source, str of, str key, tuple shape, cnp.dtype dtype=*)
