/* Weight gradients as sums of outer products of rows: dU += X^T d, dV += hp^T d, db += d, over samples and steps.
 *
 * Rows are collected into panels: up to ROWS numbers of an operand (X, or hp with its reset or mask), and up to three
 * vectors of d of a term, side by side. Then the micro-kernel of gemm_microkernel.h multiplies them, with the rows as
 * the inner dimension. It is chosen where lanes are units. For few units under wide inputs (`wide`) dU is the transpose
 * of d^T X: X then has the vectors, and d the numbers. With `by_units` all gradients are such transposes, dU^T += d^T X
 * and dV^T += d^T hp, in PyTorch's layout.
 *
 * A gradient of short sums is mostly written: line after line, each line once and whole. Where nothing was written
 * before (`fills_U`, `fills_V`) it is not read, and with `streams` it goes past the caches. */

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

/* Packs `rows` rows d of term i into those of its parts that this struct computes, each as panels of ROWS units. */
INLINE void collect_units(const cgru_outer_product *outer, ptrdiff_t i, split panels, T *const *rows_d,
                          ptrdiff_t rows) {
    const ptrdiff_t u = outer->call->u;
    PARTS(panels, p, first, width) {
        if (i * panels.parts + p < outer->first || i * panels.parts + p >= outer->last) continue;
        const ptrdiff_t c = first * LANES;
        T *to = (T *)outer->rows + (i * VECTORS_OF(u) * LANES + c) * outer->depth, *d[CGRU_GROUP];
        for (ptrdiff_t n = 0; n < rows; n++) d[n] = rows_d[n] + c;
        collect_operand(to, outer->depth, outer->count, d, NULL, NULL, rows, min(u - c, width * LANES));
    }
}

/* Copies `rows` rows (step t[n] of row[n]) into panels: the operands of this struct's terms, then d of each term. */
static void collect_rows(cgru_outer_product *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows) {
    const cgru_call *call = outer->call;
    const ptrdiff_t u = call->u, depth = outer->depth, k = outer->count;
    const split panels = panels_for(VECTORS_OF(u));
    const ptrdiff_t from = outer->first / panels.parts, to = (outer->last + panels.parts - 1) / panels.parts;
    T *X = outer->operands, *hp = X + call->ep * depth;
    T *of_X[CGRU_GROUP], *of_hp[CGRU_GROUP], *of_r[CGRU_GROUP], *of_mask[CGRU_GROUP], *of_d[CGRU_GROUP];
    ptrdiff_t sample[CGRU_GROUP];
    int of_input = 0, of_state[CGRU_STATE_OPERANDS] = {0};
    for (ptrdiff_t n = 0; n < rows; n++) {
        const ptrdiff_t i = sample[n] = SAMPLE(call, row[n]);
        of_X[n] = AT(call->X, i, t[n]);
        of_hp[n] = call->hp.data ? AT(call->hp, i, t[n]) : NULL;
        of_r[n] = call->r.data ? AT(call->r, i, t[n]) : NULL;
    }
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        of_input |= term->U != NULL, of_state[term->state_operand] |= term->V && !outer->fresh;
    }
    if (of_input && (outer->wide || call->by_units))
        collect_vectors(X, depth, k, of_X, rows, call->e);
    else if (of_input)
        collect_operand(X, depth, k, of_X, NULL, NULL, rows, call->e);
    if (of_state[0] && call->by_units) {
        collect_vectors(hp, depth, k, of_hp, rows, u);
        of_state[0] = 0;
    }
    for (int way = 0; way < CGRU_STATE_OPERANDS; way++, hp += u * depth) {
        const cgru_state_operand *operand = &outer->state_operands[way];
        if (!of_state[way]) continue;
        for (ptrdiff_t n = 0; n < rows && operand->mask.data; n++) of_mask[n] = AT(operand->mask, sample[n], 0);
        collect_operand(hp, depth, k, of_hp, operand->reset ? of_r : NULL, operand->mask.data ? of_mask : NULL,
                        rows, u);
    }
    for (ptrdiff_t i = from; i < to; i++) {
        const cgru_term *term = &outer->terms[i];
        for (ptrdiff_t n = 0; n < rows; n++) of_d[n] = AT(term->d, sample[n], t[n]);
        if (outer->wide && term->U)
            collect_operand((T *)outer->wide + i * u * depth, depth, k, of_d, NULL, NULL, rows, u);
        if (call->by_units)
            collect_units(outer, i, panels, of_d, rows);
        else
            collect_term(outer, i, panels, of_d, t, sample, rows);
    }
    outer->count += rows;
}

/* Bytes of panels of vectors that stay in L2 while all panels of ROWS numbers are multiplied by them. */
enum { CACHED = 256 << 10 };

/* Bytes of a row that are gathered before they go past the caches: whole lines, but for the two at its ends. Rows of
 * this many bytes and a line do not fall on one another in the cache. */
enum { STAGED = 4096, STAGED_ROW = (STAGED + 64) / SIZE };

/* How a tile is written: added to what is there, stored, or stored past the caches, which takes whole and aligned
 * vectors. */
enum { ADD, FILL, STREAM_OUT };

/* Writes a tile (rows, width vectors) to the first n columns of out, whose rows are `ld` apart. */
INLINE void write_tile(T *out, ptrdiff_t ld, const T *tile, ptrdiff_t rows, ptrdiff_t width, ptrdiff_t n, int how) {
    for (ptrdiff_t i = 0; i < rows; i++, out += ld, tile += width * LANES)
        for (ptrdiff_t j = 0; j < n; j += LANES) {
            const ptrdiff_t left = min(n - j, LANES);
            if (how == STREAM_OUT)
                stream(out + j, load(tile + j));
            else
                store_n(out + j, how == FILL ? load(tile + j) : load_n(out + j, left) + load(tile + j), left);
        }
}

/* out (rows, n) += a^T b over the collected rows, for the panels `first` to `last` of n columns; `fills`: out = a^T b. a
 * are panels of ROWS numbers, b those panels of vectors. As many of these as stay in a cache are multiplied together,
 * so that a line of out is written whole, next to the one before. */
INLINE void accumulate(const cgru_outer_product *outer, T *out, ptrdiff_t rows, ptrdiff_t n, const T *a, const T *b,
                       ptrdiff_t first, ptrdiff_t last, int fills) {
    const split panels = panels_for(VECTORS_OF(n));
    const int streams = fills && outer->streams, aligned = (uintptr_t)out % BYTES == 0 && n % LANES == 0;
    const int staged = streams && !aligned, how = !fills ? ADD : streams && aligned ? STREAM_OUT : FILL;
    const ptrdiff_t depth = outer->depth, cached = CACHED / (3 * BYTES) / (outer->count + 1) + 1;
    const ptrdiff_t together = staged ? min(cached, STAGED / (3 * LANES * SIZE)) : cached;
    ALIGNED T tile[ROWS * 3 * LANES], stage[ROWS * STAGED_ROW];
    for (; first < last; first += together) {
        const ptrdiff_t left = part_start(panels, first) * LANES, stop = min(first + together, last);
        for (ptrdiff_t row = 0; row < rows; row += ROWS) {
            const ptrdiff_t count = min(rows - row, ROWS);
            const cgru_operand operand = {a + row * depth, 0, outer->count};
            T *line = out + row * n + left, *to = staged ? stage : line;
            for (ptrdiff_t p = first; p < stop; p++) {
                const ptrdiff_t v = part_start(panels, p), width = part_start(panels, p + 1) - v, column = v * LANES;
                packed_tiles[count - 1][width - 1](&operand, 1, b + column * depth, NULL, tile);
                write_tile(to + column - left, staged ? STAGED_ROW : n, tile, count, width,
                           min(n - column, width * LANES), how);
            }
            for (ptrdiff_t i = 0; staged && i < count; i++)
                stream_row(line + i * n, stage + i * STAGED_ROW, min(n, part_start(panels, stop) * LANES) - left);
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

/* b (n) += the sum of the collected rows of one panel, whose rows are `width` apart; `fills`: b = that sum. */
INLINE void sum_panel(T *b, const T *panel, ptrdiff_t width, ptrdiff_t n, ptrdiff_t count, int fills) {
    for (ptrdiff_t j = 0; j < n; j += LANES) {
        const ptrdiff_t left = min(n - j, LANES);
        vec sum = fills ? ZERO : load_n(b + j, left);
        for (ptrdiff_t k = 0; k < count; k++) sum += load_n(panel + k * width + j, left);
        store_n(b + j, sum, left);
    }
}

/* Returns whether dU and db get anything: from rows, or zeros since nothing was written to them yet. */
INLINE int has_input(const cgru_outer_product *outer) { return outer->count || outer->fills_U; }

/* Adds the outer products of the collected rows to the gradients of term i, for its panels `first` to `last`. */
INLINE void add_term(const cgru_outer_product *outer, ptrdiff_t i, ptrdiff_t first, ptrdiff_t last) {
    const cgru_term *term = &outer->terms[i];
    const ptrdiff_t u = outer->call->u, e = outer->call->e, depth = outer->depth;
    const split panels = panels_for(VECTORS_OF(u));
    const T *X = outer->operands, *hp = X + outer->call->ep * depth + term->state_operand * u * depth;
    const T *d = (const T *)outer->rows + i * VECTORS_OF(u) * LANES * depth;
    if (term->V && !outer->fresh) accumulate(outer, term->V, u, u, hp, d, first, last, outer->fills_V);
    if (!has_input(outer)) return;
    if (term->U && outer->wide)
        accumulate_wide(term->U, (const T *)outer->wide + i * u * depth, outer);
    else if (term->U)
        accumulate(outer, term->U, e, u, X, d, first, last, outer->fills_U);
    for (ptrdiff_t p = first; term->b && p < last; p++) {
        const ptrdiff_t v = part_start(panels, p), width = (part_start(panels, p + 1) - v) * LANES, c = v * LANES;
        sum_panel((T *)term->b + c, d + c * depth, width, min(u - c, width), outer->count, outer->fills_U);
    }
}

/* Adds the transposes, dU^T += d^T X and dV^T += d^T hp: X and hp have the vectors, and d the numbers. */
INLINE void add_term_by_units(const cgru_outer_product *outer, ptrdiff_t i, ptrdiff_t first, ptrdiff_t last) {
    const cgru_term *term = &outer->terms[i];
    const ptrdiff_t u = outer->call->u, e = outer->call->e, depth = outer->depth;
    const split panels = panels_for(VECTORS_OF(u)), of_e = panels_for(VECTORS_OF(e));
    const T *X = outer->operands, *hp = X + outer->call->ep * depth;
    for (ptrdiff_t p = first; p < last; p++) {
        const ptrdiff_t c = part_start(panels, p) * LANES, n = min(u, part_start(panels, p + 1) * LANES) - c;
        const T *d = (const T *)outer->rows + (i * VECTORS_OF(u) * LANES + c) * depth;
        if (term->V && !outer->fresh)
            accumulate(outer, (T *)term->V + c * u, n, u, d, hp, 0, panels.parts, outer->fills_V);
        if (!has_input(outer)) continue;
        if (term->U)
            accumulate(outer, (T *)term->U + c * e, n, e, d, X, 0, of_e.parts, outer->fills_U);
        for (ptrdiff_t j = 0; term->b && j < n; j += ROWS) {
            const ptrdiff_t width = min(n - j, ROWS);
            sum_panel((T *)term->b + c + j, d + j * depth, width, width, outer->count, outer->fills_U);
        }
    }
}

/* Adds the outer products of the collected rows to the gradients, and empties the panels. What nothing was written to
 * is filled; a V to which `fresh` rows add nothing is filled by a later call, without rows if there are none. */
static void add_outer_products(cgru_outer_product *outer) {
    const ptrdiff_t parts = panel_count(outer->call->u);
    const ptrdiff_t from = outer->first / parts, to = (outer->last + parts - 1) / parts;
    if (!outer->count && !outer->fills_V) return;
    for (ptrdiff_t i = from; i < to; i++) {
        const ptrdiff_t first = i == from ? outer->first - i * parts : 0, last = min(parts, outer->last - i * parts);
        if (outer->call->by_units)
            add_term_by_units(outer, i, first, last);
        else
            add_term(outer, i, first, last);
    }
    if (outer->streams) finish_streams();
    outer->count = outer->fills_U = 0;
    outer->fills_V &= outer->fresh;
}
