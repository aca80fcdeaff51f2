/* Products with unpacked, transposed weights: tile (rows, LANES) = a (rows, k) W^T + bias, W (n, k) row-contiguous.
 *
 * It is chosen, like unpacked_gemm.h, for calls that end before packing pays, where the user's array is
 * column-contiguous or the pass backward needs transposes. A row of W gives one column of the result: lanes are the
 * terms of a sum, and LANES sums are reduced together. */

/* sum (rows x side) += x y^T over n terms from j on, in lanes; x are `rows` rows of `a`, y are `side` rows of W. */
INLINE void transposed_columns(const int rows, const int side, T *const *x, T *const *y, ptrdiff_t j, ptrdiff_t n,
                               vec *sum) {
    vec a[4];
    UNROLL(4)
    for (int i = 0; i < rows; i++) a[i] = load_n(x[i] + j, n);
    UNROLL(16)
    for (int c = 0; c < side; c++) {
        vec b = load_n(y[c] + j, n);
        KEEP(b);
        UNROLL(4)
        for (int i = 0; i < rows; i++) sum[i * side + c] = fused(sum[i * side + c], a[i], b);
    }
}

/* tile (rows, LANES) = columns `column`... of the result, zero past the last; rows past `count` repeat the last row. */
INLINE void transposed_tile(const int rows, const cgru_product *product, ptrdiff_t row, ptrdiff_t count,
                            ptrdiff_t column, T *tile) {
    const int side = LANES / rows;
    const ptrdiff_t padded = VECTORS_OF(product->width) * LANES, gate = column / padded;
    column -= gate * padded;
    for (int part = 0; part < rows; part++) {
        T lanes[LANES], *x[4], *y[LANES];
        vec sum[LANES];
        UNROLL(16)
        for (int i = 0; i < LANES; i++) sum[i] = ZERO;
        for (int o = 0; o < product->operands; o++) {
            const cgru_operand *a = &product->operand[o];
            const cgru_matrix *W = &product->unpacked[o][gate];
            UNROLL(4)
            for (int i = 0; i < rows; i++) x[i] = (T *)a->rows + (row + min(i, count - 1)) * a->ld;
            UNROLL(16)
            for (int c = 0; c < side; c++)
                y[c] = (T *)W->data + min(column + part * side + c, product->width - 1) * W->row;
            ptrdiff_t j = 0;
            for (; j + LANES <= a->k; j += LANES) transposed_columns(rows, side, x, y, j, LANES, sum);
            if (j < a->k) transposed_columns(rows, side, x, y, j, a->k - j, sum);
        }
        transpose(sum);
        UNROLL(4)
        for (int n = LANES / 2; n; n /= 2) {
            UNROLL(8)
            for (int i = 0; i < n; i++) sum[i] += sum[i + n];
        }
        store(lanes, sum[0]);
        for (int i = 0; i < rows; i++)
            for (int c = 0; c < side; c++)
                tile[i * LANES + part * side + c] =
                    column + part * side + c < product->width ? lanes[i * side + c] : 0;
    }
}

/* Computes `transposed_tile` with rows 1, a constant. */
static void transposed_1(const cgru_product *product, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, T *tile) {
    transposed_tile(1, product, row, count, column, tile);
}
#if LANES > 1
/* Computes `transposed_tile` with rows 2, a constant. */
static void transposed_2(const cgru_product *product, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, T *tile) {
    transposed_tile(2, product, row, count, column, tile);
}
#endif
#if LANES > 2
/* Computes `transposed_tile` with rows 4, a constant. */
static void transposed_4(const cgru_product *product, ptrdiff_t row, ptrdiff_t count, ptrdiff_t column, T *tile) {
    transposed_tile(4, product, row, count, column, tile);
}
#endif

/* Computes a product with transposed weights for rows row0..., and calls its epilogue. */
static void transposed_product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    const split blocks = split_of(rows, min(LANES, 4));
    ALIGNED T tile[4 * LANES];
    for (ptrdiff_t v = 0; v < product->vectors; v++)
        PARTS(blocks, b, first, count) {
            const ptrdiff_t row = row0 + first;
            switch (count) {
#if LANES > 2
            case 4:
            case 3: transposed_4(product, row, count, v * LANES, tile); break;
#endif
#if LANES > 1
            case 2: transposed_2(product, row, count, v * LANES, tile); break;
#endif
            default: transposed_1(product, row, count, v * LANES, tile);
            }
            for (ptrdiff_t i = 0; product->bias && i < count; i++)
                store(tile + i * LANES, load(tile + i * LANES) + load((const T *)product->bias + v * LANES));
            product->epilogue(product, t, row, count, v, 1, tile);
        }
}

/* Computes a product with its weights packed, transposed, or unpacked: row after row if it has `sums`, else in tiles. */
static void product(const cgru_product *product, ptrdiff_t t, ptrdiff_t row0, ptrdiff_t rows) {
    if (!product->unpacked[0])
        packed_product(product, t, row0, rows);
    else if (product->is_transposed)
        transposed_product(product, t, row0, rows);
    else if (product->sums)
        unpacked_product(product, t, row0, rows);
    else
        unpacked_tiled_product(product, t, row0, rows);
}
