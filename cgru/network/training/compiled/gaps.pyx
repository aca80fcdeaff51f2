"""The input of a GRUD's stage: X' = [xh | mask], the factors of the state, and the weights of the GRU over X'.

The equations are those of cgru/grud_reference.py, the loops those of cgru/core/simd/fading.h. The GRU's U are W above
V, and its z is 1 minus that of a GRUD.
"""

from libc.math cimport NAN
from libc.string cimport memcpy, memset

from cgru.core.kernels cimport (
    CGRU_FADING, CGRU_HH, CGRU_MULTIPLY, CGRU_R, CGRU_Z, cgru_activation, cgru_array, cgru_extent, cgru_fading,
    cgru_matrix, time_major_array,
)
from cgru.network.training.compiled.plain cimport dense_product, head_backward, make_product, plain_workspace
from cgru.network.training.compiled.stage cimport (
    Arena, Gaps, Piece, Recurrent, Size, Stage, assign, extent_of, input_as_rows, rows_at, time_major,
)

cdef enum:
    W, U, V, B, OF_GATE  # the parameters of a gate; there are those of z, r and the candidate, then the rates
    WGX = 3 * OF_GATE
    BGX, WGH, BGH

cdef int[3] GATES = [CGRU_Z, CGRU_R, CGRU_HH]


cdef int make_gaps(Stage *stage, double unit) except -1:
    """Set up a stage as that of a GRUD, before its GRU: `unit` is the time that counts as 1."""
    stage.fades, stage.gaps.unit = True, unit
    return 0


cdef inline Py_ssize_t _gate_numbers(const Stage *stage) noexcept nogil:
    """Return how many numbers the GRU has for a gate."""
    return (2 * stage.n + stage.part[0].call.u + 1) * stage.part[0].call.u


cdef void plan_gaps(Stage *stage, Arena *arena, Size size, bint carried) noexcept:
    """Assign the memory; `carried`: also for what earlier pieces have seen."""
    cdef Py_ssize_t e = stage.n, u = stage.part[0].call.u
    cdef int bytes = stage.k.size
    cdef Gaps *gaps = &stage.gaps
    gaps.xm = assign(arena, size.many * 2 * e, bytes)
    gaps.delta, gaps.before = assign(arena, size.many * e, bytes), assign(arena, size.many * e, bytes)
    gaps.gx, gaps.gh = assign(arena, size.many * e, bytes), assign(arena, size.many * u, bytes)
    gaps.factors = assign(arena, size.many * u if stage.decays else 0, bytes)
    gaps.dxm, gaps.dgh = assign(arena, size.back * 2 * e, bytes), assign(arena, size.back * u, bytes)
    gaps.w, gaps.g = assign(arena, 3 * _gate_numbers(stage), bytes), assign(arena, 3 * _gate_numbers(stage), bytes)
    gaps.times = <double *>assign(arena, size.many, sizeof(double))
    gaps.last, gaps.age = assign(arena, size.m * e, bytes), assign(arena, size.m * e, bytes)
    gaps.dgx_ = assign(arena, e, bytes)
    gaps.time = <double *>assign(arena, size.m, sizeof(double))
    if carried:
        gaps.last_of, gaps.age_of = assign(arena, size.m * e, bytes), assign(arena, size.m * e, bytes)
        gaps.time_of = <double *>assign(arena, size.m, sizeof(double))


cdef Stage _rates(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the Dense in the stage that computes delta Wgh + bgh."""
    cdef const Gaps *gaps = &stage.gaps
    cdef Stage rates = make_product(stage, stage.part[0].call.u, <char *>gaps.p[WGH], <char *>gaps.p[BGH])
    rates.X, rates.dW, rates.db = time_major(gaps.delta, stage.n, piece.m), <char *>gaps.dp[WGH], <char *>gaps.dp[BGH]
    return rates


cdef Py_ssize_t gaps_workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return the numbers of workspace for m rows and s steps; `back`: also for the backward pass."""
    cdef Stage rates = make_product(stage, stage.part[0].call.u, NULL, NULL)
    return plain_workspace(&rates, m, s, back)


cdef cgru_fading _fading_of(const Stage *stage, const Piece *piece) noexcept nogil:
    """Return the arguments of the loops for a piece; of the backward pass only what the forward pass has, too."""
    cdef Py_ssize_t e = stage.n, m = piece.m
    cdef const Gaps *gaps = &stage.gaps
    cdef cgru_fading f
    memset(&f, 0, sizeof(cgru_fading))
    f.m, f.s, f.e, f.length, f.unit = m, piece.s, e, piece.length, gaps.unit
    if gaps.timed:
        f.times, f.row, f.step = gaps.times, 1, m
    f.X, f.W, f.b = stage.X, gaps.p[WGX], gaps.p[BGX]
    f.last, f.age, f.time = gaps.last, gaps.age, gaps.time
    f.xm = time_major_array(gaps.xm, 2 * e, m, stage.part[0].now.column)
    f.delta, f.before, f.gx = time_major(gaps.delta, e, m), time_major(gaps.before, e, m), time_major(gaps.gx, e, m)
    return f


cdef void _move_seen(Stage *stage, const Piece *piece, bint back) noexcept nogil:
    """Copy what earlier pieces have seen to the rows of this one, nothing where a row begins; or `back` from them."""
    cdef Py_ssize_t bytes = stage.n * stage.k.size, i, row, slot
    cdef Gaps *gaps = &stage.gaps
    for i in range(piece.m):
        row, slot = i * bytes, piece.slot[i] * bytes
        if back:
            memcpy(<char *>gaps.last_of + slot, <char *>gaps.last + row, bytes)
            memcpy(<char *>gaps.age_of + slot, <char *>gaps.age + row, bytes)
            gaps.time_of[piece.slot[i]] = gaps.time[i]
        elif stage.part[0].begins[i]:
            gaps.time[i] = NAN
        else:
            memcpy(<char *>gaps.last + row, <char *>gaps.last_of + slot, bytes)
            memcpy(<char *>gaps.age + row, <char *>gaps.age_of + slot, bytes)
            gaps.time[i] = gaps.time_of[piece.slot[i]]


cdef void _assemble_weights(Stage *stage) noexcept nogil:
    """Set the weights of the GRU, and where its gradients go, which are zero then."""
    cdef Py_ssize_t e = stage.n, u = stage.part[0].call.u, numbers = _gate_numbers(stage), bytes = stage.k.size
    cdef Recurrent *part = &stage.part[0]
    cdef Gaps *gaps = &stage.gaps
    cdef const void **p
    cdef char *to
    cdef char *g
    cdef int i
    memset(gaps.g, 0, 3 * numbers * bytes)
    for i in range(3):
        p = gaps.p + i * OF_GATE
        to, g = <char *>gaps.w + i * numbers * bytes, <char *>gaps.g + i * numbers * bytes
        memcpy(to, p[W], e * u * bytes)
        memcpy(to + e * u * bytes, p[V], e * u * bytes)
        memcpy(to + 2 * e * u * bytes, p[U], u * u * bytes)
        memcpy(to + (2 * e + u) * u * bytes, p[B], u * bytes)
        if i == 0:
            stage.k.multiply(to, -1, numbers)
        part.w.U[GATES[i]], part.g.U[GATES[i]] = cgru_matrix(to, u, 1), g
        to, g = to + 2 * e * u * bytes, g + 2 * e * u * bytes
        part.w.V[GATES[i]], part.g.V[GATES[i]] = cgru_matrix(to, u, 1), g
        to, g = to + u * u * bytes, g + u * u * bytes
        part.w.b[GATES[i]], part.g.b[GATES[i]] = cgru_matrix(to, u, 1), g


cdef void _add_gradients(Stage *stage) noexcept nogil:
    """Add the gradients of the GRU to those of the parameters."""
    cdef Py_ssize_t e = stage.n, u = stage.part[0].call.u, numbers = _gate_numbers(stage)
    cdef int size = stage.k.size, i
    cdef void **to
    cdef char *g
    for i in range(3):
        to, g = stage.gaps.dp + i * OF_GATE, <char *>stage.gaps.g + i * numbers * size
        if i == 0:
            stage.k.multiply(g, -1, numbers)
        stage.k.add_multiple(to[W], 1, 1, g, e * u)
        stage.k.add_multiple(to[V], 1, 1, g + e * u * size, e * u)
        stage.k.add_multiple(to[U], 1, 1, g + 2 * e * u * size, u * u)
        stage.k.add_multiple(to[B], 1, 1, g + (2 * e + u) * u * size, u)


cdef void fade_forward(Stage *stage, const Piece *piece) noexcept nogil:
    """Compute X' and the factors of the state; set both and the weights in the GRU's call, whose layout is chosen."""
    cdef Recurrent *part = &stage.part[0]
    cdef Gaps *gaps = &stage.gaps
    cdef Py_ssize_t u = part.call.u, t
    cdef int size = stage.k.size
    cdef cgru_activation fading = cgru_activation(CGRU_FADING, 0)
    cdef cgru_fading f
    cdef Stage rates = _rates(stage, piece)
    input_as_rows(stage, piece)
    f = _fading_of(stage, piece)
    f.anew, f.units = part.call.decay, 1
    _move_seen(stage, piece, False)
    stage.k.fade(&f)
    if gaps.time_of != NULL and piece.carries:
        _move_seen(stage, piece, True)
    rates.Z = gaps.gh
    dense_product(&rates, piece)
    part.now.X, part.now.decay = f.xm, time_major(gaps.gh, u, piece.m)
    for t in range(piece.s):
        stage.k.activation(fading, <char *>gaps.gh + t * piece.m * u * size, <char *>gaps.gh + t * piece.m * u * size,
                           rows_at(piece, True, t) * u)
    if part.call.decay.data != NULL:
        stage.k.combine(CGRU_MULTIPLY, part.now.decay, part.call.decay, time_major(gaps.factors, u, piece.m),
                        extent_of(piece, True), u)
        part.now.decay.data = gaps.factors
    _assemble_weights(stage)


cdef int fade_backward_of(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute the gradients of all parameters from those of the GRU, dL/dX' and dL/dhp."""
    cdef Recurrent *part = &stage.part[0]
    cdef Gaps *gaps = &stage.gaps
    cdef Py_ssize_t u = part.call.u, t
    cdef int size = stage.k.size
    cdef cgru_array dgh = time_major(gaps.dgh, u, piece.m)
    cdef cgru_extent every = extent_of(piece, True)
    cdef cgru_fading f = _fading_of(stage, piece)
    cdef Stage rates = _rates(stage, piece)
    _add_gradients(stage)
    f.dgx_ = cgru_array(gaps.dgx_, 0, 0, 1)
    f.dxm, f.dW, f.db = time_major_array(gaps.dxm, 2 * stage.n, piece.m, part.now.column), gaps.dp[WGX], gaps.dp[BGX]
    stage.k.fade_backward(&f)
    stage.k.combine(CGRU_MULTIPLY, time_major_array(part.dhp, u, piece.m, part.now.column), part.every, dgh, every, u)
    if part.call.decay.data != NULL:
        stage.k.combine(CGRU_MULTIPLY, dgh, part.call.decay, dgh, every, u)
    for t in range(piece.s):
        stage.k.fading_backward(<char *>gaps.gh + t * piece.m * u * size, <char *>gaps.dgh + t * piece.m * u * size,
                                rows_at(piece, True, t) * u)
    rates.Z, rates.trainable = gaps.dgh, True
    return head_backward(&rates, piece)
