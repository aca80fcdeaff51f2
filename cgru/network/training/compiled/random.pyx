"""Draw from NumPy's random generators without the GIL."""

from cpython.pycapsule cimport PyCapsule_GetPointer


cdef bitgen_t *bit_generator_of(rng) except NULL:
    """Return the C struct of a `numpy.random.Generator`; the caller keeps it alive, and holds its lock to draw."""
    return <bitgen_t *>PyCapsule_GetPointer(rng.bit_generator.capsule, "BitGenerator")
