"""Every function and constant that Cython code may cimport from `cgru`; cgru/cell.pxd documents them."""

from cgru.cell cimport (
    CELL_ALIGNMENT, CELL_DTYPE, CELL_NULL, CELL_OK, CELL_QUANTIZED, CELL_READ_ONLY, CELL_ROOM, CELL_SIZE, backward,
    cache_bytes, cgru_cell, forward, gradients, parameter_count, pointer, sequence, sequence_decay, step, step_decay,
    update, workspace_bytes,
)
