"""The compiled layer of a SwitchingGRU."""

from cgru.network.training.compiled.stage cimport Stage


# Set up a stage, without its memory; `memory` keeps alive what only this stage knows.
cdef int make_switching(Stage *stage, dict description, list memory) except -1
