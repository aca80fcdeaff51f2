/* Weight gradients as sums of outer products of rows: dU += X^T d, dV += hp^T d, db += d, over samples and steps.
 *
 * Rows are collected into panels: up to ROWS numbers of an operand (X, or hp with its reset or mask), and up to three
 * vectors of d of a term, side by side. Then the micro-kernel of gemm_microkernel.h multiplies them, with the rows as
 * the inner dimension. It is chosen where lanes are units. For few units under wide inputs (`wide`) dU is the transpose
 * of d^T X: X then has the vectors, and d the numbers. */

/* Packs the operand a (times b, times c, unless NULL) of n columns as rows k... of panels of ROWS columns; the last
 * panel has the rest. a, b and c are `rows` pointers to rows. */
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

/* Packs `rows` rows a of n numbers as rows k... of panels of up to three vectors. */
INLINE void collect_vectors(T *panels, ptrdiff_t depth, ptrdiff_t k, T *const *a, ptrdiff_t rows, ptrdiff_t n) {
    const split all = panels_for(VECTORS_OF(n));
    PARTS(all, p, first, width) {
        T *to = panels + (first * depth + k * width) * LANES;
        for (ptrdiff_t row = 0; row < rows; row++)
            for (ptrdiff_t v = first; v < first + width; v++, to += LANES)
                store(to, load_n(a[row] + v * LANES, min(n - v * LANES, LANES)));
    }
}

/* Returns the address of the u numbers of step t of sample i: in the array, or a copy in `space` if they are strided; u
 * is then no more than LANES. */
INLINE T *numbers_of(const cgru_call *call, cgru_array array, ptrdiff_t i, ptrdiff_t t, T *space) {
    if (array.column == 1) return AT(array, i, t);
    for (ptrdiff_t c = 0; c < call->u; c++) space[c] = AT(array, i, t)[c * array.column];
    return space;
}

/* Packs `rows` rows d of term i, times its factor, into those of its panels that this struct computes. */
INLINE void collect_term(const cgru_outer_product *outer, ptrdiff_t i, split panels, T *const *rows_d,
                         const ptrdiff_t *t, const ptrdiff_t *sample, ptrdiff_t rows) {
    const cgru_term *term = &outer->terms[i];
    const ptrdiff_t u = outer->call->u, vectors = VECTORS_OF(u);
    PARTS(panels, p, first, width) {
        if (i * panels.parts + p < outer->first || i * panels.parts + p >= outer->last) continue;
        T *to = (T *)outer->rows + ((i * vectors + first) * outer->depth + outer->count * width) * LANES;
        for (ptrdiff_t row = 0; row < rows; row++) {
            const T *d = rows_d[row];
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

/* Copies `rows` rows (step t[n] of row[n]) into panels: the operands of this struct's terms, then d of each term. */
static void collect_rows(cgru_outer_product *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows) {
    const cgru_call *call = outer->call;
    const ptrdiff_t u = call->u, depth = outer->depth, k = outer->count;
    const split panels = panels_for(VECTORS_OF(u));
    const ptrdiff_t from = outer->first / panels.parts, to = (outer->last + panels.parts - 1) / panels.parts;
    T *X = outer->operands, *hp = X + call->ep * depth;
    T space_hp[CGRU_GROUP][LANES], space_r[CGRU_GROUP][LANES], space_d[CGRU_GROUP][LANES];
    T *of_X[CGRU_GROUP], *of_hp[CGRU_GROUP], *of_r[CGRU_GROUP], *of_mask[CGRU_GROUP], *of_d[CGRU_GROUP];
    ptrdiff_t sample[CGRU_GROUP];
    int of_input = 0, of_state[CGRU_STATE_OPERANDS] = {0};
    for (ptrdiff_t n = 0; n < rows; n++) {
        const ptrdiff_t i = sample[n] = SAMPLE(call, row[n]);
        of_X[n] = AT(call->X, i, t[n]);
        of_hp[n] = call->hp.data ? numbers_of(call, call->hp, i, t[n], space_hp[n]) : NULL;
        of_r[n] = call->r.data ? numbers_of(call, call->r, i, t[n], space_r[n]) : NULL;
    }
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        of_input |= term->U != NULL, of_state[term->state_operand] |= term->V && !outer->fresh;
    }
    if (of_input && outer->wide)
        collect_vectors(X, depth, k, of_X, rows, call->e);
    else if (of_input)
        collect_operand(X, depth, k, of_X, NULL, NULL, rows, call->e);
    for (int way = 0; way < CGRU_STATE_OPERANDS; way++, hp += u * depth) {
        const cgru_state_operand *operand = &outer->state_operands[way];
        if (!of_state[way]) continue;
        for (ptrdiff_t n = 0; n < rows && operand->mask.data; n++) of_mask[n] = AT(operand->mask, sample[n], 0);
        collect_operand(hp, depth, k, of_hp, operand->reset ? of_r : NULL, operand->mask.data ? of_mask : NULL,
                        rows, u);
    }
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        for (ptrdiff_t n = 0; n < rows; n++) of_d[n] = numbers_of(call, term->d, sample[n], t[n], space_d[n]);
        if (outer->wide && term->U)
            collect_operand((T *)outer->wide + i * u * depth, depth, k, of_d, NULL, NULL, rows, u);
        collect_term(outer, i, panels, of_d, t, sample, rows);
    }
    outer->count += rows;
}

/* out[:, panel] += operand^T d over the collected rows, a panel of `width` vectors from `vector` on. */
INLINE void accumulate(T *out, ptrdiff_t rows, const T *operands, const T *d, ptrdiff_t vector,
                             ptrdiff_t width, const cgru_outer_product *outer) {
    const ptrdiff_t u = outer->call->u;
    ALIGNED T tile[ROWS * 3 * LANES];
    for (ptrdiff_t first = 0; first < rows; first += ROWS) {
        const ptrdiff_t count = min(rows - first, ROWS);
        const cgru_operand operand = {operands + first * outer->depth, 0, outer->count};
        packed_tiles[count - 1][width - 1](&operand, 1, d, NULL, tile);
        const T *from = tile;
        for (ptrdiff_t i = first; i < first + count; i++)
            for (ptrdiff_t v = vector; v < vector + width; v++, from += LANES) {
                ptrdiff_t n = min(u - v * LANES, LANES);
                T *to = out + i * u + v * LANES;
                store_n(to, load_n(to, n) + load(from), n);
            }
    }
}

/* out (e, u) += X^T d over the collected rows, with X in panels of vectors and d in panels of an operand. */
INLINE void accumulate_wide(T *out, const T *d, const cgru_outer_product *outer) {
    const ptrdiff_t u = outer->call->u, e = outer->call->e, depth = outer->depth;
    const split panels = panels_for(VECTORS_OF(e));
    ALIGNED T tile[ROWS * 3 * LANES];
    PARTS(panels, p, vector, width) {
        const T *X = (const T *)outer->operands + vector * depth * LANES;
        const ptrdiff_t k = vector * LANES, n = min(e - k, width * LANES);
        for (ptrdiff_t first = 0; first < u; first += ROWS) {
            const ptrdiff_t count = min(u - first, ROWS);
            const cgru_operand operand = {d + first * depth, 0, outer->count};
            packed_tiles[count - 1][width - 1](&operand, 1, X, NULL, tile);
            for (ptrdiff_t i = 0; i < count; i++)
                for (ptrdiff_t j = 0; j < n; j++) out[(k + j) * u + first + i] += tile[i * width * LANES + j];
        }
    }
}

/* Returns how many panels of up to three vectors u columns take. */
static ptrdiff_t panel_count(ptrdiff_t u) { return panels_for(VECTORS_OF(u)).parts; }

/* Adds the outer products of the collected rows to the gradients, and empties the panels. */
static void add_outer_products(cgru_outer_product *outer) {
    const ptrdiff_t u = outer->call->u, depth = outer->depth, vectors = VECTORS_OF(u);
    const split panels = panels_for(vectors);
    const ptrdiff_t from = outer->first / panels.parts, to = (outer->last + panels.parts - 1) / panels.parts;
    const T *X = outer->operands, *hp = X + outer->call->ep * depth;
    if (!outer->count) return;
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        PARTS(panels, p, first, width) {
            if (i * panels.parts + p < outer->first || i * panels.parts + p >= outer->last) continue;
            const T *d = (const T *)outer->rows + (i * vectors + first) * depth * LANES;
            if (term->V && !outer->fresh)
                accumulate(term->V, u, hp + term->state_operand * u * depth, d, first, width, outer);
            if (term->U && outer->wide)
                accumulate_wide(term->U, (const T *)outer->wide + i * u * depth, outer);
            else if (term->U)
                accumulate(term->U, outer->call->e, X, d, first, width, outer);
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
