"""The argument checks that compiled modules call; checks.pyx documents them."""

cimport numpy as cnp

cpdef cnp.ndarray real(value, name, tuple shape=*, cnp.dtype dtype=*)
cpdef cnp.ndarray contiguous_rows(cnp.ndarray array)
cpdef cnp.ndarray entry(dict source, str of, str key, tuple shape, cnp.dtype dtype=*)
cpdef dict entries(dict source, str of, tuple names, tuple shape, cnp.dtype dtype)
