/* The micro-kernel of products with packed weights: out (rows, N) = a (rows, K) W (K, N) + bias.
 *
 * A tile is up to ROWS rows by up to three vectors of columns, summed in registers. Rows of `a` are strided. Packed
 * weights are panels of up to three vectors of columns, as even as can be; a panel holds its K rows one after another.
 * It is chosen where lanes are units and the call runs long enough to pay for packing.
 *
 * A sum runs over k in order, in one chain, whatever the tile: bits do not depend on how rows are distributed. Only a
 * call of one or two samples, and a gradient of a single row, split sums into four or two chains, to hide their
 * latency. */

/* n things in even parts: the first `more` parts have least + 1 things, the others `least`. */
typedef struct { ptrdiff_t parts, least, more; } split;

/* Splits n things into as few even parts of at most `most` as possible. */
INLINE split split_of(ptrdiff_t n, ptrdiff_t most) {
    ptrdiff_t parts = (n + most - 1) / most;
    return (split){parts, n / parts, n % parts};
}

/* Returns the first thing of part p of a split. */
INLINE ptrdiff_t part_start(split s, ptrdiff_t p) { return p * s.least + min(p, s.more); }

/* Loops over the parts p of a split, each of `size` things from `first` on. */
#define PARTS(split, p, first, size) PARTS_IN_TURN(split, 0, p, first, size)
/* Loops as PARTS does, but from the last part to the first if `back`. */
#define PARTS_IN_TURN(split, back, p, first, size)                                                          \
    for (ptrdiff_t p = (back) ? (split).parts - 1 : 0, first, size;                                         \
         p >= 0 && p < (split).parts &&                                                                     \
         (first = part_start(split, p), size = (split).least + (p < (split).more));     \
         p += (back) ? -1 : 1)

/* Splits vectors of columns into panels of up to three. */
INLINE split panels_for(ptrdiff_t vectors) { return split_of(vectors, 3); }

/* out (rows, vectors * LANES) = bias + [operand 0 | operand 1 | ...] w. `packed`: an operand is a panel, its rows side
 * by side. rows, vectors and chains are constants wherever this is inlined, so that the sums live in registers. */
INLINE void tile(const int rows, const int vectors, const int chains, const cgru_operand *operand, int operands,
                       const int packed, const T *w, const T *bias, T *out) {
    vec sum[ROWS > 4 ? ROWS : 4][3];
    UNROLL(16)
    for (int i = 0; i < rows * chains; i++) {
        UNROLL(3)
        for (int j = 0; j < vectors; j++) sum[i][j] = bias && i < rows ? load(bias + j * LANES) : ZERO;
    }
    for (int o = 0; o < operands; o++) {
        const T *a = operand[o].rows;
        const ptrdiff_t row = packed ? 1 : operand[o].ld, column = packed ? rows : 1, K = operand[o].k;
        ptrdiff_t k = 0;
        for (; k + chains <= K; k += chains) {
            UNROLL(4)
            for (int c = 0; c < chains; c++) {
                vec b[3];
                UNROLL(3)
                for (int j = 0; j < vectors; j++) {
                    b[j] = load(w + (c * vectors + j) * LANES);
                    if (rows > 1) KEEP(b[j]);
                }
                UNROLL(16)
                for (int i = 0; i < rows; i++) {
                    const T x = a[i * row + (k + c) * column];
                    UNROLL(3)
                    for (int j = 0; j < vectors; j++)
                        sum[c * rows + i][j] = add_product(sum[c * rows + i][j], x, b[j]);
                }
            }
            w += chains * vectors * LANES;
        }
        for (; chains > 1 && k < K; k++) {
            UNROLL(16)
            for (int i = 0; i < rows; i++) {
                const T x = a[i * row + k * column];
                UNROLL(3)
                for (int j = 0; j < vectors; j++) sum[i][j] = add_product(sum[i][j], x, load(w + j * LANES));
            }
            w += vectors * LANES;
        }
    }
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
        UNROLL(3)
        for (int j = 0; j < vectors; j++) {
            vec total = sum[i][j];
            UNROLL(4)
            for (int c = 1; c < chains; c++) total += sum[c * rows + i][j];
            store(out + (i * vectors + j) * LANES, total);
        }
    }
}

/* Tiles of every size as functions: `many` for batches, `pair` and `single` in chains, `packed` for panels on both
 * sides. */
typedef void tile_function(const cgru_operand *operand, int operands, const T *w, const T *bias, T *out);

/* Defines `tile` of this size as a function. */
#define TILE_OF(kind, packed, rows, vectors, chains)                                                              \
    static void kind##_##rows##x##vectors(const cgru_operand *operand, int operands, const T *w,           \
                                                const T *bias, T *out) {                                          \
        tile(rows, vectors, chains, operand, operands, packed, w, bias, out);                               \
    }
TILE_OF(single, 0, 1, 1, 4) TILE_OF(single, 0, 1, 2, 4) TILE_OF(single, 0, 1, 3, 4)
TILE_OF(pair, 0, 1, 1, 2) TILE_OF(pair, 0, 1, 2, 2) TILE_OF(pair, 0, 1, 3, 2)
TILE_OF(pair, 0, 2, 1, 2) TILE_OF(pair, 0, 2, 2, 2) TILE_OF(pair, 0, 2, 3, 2)
/* Defines the tiles `many` and `packed` of a size. */
#define TILE(rows, vectors) \
    TILE_OF(many, 0, rows, vectors, 1) TILE_OF(packed, 1, rows, vectors, ((rows) == 1 ? 4 : 1))
/* Defines the tiles `many` and `packed` of all widths for a number of rows. */
#define TILES(rows) TILE(rows, 1) TILE(rows, 2) TILE(rows, 3)
TILES(1) TILES(2) TILES(3) TILES(4)
#if ROWS > 4
TILES(5) TILES(6) TILES(7) TILES(8)
#endif

/* Lists the tiles of all widths for a number of rows. */
#define TABLE(kind, rows) {kind##_##rows##x1, kind##_##rows##x2, kind##_##rows##x3}
/* Lists the tiles of all sizes. */
#if ROWS > 4
#define TABLES(kind)                                                                                 \
    {TABLE(kind, 1), TABLE(kind, 2), TABLE(kind, 3), TABLE(kind, 4), TABLE(kind, 5), TABLE(kind, 6), \
     TABLE(kind, 7), TABLE(kind, 8)}
#else
#define TABLES(kind) {TABLE(kind, 1), TABLE(kind, 2), TABLE(kind, 3), TABLE(kind, 4)}
#endif
static tile_function *const many_tiles[ROWS][3] = TABLES(many);
static tile_function *const single_tiles[1][3] = {TABLE(single, 1)};
static tile_function *const pair_tiles[2][3] = {TABLE(pair, 1), TABLE(pair, 2)};
static tile_function *const packed_tiles[ROWS][3] = TABLES(packed);

/* Returns K, the rows of a product's packed weights. */
INLINE ptrdiff_t depth_of(const cgru_product *product) {
    ptrdiff_t K = 0;
    if (product->depth) return product->depth;
    for (int o = 0; o < product->operands; o++) K += product->operand[o].k;
    return K;
}

/* Copies `left` columns of W from column j on, padded with zeros to a vector, of rows i to i + rows, to rows of `to`,
 * `ld` apart. Three ways: rows contiguous, columns contiguous (transposing in registers), neither. */
static void pack_columns(cgru_matrix W, ptrdiff_t i, ptrdiff_t rows, ptrdiff_t j, ptrdiff_t left, T *to, ptrdiff_t ld) {
    const T *from = (const T *)W.data + i * W.row + j * W.column;
    if (W.column == 1) {
        for (ptrdiff_t n = 0; n < rows; n++) store(to + n * ld, load_n(from + n * W.row, left));
    } else if (W.row == 1) {
        for (ptrdiff_t n = 0; n < rows; n += LANES) {
            const ptrdiff_t count = min(rows - n, LANES);
            vec x[LANES];
            UNROLL(16)
            for (int c = 0; c < LANES; c++) x[c] = c < left ? load_n(from + n + c * W.column, count) : ZERO;
            transpose(x);
            UNROLL(16)
            for (int r = 0; r < LANES; r++)
                if (r < count) store(to + (n + r) * ld, x[r]);
        }
    } else {
        for (ptrdiff_t n = 0; n < rows; n++)
            for (ptrdiff_t c = 0; c < LANES; c++) to[n * ld + c] = c < left ? from[n * W.row + c * W.column] : 0;
    }
}

/* Packs W (k, n) into the panels of `weights`, from row k0 and vector vector0 on. */
static void pack(const cgru_product *product, void *weights, ptrdiff_t k0, ptrdiff_t vector0, cgru_matrix W,
                       ptrdiff_t k, ptrdiff_t n) {
    const ptrdiff_t K = depth_of(product);
    const split panels = panels_for(product->vectors);
    const ptrdiff_t block = W.column == 1 ? 8 : k; /* of rows: contiguous ones are then read in order */
    for (ptrdiff_t i = 0; i < k; i += block)
        PARTS(panels, p, first, vectors) {
            for (ptrdiff_t v = first; v < first + vectors; v++) {
                const ptrdiff_t j = (v - vector0) * LANES;
                if (j < 0 || j >= n) continue;
                pack_columns(W, i, min(k - i, block), j, min(n - j, LANES),
                            (T *)weights + (first * K + (k0 + i) * vectors + v - first) * LANES, vectors * LANES);
            }
        }
}

enum { ALL = -1 }; /* a stage beside those of cgru.h: all panels, whatever `from` and `to` */

/* Computes panels `from` to `to` of a product with packed weights for rows row0..., as `stage`, a constant, says. */
INLINE void product_panels(const int stage, const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows,
                           ptrdiff_t from, ptrdiff_t to, T *tiles) {
    ALIGNED T out[ROWS * 3 * LANES];
    const int chains = product->chains;
    tile_function *const (*table)[3] = chains == 4 ? single_tiles : chains == 2 ? pair_tiles : many_tiles;
    const ptrdiff_t K = depth_of(product);
    const split panels = panels_for(product->vectors), blocks = split_of(rows, ROWS);
    /* Odd steps run back: of weights that outgrow a cache, half are still cached. */
    PARTS_IN_TURN(panels, t % 2, p, vector, vectors) {
        if (stage != ALL && (p < from || p >= to)) continue;
        const T *w = (const T *)product->weights + (vector * K + product->k0 * vectors) * LANES;
        const T *bias = product->bias ? (const T *)product->bias + vector * LANES : NULL;
        PARTS(blocks, b, first, count) {
            T *sums = stage == CGRU_STORE || stage == CGRU_FINISH ? tiles + (vector * rows + first * vectors) * LANES : out;
            cgru_operand operand[3];
            for (int o = 0; o < product->operands; o++) {
                operand[o] = product->operand[o];
                operand[o].rows = (const T *)operand[o].rows + (row0 + first) * operand[o].ld;
            }
            if (stage != CGRU_FINISH) table[count - 1][vectors - 1](operand, product->operands, w, bias, sums);
            if (stage != CGRU_STORE) product->epilogue(product, t, row0 + first, count, vector, vectors, sums);
        }
    }
}

/* Computes a product with packed weights for rows row0..., and calls its epilogue tile by tile. */
static void packed_product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    product_panels(ALL, product, t, row0, rows, 0, 0, NULL);
}

/* Returns the panel at which part `part` of `parts` begins. The first part is an eighth smaller than the others, since the
 * caller of a crew, whose part it is, also copies the operands and runs all epilogues. */
INLINE ptrdiff_t panel_of_part(ptrdiff_t panels, int part, int parts) {
    return part ? panels * (8 * part - 1) / (8 * parts - 1) : 0;
}

/* Computes part `part` of `parts` of the panels of a product, or its sums, or its epilogues alone. */
static void product_columns(const cgru_product *product, int stage, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows, int part,
                         int parts, void *tiles) {
    const ptrdiff_t panels = panels_for(product->vectors).parts, from = panel_of_part(panels, part, parts);
    const ptrdiff_t to = panel_of_part(panels, part + 1, parts);
    if (stage == CGRU_STORE)
        product_panels(CGRU_STORE, product, t, row0, rows, from, to, tiles);
    else if (stage == CGRU_FINISH)
        product_panels(CGRU_FINISH, product, t, row0, rows, from, to, tiles);
    else
        product_panels(CGRU_WHOLE, product, t, row0, rows, from, to, NULL);
}
