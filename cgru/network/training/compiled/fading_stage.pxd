"""The stage in front of the GRU of a GRUD, whose inputs and factors it makes."""

from cgru.network.training.compiled.stage cimport Stage


# Set up a stage, and note in the next one that it gets factors; `memory` keeps alive what only this stage knows.
cdef int make_fading(Stage *stage, dict description, list memory) except -1
