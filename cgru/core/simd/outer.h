/* Weight gradients: sums of outer products of rows. Rows are collected into panels, up to ROWS numbers of an operand and
 * up to three vectors of a gate's gradient side by side, and multiplied by the tile product with the rows as its inner
 * dimension. */

/* Writes rows a (times b, unless NULL), `rows` pointers to n numbers, as rows k... of panels of ROWS columns; the last
 * panel has the rest. */
INLINE void collect_operand(T *panels, ptrdiff_t depth, ptrdiff_t k, T *const *a, T *const *b, ptrdiff_t rows,
                                  ptrdiff_t n) {
    ptrdiff_t i = 0;
    for (; i + ROWS <= n; i += ROWS)
        for (ptrdiff_t row = 0; row < rows; row++) {
            T x[ROWS];
            memcpy(x, a[row] + i, sizeof x);
            if (b)
                for (ptrdiff_t j = 0; j < ROWS; j++) x[j] *= b[row][i + j];
            memcpy(panels + i * depth + (k + row) * ROWS, x, sizeof x);
        }
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t j = i; j < n; j++)
            panels[i * depth + (k + row) * (n - i) + j - i] = b ? a[row][j] * b[row][j] : a[row][j];
}

/* Writes rows d (u) of a gate's gradient into those of its panels that are among the parts to do. */
INLINE void collect_gate(const cgru_outer *outer, int gate, split panels, ptrdiff_t k, T *const *d,
                               ptrdiff_t rows) {
    const ptrdiff_t u = outer->call->u, vectors = VECTORS_OF(u);
    PARTS(panels, p, first, width) {
        if (gate * panels.parts + p < outer->first || gate * panels.parts + p >= outer->last) continue;
        T *to = (T *)outer->gates + ((gate * vectors + first) * outer->depth + k * width) * LANES;
        for (ptrdiff_t row = 0; row < rows; row++)
            for (ptrdiff_t v = first; v < first + width; v++, to += LANES)
                store(to, load_n(d[row] + v * LANES, min(u - v * LANES, LANES)));
    }
}

INLINE void collect_(const int gates, cgru_outer *outer, const ptrdiff_t *t, const ptrdiff_t *row,
                           ptrdiff_t rows) {
    const cgru_call *call = outer->call;
    const ptrdiff_t u = call->u, depth = outer->depth, k = outer->count;
    const split panels = panels_for(VECTORS_OF(u));
    T *rhp = outer->operands, *hp = rhp + u * depth, *X = hp + u * depth;
    T *of_X[CGRU_GROUP], *of_hp[CGRU_GROUP], *of_r[CGRU_GROUP], *of_d[4][CGRU_GROUP];
    for (ptrdiff_t n = 0; n < rows; n++) {
        const ptrdiff_t i = SAMPLE(call, row[n]);
        of_X[n] = AT(call->X, i, t[n]);
        of_hp[n] = AT(call->hp, i, t[n]);
        of_r[n] = AT(call->r, i, t[n]);
        of_d[CGRU_R][n] = AT(call->dr_, i, t[n]);
        of_d[CGRU_Z][n] = AT(call->dz_, i, t[n]);
        of_d[CGRU_HH][n] = AT(call->dhh_, i, t[n]);
        if (gates == 4) of_d[CGRU_C][n] = AT(call->dc, i, t[n]);
    }
    if (gates == 3 && outer->last > CGRU_HH * panels.parts)
        collect_operand(rhp, depth, k, of_hp, of_r, rows, u);
    if (gates == 4 || outer->first < CGRU_HH * panels.parts)
        collect_operand(hp, depth, k, of_hp, NULL, rows, u);
    collect_operand(X, depth, k, of_X, NULL, rows, call->e);
    UNROLL(4)
    for (int gate = 0; gate < gates; gate++) collect_gate(outer, gate, panels, k, of_d[gate], rows);
    outer->count += rows;
}

static void collect(cgru_outer *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows) {
    if (outer->call->after)
        collect_(4, outer, t, row, rows);
    else
        collect_(3, outer, t, row, rows);
}

/* out[:, panel] += operand^T gate, a panel of `width` vectors from `vector` on */
INLINE void accumulate(T *out, ptrdiff_t rows, const T *operands, const T *gate, ptrdiff_t vector,
                             ptrdiff_t width, const cgru_outer *outer) {
    const ptrdiff_t u = outer->call->u;
    ALIGNED T tile[ROWS * 3 * LANES];
    for (ptrdiff_t first = 0; first < rows; first += ROWS) {
        const ptrdiff_t count = min(rows - first, ROWS);
        const cgru_operand operand = {operands + first * outer->depth, 0, outer->count};
        of_packed[count - 1][width - 1](&operand, 1, gate, NULL, tile);
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

INLINE void multiply_(const int gates, cgru_outer *outer) {
    const ptrdiff_t u = outer->call->u, depth = outer->depth, vectors = VECTORS_OF(u);
    const split panels = panels_for(vectors);
    const T *rhp = outer->operands, *hp = rhp + u * depth, *X = hp + u * depth;
    for (int gate = 0; gate < gates; gate++) {
        PARTS(panels, p, first, width) {
            if (gate * panels.parts + p < outer->first || gate * panels.parts + p >= outer->last) continue;
            const T *d = (const T *)outer->gates + (gate * vectors + first) * depth * LANES;
            const T *operand = gates == 3 && gate == CGRU_HH ? rhp : hp;
            if (gates == 3 || gate != CGRU_HH)
                accumulate(outer->g->V[gate], u, operand, d, first, width, outer);
            if (gates == 3 || gate != CGRU_C)
                accumulate(outer->g->U[gate], outer->call->e, X, d, first, width, outer);
            for (ptrdiff_t v = 0; v < width; v++) {
                ptrdiff_t c = (first + v) * LANES, n = min(u - c, LANES);
                T *db = (T *)outer->g->b[gate] + c;
                vec sum = load_n(db, n);
                for (ptrdiff_t k = 0; k < outer->count; k++) sum += load(d + (k * width + v) * LANES);
                store_n(db, sum, n);
            }
        }
    }
    outer->count = 0;
}

static void multiply(cgru_outer *outer) {
    if (outer->call->after)
        multiply_(4, outer);
    else
        multiply_(3, outer);
}
