/* The input of a GRU-D (Che et al., 2018), by cgru/grud_reference.py: a missing value fades from the last one seen to 0,
 * the mean, by gx = exp(-max(0, delta Wgx + bgx)), where delta is the time since it was seen. */

/* Returns whether row i forgets at step t what was seen. */
INLINE int forgets(const cgru_fading *f, ptrdiff_t i, ptrdiff_t t) {
    const T *g = f->anew.data ? AT(f->anew, i, t) : NULL;
    for (ptrdiff_t c = 0; g && c < f->units; c++)
        if (g[c * f->anew.column] != 0) return 0;
    return g != NULL;
}

/* Sets age and delta, the values last seen, and the preactivation of gx. */
INLINE void grow(T *restrict age, T *restrict delta, T *restrict gx, T *restrict before, const T *restrict last,
                 const T *restrict W, const T *restrict b, T since, ptrdiff_t e) {
    for (ptrdiff_t c = 0; c < e; c++) {
        delta[c] = age[c] = age[c] + since;
        gx[c] = delta[c] * W[c] + b[c];
        before[c] = last[c];
    }
}

/* Sets xh and the mask, and what was seen last; numbers of x are `column` apart, those of xh and of the mask `to`. */
INLINE void look(const T *restrict x, ptrdiff_t column, T *restrict xh, T *restrict there, ptrdiff_t to,
                 T *restrict last, T *restrict age, const T *restrict gx, ptrdiff_t e) {
    for (ptrdiff_t c = 0; c < e; c++) {
        const T value = x[c * column], faded = gx[c] * last[c], since = age[c], before = last[c];
        xh[c * to] = value == value ? value : faded;
        there[c * to] = value == value ? (T)1 : (T)0;
        last[c] = value == value ? value : before;
        age[c] = value == value ? (T)0 : since;
    }
}

/* Runs step t of row i. */
static void fade_row(const cgru_fading *f, ptrdiff_t i, ptrdiff_t t) {
    T *xh = AT(f->xm, i, t), *there = xh + f->e * f->xm.column, *gx = AT(f->gx, i, t);
    const ptrdiff_t slot = f->slot ? f->slot[i] : i;
    T *last = (T *)f->last + slot * f->e, *age = (T *)f->age + slot * f->e;
    const double time = f->time[slot], next = time == time ? time + 1 : 0;
    const double now = f->times ? f->times[i * f->row + t * f->step] : next;
    const int begins = time != time || forgets(f, i, t);
    if (begins) {
        memset(last, 0, f->e * SIZE);
        memset(age, 0, f->e * SIZE);
    }
    grow(age, AT(f->delta, i, t), gx, AT(f->before, i, t), last, f->W, f->b,
         begins ? 0 : (T)((now - time) / f->unit), f->e);
    activation((cgru_activation){CGRU_FADING, 0}, gx, gx, f->e);
    if (f->X.column == 1 && f->xm.column == 1) look(AT(f->X, i, t), 1, xh, there, 1, last, age, gx, f->e);
    else look(AT(f->X, i, t), f->X.column, xh, there, f->xm.column, last, age, gx, f->e);
    f->time[slot] = now;
}

/* Writes xm = [xh | mask], delta, gx and the values last seen, of all steps. */
static void fade(const cgru_fading *f) {
    for (ptrdiff_t t = 0; t < f->s; t++)
        for (ptrdiff_t i = 0; i < f->m; i++)
            if (!f->length || t < f->length[i]) fade_row(f, i, t);
}

/* Sets dgx_, the gradient of the preactivation of gx. */
INLINE void fade_row_backward(const T *restrict d, const T *restrict there, ptrdiff_t to, const T *restrict gx,
                              const T *restrict before, T *restrict dgx_, ptrdiff_t e) {
    for (ptrdiff_t c = 0; c < e; c++) {
        const T g = gx[c], into = -d[c * to] * before[c] * g, missed = there[c * to] == 0 ? into : (T)0;
        dgx_[c] = g < 1 ? missed : (T)0;
    }
}

/* Adds to the sums of dW and db. */
INLINE void add_fading(const T *restrict dgx_, const T *restrict delta, T *restrict dW, T *restrict db, ptrdiff_t e) {
    for (ptrdiff_t c = 0; c < e; c++) {
        dW[c] += dgx_[c] * delta[c];
        db[c] += dgx_[c];
    }
}

/* Backpropagates dxm, the last step first: writes dgx_, and dX where it is wanted, or adds to dW and db. */
static void fade_backward(const cgru_fading *f) {
    const ptrdiff_t column = f->xm.column, e = f->e; /* xm and dxm have the same strides */
    for (ptrdiff_t t = f->s - 1; t >= 0; t--)
        for (ptrdiff_t i = 0; i < f->m; i++) {
            if (f->length && t >= f->length[i]) continue;
            const T *d = AT(f->dxm, i, t), *there = AT(f->xm, i, t) + e * column, *gx = AT(f->gx, i, t);
            T *dgx_ = AT(f->dgx_, i, t);
            if (column == 1) fade_row_backward(d, there, 1, gx, AT(f->before, i, t), dgx_, e);
            else fade_row_backward(d, there, column, gx, AT(f->before, i, t), dgx_, e);
            if (f->dW) add_fading(dgx_, AT(f->delta, i, t), f->dW, f->db, e);
            if (!f->dX.data) continue;
            T *dX = AT(f->dX, i, t), *later = (T *)f->later + i * e;
            const int begins = forgets(f, i, t);
            for (ptrdiff_t c = 0; c < e; c++) {
                const int measured = there[c * column] != 0;
                dX[c] = measured ? d[c * column] + later[c] : 0;
                later[c] = measured || begins ? 0 : later[c] + d[c * column] * gx[c];
            }
        }
}

/* Turns dL/dg of n factors g = exp(-max(0, x)) into dL/dx, in place. */
static void fading_backward(const void *factors, void *gradients, ptrdiff_t n) {
    const T *g = factors;
    T *d = gradients;
    for (ptrdiff_t j = 0; j < n; j++) d[j] = g[j] < 1 ? -d[j] * g[j] : 0;
}
