"""The structs that all compiled layers ("stages") of a network use.

A stage is one layer of the chain. `forward` reads X and writes A. `backward` reads dA, writes dX (none where dX has no
data) and adds to the gradients of its parameters. Arrays are time-major, (s, m, n). Those of layers with few units are
(s, n, m) instead: "in lanes", with the samples in the SIMD lanes. Numbers past a row's length are undefined.

A piece is the part of a batch that runs at once: all its steps or, with truncated backpropagation, some of them. Its
rows are sorted by length, the longest first.

m rows, s steps, n numbers that come in and u that go out at each step.
"""

from numpy.random cimport bitgen_t

from cgru.core.kernels cimport (
    CGRU_COPY, CGRU_PLACES, cgru_activation, cgru_array, cgru_call, cgru_extent, cgru_gradients, cgru_kernels,
    cgru_weights, time_major_array,
)

cdef enum:
    MOST_PARAMETERS = 26  # of one stage


# The rows and steps of a batch that run at once.
cdef struct Piece:
    Py_ssize_t m, s
    Py_ssize_t slots  # samples of the batch; those that have no step in this piece are no rows of it
    const Py_ssize_t *running  # (s) how many rows have each step; NULL: all rows have all steps
    const Py_ssize_t *length  # (m) steps of each row
    const Py_ssize_t *slot  # (m) the place of each row's sample in the batch
    const Py_ssize_t *row  # (slots) the row of each sample of the batch; m or more: it has none
    bint training  # whether to draw masks and keep the caches of the backward pass
    bint carries  # whether states go on from the piece before
    Py_ssize_t every  # input steps of the samples for one step of this piece
    const double *times  # (s, m) of the steps; NULL: the samples have none


# One GRU of a recurrent stage.
cdef struct Recurrent:
    cgru_call call  # the arguments that are the same for each piece
    cgru_call now  # the arguments for the current piece
    cgru_weights w
    cgru_gradients g
    void *memory[CGRU_PLACES]  # memory of the call's cache arrays, and their columns below
    Py_ssize_t width[CGRU_PLACES]
    void *states  # (s + 2, m, columns): the state after step t at t + 1, from `column` on
    cgru_array every  # the same as an array of the current piece
    Py_ssize_t columns, column  # columns of `states`, which two GRU may share, and the first one of this GRU
    void *last  # (m, u) the last states, where they are merged with those of the other direction
    double dropout, recurrent_dropout, zoneout
    bitgen_t *random
    void *mask  # (m, e) the dropout mask of the inputs
    void *masked  # (s, m, e) X times the mask
    void *recurrent  # (3, m, u) recurrent dropout masks of the gates hh, z, r
    void *kept  # (s, m, u) the zoneout mask: 1 where the state is kept
    void *start  # (m, u) the initial states; in the backward pass, with `learned`, dL/d(initial states)
    void *carried  # (slots, u) the states after the piece before; NULL: each piece begins without states
    bint *begun  # (slots) whether `carried` has a state of the sample yet
    bint *begins  # (m) whether a row begins without a carried state
    void *decay  # (s, m) the factors of the states as they enter each step, where samples have such
    void *hp  # (s, m, u) the states behind these factors
    void *dhp  # (s, m, u) dL/dhp, with `learned` or `factored`
    bint factored  # whether the stage below makes factors of the states, and reads dL/dhp
    bint learned  # whether a sample begins at w.h0; else at zero
    bint stateful  # whether a batch continues the one before
    Py_ssize_t block  # steps of a block of the last backward pass


# A parameter of a stage: where it begins in the buffer of `Weights`, and where its address and its gradient's go.
cdef struct Parameter:
    Py_ssize_t start
    void **p
    void **g


# The size that memory is planned for: up to m rows and s steps; `many` rows times steps (with two more steps); `back`
# rows times steps of pieces that have a backward pass.
cdef struct Size:
    Py_ssize_t m, s, many, back


# Memory that is handed out from `base` on. A first pass without a base counts how much is needed.
cdef struct Arena:
    char *base
    Py_ssize_t used


# One layer, or a part of one that is a stage by itself.
cdef struct Stage:
    const cgru_kernels *k
    int (*forward)(Stage *, const Piece *) except -1 nogil
    int (*backward)(Stage *, const Piece *) except -1 nogil
    # Assign memory for inputs and outputs of these sizes; with `carries` also for states that pieces go on from.
    void (*plan)(Stage *, Arena *, Size inputs, Size outputs, bint carries) noexcept
    # Return the numbers of workspace for m rows and s steps; `back`: also for the backward pass.
    Py_ssize_t (*workspace)(const Stage *, Py_ssize_t m, Py_ssize_t s, bint back) noexcept
    # Write dX of `steps` steps from `start` on to an array that begins with these, after `backward`, in memory of
    # `fill_size` numbers; NULL: the stage has dX of all steps at once only.
    void (*fill)(const Stage *, Py_ssize_t start, Py_ssize_t steps, cgru_array dX, void *memory) noexcept nogil
    Py_ssize_t fill_size
    Py_ssize_t n, u  # numbers that come in and go out at each step
    bint steps_in, steps_out, trainable  # whether X and A have a row for each step, or one for each sample
    const Piece *piece  # the piece that it runs
    const Piece *output  # that of its outputs
    Py_ssize_t *sources  # the stages whose outputs it reads, -1: the network's input; one, or those that it joins
    int joins  # how many these are
    int readers  # how many stages read its outputs
    bint goes  # whether it or a stage below trains, so that it runs backward
    void *dX_memory  # of dX, and where it multiplies of dL/d(each of these outputs)
    void *dA_memory  # (s, m, u) of the sum of the dX of its readers, where that has no place of its own
    bint dA_is_own  # whether dA may be changed
    Py_ssize_t (*lengths)(const Stage *, Py_ssize_t) noexcept nogil  # output steps of so many inputs; NULL: the same
    Py_ssize_t stride  # input steps of one output step, where the stage changes the number of steps
    Piece output_piece  # the piece of its outputs, where the stage changes the number of steps
    Py_ssize_t *running  # memory of that piece's `running` and, below, `length`
    Py_ssize_t *length
    int threads  # at most
    cgru_array X, A, dA, dX
    void *out  # memory of A
    void *scratch  # workspace, which all stages share
    void *X_as_rows  # memory for X as (s, m, n), where X is in lanes and the stage cannot read that
    Parameter parameter[MOST_PARAMETERS]
    int parameters
    void **slots  # where the addresses of parameters go that are no GRU's, in the layer's order, and of gradients
    void **gradient_slots
    const Stage *above  # the stage that fills in dA, a block of steps at a time; NULL: dA is there
    void *fill_memory  # for that
    bint reverses, lanes_come  # whether it reverses the steps; whether its outputs may have samples in lanes
    bint decays, flipped  # whether there is memory for factors of states; whether the steps of X are in reverse order
    void *own  # the struct of what only this kind of stage knows; NULL: nothing
    Recurrent *part  # (parts) the one GRU, or the two of a Bidirectional
    int parts  # how many of these; 0: there is none
    cgru_activation activate  # of a Dense, of a Pool's scores, or of an elementwise stage with `activates`
    bint activates
    bint recurrent  # whether it is a recurrent layer, whose outputs activity penalties read
    bint may_return_input  # whether A may be X itself, without a copy
    char *W  # of a Dense, an Embedding or a Pool; of an elementwise stage or a LayerNorm its scale, NULL: none
    char *b  # of a Dense or a Pool; of an elementwise stage or a LayerNorm its shift
    char *V  # (scores) of a Pool, by which scores are sums of its hidden columns; NULL: the only column is the score
    char *dW
    char *db
    char *dV
    void *Z  # (s, m, u) X W + b of a Dense or a Pool; in the backward pass dL/dZ
    Py_ssize_t *tokens  # (s, m) the input of an Embedding or a SwitchingGRU


cdef inline cgru_array time_major(const void *data, Py_ssize_t n, Py_ssize_t m) noexcept nogil:
    """Return a time-major array (s, m, n) at address `data`; (m, n) is its first step."""
    return time_major_array(data, n, m, 1)


cdef inline char *address(cgru_array a, Py_ssize_t i, Py_ssize_t t, int size) noexcept nogil:
    """Return the address of row i at step t of an array."""
    return <char *>a.data + (i * a.sample + t * a.step) * size


cdef inline bint in_lanes(cgru_array array) noexcept nogil:
    """Return whether an array has one sample per SIMD lane, (s, n, m)."""
    return array.column != 1


cdef inline cgru_array no_array() noexcept nogil:
    """Return an array with a NULL address."""
    return cgru_array(NULL, 0, 0, 1)


cdef inline Py_ssize_t rows_at(const Piece *piece, bint each, Py_ssize_t t) noexcept nogil:
    """Return how many rows have step t; if there is only one output per sample, all rows."""
    return piece.running[t] if each and piece.running != NULL else piece.m


cdef inline cgru_extent extent_of(const Piece *piece, bint each) noexcept nogil:
    """Return the numbers of rows at each step of a piece; if there is one output per sample, all rows once."""
    cdef cgru_extent extent = cgru_extent(piece.m, 1, NULL)
    if each:
        extent.s, extent.running = piece.s, piece.running
    return extent


cdef inline bint begins(const Recurrent *part, const Piece *piece, Py_ssize_t i) noexcept nogil:
    """Return whether row i starts without a state carried over from an earlier piece."""
    return part.carried == NULL or not piece.carries or not part.begun[piece.slot[i]]


cdef inline cgru_array input_as_rows(Stage *stage, const Piece *piece) noexcept nogil:
    """Return a layer's input as (s, m, n); with samples in SIMD lanes, make a copy, which replaces `stage.X`."""
    cdef cgru_array rows = time_major(stage.X_as_rows, stage.n, piece.m)
    if in_lanes(stage.X):
        stage.k.combine(CGRU_COPY, stage.X, stage.X, rows, extent_of(piece, stage.steps_in), stage.n)
        stage.X = rows
    return stage.X


cdef inline void *assign(Arena *arena, Py_ssize_t numbers, Py_ssize_t size) noexcept nogil:
    """Return cache-aligned memory for `numbers` items of `size` bytes from the arena; NULL while only counting."""
    cdef Py_ssize_t start = arena.used
    arena.used += (numbers * size + 63) // 64 * 64
    return NULL if arena.base == NULL else arena.base + start
