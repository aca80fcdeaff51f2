"""Draw from NumPy's random generators without the GIL."""

from numpy.random cimport bitgen_t


cdef bitgen_t *bit_generator_of(rng) except NULL
