"""The whole public cimport surface; cgru/cell.pxd says what each does."""

from cgru.cell cimport (
    CELL_ALIGNMENT, CELL_DTYPE, CELL_NULL, CELL_OK, CELL_QUANTIZED, CELL_READ_ONLY, CELL_ROOM, CELL_SIZE,
    backward_decay_double, backward_decay_float, backward_double, backward_float, cache_bytes, cgru_cell,
    forward_decay_double, forward_decay_float, forward_double, forward_float, gradients_double, gradients_float,
    parameter_count, pointer, sequence_decay_double, sequence_decay_float, sequence_double, sequence_float,
    step_decay_double, step_decay_float, step_double, step_float, update_double, update_float, workspace_bytes,
)
