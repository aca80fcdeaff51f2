/* The softmax of the rows of a linear layer, exp(x) = sigmoid(x) / (1 - sigmoid(x)) for x <= 0. */

/* Returns the largest of n numbers, by four independent chains; unspecified if there is a NaN. */
INLINE T largest_of(const T *z, ptrdiff_t n) {
    T most[4] = {z[0], z[0], z[0], z[0]};
    ptrdiff_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (int c = 0; c < 4; c++) most[c] = z[j + c] > most[c] ? z[j + c] : most[c];
    for (; j < n; j++) most[0] = z[j] > most[0] ? z[j] : most[0];
    most[0] = most[1] > most[0] ? most[1] : most[0];
    most[2] = most[3] > most[2] ? most[3] : most[2];
    return most[2] > most[0] ? most[2] : most[0];
}

/* Returns the sum of n numbers in double, by four independent chains. */
INLINE double sum_of(const T *a, ptrdiff_t n) {
    double total[4] = {0};
    ptrdiff_t j = 0;
    for (; j + 4 <= n; j += 4)
        for (int c = 0; c < 4; c++) total[c] += a[j + c];
    for (; j < n; j++) total[0] += a[j];
    return (total[0] + total[1]) + (total[2] + total[3]);
}

/* Writes log softmax(Z) of each row of Z (m, u) to A, which may be Z. A NaN fills its row. */
static void log_softmax(const void *Z, void *A, ptrdiff_t m, ptrdiff_t u) {
    for (ptrdiff_t i = 0; i < m; i++) {
        const T *z = (const T *)Z + i * u, most = largest_of(z, u);
        double sum = 0;
        for (ptrdiff_t j = 0; j < u; j++) sum += exp((double)(z[j] - most));
        const double log_sum = log(sum);
        for (ptrdiff_t j = 0; j < u; j++) ((T *)A)[i * u + j] = (T)((double)(z[j] - most) - log_sum);
    }
}

/* Writes softmax(Z / temperature) of each row of Z (m, u) to A, which may be Z. A NaN fills its row. Without a
 * temperature, 0, writes their logarithms. */
static void softmax(const void *Z, void *A, ptrdiff_t m, ptrdiff_t u, double temperature) {
    if (temperature == 0) {
        log_softmax(Z, A, m, u);
        return;
    }
    for (ptrdiff_t i = 0; i < m; i++) { /* below the largest, so that no exponential overflows */
        const T *z = (const T *)Z + i * u, most = largest_of(z, u);
        T *a = (T *)A + i * u;
        for (ptrdiff_t j = 0; j < u; j++) a[j] = z[j] - most;
        for (ptrdiff_t j = 0; temperature != 1 && j < u; j++) /* in double: float could not hold any temperature */
            a[j] = (T)(a[j] / temperature);
    }
    activation((cgru_activation){CGRU_SIGMOID, 0}, A, A, m * u);
    for (ptrdiff_t i = 0; i < m; i++) {
        T *a = (T *)A + i * u;
        for (ptrdiff_t j = 0; j < u; j++) a[j] = (T)(a[j] / (1.0 - a[j]));
        const T inverse = (T)(1 / sum_of(a, u));
        for (ptrdiff_t j = 0; j < u; j++) a[j] *= inverse;
    }
}
