"""NumPy's generators, drawn from without the GIL."""

from numpy.random cimport bitgen_t


cdef bitgen_t *generator(rng) except NULL
