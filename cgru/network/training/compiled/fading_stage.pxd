"""The compiled layer in front of a GRUD's GRU, which decays missing values and states."""

from cgru.network.training.compiled.stage cimport Stage


# Set up a stage, and note in the next one that it gets factors; `memory` keeps alive what only this stage knows.
cdef int make_fading(Stage *stage, dict description, list memory) except -1
