/* Products with unpacked weights: sums (rows, n) = a (rows, k) W (k, n) + bias, W row-contiguous in the user's array.
 *
 * It is chosen for calls that end before packing pays, in one of two ways. A sum runs in the same order as with packed
 * weights, with the same bits.
 *
 * Row after row: a call of few rows, or of weights that outgrow a cache, waits for memory, so W is read once, in order.
 * The sums wait in a cache: for each vector of columns that of up to UNPACKED_ROWS rows of `a`, then the next vector.
 * Numbers of `a` that meet a few rows of W stay in registers.
 *
 * In tiles, as packed weights are: the sums stay in registers, and W is read once for each ROWS rows of `a`. */

/* Rows of `a` at a time; rows of W at a time, which are still in a cache for further rows of `a`. */
enum { UNPACKED_ROWS = 4, CHUNK = 24 };

/* Returns how many rows of W are read together: numbers of `a`, the sums and a vector of W fill the registers. */
#define SIDE_BY_SIDE(rows) (ROWS > 4 ? ((rows) == 1 ? 16 : 24 / (rows)) : ((rows) == 1 ? 8 : 9 / (rows)))

/* sums (chains x rows) += x (depth x rows) times n columns of `depth` rows of W. */
INLINE void unpacked_columns(const int rows, const int chains, const int depth, const vec *x, const T *w, ptrdiff_t ld,
                          ptrdiff_t n, T *sums) {
    vec sum[UNPACKED_ROWS];
    UNROLL(4)
    for (int i = 0; i < rows * chains; i++) sum[i] = load(sums + i * LANES);
    UNROLL(16)
    for (int c = 0; c < depth; c++) {
        vec b = load_n(w + c * ld, n);
        KEEP(b);
        if (rows > 2) PREFETCH(w + (c + depth) * ld); /* with fewer rows the processor prefetches by itself */
        UNROLL(4)
        for (int i = 0; i < rows; i++) {
            vec *s = &sum[c % chains * rows + i];
            *s = fused(*s, x[c * rows + i], b);
        }
    }
    UNROLL(4)
    for (int i = 0; i < rows * chains; i++) store(sums + i * LANES, sum[i]);
}

/* sums += a W for the rows of W from k on, `depth` at a time; returns the first row that is left. */
INLINE ptrdiff_t unpacked_rows(const int rows, const int chains, const int depth, const cgru_operand *a, ptrdiff_t k,
                            const T *W, ptrdiff_t ld, ptrdiff_t n, T *sums) {
    for (; k + depth <= a->k; k += depth) {
        const T *w = W + k * ld;
        T *to = sums;
        vec x[24];
        UNROLL(16)
        for (int c = 0; c < depth; c++) {
            UNROLL(4)
            for (int i = 0; i < rows; i++) {
                x[c * rows + i] = broadcast(((const T *)a->rows)[i * a->ld + k + c]);
                KEEP(x[c * rows + i]);
            }
        }
        ptrdiff_t j = 0;
        for (; j + LANES <= n; j += LANES, to += rows * chains * LANES)
            unpacked_columns(rows, chains, depth, x, w + j, ld, LANES, to);
        if (j < n) unpacked_columns(rows, chains, depth, x, w + j, ld, n - j, to);
    }
    return k;
}

/* sums (n columns in vectors, chains x rows in each) += a (rows, k) W (k, n), W with rows `ld` apart. */
INLINE void unpacked_sums(const int rows, const int chains, const cgru_operand *a, const T *W, ptrdiff_t ld,
                          ptrdiff_t n, T *sums) {
    ptrdiff_t k = unpacked_rows(rows, chains, SIDE_BY_SIDE(rows), a, 0, W, ld, n, sums);
    if (SIDE_BY_SIDE(rows) > 4) k = unpacked_rows(rows, chains, 4, a, k, W, ld, n, sums);
    unpacked_rows(rows, chains, 1, a, k, W, ld, n, sums);
}

typedef void unpacked_function(const cgru_operand *a, const T *W, ptrdiff_t ld, ptrdiff_t n, T *sums);

/* Defines `unpacked_sums` of this size as the function `name`. */
#define UNPACKED_OF(name, rows, chains)                                                                            \
    static void name(const cgru_operand *a, const T *W, ptrdiff_t ld, ptrdiff_t n, T *sums) { \
        unpacked_sums(rows, chains, a, W, ld, n, sums);                                                              \
    }
UNPACKED_OF(unpacked_single, 1, 4)
UNPACKED_OF(unpacked_1, 1, 1) UNPACKED_OF(unpacked_2, 2, 1) UNPACKED_OF(unpacked_3, 3, 1) UNPACKED_OF(unpacked_4, 4, 1)
static unpacked_function *const unpacked_kernels[UNPACKED_ROWS] = {unpacked_1, unpacked_2, unpacked_3, unpacked_4};

/* out (rows, vectors) = bias + [operand 0 | operand 1 | ...] W, summed in registers. Vector j is the first n[j] columns
 * from w[o][j] on in W of operand o, whose rows are ld[o] apart. `full`: n[j] is LANES for all j. */
INLINE void unpacked_tile(const int rows, const int vectors, const int full, const cgru_operand *operand, int operands,
                          const T *const (*w)[3], const ptrdiff_t *ld, const ptrdiff_t *n, const T *bias, T *out) {
    vec sum[ROWS][3];
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
        UNROLL(3)
        for (int j = 0; j < vectors; j++) sum[i][j] = bias ? load(bias + j * LANES) : ZERO;
    }
    for (int o = 0; o < operands; o++) {
        const T *a = operand[o].rows, *W = w[o][0];
        const ptrdiff_t second = w[o][vectors > 1] - W, third = w[o][vectors > 2 ? 2 : 0] - W;
        for (ptrdiff_t k = 0; k < operand[o].k; k++, W += ld[o]) {
            vec b[3];
            UNROLL(3)
            for (int j = 0; j < vectors; j++) {
                b[j] = load_n(W + (j == 0 ? 0 : j == 1 ? second : third), full ? LANES : n[j]);
                KEEP(b[j]);
            }
            UNROLL(16)
            for (int i = 0; i < rows; i++) {
                const T x = a[i * operand[o].ld + k];
                UNROLL(3)
                for (int j = 0; j < vectors; j++) sum[i][j] = add_product(sum[i][j], x, b[j]);
            }
        }
    }
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
        UNROLL(3)
        for (int j = 0; j < vectors; j++) store(out + (i * vectors + j) * LANES, sum[i][j]);
    }
}

typedef void unpacked_tile_function(const cgru_operand *operand, int operands, const T *const (*w)[3],
                                    const ptrdiff_t *ld, const ptrdiff_t *n, const T *bias, T *out);

/* Defines `unpacked_tile` of this size as a function. */
#define UNPACKED_TILE(kind, full, rows, vectors)                                                                 \
    static void kind##_##rows##x##vectors(const cgru_operand *operand, int operands, const T *const (*w)[3],     \
                                          const ptrdiff_t *ld, const ptrdiff_t *n, const T *bias, T *out) {      \
        unpacked_tile(rows, vectors, full, operand, operands, w, ld, n, bias, out);                              \
    }
/* Defines the tiles of all widths for a number of rows. A level with masks has no use for full ones of their own. */
#define PARTIAL_TILES(rows) \
    UNPACKED_TILE(partial, 0, rows, 1) UNPACKED_TILE(partial, 0, rows, 2) UNPACKED_TILE(partial, 0, rows, 3)
#define FULL_TILES(rows) UNPACKED_TILE(full, 1, rows, 1) UNPACKED_TILE(full, 1, rows, 2) UNPACKED_TILE(full, 1, rows, 3)
PARTIAL_TILES(1) PARTIAL_TILES(2) PARTIAL_TILES(3) PARTIAL_TILES(4)
#if ROWS > 4
PARTIAL_TILES(5) PARTIAL_TILES(6) PARTIAL_TILES(7) PARTIAL_TILES(8)
static unpacked_tile_function *const unpacked_tiles[2][ROWS][3] = {TABLES(partial), TABLES(partial)};
#else
FULL_TILES(1) FULL_TILES(2) FULL_TILES(3) FULL_TILES(4)
static unpacked_tile_function *const unpacked_tiles[2][ROWS][3] = {TABLES(partial), TABLES(full)};
#endif

/* Computes a product with unpacked weights in tiles, as `product` does with packed ones: a panel of columns for all
 * rows, then the next panel. A panel may have columns of two or three gates. */
static void unpacked_tiled_product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    ALIGNED T out[ROWS * 3 * LANES];
    const split panels = panels_for(product->vectors), blocks = split_of(rows, ROWS);
    const ptrdiff_t each = VECTORS_OF(product->width);
    PARTS_IN_TURN(panels, t % 2, p, vector, vectors) {
        const T *bias = product->bias ? (const T *)product->bias + vector * LANES : NULL, *w[3][3];
        ptrdiff_t ld[3], n[3];
        int full = 1;
        for (ptrdiff_t j = 0; j < vectors; j++) {
            const ptrdiff_t gate = (vector + j) / each, column = (vector + j) % each * LANES;
            n[j] = min(product->width - column, LANES);
            full &= n[j] == LANES;
            for (int o = 0; o < product->operands; o++) {
                w[o][j] = (const T *)product->unpacked[o][gate].data + column;
                ld[o] = product->unpacked[o][gate].row; /* of all gates the same */
            }
        }
        PARTS(blocks, b, first, count) {
            cgru_operand operand[3];
            for (int o = 0; o < product->operands; o++) {
                operand[o] = product->operand[o];
                operand[o].rows = (const T *)operand[o].rows + (row0 + first) * operand[o].ld;
            }
            unpacked_tiles[full][count - 1][vectors - 1](operand, product->operands, w, ld, n, bias, out);
            product->epilogue(product, t, row0 + first, count, vector, vectors, out);
        }
    }
}

/* Computes a product with unpacked weights for rows row0..., and calls its epilogue. Odd steps take the gates in
 * reverse: of weights that outgrow a cache, those read last are still cached. */
static void unpacked_product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const split blocks = split_of(rows, UNPACKED_ROWS);
    const ptrdiff_t columns = product->width, each = VECTORS_OF(columns), all = product->vectors, gates = all / each;
    T *sums = product->sums;
    PARTS(blocks, b, first, count)
        for (ptrdiff_t v = 0; v < all; v++)
            for (ptrdiff_t i = 0; i < count; i++)
                store(sums + (first * all + v * count + i) * LANES,
                      product->bias ? load((const T *)product->bias + v * LANES) : ZERO);
    for (ptrdiff_t n = 0; n < gates; n++)
        for (int o = 0; o < product->operands; o++) {
            const ptrdiff_t gate = t % 2 ? gates - 1 - n : n;
            const cgru_operand *a = &product->operand[o];
            const cgru_matrix W = product->unpacked[o][gate];
            const ptrdiff_t chunk = blocks.parts > 1 ? CHUNK : a->k;
            for (ptrdiff_t k = 0; k < a->k; k += chunk)
                PARTS(blocks, b, first, count) {
                    const T *rows_ = (const T *)a->rows + (row0 + first) * a->ld + k;
                    const cgru_operand some = {rows_, a->ld, min(chunk, a->k - k)};
                    unpacked_kernels[count - 1](&some, (const T *)W.data + k * W.row, W.row, columns,
                                        sums + (first * all + gate * each * count) * LANES);
                }
        }
    PARTS(blocks, b, first, count)
        for (ptrdiff_t v = 0; v < all; v++)
            product->epilogue(product, t, row0 + first, count, v, 1, sums + (first * all + v * count) * LANES);
}
