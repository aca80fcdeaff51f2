/* Numbers with mean 0 and deviation 1: the features of a step (LayerNorm), and a feature over the steps of a sample
 * (Normalize). All sums are in double. */

enum { CHAINS = 8 };   /* partial sums, so that a sum need not wait for each of its additions */
enum { ROUNDING = 4 }; /* numbers in a range of so many eps of their dtype, relative to the largest, are constant */

/* Returns the sum of n numbers, or with `squares` of (x - mean)^2. */
INLINE double sum_in_chains(const T *x, ptrdiff_t n, const int squares, double mean) {
    const ptrdiff_t whole = n - n % CHAINS;
    double part[CHAINS] = {0}, total = 0;
    for (ptrdiff_t k = 0; k < whole; k += CHAINS)
        for (int j = 0; j < CHAINS; j++) {
            const double apart = x[k + j] - mean;
            part[j] += squares ? apart * apart : x[k + j];
        }
    for (ptrdiff_t c = whole; c < n; c++) total += squares ? (x[c] - mean) * (x[c] - mean) : x[c];
    for (int j = 0; j < CHAINS; j++) total += part[j];
    return total;
}

/* Sets the mean of n numbers and returns 1 / sqrt(variance + epsilon). */
INLINE double row_factor(const T *x, ptrdiff_t n, double epsilon, double *mean) {
    *mean = sum_in_chains(x, n, 0, 0) / n;
    return 1 / sqrt(sum_in_chains(x, n, 1, *mean) / n + epsilon);
}

/* to = (x - mean) / sqrt(variance + epsilon) * scale + shift over the n numbers of each row at each step. */
void LOOP_OF(normalize_rows)(cgru_array X, const void *scale, const void *shift, double epsilon, cgru_array to,
                           cgru_extent extent, ptrdiff_t n) {
    const T *by = scale, *plus = shift;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T *x = AT(X, i, t);
            T *y = AT(to, i, t);
            double mean;
            const double factor = row_factor(x, n, epsilon, &mean);
            for (ptrdiff_t c = 0; c < n; c++) y[c] = (T)((x[c] - mean) * factor * by[c] + plus[c]);
        }
}

/* Backpropagates D through normalize_rows, and adds to dscale and dshift unless NULL. N = (x - mean) / sqrt(variance +
 * epsilon), e = d * scale: dx = (e - mean(e) - N * mean(e * N)) / sqrt(variance + epsilon). dX without data: not wanted. */
void LOOP_OF(normalize_rows_backward)(cgru_array X, cgru_array D, const void *scale, double epsilon, cgru_array dX,
                                    void *dscale, void *dshift, cgru_extent extent, ptrdiff_t n) {
    const T *by = scale;
    T *of_scale = dscale, *of_shift = dshift;
    for (ptrdiff_t t = 0; t < extent.s; t++)
        for (ptrdiff_t i = 0; i < rows_at(extent, t); i++) {
            const T *x = AT(X, i, t), *d = AT(D, i, t);
            double mean, sum = 0, products = 0;
            const double factor = row_factor(x, n, epsilon, &mean);
            for (ptrdiff_t c = 0; c < n; c++) {
                const double normal = (x[c] - mean) * factor, own = (double)d[c] * by[c];
                sum += own;
                products += own * normal;
                if (of_scale) {
                    of_scale[c] += (T)(d[c] * normal);
                    of_shift[c] += d[c];
                }
            }
            sum /= n;
            products /= n;
            for (ptrdiff_t c = 0; dX.data && c < n; c++) {
                const double normal = (x[c] - mean) * factor;
                AT(dX, i, t)[c] = (T)(factor * ((double)d[c] * by[c] - sum - normal * products));
            }
        }
}

/* Sets mean and deviation of `length` numbers `step` apart; returns whether they are constant, whose deviation is set to
 * 1. As in cgru/layers/normalize.py, in units that neither overflow nor underflow. */
static int moments(const T *x, ptrdiff_t step, ptrdiff_t length, double *mean, double *deviation) {
    double low = x[0], high = x[0], total = 0, squares = 0;
    int exponent;
    for (ptrdiff_t t = 0; t < length; t++) {
        low = x[t * step] < low ? x[t * step] : low;
        high = x[t * step] > high ? x[t * step] : high;
    }
    const double largest = fabs(high) > fabs(low) ? fabs(high) : fabs(low);
    frexp(largest, &exponent);
    exponent = exponent > 1022 ? 1022 : exponent < -1022 ? -1022 : exponent;
    const double down = ldexp(1, -exponent); /* 1 / unit */
    for (ptrdiff_t t = 0; t < length; t++) total += x[t * step] * down - low * down;
    *mean = low + total / length / down;
    for (ptrdiff_t t = 0; t < length; t++) {
        const double apart = (x[t * step] - *mean) * down;
        squares += apart * apart;
    }
    *deviation = sqrt(squares / length) / down;
    if (!(high * down - low * down <= ROUNDING * (SIZE == 4 ? FLT_EPSILON : DBL_EPSILON) * (largest * down))) return 0;
    *deviation = 1;
    return total == total; /* comparisons pass over NaN, sums keep it */
}

/* Normalises n features of m samples over their steps; with `keep` log(deviation) and mean are n and 2 n behind each. */
void LOOP_OF(normalize_steps)(cgru_array X, const ptrdiff_t *length, ptrdiff_t m, ptrdiff_t n, int keep, cgru_array to) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t c = 0; c < n; c++) {
            const T *x = AT(X, i, 0) + c;
            T *y = AT(to, i, 0) + c;
            double mean, deviation;
            const int constant = moments(x, X.step, length[i], &mean, &deviation);
            for (ptrdiff_t t = 0; t < length[i]; t++, y += to.step) {
                *y = constant ? 0 : (T)((x[t * X.step] - mean) / deviation);
                if (!keep) continue;
                y[n] = (T)log(deviation);
                y[2 * n] = (T)mean;
            }
        }
}

/* Backpropagates D through normalize_steps. */
void LOOP_OF(normalize_steps_backward)(cgru_array X, cgru_array D, const ptrdiff_t *length, ptrdiff_t m, ptrdiff_t n,
                                     int keep, cgru_array dX) {
    for (ptrdiff_t i = 0; i < m; i++)
        for (ptrdiff_t c = 0; c < n; c++) {
            const T *x = AT(X, i, 0) + c, *d = AT(D, i, 0) + c;
            double mean, deviation, offset = 0, slope = 0, of_mean = 0;
            const int constant = moments(x, X.step, length[i], &mean, &deviation);
            for (ptrdiff_t t = 0; t < length[i]; t++, d += D.step) {
                offset += *d;
                slope += *d * ((x[t * X.step] - mean) / deviation);
                if (!keep) continue;
                slope -= d[n];
                of_mean += d[2 * n];
            }
            d = AT(D, i, 0) + c;
            for (ptrdiff_t t = 0; t < length[i]; t++, d += D.step) {
                const double z = (x[t * X.step] - mean) / deviation;
                const double dx = constant ? 0 : (*d - offset / length[i] - z * (slope / length[i])) / deviation;
                AT(dX, i, t)[c] = (T)(dx + of_mean / length[i]);
            }
        }
}
