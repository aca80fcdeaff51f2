/* A layer whose weights are of fewer bytes: int8, or bfloat16. float32 alone, and forward alone.
 *
 * int8: a column of weights is a scale times integers from -127 to 127. A row of x, h or r * h is brought to such integers
 * too, its codes, as it comes, so that a product is a sum of integers, the same at each level and in any order:
 *
 *     x W = (scale of the row * scale of the column) * sum of codes * weights
 *
 * bfloat16: the upper half of a float32; rows stay as they are, and sums are those of float32. Where the processor multiplies
 * pairs of them, rows of a call with several samples may be rounded to bfloat16, too, and take half the time.
 *
 * A word of 32 bits holds the weights of a column for GROUP rows one after another. Words lie as the weights of single.h do:
 * in parts of up to four vectors of columns, each with its words one after another. */

/* --- tiles: sum (rows, width vectors) += rows of an operand times the columns of W from c on --- */

typedef void tile_function(const cgru_narrow *W, ptrdiff_t c, const void *operand, ptrdiff_t ld, const T *scale, T *sum,
                           ptrdiff_t columns);

/* Sums of integers may run in any number of chains: a row alone in so many that they need not wait for each other. */
INLINE void int8_tile(const int rows, const int width, const cgru_narrow *W, ptrdiff_t c, const char *codes, ptrdiff_t ld,
                      const T *scale, T *sum, ptrdiff_t columns) {
    const int chains = rows > 1 ? 1 : width > 2 ? 2 : 4;
    const int32_t *words = (const int32_t *)W->words + c * W->depth;
    ints part[4][4];
    UNROLL(4)
    for (int i = 0; i < rows * chains; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) part[i][j] = OFFSET && i < rows ? load_ints(W->begin + c + j * LANES) : (ints){0};
    }
    ptrdiff_t n = 0;
    for (; n + chains <= W->depth; n += chains) {
        UNROLL(4)
        for (int chain = 0; chain < chains; chain++, words += width * LANES, codes += 4 * CODE) {
            UNROLL(4)
            for (int j = 0; j < width; j++) {
                const ints w = load_ints(words + j * LANES);
                UNROLL(4)
                for (int i = 0; i < rows; i++) part[i + chain][j] = add_codes(part[i + chain][j], codes + i * ld, w);
            }
        }
    }
    for (; n < W->depth; n++, words += width * LANES, codes += 4 * CODE) {
        UNROLL(4)
        for (int j = 0; j < width; j++) part[0][j] = add_codes(part[0][j], codes, load_ints(words + j * LANES));
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) {
            T *to = sum + i * columns + j * LANES;
            const vec factor = scale[i] * load(W->scale + c + j * LANES);
            ints all = part[i][j];
            UNROLL(4)
            for (int chain = 1; chain < chains; chain++) all += part[i + chain][j];
            store(to, fused(load(to), factor, CONVERT(all)));
        }
    }
}

/* Rows one after another run in two chains: those of the lower halves of words and those of the upper ones. */
INLINE void bfloat16_tile(const int rows, const int width, const cgru_narrow *W, ptrdiff_t c, const T *x, ptrdiff_t ld,
                          T *sum, ptrdiff_t columns) {
    const int32_t *words = (const int32_t *)W->words + c * W->depth;
    vec low[2][4], high[2][4];
    UNROLL(2)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) low[i][j] = load(sum + i * columns + j * LANES), high[i][j] = ZERO;
    }
    for (ptrdiff_t n = 0; n < W->depth; n++, words += width * LANES, x += 2) {
        UNROLL(4)
        for (int j = 0; j < width; j++) {
            const ints w = load_ints(words + j * LANES);
            const vec first = NUMBERS((ints)((uints)w << 16)), second = NUMBERS(w & (INT)0xffff0000);
            UNROLL(2)
            for (int i = 0; i < rows; i++) {
                low[i][j] = add_product(low[i][j], x[i * ld], first);
                high[i][j] = add_product(high[i][j], x[i * ld + 1], second);
            }
        }
    }
    UNROLL(2)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) store(sum + i * columns + j * LANES, low[i][j] + high[i][j]);
    }
}

#if BF16
/* Both rounded: each word and each pair of a row is two products. */
INLINE void rounded_tile(const int rows, const int width, const cgru_narrow *W, ptrdiff_t c, const char *pairs,
                         ptrdiff_t ld, T *sum, ptrdiff_t columns) {
    const int32_t *words = (const int32_t *)W->words + c * W->depth;
    vec part[4][4];
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) part[i][j] = load(sum + i * columns + j * LANES);
    }
    for (ptrdiff_t n = 0; n < W->depth; n++, words += width * LANES, pairs += 4) {
        UNROLL(4)
        for (int j = 0; j < width; j++) {
            const ints w = load_ints(words + j * LANES);
            UNROLL(4)
            for (int i = 0; i < rows; i++)
                part[i][j] = (vec)_mm512_dpbf16_ps((__m512)part[i][j], (__m512bh)w,
                                                   (__m512bh)_mm512_set1_epi32(WORD(pairs + i * ld)));
        }
    }
    UNROLL(4)
    for (int i = 0; i < rows; i++) {
        UNROLL(4)
        for (int j = 0; j < width; j++) store(sum + i * columns + j * LANES, part[i][j]);
    }
}
#endif

enum { INT8_ROWS = BYTES == 64 ? 4 : 2, BFLOAT16_ROWS = BYTES == 64 ? 2 : 1 };

#define INT8_OF(rows, width)                                                                                         \
    static void int8_##rows##_##width(const cgru_narrow *W, ptrdiff_t c, const void *operand, ptrdiff_t ld,          \
                                      const T *scale, T *sum, ptrdiff_t columns) {                                   \
        int8_tile(rows, width, W, c, operand, ld, scale, sum, columns);                                              \
    }
#define BFLOAT16_OF(rows, width)                                                                                     \
    static void bfloat16_##rows##_##width(const cgru_narrow *W, ptrdiff_t c, const void *operand, ptrdiff_t ld,      \
                                          const T *scale, T *sum, ptrdiff_t columns) {                               \
        (void)scale;                                                                                                 \
        bfloat16_tile(rows, width, W, c, operand, ld, sum, columns);                                                 \
    }
#define ROUNDED_OF(rows, width)                                                                                      \
    static void rounded_##rows##_##width(const cgru_narrow *W, ptrdiff_t c, const void *operand, ptrdiff_t ld,       \
                                         const T *scale, T *sum, ptrdiff_t columns) {                                \
        (void)scale;                                                                                                 \
        rounded_tile(rows, width, W, c, operand, ld, sum, columns);                                                  \
    }
#define WIDTHS(of, rows) of(rows, 1) of(rows, 2) of(rows, 3) of(rows, 4)
#define TILES(kind, rows) {kind##_##rows##_1, kind##_##rows##_2, kind##_##rows##_3, kind##_##rows##_4}
WIDTHS(INT8_OF, 1)
WIDTHS(INT8_OF, 2)
WIDTHS(BFLOAT16_OF, 1)
#if BYTES == 64
WIDTHS(INT8_OF, 3)
WIDTHS(INT8_OF, 4)
WIDTHS(BFLOAT16_OF, 2)
#endif
static tile_function *const int8_tiles[INT8_ROWS][4] = {
    TILES(int8, 1),
    TILES(int8, 2),
#if BYTES == 64
    TILES(int8, 3),
    TILES(int8, 4),
#endif
};
static tile_function *const bfloat16_tiles[BFLOAT16_ROWS][4] = {
    TILES(bfloat16, 1),
#if BYTES == 64
    TILES(bfloat16, 2),
#endif
};

#if BF16
WIDTHS(ROUNDED_OF, 1)
WIDTHS(ROUNDED_OF, 2)
WIDTHS(ROUNDED_OF, 3)
WIDTHS(ROUNDED_OF, 4)
static tile_function *const rounded_tiles[4][4] = {TILES(rounded, 1), TILES(rounded, 2), TILES(rounded, 3), TILES(rounded, 4)};
#endif

/* --- what is multiplied: rows of codes with their scales, or of numbers, each padded to whole vectors and words --- */

INLINE ptrdiff_t padded(ptrdiff_t k) { return LANES > 1 ? VECTORS_OF(k) * LANES : (k + 3) / 4 * 4; }

static ptrdiff_t bytes_of(int kind) { return kind == CGRU_INT8 ? CODE : kind == CGRU_ROUNDED ? 2 : (ptrdiff_t)sizeof(T); }

static ptrdiff_t operand_bytes(int kind, ptrdiff_t k) {
    return padded(k) * bytes_of(kind);
}

/* The operand of x (k). */
INLINE void see_row(int kind, const T *x, ptrdiff_t k, T bound, void *to, T *scale) {
    if (kind == CGRU_INT8) {
        *scale = code_row(x, k, bound, to);
        return;
    }
#if BF16
    if (kind == CGRU_ROUNDED) {
        for (ptrdiff_t i = 0; i < k; i += LANES)
            _mm256_storeu_si256((__m256i *)((char *)to + 2 * i), (__m256i)_mm512_cvtneps_pbh((__m512)load_some(x + i, k - i)));
        return;
    }
#endif
    for (ptrdiff_t i = 0; i < k; i += LANES) store((T *)to + i, load_some(x + i, k - i));
    for (ptrdiff_t i = VECTORS_OF(k) * LANES; i < padded(k); i++) ((T *)to)[i] = 0; /* times no weight, but not NaN */
}

typedef struct {
    char *rows; /* of `bytes` each */
    ptrdiff_t bytes;
    T *scale;
} seen_rows;

/* sum (rows, columns) += the operand times all columns of W that a part has */
INLINE void add_seen(int kind, const cgru_narrow *W, const seen_rows *seen, ptrdiff_t row, ptrdiff_t rows, ptrdiff_t width,
                     ptrdiff_t c, T *sum, ptrdiff_t columns) {
    const char *x = seen->rows + row * seen->bytes;
    if (kind == CGRU_INT8) int8_tiles[rows - 1][width - 1](W, c, x, seen->bytes, seen->scale + row, sum, columns);
#if BF16
    else if (kind == CGRU_ROUNDED) rounded_tiles[rows - 1][width - 1](W, c, x, seen->bytes, NULL, sum, columns);
#endif
    else bfloat16_tiles[rows - 1][width - 1](W, c, x, seen->bytes / (ptrdiff_t)sizeof(T), NULL, sum, columns);
}

INLINE ptrdiff_t tile_rows(int kind) { return kind == CGRU_BFLOAT16 ? BFLOAT16_ROWS : INT8_ROWS; }

/* Runs the body for each part of up to four vectors of n columns, which begins at c and has `width`, and for each tile of
 * `count` rows from `row` on: the weights of a part are read for all rows before those of the next. */
#define EACH_TILE(kind, n, rows, ...)                                                                                \
    for (ptrdiff_t c = 0; c < (n); c += 4 * LANES) {                                                                 \
        const ptrdiff_t width = min(4, VECTORS_OF((n) - c)), columns = width * LANES;                                \
        for (ptrdiff_t row = 0, most = tile_rows(kind), count; row < (rows); row += count) {                         \
            count = min(most, (rows) - row);                                                                         \
            __VA_ARGS__                                                                                              \
        }                                                                                                            \
    }

INLINE void begin_tile(const void *b, ptrdiff_t c, ptrdiff_t count, ptrdiff_t columns, T *sum) {
    for (ptrdiff_t i = 0; i < count; i++)
        for (ptrdiff_t j = 0; j < columns; j += LANES) store(sum + i * columns + j, load((const T *)b + c + j));
}

/* --- the layer --- */

/* What the rows of a call work on: h | r * h (or r, then r * c) | z, and what is seen of x, h and r * h. */
typedef struct {
    T *h, *rh, *z;
    seen_rows x, hp, reset;
} narrow_work;

static narrow_work work_of(const cgru_narrow_layer *layer, ptrdiff_t rows, void *memory) {
    const cgru_call *call = layer->call;
    const int kind = layer->kind;
    narrow_work work = {.h = memory};
    work.rh = work.h + rows * call->up;
    work.z = work.rh + rows * call->up;
    T *scale = work.z + rows * call->up;
    char *seen = (char *)(scale + VECTORS_OF(3 * rows) * LANES);
    work.x = (seen_rows){seen, operand_bytes(kind, call->e), scale};
    seen += rows * work.x.bytes;
    work.hp = (seen_rows){seen, operand_bytes(kind, call->u), scale + rows};
    seen += rows * work.hp.bytes;
    work.reset = (seen_rows){seen, work.hp.bytes, scale + 2 * rows};
    return work;
}

/* Bytes of memory for so many rows. */
static ptrdiff_t narrow_room(const cgru_narrow_layer *layer, ptrdiff_t rows) {
    const cgru_call *call = layer->call;
    const int kind = layer->kind;
    return (3 * rows * call->up + VECTORS_OF(3 * rows) * LANES) * (ptrdiff_t)sizeof(T) +
           rows * (operand_bytes(kind, call->e) + 2 * operand_bytes(kind, call->u));
}

INLINE void see_states(int kind, const cgru_narrow_layer *layer, const T *states, ptrdiff_t rows, const seen_rows *to) {
    const cgru_call *call = layer->call;
    for (ptrdiff_t row = 0; row < rows; row++)
        see_row(kind, states + row * call->up, call->u, (T)layer->bound, to->rows + row * to->bytes,
                to->scale + row);
}

/* Step t of rows from `row0` on of the call, the first of which is the first of the work; x: that of a single row, or NULL
 * where it stands in the call. */
INLINE void narrow_step(const int kind, const cgru_narrow_layer *layer, const narrow_work *work, const T *x, ptrdiff_t t,
                        ptrdiff_t row0, ptrdiff_t rows) {
    const cgru_call *call = layer->call;
    const ptrdiff_t u = call->u, up = call->up;
    ALIGNED T tile[INT8_ROWS * 4 * LANES];
    /* x and hp as the products see them */
    for (ptrdiff_t row = 0; row < rows; row++)
        see_row(kind, x ? x : AT(call->X, SAMPLE(call, row0 + row), t), call->e, (T)layer->x_bound,
                work->x.rows + row * work->x.bytes, work->x.scale + row);
    see_states(kind, layer, work->h, rows, &work->hp);
    /* 1. r = activate_reset(x Ur + hp Vr + br), r * hp;  z = activate_update(x Uz + hp Vz + bz) */
    for (int gate = CGRU_R; gate <= CGRU_Z; gate++) {
        EACH_TILE(kind, u, rows, {
            begin_tile(layer->b[gate], c, count, columns, tile);
            add_seen(kind, &layer->U[gate], &work->x, row, count, width, c, tile, columns);
            add_seen(kind, &layer->V[gate], &work->hp, row, count, width, c, tile, columns);
            for (ptrdiff_t i = row; i < row + count; i++)
                for (ptrdiff_t j = 0; j < columns; j += LANES) {
                    const place at = place_of(call, SAMPLE(call, row0 + i), t, c + j);
                    const vec sum = load(tile + (i - row) * columns + j);
                    if (gate == CGRU_R)
                        store(work->rh + i * up + at.c, reset_gate(call, at, sum, load(work->h + i * up + at.c)));
                    else
                        store(work->z + i * up + at.c, update_gate(call, at, sum));
                }
        })
    }
    /* 2. c = hp Vhh + chh, r * c; or r * hp as the product sees it */
    if (call->after) {
        EACH_TILE(kind, u, rows, {
            begin_tile(layer->b[CGRU_C], c, count, columns, tile);
            add_seen(kind, &layer->V[CGRU_HH], &work->hp, row, count, width, c, tile, columns);
            for (ptrdiff_t i = row; i < row + count; i++)
                for (ptrdiff_t j = 0; j < columns; j += LANES) {
                    T *r = work->rh + i * up + c + j;
                    store(r, load(r) * load(tile + (i - row) * columns + j));
                }
        })
    } else {
        see_states(kind, layer, work->rh, rows, &work->reset);
    }
    /* 3. hh = activate(x Uhh + bhh + r * c), or activate(x Uhh + (r * hp) Vhh + bhh);  h = z * hp + (1 - z) * hh */
    EACH_TILE(kind, u, rows, {
        begin_tile(layer->b[CGRU_HH], c, count, columns, tile);
        add_seen(kind, &layer->U[CGRU_HH], &work->x, row, count, width, c, tile, columns);
        if (!call->after) add_seen(kind, &layer->V[CGRU_HH], &work->reset, row, count, width, c, tile, columns);
        for (ptrdiff_t i = row; i < row + count; i++)
            for (ptrdiff_t j = 0; j < columns; j += LANES) {
                const place at = place_of(call, SAMPLE(call, row0 + i), t, c + j);
                const T *z = work->z + i * up + at.c;
                const vec hh_ = preactivation(call, load(tile + (i - row) * columns + j), work->rh + i * up + at.c);
                T *h = work->h + i * up + at.c;
                const vec next = new_state(0, call, at, hh_, load(z), load_some(h, at.n));
                if (at.n == LANES) /* what a masked store wrote is slow to be read again */
                    store(h, next);
                else
                    store_n(h, next, at.n);
            }
    })
}

INLINE void begin_rows(const cgru_call *call, T *h, const T *h0) {
    store(h + call->up - LANES, ZERO);
    memcpy(h, h0, call->u * sizeof(T));
}

/* `narrow_step`, compiled for what the kind is, and for one row. */
static void steps_of(const cgru_narrow_layer *layer, const narrow_work *work, const T *x, ptrdiff_t t, ptrdiff_t row0,
                     ptrdiff_t rows) {
    if (layer->kind == CGRU_INT8 && rows == 1)
        narrow_step(CGRU_INT8, layer, work, x, t, row0, 1);
    else if (layer->kind == CGRU_INT8)
        narrow_step(CGRU_INT8, layer, work, x, t, row0, rows);
    else if (layer->kind == CGRU_BFLOAT16 && rows == 1)
        narrow_step(CGRU_BFLOAT16, layer, work, x, t, row0, 1);
    else
        narrow_step(layer->kind, layer, work, x, t, row0, rows);
}

/* One step of a single sample, h (u) in and out. */
static void narrow_single(const cgru_narrow_layer *layer, const void *x, void *h, void *memory) {
    const narrow_work work = work_of(layer, 1, memory);
    begin_rows(layer->call, work.h, h);
    steps_of(layer, &work, x, 0, 0, 1);
    memcpy(h, work.h, layer->call->u * sizeof(T));
}

/* All steps of some rows of a call, h0 and `last` of which are where the states stand before and after. */
static void narrow_forward(const cgru_narrow_layer *layer, ptrdiff_t row0, ptrdiff_t rows, void *memory) {
    const cgru_call *call = layer->call;
    const narrow_work work = work_of(layer, rows, memory);
    for (ptrdiff_t row = 0; row < rows; row++)
        begin_rows(call, work.h + row * call->up, AT(call->h0, SAMPLE(call, row0 + row), 0));
    for (ptrdiff_t n = 0; n < call->s; n++) {
        const ptrdiff_t t = call->reverse ? call->s - 1 - n : n;
        ptrdiff_t live = rows;
        if (call->running) live = call->running[t] < row0 ? 0 : min(rows, call->running[t] - row0);
        if (live > 0) steps_of(layer, &work, NULL, t, row0, live);
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        memcpy(AT(call->last, SAMPLE(call, row0 + row), 0), work.h + row * call->up, call->u * sizeof(T));
}

/* out (rows, n) = X W + b */
static void narrow_linear(const cgru_narrow *W, const void *b, const cgru_operand *X, cgru_array out, ptrdiff_t rows,
                          double bound, void *memory) {
    ALIGNED T tile[INT8_ROWS * 4 * LANES];
    T *scale = memory;
    const seen_rows seen = {(char *)(scale + VECTORS_OF(rows) * LANES), operand_bytes(W->kind, X->k), scale};
    for (ptrdiff_t row = 0; row < rows; row++)
        see_row(W->kind, (const T *)X->rows + row * X->ld, X->k, (T)bound, seen.rows + row * seen.bytes, scale + row);
    EACH_TILE(W->kind, W->columns, rows, {
        begin_tile(b, c, count, columns, tile);
        add_seen(W->kind, W, &seen, row, count, width, c, tile, columns);
        for (ptrdiff_t i = row; i < row + count; i++)
            for (ptrdiff_t j = 0; j < columns; j += LANES)
                store_n((T *)out.data + i * out.sample + c + j, load(tile + (i - row) * columns + j),
                        min(W->columns - c - j, LANES));
    })
}

static ptrdiff_t narrow_linear_room(int kind, ptrdiff_t k, ptrdiff_t rows) {
    return VECTORS_OF(rows) * LANES * (ptrdiff_t)sizeof(T) + rows * operand_bytes(kind, k);
}

/* --- packing --- */

/* Words of k rows: so many. */
static ptrdiff_t depth_of(int kind, ptrdiff_t k) { return kind == CGRU_INT8 ? (k + 3) / 4 : (k + 1) / 2; }

/* W (k, n), int8 codes or the bits of bfloat16, C-contiguous, `row` apart, into words; and, of int8, what sums begin with.
 * Columns are padded to whole vectors. */
static void narrow_pack(int kind, const void *W, ptrdiff_t row, ptrdiff_t k, ptrdiff_t n, void *words_, void *begin_) {
    const int group = kind == CGRU_INT8 ? 4 : 2, bits = 32 / group;
    uint32_t *to = words_;
    int32_t *begin = begin_;
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
            uint32_t sum = 0; /* which may wrap, as what is added to it does */
            for (ptrdiff_t r = 0; c < n && r < k; r++) sum += (uint32_t)((const int8_t *)W)[r * row + c];
            begin[c] = (int32_t)(0u - OFFSET * sum);
        }
    }
}
