/* Weight gradients: sums of outer products of rows. Rows are collected into panels, up to ROWS numbers of an operand and
 * up to three vectors of a gate's gradient side by side, and multiplied by the tile product with the rows as its inner
 * dimension. Included once per dtype and level. */

#define VECTORS_OF(n) (((n) + LANES - 1) / LANES)

/* Writes the n numbers a (times b, unless NULL) as row k of panels of up to ROWS columns. */
INLINE void NAME(collect_operand)(T *panels, ptrdiff_t depth, ptrdiff_t k, const T *a, const T *b, ptrdiff_t n) {
    for (ptrdiff_t p = 0; p < NAME(blocks)(n); p++) {
        ptrdiff_t first = NAME(block_at)(n, p), count = NAME(block_at)(n, p + 1) - first;
        T *to = panels + first * depth + k * count;
        for (ptrdiff_t i = 0; i < count; i++) to[i] = b ? a[first + i] * b[first + i] : a[first + i];
    }
}

/* Writes the row d of `gate` into those of its panels that are among the parts to do. */
INLINE void NAME(collect_gate)(const cgru_outer *outer, int gate, const T *d) {
    const ptrdiff_t u = outer->u, vectors = VECTORS_OF(u), panels = NAME(panels)(vectors);
    for (ptrdiff_t p = 0; p < panels; p++) {
        if (gate * panels + p < outer->first || gate * panels + p >= outer->last) continue;
        NAME(panel) panel = NAME(panel_at)(vectors, p);
        T *to = (T *)outer->gates +
                ((gate * vectors + panel.first) * outer->depth + outer->count * panel.vectors) * LANES;
        for (ptrdiff_t v = panel.first; v < panel.first + panel.vectors; v++, to += LANES)
            NAME(store)(to, NAME(load_n)(d + v * LANES, NAME(min)(u - v * LANES, LANES)));
    }
}

static ptrdiff_t NAME(panels_of)(ptrdiff_t u) { return NAME(panels)(VECTORS_OF(u)); }

static void NAME(collect)(cgru_outer *outer, const void *X, const void *hp, const void *r, const void *dhh_,
                          const void *dz_, const void *dr_) {
    const ptrdiff_t u = outer->u, depth = outer->depth, k = outer->count, panels = NAME(panels_of)(u);
    T *a = outer->operands;
    if (outer->first < panels) NAME(collect_operand)(a, depth, k, hp, r, u);
    if (outer->last > panels) NAME(collect_operand)(a + u * depth, depth, k, hp, NULL, u);
    NAME(collect_operand)(a + 2 * u * depth, depth, k, X, NULL, outer->e);
    NAME(collect_gate)(outer, 0, dhh_);
    NAME(collect_gate)(outer, 1, dz_);
    NAME(collect_gate)(outer, 2, dr_);
    outer->count++;
}

/* out[:, panel] += operand^T gate */
INLINE void NAME(accumulate)(T *out, ptrdiff_t rows, const T *operands, const T *gate, NAME(panel) panel,
                             const cgru_outer *outer) {
    ALIGNED T tile[ROWS * 3 * LANES];
    for (ptrdiff_t b = 0; b < NAME(blocks)(rows); b++) {
        ptrdiff_t first = NAME(block_at)(rows, b), count = NAME(block_at)(rows, b + 1) - first;
        cgru_operand operand = {operands + first * outer->depth, 0, outer->count};
        NAME(of_packed)[count - 1][panel.vectors - 1](&operand, 1, gate, NULL, tile);
        const T *from = tile;
        for (ptrdiff_t i = first; i < first + count; i++)
            for (ptrdiff_t v = panel.first; v < panel.first + panel.vectors; v++, from += LANES) {
                ptrdiff_t n = NAME(min)(outer->u - v * LANES, LANES);
                T *to = out + i * outer->u + v * LANES;
                NAME(store_n)(to, NAME(load_n)(to, n) + NAME(load)(from), n);
            }
    }
}

static void NAME(multiply)(cgru_outer *outer) {
    const ptrdiff_t u = outer->u, depth = outer->depth, vectors = VECTORS_OF(u), panels = NAME(panels)(vectors);
    const T *rhp = outer->operands, *hp = rhp + u * depth, *X = hp + u * depth;
    for (ptrdiff_t part = outer->first; part < outer->last; part++) {
        const ptrdiff_t gate = part / panels;
        const NAME(panel) panel = NAME(panel_at)(vectors, part % panels);
        const T *d = (const T *)outer->gates + (gate * vectors + panel.first) * depth * LANES;
        NAME(accumulate)(outer->dV[gate], u, gate == 0 ? rhp : hp, d, panel, outer);
        NAME(accumulate)(outer->dU[gate], outer->e, X, d, panel, outer);
        for (ptrdiff_t v = 0; v < panel.vectors; v++) {
            ptrdiff_t c = (panel.first + v) * LANES, n = NAME(min)(u - c, LANES);
            T *db = (T *)outer->db[gate] + c;
            vec sum = NAME(load_n)(db, n);
            for (ptrdiff_t k = 0; k < outer->count; k++) sum += NAME(load)(d + (k * panel.vectors + v) * LANES);
            NAME(store_n)(db, sum, n);
        }
    }
    outer->count = 0;
}
