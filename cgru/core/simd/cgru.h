/* The interface between the compiled modules and the kernels: argument structs, and tables of function pointers.
 *
 * m samples, s steps, e features of a step, u units. A row is one sample of a batch. up and ep are u and e, padded to
 * whole vectors. LANES is how many numbers a vector has.
 *
 * No struct depends on a dtype: the table of kernels that is called decides how `void *` is read. Strides and leading
 * dimensions count numbers, never bytes. The structs own no memory. */
#ifndef CGRU_H
#define CGRU_H

#include <stddef.h>

/* The codes of the activations, in the order of CODES in activations.py. Gates have those before CGRU_FADING. */
enum {
    CGRU_LOG_SOFTMAX = -2, CGRU_SOFTMAX, CGRU_IDENTITY, CGRU_RELU, CGRU_LRELU, CGRU_ELU, CGRU_SIGMOID, CGRU_TANH,
    CGRU_FADING, CGRU_GELU, CGRU_SILU, CGRU_SOFTPLUS
};

typedef struct {
    int code;
    double alpha; /* the slope of lrelu, alpha of elu; of softmax, which a head alone has, the temperature */
} cgru_activation;

/* A strided array (m, s, n): number (i, t, c) stands at data[i * sample + t * step + c * column]. `column` is 1 unless
 * the lanes of the call are samples. */
typedef struct {
    void *data; /* NULL: the array is not wanted */
    ptrdiff_t sample, step, column;
} cgru_array;

/* The arrays of a call, given one by one to a macro ARRAY. This is the one list: the fields of `cgru_call` and the
 * names that Python binds are made from it. */
#define CGRU_ARRAYS(ARRAY)                                                                                             \
    /* Forward: h0 and X are read, the others are written. Backward: all but X are read. hp is h a step earlier. */    \
    ARRAY(h0) ARRAY(X) ARRAY(h) ARRAY(hp) ARRAY(hh) ARRAY(z) ARRAY(r) ARRAY(c) ARRAY(hh_) ARRAY(z_) ARRAY(r_)          \
    ARRAY(kept) /* (m, s, u) zoneout masks in place of the rate `zoneout`, in both directions */                       \
    ARRAY(last) /* (m, 1, u) the state after the last step of a row */                                                 \
    /* Backward: dA (no data: zero) is read, the others are written. h0 is dL/d(last state), `last` is dL/dh0. */      \
    ARRAY(dA) ARRAY(dh_) ARRAY(dh) ARRAY(dhh_) ARRAY(dz_) ARRAY(dr_) ARRAY(dc) ARRAY(dX)                               \
    /* Layer norm, (m, s, 3 u), columns z | r | hh: nU and nV are the normalised products of X and of hp, dU_ and dV_  \
     * the gradients of these products before normalising. iU and iV (m, s, 1) are 1 / sqrt(variance + eps). */        \
    ARRAY(nU) ARRAY(nV) ARRAY(iU) ARRAY(iV) ARRAY(dU_) ARRAY(dV_)                                                      \
    ARRAY(recurrent) /* (m, 3, u) the recurrent dropout masks of hh, z and r, the same at all steps */                 \
    /* The factor g of the state as it enters a step: hp = g * (h a step earlier) + (1 - g) * start; hp is then an     \
     * array of its own. decay (m, s, u) is g; `column` 0: one number for all units. start (1, 1, u), of all samples   \
     * and steps; no data: zero. Backward dhp (m, s, u) = dL/dhp is written, and dh = g * dhp. */                      \
    ARRAY(decay) ARRAY(start) ARRAY(dhp)

/* Makes the enumerator of an array: its index in `cgru_call.array`. */
#define CGRU_PLACE(name) CGRU_PLACE_##name,
enum { CGRU_ARRAYS(CGRU_PLACE) CGRU_PLACES };

/* The variant: r multiplies the previous state before its product with Vhh, or that product, which layer norm
 * normalises first. In the order of `VARIANTS` in cgru/variant.py. */
enum { CGRU_RESET_BEFORE, CGRU_RESET_AFTER, CGRU_LAYER_NORM };

/* One call of the layer, forward or backward: its sizes, options, cache arrays and workspace. */
typedef struct {
    ptrdiff_t m, s, e, u;
    const ptrdiff_t *order;   /* (m) the sample that row i holds, longest first; NULL: sample i */
    const ptrdiff_t *running; /* (s) how many rows have a step t; NULL: all */
    cgru_activation activate, activate_update, activate_reset;
    int variant; /* CGRU_RESET_BEFORE, ...; a layer norm takes the step of norm.h, for any m */
    int reverse; /* whether steps run from the last to the first */
    double zoneout; /* h = zoneout * hp + (1 - zoneout) * h without zoneout */

/* Makes the field of an array in `cgru_call`. */
#define CGRU_FIELD(name) cgru_array name;
    union {
        struct { CGRU_ARRAYS(CGRU_FIELD) };
        cgru_array array[CGRU_PLACES]; /* the same arrays, by CGRU_PLACE_... */
    };

    /* The workspace (m, ld). A row holds, one after another and each padded to whole vectors,
     *
     *     forward h | x | r * h | z        backward dh | dhh_ | dz_ | dr_ | dc
     *
     * Where the reset comes after, r and then r * c take the place of r * h. single_sample.h, norm.h and batch_simd.h
     * have layouts of their own. */
    void *rows;
    ptrdiff_t ld;
    ptrdiff_t up, ep; /* u and e, padded to whole vectors */
    /* Offset in a row of the batched input projections x U + b of CGRU_STEPS steps, each r | z | hh, step t at t modulo
     * CGRU_STEPS; 0: x is an operand of the products of each step. */
    ptrdiff_t projections;
    ptrdiff_t staged; /* backward: offset in a row of dX, which then goes past the caches; 0: it is stored directly */
    ptrdiff_t masked; /* offset in a row of hp times the masks `recurrent` of r, z and hh; 0: no recurrent dropout */
    int padded;       /* whether the caches are written past the length of a sample */
    int fresh;        /* backward and gradients: the first step to run has no h0, its hp is zero */
    int linear;       /* gradients: of a single product, whose only gradient is dr_, of Ur and br */
    int anew;         /* gradients: are stored, whatever their memory holds, not added to it */
    int by_units;     /* gradients: of U and V are transposes (u, e) and (u, u); reset after, lanes units, no masks */
    int far;          /* backward: how many steps ahead is prefetched, where the arrays outgrow an L2 cache; else 0 */
    int whole;        /* whether the workspace has rows for all samples at once */
    int loose;        /* forward: sums may run in another order than those of packed weights; bits depend on m and s */
    ptrdiff_t column; /* of its arrays: 1, or m where lanes are samples; the rows then lie as in batch_simd.h */
} cgru_call;

/* The left operand of a product: rows of k numbers, `ld` apart. */
typedef struct {
    const void *rows;
    ptrdiff_t ld, k;
} cgru_operand;

/* A strided matrix: number (i, j) stands at data[i * row + j * column]. */
typedef struct {
    const void *data;
    ptrdiff_t row, column;
} cgru_matrix;

/* Indices of the gates. CGRU_C stands for chh, the bias of the recurrent product of the candidate, of reset-after and
 * layer norm. Below them the names of the parameters that Python binds, in the order of cgru_weights. */
enum { CGRU_R, CGRU_Z, CGRU_HH, CGRU_C };
#define CGRU_PARAMETERS(NAME)                                                                                          \
    NAME(Ur) NAME(Uz) NAME(Uhh) NAME(Vr) NAME(Vz) NAME(Vhh) NAME(br) NAME(bz) NAME(bhh) NAME(chh)                      \
    NAME(gU) NAME(gV) NAME(h0)

/* The parameters of each gate: U (e, u), V (u, u), b (1, u); of CGRU_C b alone. g: the gains gU and gV (1, 3 u) of a
 * layer norm. h0 (1, u): the learned initial state, which no kernel reads. */
typedef struct {
    cgru_matrix U[3], V[3], b[4], g[2], h0;
} cgru_weights;

/* The parameters of a step with layer norm; see norm.h. */
typedef struct {
    const cgru_call *call;
    const void *gains; /* (2, 3, up): gU and gV, each r | z | hh */
    const void *bias;  /* (4, up): br | bz | bhh | chh */
} cgru_norm;

/* The products x Ur, x Uz and x Uhh with features in the lanes; see feature_simd.h. out (rows, 3, u): number (row,
 * gate, unit) stands at row * sample + gate * step + unit * column. */
typedef struct {
    ptrdiff_t u, up, ep;
    ptrdiff_t gate;    /* stride between the weights of two gates */
    const void *W;     /* (3, u, ep): the transposes of U, zero past e; NULL: features are not in the lanes */
    const void *bias;  /* (3, up) */
    cgru_operand x;    /* rows of e features */
    cgru_array out;
} cgru_feature_product;

/* Sums of a single sample: sum (up) += a (u) V for each of `count` V from `pack_single`, in their order. */
typedef struct {
    ptrdiff_t u;
    int count;
    const void *a[3], *V[3];
    void *sum[3];
} cgru_row_sums;

/* The weights of a call with m = 1; see single_sample.h. Backward: the transposes of V alone. */
typedef struct {
    const cgru_call *call;
    const void *U; /* [Ur Uz Uhh], packed as the weights of a product */
    const cgru_feature_product *feature_product; /* in place of U, or NULL */
    cgru_matrix V[3], b[4]; /* from `pack_single`, `row` zero; or V unpacked, as the weights of a product */
    int fresh;              /* whether the first step to run has no previous state */
    void *sums;             /* workspace of 5 up numbers where V is unpacked */
    int is_transposed;      /* whether these are the transposes of V, where V is unpacked */
    /* Computes sums of packed V with other threads, unless NULL; `row` of V is then not zero, and `sums` as above. */
    void (*share_sums)(void *crew, const cgru_row_sums *sums, ptrdiff_t t);
    void *crew;
} cgru_single_sample;

struct cgru_product;

/* The weights of a call whose lanes are samples, a row for each output of a product; see batch_simd.h. */
typedef struct {
    const cgru_call *call;
    const void *gates, *recurrent, *candidate; /* forward; recurrent NULL: Vhh is among the weights of `candidate` */
    cgru_feature_product feature_product;      /* where W is not NULL, the weights above hold neither U nor b */
    const void *reset, *state, *input;         /* backward; reset NULL: Vhh is among the weights of `state` */
    const struct cgru_product *wide;           /* in place of `input`, for dX from rows dhh_ | dz_ | dr_ */
} cgru_batch;

/* An epilogue: applies the elementwise equations to a finished tile (rows, vectors * lanes) of a product, which begins
 * at row `row` and vector `vector`. */
typedef void cgru_epilogue(const struct cgru_product *product, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows,
                           ptrdiff_t vector, ptrdiff_t vectors, const void *tile);

/* A product: [operand 0 | operand 1 | ...] W + bias, given to the epilogue tile by tile; see gemm_microkernel.h. */
typedef struct cgru_product {
    cgru_operand operand[3];
    int operands;
    ptrdiff_t vectors;   /* columns of the result, in vectors */
    const void *weights; /* (sum of k, vectors * lanes), packed by `pack` */
    ptrdiff_t depth, k0; /* a product of some operands of another: the rows of all its weights, and the first row to
                            multiply; `depth` 0: all rows */
    int chains;          /* independent partial sums of a single row, to hide latency: 1, 2 or 4 */
    const void *bias;    /* (vectors * lanes); NULL: zero */
    const cgru_matrix *unpacked[3]; /* unpacked weights of each operand, if the first is not NULL: matrices of `width`
                                       columns, each of which begins at a whole vector; the bias is packed still */
    ptrdiff_t width;
    int is_transposed;   /* whether `unpacked` are the transposes: lanes are then the terms of a sum */
    void *sums;          /* workspace where unpacked weights are read row after row: `vectors` vectors for each row;
                            NULL: such weights are read in tiles, and have the same `row` in all gates */
    cgru_epilogue *epilogue;
    const cgru_call *call;
    cgru_array out;      /* of the epilogue `store_product`: rows `sample` apart, `columns` wide */
    ptrdiff_t columns;
    ptrdiff_t group;     /* of `store_product`: rows in a group, whose results are `out.step` apart; 0: no groups */
    ptrdiff_t column;    /* of the epilogue `gates`: offset of the first column among those of r | z */
    cgru_array mask;     /* of `reset_backward` and `state_backward`, (m, 1, u): multiplies the result; or no data */
} cgru_product;

/* The gradients of the parameters, C-contiguous, in the order of cgru_weights. */
typedef struct {
    void *U[3], *V[3], *b[4], *g[2], *h0;
} cgru_gradients;

/* What `product_columns` does: compute sums and run their epilogues; compute and store sums; run the epilogues of these. */
enum { CGRU_WHOLE, CGRU_STORE, CGRU_FINISH };

enum { CGRU_STEPS = 32 }; /* steps of a batched input projection */
enum { CGRU_GROUP = 16 }; /* rows collected together for weight gradients, so that each panel gets whole cache lines */

/* The recurrent operand of a product: hp, times r if `reset`, and times `mask` (m, 1, u) if that has data. */
typedef struct {
    int reset;
    cgru_array mask;
} cgru_state_operand;

enum { CGRU_STATE_OPERANDS = 3 };

/* One term of the weight gradients. Rows d (u) are multiplied by rows of `factor` if that has data. Then, where not
 * NULL, U += X^T d, V += (state operand number `state_operand`)^T d, b += the sum of d. */
typedef struct {
    cgru_array d, factor;
    void *U, *V, *b;
    int state_operand;
} cgru_term;

/* One share of the weight gradients, sums of outer products, so that shares can run on different threads. Lanes are
 * units, see outer_product.h: up to `depth` rows are collected in packed panels and then multiplied. A term has
 * panel_count(u) parts, the panels of its columns; the share is the parts from `first` to `last` of all terms. Lanes
 * are samples, see batch_simd.h: the share is the samples from `first` to `last`, and `operands` has
 * `batch_gradient_size` numbers. */
typedef struct {
    const cgru_call *call; /* X, hp and r are read */
    const cgru_term *terms;
    int term_count;
    const cgru_state_operand *state_operands; /* CGRU_STATE_OPERANDS of them */
    ptrdiff_t first, last;
    ptrdiff_t count, depth; /* rows collected; rows that there is space for */
    int fresh;              /* whether the collected rows have no previous state, so that V gets nothing */
    int streams;            /* whether what is stored, or with samples in the lanes X, does not fit the caches */
    int fills_U, fills_V;   /* whether dU and db, and dV, are stored, since nothing was written to them yet */
    int ascends;            /* whether the steps are summed from the first to the last, else from the last on */
    void *operands;         /* (ep + u for each state operand in use) x depth: panels of X, and of each state operand;
                               `call.by_units`: (ep + up) x depth */
    void *rows;             /* terms x up x depth: panels of d */
    void *wide;             /* NULL, or, where features are in the lanes for dU, terms x u x depth: d in panels of an
                               operand, while X stands in panels of vectors; of samples `batch_wide_size` numbers */
} cgru_outer_product;

enum {
    CGRU_NO_LOSS,
    CGRU_CROSS_ENTROPY,
    CGRU_BINARY_CROSS_ENTROPY,
    CGRU_MEAN_SQUARED_ERROR,
    CGRU_HUBER,
    CGRU_QUANTILE,
    CGRU_POISSON,
    CGRU_GAUSSIAN
};

/* The activation of a Dense layer and, of a head, the loss and its gradient; see loss.h. Z (the preactivation), A and
 * dZ are (rows, k); A and dZ are written where they have data. With CGRU_NO_LOSS, Y is dL/dA. */
typedef struct {
    int kind; /* CGRU_NO_LOSS, ... */
    cgru_activation activate;
    ptrdiff_t k; /* outputs */
    cgru_matrix Z, A, dZ;
    const ptrdiff_t *classes; /* the class of each row; NULL: targets are Y */
    cgru_matrix Y;            /* targets (rows, k / ways) */
    ptrdiff_t ways;           /* outputs of each target, side by side: the quantiles, or 2 of a Gaussian */
    const double *numbers;    /* options of the loss: delta, smoothing, or the quantiles */
    const double *weights;    /* weights of the rows; NULL: 1 */
    double share;             /* the factor of the mean: 1 / (sum of weights times values of a row) */
    void *work;               /* workspace of 2 k vectors */
} cgru_loss;

/* x W + b where lanes are samples, W (k, n); see batch_simd_linear.h. */
typedef struct {
    cgru_matrix W;
    const void *b; /* (n) contiguous, or NULL */
    ptrdiff_t k, n;
    cgru_array X, out;
} cgru_batch_linear;

/* A step of an optimizer on contiguous arrays; see update.h. Arrays 0 are the parameters, 1 and 2 the optimizer state.
 */
typedef struct {
    const void *g; /* gradients */
    const void *old[3];
    void *updated[3];
    const void *mean; /* the running mean of the parameters, or NULL */
    void *updated_mean; /* mean_decay mean + (1 - mean_decay) parameters */
    double mean_decay;
    double factor; /* of the gradients */
    double rate, beta[2], root, epsilon, decay;
    int nesterov;
} cgru_optimizer_step;

/* The rows at each of s steps: m, or the first running[t] of them. */
typedef struct {
    ptrdiff_t m, s;
    const ptrdiff_t *running; /* (s), or NULL */
} cgru_extent;

/* How `combine` combines two arrays: a + b, a * b, a / 2, a, 0. */
enum { CGRU_ADD, CGRU_MULTIPLY, CGRU_HALVE, CGRU_COPY, CGRU_ZERO };

/* The poolings of a Pool, in the order of HOW in cgru/layers/pool.py. */
enum { CGRU_AVERAGE, CGRU_LARGEST, CGRU_LAST, CGRU_ATTENTION, CGRU_SUM };

/* Poolings of X (m, s, n) side by side in `out` (m, u); see pool.h. */
typedef struct {
    ptrdiff_t m, n, u;
    const ptrdiff_t *length; /* (m) steps of each sample */
    cgru_array X, dA, dX;
    void *out;
    ptrdiff_t *chosen; /* (m, u) the step that each number of a maximum, or of the last step, comes from */
    ptrdiff_t scores;  /* columns of `hidden` (s, m, scores), of which attention makes scores; then their gradients */
    void *hidden;
    const void *V; /* (scores) the factors of these columns; NULL: the only column is the score */
    void *dV;      /* NULL: not wanted */
    double *attention; /* (s, m) the weights of the steps */
} cgru_pool;

/* The input of a GRU-D, and its gradients; see fading.h. */
typedef struct {
    ptrdiff_t m, s, e;
    const ptrdiff_t *length; /* (m) the real steps of each row; NULL: all are */
    const ptrdiff_t *slot;   /* (m) the rows of `last`, `age` and `time`; NULL: the same */
    cgru_array X;            /* (m, s, e), NaN where nothing was measured */
    cgru_array anew;         /* (m, s, units): a step at which all are 0 forgets what was seen; no data: none does */
    ptrdiff_t units;
    const double *times; /* of row i at step t: times[i * row + t * step]; NULL: each step is 1 after the one before */
    ptrdiff_t row, step;
    double unit; /* the time that counts as 1 */
    /* What the steps before have left, and then these: `Seen` of cgru/grud_reference.py. */
    void *last, *age; /* (m, e) */
    double *time;     /* (m) */
    const void *W, *b; /* Wgx and bgx (e) */
    cgru_array xm;     /* (m, s, 2 e) */
    cgru_array delta, before, gx; /* (m, s, e), time-major; `before` are the values last seen before each step */
    cgru_array dxm;               /* backward: dL/dxm, with the strides of xm */
    cgru_array dgx_;              /* where the gradient of the argument of gx goes */
    cgru_array dX;                /* where dL/dX goes; no data: it is not wanted */
    void *later;                  /* (m, e) memory, where dX is wanted */
    void *dW, *db;                /* (e) sums to add to; NULL: they are not wanted */
} cgru_fading;

/* Kinds of low precision; see low_precision.h. */
enum { CGRU_INT8, CGRU_BFLOAT16 };

/* A quantised matrix of weights (k, columns). */
typedef struct {
    int kind;
    ptrdiff_t depth, columns; /* words of a column; columns without padding */
    const void *words;        /* packed by `pack` */
    const float *scale;       /* int8: scales of the columns, padded to whole vectors */
    const int *initial_sums;  /* int8: initial value of each sum, padded alike; undoes the offset of unsigned rows */
} cgru_quantized;

/* A forward call with quantised weights. X and h0 are read, `last` and, where it has data, h are written. */
typedef struct {
    const cgru_call *call;
    cgru_quantized U, V, Vhh; /* (e, 3 up) r | z | hh; (u, 2 up) r | z; (u, up) */
    const void *b;              /* (3, up): br | bz | bhh */
    const void *recurrent_bias; /* (up): chh; NULL: there is no product hp Vhh, but one of r * hp */
    double x_bound, bound; /* bounds of |x| and |h|: rows within them share one scale; 0: each row has its own */
} cgru_low_precision_layer;

/* The table of low-precision kernels of one level. */
typedef struct {
    const char *level;
    ptrdiff_t lanes;
    /* Words of a column of k weights. */
    ptrdiff_t (*depth)(int kind, ptrdiff_t k);
    /* Packs W (k, n), rows `row` apart, into words and, of int8, initial sums. */
    void (*pack)(int kind, const void *W, ptrdiff_t row, ptrdiff_t k, ptrdiff_t n, void *words, void *initial_sums);
    /* Bytes of `memory` for so many rows; all steps of rows from `row` on. */
    ptrdiff_t (*workspace_size)(const cgru_low_precision_layer *layer, ptrdiff_t rows);
    void (*forward)(const cgru_low_precision_layer *layer, ptrdiff_t row, ptrdiff_t rows, void *memory);
    /* One step of a single sample: x (e) is read, h (u) is updated in place. */
    void (*single)(const cgru_low_precision_layer *layer, const void *x, void *h, void *memory);
    /* Bytes of `memory` for `linear`. */
    ptrdiff_t (*linear_workspace_size)(int kind, ptrdiff_t k, ptrdiff_t rows);
    /* out (rows, n) = X W + b, b padded to whole vectors; `bound` is that of |X|, or 0. */
    void (*linear)(const cgru_quantized *W, const void *b, const cgru_operand *X, cgru_array out, ptrdiff_t rows,
                   double bound, void *memory);
} cgru_low_precision_kernels;

/* The table of kernels of one level and dtype. */
typedef struct {
    const char *level; /* "avx512", "avx2", "baseline", "scalar" */
    int size;          /* bytes of a number */
    ptrdiff_t lanes;   /* numbers in a vector */

/* Makes the field of a kernel. */
#define KERNEL(result, name, parameters) result(*name) parameters;
#define LOOP KERNEL
#include "kernel_list.h"
    void (*optimizer_steps[4])(const cgru_optimizer_step *step, ptrdiff_t n); /* in the order of cgru/optimizers.py */
} cgru_kernels;

/* Returns the table of a level for float (itemsize 4) or double (8); NULL where the compiler or the machine lacks it.
 */
const cgru_kernels *cgru_level(const char *level, int itemsize);

/* Returns the low-precision table of a level, or NULL. Beside the levels above there are "avx512vnni", "avx2vnni"
 * and "baselinedot". */
const cgru_low_precision_kernels *cgru_low_precision_level(const char *level);

#endif
