"""The compiled layer in front of a GRUD's GRU: it makes the input X' = [xh | mask] and the states' decay factors.

The equations are those of cgru/grud_reference.py, the loops those of cgru/core/simd/fading.h. The GRU's U are W above
V, and its z is 1 minus that of a GRUD.
"""

from libc.math cimport NAN
from libc.string cimport memcpy, memset

from cgru.core.kernels cimport (
    CGRU_FADING, CGRU_HH, CGRU_MULTIPLY, CGRU_R, CGRU_Z, cgru_activation, cgru_array, cgru_call, cgru_extent,
    cgru_fading, cgru_matrix, time_major_array,
)
from cgru.network.training.compiled.plain cimport dense_product, head_backward, make_product, plain_workspace, reserve
from cgru.network.training.compiled.recurrent cimport wanted_column
from cgru.network.training.compiled.stage cimport (
    Arena, Piece, Recurrent, Size, Stage, assign, begins, extent_of, input_as_rows, rows_at, time_major,
)

cdef enum:
    OF_GATES = 12  # parameters: W, U, V and b of z, r and the candidate, in this order; behind them the rates
    WGX = OF_GATES
    BGX, WGH, BGH, PARAMETERS

cdef int[3] GATES = [CGRU_Z, CGRU_R, CGRU_HH]
cdef int[4] ORDER = [0, 2, 1, 3]  # of W, V, U and b of a gate, which the GRU has one behind another


# What only this stage knows. e features, u units.
cdef struct Fading:
    cgru_fading f  # the arguments of the loops
    Stage *gru
    void *p[PARAMETERS]
    void *dp[PARAMETERS]
    char *w  # the weights of the GRU
    char *g  # its gradients
    void *gh  # (s, m, u)
    void *factors  # (s, m, u) gh times the factors of the samples, where they have some
    void *dgh


cdef int make_fading(Stage *stage, dict description, list memory) except -1:
    """Set up the compiled layer without its memory; `description["unit"]` is the time that counts as 1."""
    cdef Fading *fading = <Fading *>reserve(sizeof(Fading), memory)
    stage.own, stage.slots, stage.gradient_slots = fading, fading.p, fading.dp
    stage.forward, stage.backward, stage.plan, stage.workspace = _forward, _backward, _plan, _workspace
    stage.u, stage.steps_out = 2 * stage.n, True
    fading.gru, fading.f.unit, fading.f.e = stage + 1, description["unit"], stage.n
    return 0


cdef void _plan(Stage *stage, Arena *arena, Size size, Size _, bint carries) noexcept:
    """Assign the memory, and set where the GRU finds its weights and gradients."""
    cdef Fading *fading = <Fading *>stage.own
    cdef cgru_fading *f = &fading.f
    cdef Py_ssize_t e = stage.n, u = fading.gru.u, numbers = (2 * e + u + 1) * u, place
    cdef int bytes = stage.k.size, i
    cdef Recurrent *part = &fading.gru.part[0]
    f.xm.data, f.delta.data = assign(arena, size.many * 2 * e, bytes), assign(arena, size.many * e, bytes)
    f.before.data, f.gx.data = assign(arena, size.many * e, bytes), assign(arena, size.many * e, bytes)
    f.last, f.age = assign(arena, size.m * e, bytes), assign(arena, size.m * e, bytes)
    f.time, f.dgx_.data = <double *>assign(arena, size.m, sizeof(double)), assign(arena, e, bytes)
    fading.gh, fading.dgh = assign(arena, size.many * u, bytes), assign(arena, size.back * u, bytes)
    fading.factors = assign(arena, size.many * u if stage.decays else 0, bytes)
    fading.w, fading.g = <char *>assign(arena, 3 * numbers, bytes), <char *>assign(arena, 3 * numbers, bytes)
    for i in range(3):
        place = i * numbers * bytes
        part.w.U[GATES[i]], part.g.U[GATES[i]] = cgru_matrix(fading.w + place, u, 1), fading.g + place
        place += 2 * e * u * bytes
        part.w.V[GATES[i]], part.g.V[GATES[i]] = cgru_matrix(fading.w + place, u, 1), fading.g + place
        place += u * u * bytes
        part.w.b[GATES[i]], part.g.b[GATES[i]] = cgru_matrix(fading.w + place, u, 1), fading.g + place


cdef Stage _rates(const Stage *stage) noexcept nogil:
    """Return a compiled Dense layer that computes delta Wgh + bgh."""
    cdef const Fading *fading = <Fading *>stage.own
    cdef Stage rates = make_product(stage, fading.gru.u, <char *>fading.p[WGH], <char *>fading.p[BGH])
    rates.X, rates.dW, rates.db = fading.f.delta, <char *>fading.dp[WGH], <char *>fading.dp[BGH]
    return rates


cdef Py_ssize_t _workspace(const Stage *stage, Py_ssize_t m, Py_ssize_t s, bint back) noexcept:
    """Return how many numbers of workspace m rows and s steps need; `back`: also for the backward pass."""
    cdef Stage rates = _rates(stage)
    return plain_workspace(&rates, m, s, back)


cdef void _exchange(const Stage *stage, bint back) noexcept nogil:
    """Copy the parameters to the GRU's weights and zero its gradients; with `back` add those to the parameters'."""
    cdef const Fading *fading = <Fading *>stage.own
    cdef Py_ssize_t e = stage.n, u = fading.gru.u, at = 0
    cdef Py_ssize_t[4] numbers = [e * u, e * u, u * u, u]
    cdef int size = stage.k.size, i, own
    for i in range(OF_GATES):
        own = i // 4 * 4 + ORDER[i % 4]
        if back:
            stage.k.add_multiple(fading.dp[own], 1, -1 if i < 4 else 1, fading.g + at, numbers[i % 4])
        else:
            memcpy(fading.w + at, fading.p[own], numbers[i % 4] * size)
            if i < 4:
                stage.k.multiply(fading.w + at, -1, numbers[i % 4])
        at += numbers[i % 4] * size
    if not back:
        memset(fading.g, 0, at)


cdef int _forward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute X' and the states' decay factors, which replace those of the samples in the GRU's call."""
    cdef Fading *fading = <Fading *>stage.own
    cdef cgru_fading *f = &fading.f
    cdef cgru_call *call = &fading.gru.part[0].call
    cdef Py_ssize_t e = stage.n, u = call.u, m = piece.m, i
    cdef cgru_array gh = time_major(fading.gh, u, m)
    cdef Stage rates
    f.m, f.s, f.length, f.slot = m, piece.s, piece.length, piece.slot
    f.times, f.row, f.step = piece.times, 1, m
    f.anew, f.units, f.W, f.b = call.decay, 1, fading.p[WGX], fading.p[BGX]
    f.X = input_as_rows(stage, piece)
    f.xm = stage.A = time_major_array(f.xm.data, 2 * e, m, wanted_column(fading.gru, piece))
    f.delta, f.gx = time_major(f.delta.data, e, m), time_major(f.gx.data, e, m)
    f.before = time_major(f.before.data, e, m)
    for i in range(m):
        if begins(&fading.gru.part[0], piece, i):
            f.time[piece.slot[i]] = NAN
    stage.k.fade(f)
    rates = _rates(stage)
    rates.Z, call.decay = fading.gh, gh
    dense_product(&rates, piece)
    for i in range(piece.s):
        gh.data = <char *>fading.gh + i * gh.step * stage.k.size
        stage.k.activation(cgru_activation(CGRU_FADING, 0), gh.data, gh.data, rows_at(piece, True, i) * u)
    if f.anew.data != NULL:
        gh = time_major(fading.factors, u, m)
        stage.k.combine(CGRU_MULTIPLY, call.decay, f.anew, gh, extent_of(piece, True), u)
        call.decay = gh
    _exchange(stage, False)
    return 0


cdef int _backward(Stage *stage, const Piece *piece) except -1 nogil:
    """Compute the gradients of all parameters from those of the GRU, from dL/dX' and from dL/dhp."""
    cdef Fading *fading = <Fading *>stage.own
    cdef cgru_fading *f = &fading.f
    cdef Recurrent *part = &fading.gru.part[0]
    cdef Py_ssize_t u = part.call.u, t, at
    cdef cgru_array dgh = time_major(fading.dgh, u, piece.m)
    cdef cgru_extent every = extent_of(piece, True)
    cdef Stage rates = _rates(stage)
    _exchange(stage, True)
    f.dxm, f.dW, f.db = stage.dA, fading.dp[WGX], fading.dp[BGX]
    stage.k.fade_backward(f)
    stage.k.combine(CGRU_MULTIPLY, time_major_array(part.dhp, u, piece.m, part.now.column), part.every, dgh, every, u)
    if f.anew.data != NULL:
        stage.k.combine(CGRU_MULTIPLY, dgh, f.anew, dgh, every, u)
    for t in range(piece.s):
        at = t * dgh.step * stage.k.size
        stage.k.fading_backward(<char *>fading.gh + at, <char *>fading.dgh + at, rows_at(piece, True, t) * u)
    rates.Z, rates.trainable = fading.dgh, True
    return head_backward(&rates, piece)
