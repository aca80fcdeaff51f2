/* The layer and the linear product with quantised weights, int8 or bfloat16; float32 and forward alone.
 *
 *     int8:      x W = (scale of the row * scale of the column) * (sum of quantised x * quantised W)
 *     bfloat16:  x W, W widened to float32
 *
 * int8: a column of weights is a scale times integers from -127 to 127. Rows of x, h and r * h are quantised to such
 * integers as they come (quantize_row.h). Sums are of integers, the same at each level and in any order. bfloat16 is
 * the upper half of a float32. Its rows come one by one: several samples run in float32, with weights widened before.
 *
 * A word of 32 bits holds consecutive rows of a column: 4 of int8, 2 of bfloat16. Words lie as the weights of
 * single_sample.h: in parts of up to four vectors of columns, each with its words one after another. The workspace
 * holds the states h, the sums r_ | z_ | hh_ | c of each row, and the prepared rows. It is chosen for quantised layers.
 */

/* --- tiles: sum (rows, width vectors) = begin + operand (rows, k) times columns c... of W --- */

/* The initial values of sums, rows `from` apart, and their results, rows `to` apart; these may be the same array. */
typedef struct {
    const T *begin;
    ptrdiff_t from;
    T *sum;
    ptrdiff_t to;
} tile_sums;

typedef void tile_function(const cgru_quantized *W, ptrdiff_t c, const void *operand, ptrdiff_t ld, const T *scale,
                           const tile_sums *sums);

/* sums = begin + x W, one tile of int8. Sums of integers are exact in any number of chains: a single row runs in
 * several, to hide latency. */
INLINE void int8_tile(const int rows, const int width, const cgru_quantized *W, ptrdiff_t c, const char *quantized,
                      ptrdiff_t ld, const T *scale, const tile_sums *sums) {
    const int chains = rows > 1 ? 1 : width > 2 ? 2 : 4;
    const int32_t *words = (const int32_t *)W->words + c * W->depth;
    ints part[4][4];
    UNROLL(4)
    for (int i = 0; i < rows * chains; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++)
            part[i][j] = OFFSET != 0 && i < rows ? load_ints(W->initial_sums + c + j * LANES) : (ints){0};
    }
    ptrdiff_t n = 0;
    for (; n + chains <= W->depth; n += chains) {
        UNROLL(4)
        for (int chain = 0; chain < chains; chain++, words += width * LANES, quantized += 4 * QUANTIZED_BYTES) {
            UNROLL(4)
            for (int j = 0; j < width; j++) {
                const ints w = load_ints(words + j * LANES);
                UNROLL(4)
                for (int i = 0; i < rows; i++)
                    part[i + chain][j] = add_quantized(part[i + chain][j], quantized + i * ld, w);
            }
        }
    }
    for (; n < W->depth; n++, words += width * LANES, quantized += 4 * QUANTIZED_BYTES) {
        UNROLL(4)
        for (int j = 0; j < width; j++) part[0][j] = add_quantized(part[0][j], quantized, load_ints(words + j * LANES));
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) {
            const vec factor = scale[i] * load(W->scale + c + j * LANES);
            ints all = part[i][j];
            UNROLL(4)
            for (int chain = 1; chain < chains; chain++) all += part[i + chain][j];
            store(sums->sum + i * sums->to + j * LANES,
                  fused(load(sums->begin + i * sums->from + j * LANES), factor, CONVERT(all)));
        }
    }
}

/* low, high += the lower and the upper half of a word of each column, times the two numbers of a row. */
INLINE void add_pairs(const int width, const int32_t *words, const T *x, vec *low, vec *high) {
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        const ints w = load_ints(words + j * LANES);
        const vec first = NUMBERS((ints)((uints)w << 16)), second = NUMBERS(w & (INT)0xffff0000);
        low[j] = add_product(low[j], x[0], first);
        high[j] = add_product(high[j], x[1], second);
    }
}

/* sums = begin + x W, one tile of bfloat16, of a single row. Each sum runs in two chains, of the lower and of the upper
 * halves of words; in four where few columns would leave the processor waiting. */
INLINE void bfloat16_tile(const int rows, const int width, const cgru_quantized *W, ptrdiff_t c, const T *x,
                          ptrdiff_t ld, const tile_sums *sums) {
    (void)rows, (void)ld;
    const int chains = width > 2 ? 1 : 2;
    const int32_t *words = (const int32_t *)W->words + c * W->depth;
    vec low[2][4], high[2][4];
    UNROLL(2)
    for (int i = 0; i < chains; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) low[i][j] = i ? ZERO : load(sums->begin + j * LANES), high[i][j] = ZERO;
    }
    ptrdiff_t n = 0;
    for (; n + chains <= W->depth; n += chains) {
        UNROLL(2)
        for (int i = 0; i < chains; i++, words += width * LANES, x += 2) add_pairs(width, words, x, low[i], high[i]);
    }
    if (n < W->depth) add_pairs(width, words, x, low[0], high[0]);
    UNROLL(4)
    for (int j = 0; j < width; j++) {
        vec all = low[0][j] + high[0][j];
        if (chains > 1) all += low[1][j] + high[1][j];
        store(sums->sum + j * LANES, all);
    }
}

/* Rows of a tile of int8. */
enum { INT8_ROWS = BYTES == 64 ? 4 : 2 };

/* Defines the tile of a kind and size as a function. */
#define TILE_OF(kind, rows, width, ...)                                                                                \
    static void kind##_##rows##_##width(const cgru_quantized *W, ptrdiff_t c, const void *operand, ptrdiff_t ld,       \
                                        const T *scale, const tile_sums *sums) {                                       \
        (void)scale;                                                                                                   \
        kind##_tile(rows, width, W, c, operand, ld, __VA_ARGS__);                                                      \
    }
/* Defines the tile of int8 of a size. */
#define INT8_OF(rows, width) TILE_OF(int8, rows, width, scale, sums)
/* Defines the tile of bfloat16 of a size. */
#define BFLOAT16_OF(rows, width) TILE_OF(bfloat16, rows, width, sums)
/* Defines the tiles of all widths for a number of rows by one of these. */
#define WIDTHS(of, rows) of(rows, 1) of(rows, 2) of(rows, 3) of(rows, 4)
/* Lists the tiles of all widths for a number of rows. */
#define TILES(kind, rows) {kind##_##rows##_1, kind##_##rows##_2, kind##_##rows##_3, kind##_##rows##_4}
WIDTHS(INT8_OF, 1)
WIDTHS(INT8_OF, 2)
WIDTHS(BFLOAT16_OF, 1)
#if BYTES == 64
WIDTHS(INT8_OF, 3)
WIDTHS(INT8_OF, 4)
#endif
static tile_function *const int8_tiles[INT8_ROWS][4] = {
    TILES(int8, 1),
    TILES(int8, 2),
#if BYTES == 64
    TILES(int8, 3),
    TILES(int8, 4),
#endif
};
static tile_function *const bfloat16_tiles[4] = TILES(bfloat16, 1);

/* --- operands: rows prepared for the tiles, quantised or not, each padded to whole vectors and words --- */

/* Returns k rounded up to whole vectors and words. */
INLINE ptrdiff_t padded(ptrdiff_t k) { return LANES > 1 ? VECTORS_OF(k) * LANES : (k + 3) / 4 * 4; }

/* Returns the bytes of a number of a prepared row. */
static ptrdiff_t bytes_of(int kind) {
    return kind == CGRU_INT8 ? QUANTIZED_BYTES : (ptrdiff_t)sizeof(T);
}

/* Returns the bytes of a prepared row of k numbers. */
static ptrdiff_t operand_bytes(int kind, ptrdiff_t k) { return padded(k) * bytes_of(kind); }

/* to = x (k) prepared: quantised (by `bound`, or the row's own largest |x|) with its scale, or copied. */
INLINE void prepare_row(int kind, const T *x, ptrdiff_t k, T bound, void *to, T *scale) {
    if (kind == CGRU_INT8) {
        *scale = quantize_row(x, k, bound, to);
        return;
    }
    for (ptrdiff_t i = 0; i < k; i += LANES) store((T *)to + i, load_some(x + i, k - i));
    /* Weights are zero there, but NaN times zero is NaN. */
    for (ptrdiff_t i = VECTORS_OF(k) * LANES; i < padded(k); i++) ((T *)to)[i] = 0;
}

/* Prepared rows, `bytes` apart, and their scales. */
typedef struct {
    char *rows;
    ptrdiff_t bytes;
    T *scale;
} prepared_rows;

/* Returns the most rows of a tile of a kind. */
INLINE ptrdiff_t tile_rows(int kind) { return kind == CGRU_INT8 ? INT8_ROWS : 1; }

/* sums = begin + operand times W, for `rows` rows from `row` on and up to four vectors of columns from c on. */
INLINE void add_tile(int kind, const cgru_quantized *W, const prepared_rows *operand, ptrdiff_t row, ptrdiff_t rows,
                     ptrdiff_t c, const tile_sums *sums) {
    const char *x = operand->rows + row * operand->bytes;
    const ptrdiff_t width = min(4, VECTORS_OF(W->columns - c));
    if (kind == CGRU_INT8) int8_tiles[rows - 1][width - 1](W, c, x, operand->bytes, operand->scale + row, sums);
    else bfloat16_tiles[width - 1](W, c, x, 0, NULL, sums);
}

/* sum (columns) = begin + a single row times W. Tiles are inlined: for one row the call of each would cost. */
#define ROW_OF(kind, ...)                                                                                              \
    static void kind##_row(const cgru_quantized *W, const void *operand, const T *scale, const T *begin, T *sum) {     \
        (void)scale;                                                                                                   \
        for (ptrdiff_t c = 0; c < W->columns; c += 4 * LANES) {                                                        \
            const tile_sums sums = {begin + c, 0, sum + c, 0};                                                         \
            switch (VECTORS_OF(W->columns - c)) {                                                                      \
            case 1: kind##_tile(1, 1, W, c, operand, 0, __VA_ARGS__); break;                                           \
            case 2: kind##_tile(1, 2, W, c, operand, 0, __VA_ARGS__); break;                                           \
            case 3: kind##_tile(1, 3, W, c, operand, 0, __VA_ARGS__); break;                                           \
            default: kind##_tile(1, 4, W, c, operand, 0, __VA_ARGS__);                                                 \
            }                                                                                                          \
        }                                                                                                              \
    }
ROW_OF(int8, scale, &sums)
ROW_OF(bfloat16, &sums)

/* sum (rows, columns) = begin + operand times W. Up to four vectors of columns are read for all rows before the next.
 */
INLINE void add_prepared(int kind, const cgru_quantized *W, const prepared_rows *operand, ptrdiff_t rows,
                         tile_sums sums) {
    const ptrdiff_t most = tile_rows(kind);
    if (rows == 1) {
        if (kind == CGRU_INT8) int8_row(W, operand->rows, operand->scale, sums.begin, sums.sum);
        else bfloat16_row(W, operand->rows, NULL, sums.begin, sums.sum);
        return;
    }
    for (ptrdiff_t c = 0; c < W->columns; c += 4 * LANES) {
        for (ptrdiff_t row = 0; row < rows; row += most) {
            const tile_sums part = {sums.begin + row * sums.from + c, sums.from, sums.sum + row * sums.to + c, sums.to};
            add_tile(kind, W, operand, row, min(most, rows - row), c, &part);
        }
    }
}

/* --- the layer --- */

/* The workspace of rows of a call: states h; sums r_ | z_ | hh_ | c of each row, where r * h (or r, then r * c) and z
 * replace r_ and z_; prepared rows of x, hp and r * h. */
typedef struct {
    T *h, *sums;
    prepared_rows x, hp, reset;
} low_precision_work;

/* Returns where the parts of a workspace for `rows` rows stand in `memory`. */
static low_precision_work work_of(const cgru_low_precision_layer *layer, ptrdiff_t rows, void *memory) {
    const cgru_call *call = layer->call;
    const int kind = layer->U.kind;
    low_precision_work work = {.h = memory};
    work.sums = work.h + rows * call->up;
    T *scale = work.sums + 4 * rows * call->up;
    char *next = (char *)(scale + VECTORS_OF(3 * rows) * LANES);
    work.x = (prepared_rows){next, operand_bytes(kind, call->e), scale};
    next += rows * work.x.bytes;
    work.hp = (prepared_rows){next, operand_bytes(kind, call->u), scale + rows};
    next += rows * work.hp.bytes;
    work.reset = (prepared_rows){next, work.hp.bytes, scale + 2 * rows};
    return work;
}

/* Returns the bytes of `memory` that `work_of` needs for so many rows. */
static ptrdiff_t low_precision_size(const cgru_low_precision_layer *layer, ptrdiff_t rows) {
    const cgru_call *call = layer->call;
    const int kind = layer->U.kind;
    return (5 * rows * call->up + VECTORS_OF(3 * rows) * LANES) * (ptrdiff_t)sizeof(T) +
           rows * (operand_bytes(kind, call->e) + 2 * operand_bytes(kind, call->u));
}

/* Prepares rows x of k numbers, `ld` apart, as `to`. bfloat16 reads them in place, unless the last word would reach
 * beyond a row. */
INLINE void prepare_rows(int kind, const T *x, ptrdiff_t ld, ptrdiff_t rows, ptrdiff_t k, double bound,
                         prepared_rows *to) {
    if (kind == CGRU_BFLOAT16 && k % 2 == 0) {
        to->rows = (char *)x, to->bytes = ld * (ptrdiff_t)sizeof(T);
        return;
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        prepare_row(kind, x + row * ld, k, (T)bound, to->rows + row * to->bytes, to->scale + row);
}

/* Runs step t of rows row0... of the call: h becomes the new state. x is the input of a single row, or
 * NULL: it is read from the call. */
INLINE void low_precision_step(const int kind, const cgru_low_precision_layer *layer, const low_precision_work *work,
                               const T *x, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const cgru_call *call = layer->call;
    const ptrdiff_t up = call->up, ld = 4 * up;
    T *r_ = work->sums, *z_ = r_ + up, *hh_ = z_ + up, *c_ = hh_ + up;
    prepared_rows operand = work->x, hp = work->hp, reset = work->reset;
    if (rows == 1)
        prepare_rows(kind, x ? x : AT(call->X, SAMPLE(call, row0), t), 0, 1, call->e, layer->x_bound, &operand);
    for (ptrdiff_t row = 0; rows > 1 && row < rows; row++)
        prepare_row(kind, AT(call->X, SAMPLE(call, row0 + row), t), call->e, (T)layer->x_bound,
                    operand.rows + row * operand.bytes, operand.scale + row);
    prepare_rows(kind, work->h, up, rows, call->u, layer->bound, &hp);
    /* 1. r_, z_, hh_ = x U + b;  r_, z_ += hp V, and where the reset comes after c = hp Vhh + chh */
    add_prepared(kind, &layer->U, &operand, rows, (tile_sums){layer->b, 0, r_, ld});
    add_prepared(kind, &layer->V, &hp, rows, (tile_sums){r_, ld, r_, ld});
    if (layer->recurrent_bias)
        add_prepared(kind, &layer->Vhh, &hp, rows, (tile_sums){layer->recurrent_bias, 0, c_, ld});
    /* 2. r = activate_reset(r_), r * hp or r * c;  z = activate_update(z_) */
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t c = 0; c < up; c += LANES) {
            const place at = place_of(call, SAMPLE(call, row0 + row), t, c);
            T *r = r_ + row * ld + c, *z = z_ + row * ld + c;
            const vec reset = reset_gate(call, at, load(r), load_some(work->h + row * up + c, at.n));
            store(r, layer->recurrent_bias ? reset * load(c_ + row * ld + c) : reset);
            store(z, update_gate(call, at, load(z)));
        }
    if (!layer->recurrent_bias) { /* hh_ += (r * hp) Vhh */
        prepare_rows(kind, r_, ld, rows, call->u, layer->bound, &reset);
        add_prepared(kind, &layer->Vhh, &reset, rows, (tile_sums){hh_, ld, hh_, ld});
    }
    /* 3. hh = activate(hh_ + r * c), or activate(hh_);  h = z * hp + (1 - z) * hh */
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t c = 0; c < up; c += LANES) {
            const place at = place_of(call, SAMPLE(call, row0 + row), t, c);
            const vec sum = preactivation(call, load(hh_ + row * ld + c), r_ + row * ld + c);
            T *h = work->h + row * up + c;
            const vec next = new_state(0, call, at, sum, load(z_ + row * ld + c), load_some(h, at.n));
            if (at.n == LANES) /* a load right after a masked store is slow */
                store(h, next);
            else
                store_n(h, next, at.n);
        }
}

/* The states h of rows row0... become hp as they enter step t, by the factor `decay`. */
static void decay_rows(const cgru_call *call, T *h, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    for (ptrdiff_t row = 0; row < rows; row++, h += call->up)
        for (ptrdiff_t c = 0; c < call->u; c += LANES) {
            const place at = place_of(call, SAMPLE(call, row0 + row), t, c);
            store(h + c, entering_state(call, at, load_spread(call->decay, at), load(h + c)));
        }
}

/* h (u, padded with zeros) = h0. */
INLINE void begin_rows(const cgru_call *call, T *h, const T *h0) {
    store(h + call->up - LANES, ZERO);
    memcpy(h, h0, call->u * sizeof(T));
}

/* Calls `low_precision_step` with the kind, and a single row, as constants. */
static void steps_of(const cgru_low_precision_layer *layer, const low_precision_work *work, const T *x, ptrdiff_t t,
                     ptrdiff_t row0, ptrdiff_t rows) {
    if (layer->U.kind == CGRU_INT8 && rows == 1)
        low_precision_step(CGRU_INT8, layer, work, x, t, row0, 1);
    else if (layer->U.kind == CGRU_INT8)
        low_precision_step(CGRU_INT8, layer, work, x, t, row0, rows);
    else if (layer->U.kind == CGRU_BFLOAT16 && rows == 1)
        low_precision_step(CGRU_BFLOAT16, layer, work, x, t, row0, 1);
    else
        low_precision_step(layer->U.kind, layer, work, x, t, row0, rows);
}

/* Runs one step of a single sample x (e): h (u) is updated in place. */
static void low_precision_single(const cgru_low_precision_layer *layer, const void *x, void *h, void *memory) {
    low_precision_work work = work_of(layer, 1, memory);
    work.h = h;
    steps_of(layer, &work, x, 0, 0, 1);
}

/* Runs all steps of rows row0... of a call, from its h0 to its `last`, and writes h where the call wants it. */
static void low_precision_forward(const cgru_low_precision_layer *layer, ptrdiff_t row0, ptrdiff_t rows, void *memory) {
    const cgru_call *call = layer->call;
    const low_precision_work work = work_of(layer, rows, memory);
    for (ptrdiff_t row = 0; row < rows; row++)
        begin_rows(call, work.h + row * call->up, AT(call->h0, SAMPLE(call, row0 + row), 0));
    for (ptrdiff_t n = 0; n < call->s; n++) {
        const ptrdiff_t t = call->reverse ? call->s - 1 - n : n;
        ptrdiff_t live = rows;
        if (call->running) live = call->running[t] < row0 ? 0 : min(rows, call->running[t] - row0);
        if (live > 0 && call->decay.data) decay_rows(call, work.h, t, row0, live);
        if (live > 0) steps_of(layer, &work, NULL, t, row0, live);
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        memcpy(AT(call->last, SAMPLE(call, row0 + row), 0), work.h + row * call->up, call->u * sizeof(T));
}

/* out (rows, n) = X W + b; `bound` is that of |x|, `memory` has `low_precision_linear_size` bytes. */
static void low_precision_linear(const cgru_quantized *W, const void *b, const cgru_operand *X, cgru_array out,
                                 ptrdiff_t rows, double bound, void *memory) {
    ALIGNED T tile[INT8_ROWS * 4 * LANES];
    T *scale = memory;
    const prepared_rows operand = {(char *)(scale + VECTORS_OF(rows) * LANES), operand_bytes(W->kind, X->k), scale};
    for (ptrdiff_t row = 0; row < rows; row++)
        prepare_row(W->kind, (const T *)X->rows + row * X->ld, X->k, (T)bound, operand.rows + row * operand.bytes,
                    scale + row);
    for (ptrdiff_t c = 0; c < W->columns; c += 4 * LANES)
        for (ptrdiff_t row = 0; row < rows; row += tile_rows(W->kind)) {
            const ptrdiff_t count = min(tile_rows(W->kind), rows - row), columns = min(W->columns - c, 4 * LANES);
            const tile_sums sums = {(const T *)b + c, 0, tile, 4 * LANES};
            add_tile(W->kind, W, &operand, row, count, c, &sums);
            for (ptrdiff_t i = 0; i < count; i++)
                for (ptrdiff_t j = 0; j < columns; j += LANES)
                    store_n((T *)out.data + (row + i) * out.sample + c + j, load(tile + i * 4 * LANES + j),
                            min(columns - j, LANES));
        }
}

/* Returns the bytes of memory of `low_precision_linear`. */
static ptrdiff_t low_precision_linear_size(int kind, ptrdiff_t k, ptrdiff_t rows) {
    return VECTORS_OF(rows) * LANES * (ptrdiff_t)sizeof(T) + rows * operand_bytes(kind, k);
}

/* --- packing --- */

/* Returns how many words of 32 bits a column of k weights takes. */
static ptrdiff_t depth_of(int kind, ptrdiff_t k) { return kind == CGRU_INT8 ? (k + 3) / 4 : (k + 1) / 2; }

/* Packs W (k, n), int8 or the bits of bfloat16, rows contiguous and `row` apart, into words; and, of int8, the initial
 * sums, which cancel OFFSET. Columns are padded to whole vectors. */
static void low_precision_pack(int kind, const void *W, ptrdiff_t row, ptrdiff_t k, ptrdiff_t n, void *words_,
                               void *initial_sums_) {
    const int group = kind == CGRU_INT8 ? 4 : 2, bits = 32 / group;
    uint32_t *to = words_;
    int32_t *initial_sums = initial_sums_;
    for (ptrdiff_t c0 = 0; c0 < n; c0 += 4 * LANES) {
        const ptrdiff_t columns = min(4, VECTORS_OF(n - c0)) * LANES;
        for (ptrdiff_t r = 0; r < k; r += group)
            for (ptrdiff_t c = c0; c < c0 + columns; c++) {
                uint32_t word = 0;
                for (ptrdiff_t i = 0; c < n && i < group && r + i < k; i++) {
                    const ptrdiff_t at = (r + i) * row + c;
                    const uint32_t one =
                        kind == CGRU_INT8 ? (uint8_t)((const int8_t *)W)[at] : ((const uint16_t *)W)[at];
                    word |= one << (i * bits);
                }
                *to++ = word;
            }
        for (ptrdiff_t c = c0; kind == CGRU_INT8 && c < c0 + columns; c++) {
            uint32_t sum = 0; /* may wrap around, as the sums that are added to it do */
            for (ptrdiff_t r = 0; c < n && r < k; r++) sum += (uint32_t)((const int8_t *)W)[r * row + c];
            initial_sums[c] = (int32_t)(0u - OFFSET * sum);
        }
    }
}
