"""Loops over the arrays of stages, in float32 or float64: masks, sums, copies, clipping, statistics, penalties.

Functions that take a piece work on its rows at each step that they have, `each` True, or on one number a row, False.
"""

from cpython.pycapsule cimport PyCapsule_GetPointer
from cython cimport floating
from libc.float cimport DBL_EPSILON, FLT_EPSILON
from libc.math cimport fabs, frexp, ldexp, log, sqrt
from libc.string cimport memset

from cgru.network.training.compiled.stage cimport in_lanes, rows_at, time_major


cdef bitgen_t *bit_generator_of(rng) except NULL:
    """Return the C struct of a `numpy.random.Generator`; the caller keeps it alive, and holds its lock to draw."""
    return <bitgen_t *>PyCapsule_GetPointer(rng.bit_generator.capsule, "BitGenerator")


cdef double kept_scale(double rate, int size) noexcept nogil:
    """Return 1 / (1 - rate), by which dropout multiplies the numbers it keeps, computed in the dtype."""
    return 1 / <float>(1 - rate) if size == 4 else 1 / (1 - rate)


cdef void _draw_numbers(bitgen_t *random, double rate, floating below, floating above, floating *to,
                        Py_ssize_t n) noexcept nogil:
    """Draw n numbers, each `below` with probability `rate` and else `above`."""
    cdef Py_ssize_t j
    for j in range(n):
        to[j] = below if random.next_double(random.state) < rate else above


cdef void draw_mask(bitgen_t *random, double rate, double below, double above, void *to, const Piece *piece,
                    Py_ssize_t steps, Py_ssize_t n, int size) noexcept nogil:
    """Draw a mask `to` (steps, m, n): each number is `below` with probability `rate`, else `above`.

    The numbers drawn are those of `Generator.random`, sample by sample in the order of the batch, not of the rows.
    """
    cdef Py_ssize_t slot, row, t
    cdef char *at
    for slot in range(piece.slots):
        row = piece.row[slot]
        for t in range(steps if row < piece.m else 0):
            at = <char *>to + (t * piece.m + row) * n * size
            if size == 4:
                _draw_numbers[float](random, rate, <float>below, <float>above, <float *>at, n)
            else:
                _draw_numbers[double](random, rate, below, above, <double *>at, n)


cdef inline floating _combine_numbers(int how, floating a, floating b) noexcept nogil:
    """Return a + b, a * b, a / 2 or a, as `how` says: ADD, MULTIPLY, HALVE or COPY."""
    return a + b if how == ADD else a * b if how == MULTIPLY else a / 2 if how == HALVE else a


cdef void _combine_step(int how, cgru_array a, cgru_array b, cgru_array to, Py_ssize_t t, Py_ssize_t rows, Py_ssize_t n,
                        floating kind) noexcept nogil:
    """Write step t of two arrays, combined as `how` says, to `to`; `kind` only chooses the dtype."""
    cdef const floating *x
    cdef const floating *y
    cdef floating *z
    cdef Py_ssize_t i, c
    cdef bint lanes = to.column != 1
    if lanes:
        a.sample, a.column, b.sample, b.column, to.sample, to.column, rows, n = (
            a.column, a.sample, b.column, b.sample, to.column, to.sample, n, rows
        )
    for i in range(rows):
        x = <floating *>a.data + i * a.sample + t * a.step
        y = <floating *>b.data + i * b.sample + t * b.step
        z = <floating *>to.data + i * to.sample + t * to.step
        if a.column == b.column == to.column == 1:
            for c in range(n):
                z[c] = _combine_numbers(how, x[c], y[c])
        else:
            for c in range(n):
                z[c * to.column] = _combine_numbers(how, x[c * a.column], y[c * b.column])


cdef void combine(int how, cgru_array a, cgru_array b, cgru_array to, const Piece *piece, bint each, Py_ssize_t n,
                  int size) noexcept nogil:
    """Write a + b, a * b, a / 2 or a to `to`, as `how` says, at all steps of a piece, or once if not at `each`."""
    cdef Py_ssize_t t
    for t in range(piece.s if each else 1):
        if size == 4:
            _combine_step[float](how, a, b, to, t, rows_at(piece, each, t), n, 0)
        else:
            _combine_step[double](how, a, b, to, t, rows_at(piece, each, t), n, 0)


cdef cgru_array input_as_rows(Stage *stage, const Piece *piece) noexcept nogil:
    """Return a stage's input as (s, m, n); where samples are in lanes, copy it so and set `stage.X` to the copy."""
    if in_lanes(stage.X):
        combine(COPY, stage.X, stage.X, time_major(stage.X_as_rows, stage.n, piece.m), piece, stage.steps_in, stage.n,
                stage.k.size)
        stage.X = time_major(stage.X_as_rows, stage.n, piece.m)
    return stage.X


cdef void _copy_numbers(const floating *x, Py_ssize_t column, floating *to, Py_ssize_t to_column,
                        Py_ssize_t n) noexcept nogil:
    """Copy n numbers that lie `column` apart to numbers that lie `to_column` apart; zeros where x is NULL."""
    cdef Py_ssize_t c
    for c in range(n):
        to[c * to_column] = x[c * column] if x != NULL else 0


cdef void copy_row(cgru_array source, Py_ssize_t i, Py_ssize_t t, cgru_array to, Py_ssize_t row, Py_ssize_t step,
                   Py_ssize_t n, int size) noexcept nogil:
    """Copy the n numbers of step t of row i to step `step` of `row` of `to`; zeros where `source` has no data."""
    cdef const char *x = NULL
    cdef char *z = <char *>to.data + (row * to.sample + step * to.step) * size
    if source.data != NULL:
        x = <const char *>source.data + (i * source.sample + t * source.step) * size
    if size == 4:
        _copy_numbers[float](<const float *>x, source.column, <float *>z, to.column, n)
    else:
        _copy_numbers[double](<const double *>x, source.column, <double *>z, to.column, n)


cdef void add_to(void *to, const void *a, Py_ssize_t n, int size) noexcept nogil:
    """Add n numbers: to += a."""
    cdef Py_ssize_t j
    for j in range(n):
        if size == 4:
            (<float *>to)[j] += (<const float *>a)[j]
        else:
            (<double *>to)[j] += (<const double *>a)[j]


cdef void _add_restarts(cgru_array decay, cgru_array dhp, const Piece *piece, floating *to,
                        Py_ssize_t n) noexcept nogil:
    """Write `add_restarts` in one dtype."""
    cdef Py_ssize_t t, i, c
    cdef const floating *x
    cdef floating share
    for t in range(piece.s):
        for i in range(rows_at(piece, True, t)):
            share = 1 - (<floating *>decay.data)[i * decay.sample + t * decay.step]
            x = <floating *>dhp.data + i * dhp.sample + t * dhp.step
            for c in range(n if share else 0):
                to[c] += share * x[c * dhp.column]


cdef void add_restarts(cgru_array decay, cgru_array dhp, const Piece *piece, void *to, Py_ssize_t n,
                       int size) noexcept nogil:
    """Add the share 1 - decay of dL/dhp to n numbers, over all rows and steps: of the state that stood in for hp."""
    if size == 4:
        _add_restarts[float](decay, dhp, piece, <float *>to, n)
    else:
        _add_restarts[double](decay, dhp, piece, <double *>to, n)


cdef void subtract_from(void *to, const void *a, Py_ssize_t n, int size) noexcept nogil:
    """Subtract n numbers: to -= a."""
    cdef Py_ssize_t j
    for j in range(n):
        if size == 4:
            (<float *>to)[j] -= (<const float *>a)[j]
        else:
            (<double *>to)[j] -= (<const double *>a)[j]


cdef double _largest_of(const floating *a, Py_ssize_t n) noexcept nogil:
    """Return the largest magnitude of n numbers; NaN where one is NaN."""
    cdef floating most = 0
    cdef Py_ssize_t j
    for j in range(n):
        if not (a[j] <= most and -a[j] <= most):  # true for NaN, too
            most = a[j] if a[j] > 0 or a[j] != a[j] else -a[j]
            if most != most:
                break
    return most


cdef double largest_magnitude(const void *a, Py_ssize_t n, int size) noexcept nogil:
    """Return the largest magnitude of n numbers; NaN where one is NaN."""
    return _largest_of[float](<const float *>a, n) if size == 4 else _largest_of[double](<const double *>a, n)


cdef void _clip_rows(const floating *x, Py_ssize_t sample, const floating *scale, const floating *shift, floating low,
                     floating high, floating *to, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """Write `scale_clip` in one dtype."""
    cdef Py_ssize_t i, c
    cdef floating y
    for i in range(rows):
        for c in range(n):
            y = x[i * sample + c]
            if scale != NULL:
                y = y * scale[c] + shift[c]
            to[i * n + c] = low if y < low else high if y > high else y  # NaN is neither below nor above


cdef void scale_clip(const void *x, Py_ssize_t sample, const void *scale, const void *shift, double low, double high,
                     void *to, Py_ssize_t rows, Py_ssize_t n, int size) noexcept nogil:
    """Set to (rows, n) = min(max(x * scale + shift, low), high); scale NULL: x itself. Rows of x lie `sample` apart."""
    if size == 4:
        _clip_rows[float](<const float *>x, sample, <const float *>scale, <const float *>shift, <float>low, <float>high,
                          <float *>to, rows, n)
    else:
        _clip_rows[double](<const double *>x, sample, <const double *>scale, <const double *>shift, low, high,
                           <double *>to, rows, n)


cdef void _clip_rows_back(const Stage *stage, const floating *x, const floating *d, floating *dx,
                          Py_ssize_t rows) noexcept nogil:
    """Write `scale_clip_back` in one dtype."""
    cdef const floating *scale = <floating *>stage.W
    cdef floating *dscale = <floating *>stage.dW
    cdef floating *dshift = <floating *>stage.db
    cdef floating low = <floating>stage.low, high = <floating>stage.high, slope
    cdef Py_ssize_t i, c, n = stage.n
    for i in range(rows):
        for c in range(n):
            if scale != NULL:
                slope = scale[c]
            else:
                slope = x[c] >= low and x[c] <= high
            if dx != NULL:
                dx[i * n + c] = d[c] * slope
            if stage.trainable:
                dscale[c] += d[c] * x[c]
                dshift[c] += d[c]
        x += stage.X.sample
        d += stage.dA.sample


cdef void scale_clip_back(const Stage *stage, const void *x, const void *d, void *dx, Py_ssize_t rows) noexcept nogil:
    """Compute one step's dx = d * scale and add to the gradients; without a scale, dx = d within the bounds, else 0.

    dx NULL: only the gradients.
    """
    if stage.k.size == 4:
        _clip_rows_back[float](stage, <const float *>x, <const float *>d, <float *>dx, rows)
    else:
        _clip_rows_back[double](stage, <const double *>x, <const double *>d, <double *>dx, rows)


cdef enum:
    CHAINS = 8  # partial sums, so that a sum need not wait for each of its additions

cdef double _row_factor(const floating *x, Py_ssize_t n, double epsilon, double *mean) noexcept nogil:
    """Set the mean of n numbers and return 1 / sqrt(variance + epsilon), both from sums in double."""
    cdef double[CHAINS] part
    cdef double total = 0, apart
    cdef Py_ssize_t c, j, k, whole = n - n % CHAINS
    memset(part, 0, sizeof(part))
    for k in range(n // CHAINS):
        for j in range(CHAINS):
            part[j] += x[k * CHAINS + j]
    for c in range(whole, n):
        total += x[c]
    for j in range(CHAINS):
        total += part[j]
    mean[0] = total / n
    memset(part, 0, sizeof(part))
    total = 0
    for k in range(n // CHAINS):
        for j in range(CHAINS):
            apart = x[k * CHAINS + j] - mean[0]
            part[j] += apart * apart
    for c in range(whole, n):
        apart = x[c] - mean[0]
        total += apart * apart
    for j in range(CHAINS):
        total += part[j]
    return 1 / sqrt(total / n + epsilon)


cdef void _layer_norm(const floating *x, Py_ssize_t sample, const floating *scale, const floating *shift,
                      double epsilon, floating *to, Py_ssize_t rows, Py_ssize_t n) noexcept nogil:
    """Write `normalize_rows` in one dtype."""
    cdef Py_ssize_t _i, c
    cdef double mean, factor
    for _i in range(rows):
        factor = _row_factor[floating](x, n, epsilon, &mean)
        for c in range(n):
            to[c] = <floating>((x[c] - mean) * factor * scale[c] + shift[c])
        x += sample
        to += n


cdef void normalize_rows(const void *x, Py_ssize_t sample, const void *scale, const void *shift, double epsilon,
                         void *to, Py_ssize_t rows, Py_ssize_t n, int size) noexcept nogil:
    """Set to (rows, n) = (x - mean) / sqrt(variance + epsilon) * scale + shift over the n numbers of each row.

    Rows of x lie `sample` apart.
    """
    if size == 4:
        _layer_norm[float](<const float *>x, sample, <const float *>scale, <const float *>shift, epsilon, <float *>to,
                           rows, n)
    else:
        _layer_norm[double](<const double *>x, sample, <const double *>scale, <const double *>shift, epsilon,
                            <double *>to, rows, n)


cdef void _layer_norm_back(const Stage *stage, const floating *x, const floating *d, floating *dx,
                           Py_ssize_t rows) noexcept nogil:
    """Write `normalize_rows_back` in one dtype."""
    cdef const floating *scale = <floating *>stage.W
    cdef floating *dscale = <floating *>stage.dW
    cdef floating *dshift = <floating *>stage.db
    cdef Py_ssize_t i, c, n = stage.n
    cdef double mean, factor, normal, own, sum, products
    for i in range(rows):
        factor = _row_factor[floating](x, n, stage.low, &mean)
        sum = products = 0
        for c in range(n):
            normal, own = (x[c] - mean) * factor, <double>d[c] * scale[c]
            sum += own
            products += own * normal
            if stage.trainable:
                dscale[c] += <floating>(d[c] * normal)
                dshift[c] += d[c]
        sum, products = sum / n, products / n
        for c in range(n if dx != NULL else 0):
            normal = (x[c] - mean) * factor
            dx[i * n + c] = <floating>(factor * (<double>d[c] * scale[c] - sum - normal * products))
        x += stage.X.sample
        d += stage.dA.sample


cdef void normalize_rows_back(const Stage *stage, const void *x, const void *d, void *dx,
                              Py_ssize_t rows) noexcept nogil:
    """Compute one step's dx of `normalize_rows`, whose epsilon is `stage.low`, and add to dscale and dshift.

    N = (x - mean) / sqrt(variance + epsilon), e = d * scale: dx = (e - mean(e) - N * mean(e * N)) /
    sqrt(variance + epsilon). dx NULL: only the gradients.
    """
    if stage.k.size == 4:
        _layer_norm_back[float](stage, <const float *>x, <const float *>d, <float *>dx, rows)
    else:
        _layer_norm_back[double](stage, <const double *>x, <const double *>d, <double *>dx, rows)


cdef enum:
    ROUNDING = 4  # numbers in a range of so many eps of their dtype, relative to the largest, count as constant

cdef bint _moments(const floating *x, Py_ssize_t step, Py_ssize_t length, double *mean,
                   double *deviation) noexcept nogil:
    """Set mean and deviation of `length` numbers that lie `step` apart; return whether they are constant.

    As in cgru/layers/normalize.py: the deviation of a constant is set to 1.
    """
    cdef double low = x[0], high = x[0], total = 0, squares = 0, largest, down, apart
    cdef Py_ssize_t t
    cdef double epsilon = FLT_EPSILON if sizeof(floating) == 4 else DBL_EPSILON
    cdef int exponent
    for t in range(length):
        low, high = min(low, x[t * step]), max(high, x[t * step])
    largest = max(fabs(low), fabs(high))
    frexp(largest, &exponent)
    down = ldexp(1, -max(-1022, min(exponent, 1022)))  # 1 / unit
    for t in range(length):
        total += x[t * step] * down - low * down
    mean[0] = low + total / length / down
    for t in range(length):
        apart = (x[t * step] - mean[0]) * down
        squares += apart * apart
    deviation[0] = sqrt(squares / length) / down
    if high * down - low * down <= ROUNDING * epsilon * (largest * down):
        deviation[0] = 1
        return total == total  # comparisons pass over NaN, sums keep it
    return False


cdef void _normalize_numbers(const floating *x, Py_ssize_t step, Py_ssize_t length, floating *to, Py_ssize_t to_step,
                             Py_ssize_t n, bint keep) noexcept nogil:
    """Write `normalize_feature` in one dtype."""
    cdef double mean, deviation
    cdef bint constant = _moments[floating](x, step, length, &mean, &deviation)
    cdef Py_ssize_t t
    for t in range(length):
        to[t * to_step] = 0 if constant else <floating>((x[t * step] - mean) / deviation)
        if keep:
            to[t * to_step + n], to[t * to_step + 2 * n] = <floating>log(deviation), <floating>mean


cdef void _normalize_numbers_back(const floating *x, Py_ssize_t step, Py_ssize_t length, const floating *d,
                                  Py_ssize_t d_step, floating *dx, Py_ssize_t dx_step, Py_ssize_t n,
                                  bint keep) noexcept nogil:
    """Write `normalize_feature_back` in one dtype."""
    cdef double mean, deviation, z, offset = 0, slope = 0, dmean = 0
    cdef bint constant = _moments[floating](x, step, length, &mean, &deviation)
    cdef Py_ssize_t t
    for t in range(length):
        z = (x[t * step] - mean) / deviation
        offset += d[t * d_step]
        slope += d[t * d_step] * z
        if keep:
            slope -= d[t * d_step + n]
            dmean += d[t * d_step + 2 * n]
    for t in range(length):
        z = (x[t * step] - mean) / deviation
        z = 0 if constant else (d[t * d_step] - offset / length - z * (slope / length)) / deviation
        dx[t * dx_step] = <floating>(z + dmean / length)


cdef void normalize_feature(const void *x, Py_ssize_t step, Py_ssize_t length, void *to, Py_ssize_t to_step,
                            Py_ssize_t n, bint keep, int size) noexcept nogil:
    """Normalise one feature of one row; with `keep` log(deviation) and mean are n and 2 n numbers behind it."""
    if size == 4:
        _normalize_numbers[float](<const float *>x, step, length, <float *>to, to_step, n, keep)
    else:
        _normalize_numbers[double](<const double *>x, step, length, <double *>to, to_step, n, keep)


cdef void normalize_feature_back(const void *x, Py_ssize_t step, Py_ssize_t length, const void *d, Py_ssize_t d_step,
                                 void *dx, Py_ssize_t dx_step, Py_ssize_t n, bint keep, int size) noexcept nogil:
    """Compute dx of one feature of one row from d, where the normalised feature has its gradient."""
    if size == 4:
        _normalize_numbers_back[float](<const float *>x, step, length, <const float *>d, d_step, <float *>dx, dx_step,
                                       n, keep)
    else:
        _normalize_numbers_back[double](<const double *>x, step, length, <const double *>d, d_step, <double *>dx,
                                        dx_step, n, keep)


cdef void _subtract_numbers(const floating *x, Py_ssize_t sample, const floating *before, Py_ssize_t before_sample,
                            floating *to, Py_ssize_t rows, Py_ssize_t n, Py_ssize_t u) noexcept nogil:
    cdef Py_ssize_t i, c
    for i in range(rows):
        for c in range(n):
            to[i * u + c] = x[i * sample + c]  # replaced by the difference where u is n
            to[i * u + u - n + c] = x[i * sample + c] - before[i * before_sample + c] if before != NULL else 0


cdef void subtract_rows(const void *x, Py_ssize_t sample, const void *before, Py_ssize_t before_sample, void *to,
                        Py_ssize_t rows, Py_ssize_t n, Py_ssize_t u, int size) noexcept nogil:
    """Set to (rows, u) = x - before, where u is 2 n with x itself in front of it. before NULL: the differences are 0.

    Rows of x lie `sample` apart, those of `before` `before_sample`.
    """
    if size == 4:
        _subtract_numbers[float](<const float *>x, sample, <const float *>before, before_sample, <float *>to, rows, n,
                                 u)
    else:
        _subtract_numbers[double](<const double *>x, sample, <const double *>before, before_sample, <double *>to, rows,
                                  n, u)


cdef void multiply_by(void *a, Py_ssize_t n, double factor, int size) noexcept nogil:
    """Multiply n numbers: a *= factor."""
    cdef Py_ssize_t j
    for j in range(n):
        if size == 4:
            (<float *>a)[j] *= <float>factor
        else:
            (<double *>a)[j] *= factor


cdef inline floating _penalty_gradient(floating x, floating l1, floating l2) noexcept nogil:
    """Return the gradient of l1 |x| + l2 x^2."""
    return 2 * l2 * x + (l1 if x > 0 else -l1 if x < 0 else 0)


cdef void _penalise_numbers(const floating *a, double l1, double l2, floating *g, Py_ssize_t n) noexcept nogil:
    """Add the gradient of l1 sum |a| + l2 sum a^2 to g, n numbers, in one dtype."""
    cdef Py_ssize_t j
    for j in range(n):
        g[j] += _penalty_gradient(a[j], <floating>l1, <floating>l2)


cdef void penalise(const void *a, double l1, double l2, void *g, Py_ssize_t n, int size) noexcept nogil:
    """Add the gradient of l1 sum |a| + l2 sum a^2 to g."""
    if size == 4:
        _penalise_numbers[float](<const float *>a, l1, l2, <float *>g, n)
    else:
        _penalise_numbers[double](<const double *>a, l1, l2, <double *>g, n)


cdef void _penalise_step(cgru_array a, double l1, double l2, cgru_array g, Py_ssize_t t, Py_ssize_t rows, Py_ssize_t n,
                         floating kind) noexcept nogil:
    """Add the gradient of the penalty of step t to g, for `rows` rows of n numbers; `kind` only chooses the dtype."""
    cdef const floating *x
    cdef floating *d
    cdef Py_ssize_t i, c
    for i in range(rows):
        x = <floating *>a.data + i * a.sample + t * a.step
        d = <floating *>g.data + i * g.sample + t * g.step
        for c in range(n):
            d[c * g.column] += _penalty_gradient(x[c * a.column], <floating>l1, <floating>l2)


cdef void penalise_piece(cgru_array a, double l1, double l2, cgru_array g, const Piece *piece, bint each, Py_ssize_t n,
                         int size) noexcept nogil:
    """Add the gradient of l1 sum |a| + l2 sum a^2 to g, for outputs a of a piece, at `each` step or once a sample."""
    cdef Py_ssize_t t
    for t in range(piece.s if each else 1):
        if size == 4:
            _penalise_step[float](a, l1, l2, g, t, rows_at(piece, each, t), n, 0)
        else:
            _penalise_step[double](a, l1, l2, g, t, rows_at(piece, each, t), n, 0)
