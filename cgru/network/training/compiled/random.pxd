"""Draw from NumPy's random generators without the GIL."""

from numpy.random cimport bitgen_t


cdef bitgen_t *generator(rng) except NULL
