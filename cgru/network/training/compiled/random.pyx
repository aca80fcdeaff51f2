"""NumPy's generators, drawn from without the GIL."""

from cpython.pycapsule cimport PyCapsule_GetPointer


cdef bitgen_t *generator(rng) except NULL:
    """What a `numpy.random.Generator` draws from: its owner holds the generator, and its lock while it draws."""
    return <bitgen_t *>PyCapsule_GetPointer(rng.bit_generator.capsule, "BitGenerator")
