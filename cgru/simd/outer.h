/* Weight gradients: sums of outer products of rows. Rows are collected into panels, ROWS numbers of an operand by
 * vectors of a gate's, and multiplied `depth` at a time by the tile product, with the rows as its inner dimension.
 * Included once per dtype and level. */

/* Writes the n numbers a (times b, unless NULL) as row k of panels of up to ROWS columns. */
INLINE void NAME(collect_operand)(T *panels, ptrdiff_t depth, ptrdiff_t k, const T *a, const T *b, ptrdiff_t n) {
    for (ptrdiff_t p = 0; p < NAME(blocks)(n); p++) {
        ptrdiff_t first = NAME(block_at)(n, p), count = NAME(block_at)(n, p + 1) - first;
        T *to = panels + first * depth + k * count;
        for (ptrdiff_t i = 0; i < count; i++) to[i] = b ? a[first + i] * b[first + i] : a[first + i];
    }
}

INLINE void NAME(collect_gate)(T *panels, ptrdiff_t depth, ptrdiff_t k, const T *d, T *db, ptrdiff_t n) {
    ptrdiff_t vectors = (n + LANES - 1) / LANES;
    for (ptrdiff_t p = 0; p < NAME(panels)(vectors); p++) {
        NAME(panel) panel = NAME(panel_at)(vectors, p);
        T *to = panels + (panel.first * depth + k * panel.vectors) * LANES;
        for (ptrdiff_t v = panel.first; v < panel.first + panel.vectors; v++, to += LANES) {
            ptrdiff_t c = v * LANES, left = NAME(min)(n - c, LANES);
            vec x = NAME(load_n)(d + c, left);
            NAME(store)(to, x);
            NAME(store_n)(db + c, NAME(load_n)(db + c, left) + x, left);
        }
    }
}

static void NAME(collect)(cgru_outer *outer, const void *X, const void *hp, const void *r, const void *dhh_,
                          const void *dz_, const void *dr_) {
    const ptrdiff_t u = outer->u, depth = outer->depth, k = outer->count++;
    const ptrdiff_t up = (u + LANES - 1) / LANES * LANES;
    T *a = outer->operands, *b = outer->gates;
    NAME(collect_operand)(a, depth, k, hp, NULL, u);
    NAME(collect_operand)(a + u * depth, depth, k, hp, r, u);
    NAME(collect_operand)(a + 2 * u * depth, depth, k, X, NULL, outer->e);
    NAME(collect_gate)(b, depth, k, dhh_, outer->db[0], u);
    NAME(collect_gate)(b + up * depth, depth, k, dz_, outer->db[1], u);
    NAME(collect_gate)(b + 2 * up * depth, depth, k, dr_, outer->db[2], u);
}

/* out (rows, u) += operand^T gate over the rows collected */
INLINE void NAME(accumulate)(T *out, ptrdiff_t rows, ptrdiff_t u, const T *operands, const T *gates, ptrdiff_t depth,
                             ptrdiff_t count) {
    ALIGNED T tile[ROWS * 3 * LANES];
    ptrdiff_t vectors = (u + LANES - 1) / LANES;
    for (ptrdiff_t p = 0; p < NAME(panels)(vectors); p++) {
        NAME(panel) panel = NAME(panel_at)(vectors, p);
        for (ptrdiff_t b = 0; b < NAME(blocks)(rows); b++) {
            ptrdiff_t first = NAME(block_at)(rows, b), height = NAME(block_at)(rows, b + 1) - first;
            cgru_operand operand = {operands + first * depth, 0, count};
            NAME(of_packed)[height - 1][panel.vectors - 1](&operand, 1, gates + panel.first * depth * LANES, NULL,
                                                           tile);
            const T *from = tile;
            for (ptrdiff_t i = first; i < first + height; i++)
                for (ptrdiff_t v = panel.first; v < panel.first + panel.vectors; v++, from += LANES) {
                    ptrdiff_t c = v * LANES, left = NAME(min)(u - c, LANES);
                    T *to = out + i * u + c;
                    NAME(store_n)(to, NAME(load_n)(to, left) + NAME(load)(from), left);
                }
        }
    }
}

static void NAME(multiply)(cgru_outer *outer) {
    const ptrdiff_t u = outer->u, depth = outer->depth, count = outer->count;
    const ptrdiff_t up = (u + LANES - 1) / LANES * LANES;
    const T *hp = outer->operands, *rhp = hp + u * depth, *X = rhp + u * depth;
    for (int gate = 0; gate < 3; gate++) {
        const T *d = (const T *)outer->gates + gate * up * depth;
        NAME(accumulate)(outer->dU[gate], outer->e, u, X, d, depth, count);
        NAME(accumulate)(outer->dV[gate], u, u, gate == 0 ? rhp : hp, d, depth, count);
    }
    outer->count = 0;
}
