"""The compiled layer of a SwitchingGRU, whose outputs A are the states after all steps, or the last states.

The loops are those of cgru/core/simd/switching.h.
"""

from libc.string cimport memset

from cgru.core.kernels cimport (
    CGRU_COPY, CGRU_PLACES, CGRU_PLACE_c, CGRU_PLACE_hh, CGRU_PLACE_r, CGRU_PLACE_z, cgru_array, cgru_call,
    cgru_extent, cgru_kernels, time_major_array,
)
from cgru.core.plan cimport SAMPLE_SHARES
from cgru.core.threads cimport share, worth
from cgru.network.training.compiled.plain cimport reserve
from cgru.network.training.compiled.stage cimport Arena, Piece, Size, Stage, address, assign, time_major

cdef enum:
    BYTES = 16 << 20  # of all parts, unless one takes more

cdef int[4] CACHES = [CGRU_PLACE_r, CGRU_PLACE_z, CGRU_PLACE_c, CGRU_PLACE_hh]


# What only this stage knows.
cdef struct States:
    void *states  # (s + 1, u, m) before each step and after the last
    void *memory[CGRU_PLACES]  # of the caches
    const void *p[3]  # U, V and b
    void *dp[3]


# A call of the kernels of a switching GRU, in parts of the samples.
cdef struct Work:
    const cgru_kernels *k
    cgru_call call
    const Py_ssize_t *tokens
    Py_ssize_t parts
    bint back


cdef int make_switching(Stage *stage, dict description, list memory) except -1:
    """Set up the compiled layer without its memory."""
    cdef States *own = <States *>reserve(sizeof(States), memory)
    stage.forward, stage.backward, stage.plan, stage.workspace = _forward, _backward, _plan, _workspace
    stage.own, stage.slots, stage.gradient_slots = own, <void **>own.p, own.dp
    stage.n, stage.u, stage.steps_out = description["tokens"], description["units"], description["every"]
    stage.recurrent = True
    return 0


cdef void _plan(Stage *stage, Arena *arena, Size _, Size size, bint carries) noexcept:
    """Assign the memory of the compiled layer from `arena`; `size` is the size of its outputs."""
    cdef int bytes = stage.k.size, place
    cdef States *own = <States *>stage.own
    stage.out = assign(arena, (size.many if stage.steps_out else size.m) * stage.u, bytes)
    stage.tokens = <Py_ssize_t *>assign(arena, size.many, sizeof(Py_ssize_t))
    own.states = assign(arena, size.many * stage.u, bytes)
    for place in CACHES:
        own.memory[place] = assign(arena, size.back * stage.u, bytes)


cdef Py_ssize_t _workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return how many numbers of workspace m rows and s steps need; `back`: also for the backward pass."""
    cdef Work work = _work_of(stage, m, s, back)
    return stage.k.switching_size(&work.call, False, False) + work.parts * work.call.ld


cdef Work _work_of(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept nogil:
    """Return a call for m samples of s steps, forward or `back`, without arrays.

    Samples are divided into the same parts for any number of threads, so that bits agree.
    """
    cdef Work work
    cdef Py_ssize_t vectors = (m + stage.k.lanes - 1) // stage.k.lanes
    memset(&work, 0, sizeof(Work))
    work.k, work.tokens, work.back = stage.k, stage.tokens, back
    work.call.m, work.call.s, work.call.e, work.call.u, work.call.rows = m, s, stage.n, stage.u, stage.scratch
    work.call.ld = stage.k.switching_size(&work.call, True, back)
    work.parts = min(vectors, <Py_ssize_t>SAMPLE_SHARES, max(1, BYTES // (work.call.ld * stage.k.size)))
    return work


cdef void _run_part(void *given, Py_ssize_t part) noexcept nogil:
    """Run part number `part` of the samples forward or backward; called by `share`, `given` is a Work."""
    cdef const Work *work = <const Work *>given
    (work.k.switching_backward if work.back else work.k.switching_forward)(&work.call, work.tokens, part, work.parts)


cdef void _run(Stage *stage, const Piece *piece, bint back) noexcept nogil:
    """Run all samples of a piece forward or backward, on as many threads as the work warrants."""
    cdef Work work = _work_of(stage, piece.m, piece.s, back)
    cdef Py_ssize_t m = piece.m, u = stage.u
    cdef double flop = 12.0 * m * piece.s * stage.n * u * (1 + u)
    cdef States *own = <States *>stage.own
    cdef int place
    work.call.running = piece.running
    work.call.hp = work.call.h = time_major_array(own.states, u, m, m)
    work.call.h.data = <char *>own.states + m * u * stage.k.size
    for place in CACHES:
        if piece.training:
            work.call.array[place] = time_major_array(own.memory[place], u, m, m)
    if back and stage.steps_out:
        work.call.dA = stage.dA
    elif back:
        work.call.h0 = stage.dA
    stage.k.switching_pack(&work.call, own.p)
    share(_run_part, &work, work.parts, worth(flop, stage.threads))
    if back:
        stage.k.switching_add(&work.call, own.dp, work.parts)


cdef int _forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute A: the states after all steps, or after the last step of each sample."""
    cdef Py_ssize_t i, m = piece.m, u = stage.u
    cdef void *states = (<States *>stage.own).states
    cdef cgru_array h = time_major_array(states, u, m, m), last
    memset(states, 0, m * u * stage.k.size)
    _run(stage, piece, False)
    stage.A = time_major(stage.out, u, m)
    if stage.steps_out:
        h.data = <char *>h.data + m * u * stage.k.size
        stage.A = h
    for i in range(0 if stage.steps_out else m):
        last = h
        last.data = address(h, i, piece.length[i], stage.k.size)
        stage.k.combine(CGRU_COPY, last, last, time_major(address(stage.A, i, 0, stage.k.size), u, 1),
                        cgru_extent(1, 1, NULL), u)
    return 0


cdef int _backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Add the gradients of U, V and b; tokens have none."""
    _run(stage, piece, True)
    return 0
