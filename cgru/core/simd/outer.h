/* Weight gradients: sums of outer products of rows. Rows are collected into panels, up to ROWS numbers of an operand and
 * up to three vectors of a term side by side, and multiplied by the tile product with the rows as its inner
 * dimension. */

/* Writes rows a (times b, and times c, unless NULL), `rows` pointers to n numbers, as rows k... of panels of ROWS columns;
 * the last panel has the rest. */
INLINE void collect_operand(T *panels, ptrdiff_t depth, ptrdiff_t k, T *const *a, T *const *b, T *const *c,
                            ptrdiff_t rows, ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + ROWS <= n; i += ROWS)
        for (ptrdiff_t row = 0; row < rows; row++) {
            T x[ROWS];
            memcpy(x, a[row] + i, sizeof x);
            if (b)
                for (ptrdiff_t j = 0; j < ROWS; j++) x[j] *= b[row][i + j];
            if (c)
                for (ptrdiff_t j = 0; j < ROWS; j++) x[j] *= c[row][i + j];
            memcpy(panels + i * depth + (k + row) * ROWS, x, sizeof x);
        }
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t j = i; j < n; j++)
            panels[i * depth + (k + row) * (n - i) + j - i] = a[row][j] * (b ? b[row][j] : 1) * (c ? c[row][j] : 1);
}

/* Writes rows of term i into those of its panels that are among the parts to do. */
INLINE void collect_term(const cgru_outer *outer, ptrdiff_t i, split panels, const ptrdiff_t *t,
                               const ptrdiff_t *sample, ptrdiff_t rows) {
    const cgru_term *term = &outer->terms[i];
    const ptrdiff_t u = outer->call->u, vectors = VECTORS_OF(u);
    PARTS(panels, p, first, width) {
        if (i * panels.parts + p < outer->first || i * panels.parts + p >= outer->last) continue;
        T *to = (T *)outer->rows + ((i * vectors + first) * outer->depth + outer->count * width) * LANES;
        for (ptrdiff_t row = 0; row < rows; row++) {
            const T *d = AT(term->d, sample[row], t[row]);
            const T *factor = term->factor.data ? AT(term->factor, sample[row], t[row]) : NULL;
            for (ptrdiff_t v = first; v < first + width; v++, to += LANES) {
                const ptrdiff_t n = min(u - v * LANES, LANES);
                vec x = load_n(d + v * LANES, n);
                if (factor) x *= load_n(factor + v * LANES, n);
                store(to, x);
            }
        }
    }
}

/* The operands that the terms to do ask for, then their rows. */
static void collect(cgru_outer *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows) {
    const cgru_call *call = outer->call;
    const ptrdiff_t u = call->u, depth = outer->depth, k = outer->count;
    const split panels = panels_for(VECTORS_OF(u));
    const ptrdiff_t from = outer->first / panels.parts, to = (outer->last + panels.parts - 1) / panels.parts;
    T *X = outer->operands, *hp = X + call->e * depth;
    T *of_X[CGRU_GROUP], *of_hp[CGRU_GROUP], *of_r[CGRU_GROUP], *of_mask[CGRU_GROUP];
    ptrdiff_t sample[CGRU_GROUP];
    int of_input = 0, of_state[CGRU_SEEN] = {0};
    for (ptrdiff_t n = 0; n < rows; n++) {
        const ptrdiff_t i = sample[n] = SAMPLE(call, row[n]);
        of_X[n] = AT(call->X, i, t[n]);
        of_hp[n] = AT(call->hp, i, t[n]);
        of_r[n] = AT(call->r, i, t[n]);
    }
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        of_input |= term->U != NULL, of_state[term->seen] |= term->V && !outer->fresh;
    }
    if (of_input) collect_operand(X, depth, k, of_X, NULL, NULL, rows, call->e);
    for (int way = 0; way < CGRU_SEEN; way++, hp += u * depth) {
        const cgru_seen *seen = &outer->seen[way];
        if (!of_state[way]) continue;
        for (ptrdiff_t n = 0; n < rows && seen->mask.data; n++) of_mask[n] = AT(seen->mask, sample[n], 0);
        collect_operand(hp, depth, k, of_hp, seen->reset ? of_r : NULL, seen->mask.data ? of_mask : NULL, rows, u);
    }
    for (ptrdiff_t i = from; i < to; i++) collect_term(outer, i, panels, t, sample, rows);
    outer->count += rows;
}

/* out[:, panel] += operand^T d, a panel of `width` vectors from `vector` on */
INLINE void accumulate(T *out, ptrdiff_t rows, const T *operands, const T *d, ptrdiff_t vector,
                             ptrdiff_t width, const cgru_outer *outer) {
    const ptrdiff_t u = outer->call->u;
    ALIGNED T tile[ROWS * 3 * LANES];
    for (ptrdiff_t first = 0; first < rows; first += ROWS) {
        const ptrdiff_t count = min(rows - first, ROWS);
        const cgru_operand operand = {operands + first * outer->depth, 0, outer->count};
        of_packed[count - 1][width - 1](&operand, 1, d, NULL, tile);
        const T *from = tile;
        for (ptrdiff_t i = first; i < first + count; i++)
            for (ptrdiff_t v = vector; v < vector + width; v++, from += LANES) {
                ptrdiff_t n = min(u - v * LANES, LANES);
                T *to = out + i * u + v * LANES;
                store_n(to, load_n(to, n) + load(from), n);
            }
    }
}

static ptrdiff_t panels_of(ptrdiff_t u) { return panels_for(VECTORS_OF(u)).parts; }

static void multiply(cgru_outer *outer) {
    const ptrdiff_t u = outer->call->u, depth = outer->depth, vectors = VECTORS_OF(u);
    const split panels = panels_for(vectors);
    const ptrdiff_t from = outer->first / panels.parts, to = (outer->last + panels.parts - 1) / panels.parts;
    const T *X = outer->operands, *hp = X + outer->call->e * depth;
    if (!outer->count) return;
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        PARTS(panels, p, first, width) {
            if (i * panels.parts + p < outer->first || i * panels.parts + p >= outer->last) continue;
            const T *d = (const T *)outer->rows + (i * vectors + first) * depth * LANES;
            if (term->V && !outer->fresh) accumulate(term->V, u, hp + term->seen * u * depth, d, first, width, outer);
            if (term->U) accumulate(term->U, outer->call->e, X, d, first, width, outer);
            for (ptrdiff_t v = 0; term->b && v < width; v++) {
                ptrdiff_t c = (first + v) * LANES, n = min(u - c, LANES);
                T *b = (T *)term->b + c;
                vec sum = load_n(b, n);
                for (ptrdiff_t k = 0; k < outer->count; k++) sum += load(d + (k * width + v) * LANES);
                store_n(b, sum, n);
            }
        }
    }
    outer->count = 0;
}
