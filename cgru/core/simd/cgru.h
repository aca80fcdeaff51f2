/* What the compiled modules and the kernels say to each other. No struct depends on a dtype: the table of kernels that
 * is asked says how `void *` is read. Strides and leading dimensions count elements, never bytes.
 *
 * m samples, s steps, e elements per step, u unit cells. A row is one sample of a batch. */
#ifndef CGRU_H
#define CGRU_H

#include <stddef.h>

/* The order of CODES in activations.py. */
enum { CGRU_SOFTMAX = -1, CGRU_IDENTITY, CGRU_RELU, CGRU_LRELU, CGRU_ELU, CGRU_SIGMOID, CGRU_TANH };

typedef struct {
    int code;
    double alpha; /* of lrelu and elu; of softmax, which only a head has, the temperature */
} cgru_activation;

/* (m, s, any): element (i, t, c) stands at data[i * sample + t * step + c * column]; column is 1 unless the lanes of the
 * call are samples. */
typedef struct {
    void *data; /* NULL: not wanted */
    ptrdiff_t sample, step, column;
} cgru_array;

/* The arrays of a call, for a macro that takes their names one by one: the one list of what `cgru_call` has and of what
 * Python binds. */
#define CGRU_ARRAYS(ARRAY)                                                                                              \
    /* Forward: h0 and X in, the rest out. Backward: X not read, the others in. hp is h one step earlier. */            \
    ARRAY(h0) ARRAY(X) ARRAY(h) ARRAY(hp) ARRAY(hh) ARRAY(z) ARRAY(r) ARRAY(c) ARRAY(hh_) ARRAY(z_) ARRAY(r_)           \
    ARRAY(kept) /* (m, s, u) in place of `zoneout`, in both directions */                                               \
    ARRAY(last) /* (m, 1, u) the state after a row's last step */                                                       \
    /* Backward: dA in, the rest out. h0 is dL/d(last state), `last` dL/dh0. NULL where not wanted: dA, dh_, dh, dX. */ \
    ARRAY(dA) ARRAY(dh_) ARRAY(dh) ARRAY(dhh_) ARRAY(dz_) ARRAY(dr_) ARRAY(dc) ARRAY(dX)                                \
    /* Of a layer norm, (m, s, 3 u), columns of z, r and hh: the products, normalised, of X and of hp, and dL/d(what they   \
     * were before); (m, s, 1): the factors 1 / sqrt(variance + eps). */                                                \
    ARRAY(nU) ARRAY(nV) ARRAY(iU) ARRAY(iV) ARRAY(dU_) ARRAY(dV_)                                                       \
    ARRAY(recurrent) /* (m, 3, u) what hp is multiplied by in the products of hh, z and r, at all steps */

#define CGRU_PLACE(name) CGRU_PLACE_##name,
enum { CGRU_ARRAYS(CGRU_PLACE) CGRU_PLACES };

/* What r multiplies: the previous state before its product, or the product, which may be normalised. The order of `VARIANTS`
 * in cgru/variant.py. */
enum { CGRU_RESET_BEFORE, CGRU_RESET_AFTER, CGRU_LAYER_NORM };

/* One call of the layer, forward or backward: the arrays of its caches and the rows that it works on. */
typedef struct {
    ptrdiff_t m, s, e, u;
    const ptrdiff_t *order; /* (m) the sample that row i stands for; NULL: i */
    const ptrdiff_t *running; /* (s) how many rows, the longest standing first, have a step t; NULL: all */
    cgru_activation activate, activate_update, activate_reset;
    int variant; /* CGRU_RESET_BEFORE, ...; of a layer norm a step is that of norm.h, for any m */
    int reverse; /* steps run from the last to the first */
    double zoneout; /* h = zoneout * hp + (1 - zoneout) * what it would be */

#define CGRU_FIELD(name) cgru_array name;
    union {
        struct { CGRU_ARRAYS(CGRU_FIELD) };
        cgru_array array[CGRU_PLACES]; /* the same by their places */
    };

    /* (m, ld) the work of each row, side by side, each part padded to whole vectors:
     * forward h | x | r * h | z, backward dh | dhh_ | dz_ | dr_ | dc; of a single sample see single_sample.h, of a layer norm norm.h.
     * Where the reset comes after, r and then r * c stand in the place of r * h. */
    void *rows;
    ptrdiff_t ld;
    ptrdiff_t up, ep; /* u and e, padded */
    ptrdiff_t projections; /* where in a row the x U + b of CGRU_STEPS steps stand, each r | z | hh, that of step t at t modulo
                      CGRU_STEPS; 0: x is an operand of each step's products */
    ptrdiff_t masked; /* with `recurrent`: where in a row hp stands as r, z and hh see it; 0: all see hp itself */
    int padded;       /* whether the caches are written past a sample's length */
    int fresh;        /* backward and gradients: the first step to run had no h0, its hp is zero */
    int linear;       /* gradients: that of one product, whose only gradient is dr_, for Ur and br */
    int loose;        /* forward: sums may run in another order than those of packed weights, so that bits depend on m and s */
    ptrdiff_t column; /* of its arrays: 1, or m where lanes are samples, whose rows lie as batch_simd.h says */
} cgru_call;

typedef struct {
    const void *rows;
    ptrdiff_t ld, k; /* k columns of each row */
} cgru_operand;

/* Element (i, j) stands at data[i * row + j * column]. */
typedef struct {
    const void *data;
    ptrdiff_t row, column;
} cgru_matrix;

/* The gates; the last stands for chh, the bias that the candidate's recurrent part has where the reset comes after. */
enum { CGRU_R, CGRU_Z, CGRU_HH, CGRU_C };

/* The parameters of each gate: U (e, u), V (u, u), b (1, u), of CGRU_C b alone; of a layer norm the gains gU, gV (1, 3 u).
 * Where it is learned, also the state h0 (1, u) that a sequence begins with, which no kernel reads. */
typedef struct {
    cgru_matrix U[3], V[3], b[4], g[2], h0;
} cgru_weights;

/* A call with layer norm, whose rows are taken as a whole between the products and the caches. */
typedef struct {
    const cgru_call *call;
    const void *gains; /* (2, 3, up): gU and gV, each of r, z and hh */
    const void *bias;  /* (4, up): br, bz, bhh, chh */
} cgru_norm;

/* x Ur, x Uz and x Uhh of few units, lanes along e: out (rows, 3, u) at row * sample + gate * step + unit * column. */
typedef struct {
    ptrdiff_t u, up, ep;
    ptrdiff_t gate;    /* between the weights of two gates */
    const void *W;     /* (3, u, ep): the transposes of U, zero past e; NULL: the products are taken otherwise */
    const void *bias;  /* (3, up) */
    cgru_operand x;
    cgru_array out;
} cgru_feature_product;

/* A call with m = 1: b and V of each gate, as `lay` puts them, `row` zero; or V where it unpacked, as a product's weights.
 * Backward: the transposes of V alone. */
typedef struct {
    const cgru_call *call;
    const void *U;         /* [Ur Uz Uhh], packed as of a product */
    const cgru_feature_product *feature_product; /* in its place, or NULL */
    cgru_matrix V[3], b[4];
    int fresh;  /* the first step to run has no previous state */
    void *sums; /* where V unpacked: 5 up numbers */
    int is_transposed; /* likewise: as of a product */
} cgru_single_sample;

struct cgru_product;

/* A call whose lanes are samples: the weights of each product, a row for each of its results; see batch_simd.h. */
typedef struct {
    const cgru_call *call;
    const void *gates, *recurrent, *candidate; /* forward */
    cgru_feature_product feature_product;                            /* where there are some, U is in none of these */
    const void *reset, *state, *input;         /* backward */
    const struct cgru_product *wide;           /* in place of `input`: from rows dhh_ | dz_ | dr_, lanes along e */
} cgru_batch;

/* Takes the finished tile (rows, vectors * lanes) of a product, which begins at `row` and at vector `vector`. */
typedef void cgru_epilogue(const struct cgru_product *product, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows,
                           ptrdiff_t vector, ptrdiff_t vectors, const void *tile);

/* [operand 0 | operand 1 | ...] times packed weights, plus bias, handed to the epilogue tile by tile. */
typedef struct cgru_product {
    cgru_operand operand[3];
    int operands;
    ptrdiff_t vectors;   /* columns of the result, in vectors */
    const void *weights; /* (sum of k, vectors * lanes), packed by `pack` */
    ptrdiff_t depth, k0; /* of a product with some of the operands of another: the rows of its weights, and the first of
                            them that is multiplied; `depth` 0: all */
    int chains;          /* in how many a sum with a single row runs, 1 or 4 */
    const void *bias;    /* (vectors * lanes); NULL: zero */
    const cgru_matrix *unpacked[3]; /* where there is the first: the weights of each operand, one matrix of `width` columns after
                                   another, each from a whole vector on; nothing is then packed but the bias */
    ptrdiff_t width;
    int is_transposed;       /* 0: their rows are contiguous; or these are the transposes, whose rows are */
    void *sums;       /* where rows are: so many vectors for each row */
    cgru_epilogue *epilogue;
    const cgru_call *call;
    cgru_array out; /* of the epilogue `put`: rows `sample` stride_of, `columns` wide */
    ptrdiff_t columns;
    ptrdiff_t column; /* of the epilogue `gates`: where the first column stands among those of r and z */
    cgru_array mask;  /* of `reset_backward` and `state_backward`, (m, 1, u): multiplies what comes out, where it has data */
} cgru_product;

/* The gradients of the parameters, C-contiguous, in the places of cgru_weights. */
typedef struct {
    void *U[3], *V[3], *b[4], *g[2], *h0;
} cgru_gradients;

enum { CGRU_STEPS = 32 }; /* whose inputs are multiplied at once where x is no operand of a step */
enum { CGRU_GROUP = 16 }; /* rows collected together, so that each panel gets whole cache lines */

/* The previous state as a gate's product has seen it: hp, with `reset` times r, and times `mask` (m, 1, u) if that has
 * data. */
typedef struct {
    int reset;
    cgru_array mask;
} cgru_state_operand;

enum { CGRU_STATE_OPERANDS = 3 };

/* One term of the gradients: rows d (u), times those of `factor` where that has data. Their outer products with X and
 * with hp, seen in one of up to CGRU_STATE_OPERANDS ways, are added to U and V, and their sum to b; NULL where there is none. */
typedef struct {
    cgru_array d, factor;
    void *U, *V, *b;
    int state_operand;
} cgru_term;

/* Weight gradients, sums of outer products of rows: rows are collected into packed panels, `depth` at a time, and then
 * multiplied. The work has panels(u) parts for each term, the panels of its columns; one struct sees to the parts from
 * `first` to `last`. */
typedef struct {
    const cgru_call *call; /* X, hp and r in */
    const cgru_term *terms;
    const cgru_state_operand *state_operands; /* those ways */
    ptrdiff_t first, last;
    ptrdiff_t count, depth; /* rows collected; room for so many */
    int fresh;              /* they have no previous state, so there is nothing for V in them */
    void *operands;         /* (ep + ways u) x depth: panels of X, and of hp for each way */
    void *rows;             /* terms x up x depth: panels of d */
    void *wide;             /* NULL, or terms x u x depth, where lanes are elements in U: d in panels of an operand, X in
                               those of vectors */
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

/* The activation of a Dense, with the loss of a head: element (i, j) of Z, what comes before the activation, of A and of dZ
 * (no data: not wanted) by row and column. Without a loss Y is dL/dA. */
typedef struct {
    int kind;
    cgru_activation activate;
    ptrdiff_t k; /* outputs */
    cgru_matrix Z, A, dZ;
    const ptrdiff_t *classes; /* of the rows, or NULL and */
    cgru_matrix Y;            /* the targets, */
    ptrdiff_t ways;           /* of which each has so many outputs, side by side */
    const double *numbers;    /* of the loss: delta, or the quantiles */
    const double *weights;    /* of the rows, or NULL: all are 1 */
    double share;             /* 1 / how many are averaged over, or what they weigh */
    void *work;               /* 2 k vectors */
} cgru_loss;

/* x W + b where lanes are samples, W (k, n); see batch_simd_linear.h. */
typedef struct {
    cgru_matrix W;
    const void *b; /* (n) one after another, or NULL */
    ptrdiff_t k, n;
    cgru_array X, out;
} cgru_batch_linear;

/* A step of an optimizer: parameters, then what it carries along, as they were and as they are to be; and a mean that
 * follows the parameters, or NULL. */
typedef struct {
    const void *g;
    const void *old[3];
    void *updated[3];
    const void *mean;
    void *updated_mean; /* keeps mean + (1 - keeps) parameters */
    double mean_decay;
    double factor; /* on the gradient */
    double rate, beta[2], root, epsilon, decay;
    int nesterov;
} cgru_optimizer_step;

/* The same of a call whose lanes are samples: some of its samples, from `start` on, and memory of `batch_gradient_size` numbers. */
typedef struct {
    const cgru_call *call;
    const cgru_term *terms;
    int count; /* of the terms */
    ptrdiff_t start, samples;
    void *memory;
} cgru_batch_gradients;

/* Weights (k, columns) of fewer bytes; see low_precision.h. */
enum { CGRU_INT8, CGRU_BFLOAT16, CGRU_ROUNDED };

typedef struct {
    int kind;
    ptrdiff_t depth, columns; /* words of a column; columns without padding */
    const void *words;        /* as `pack` puts them */
    const float *scale;       /* of the columns, padded to whole vectors, as is */
    const int *initial_sums;         /* what a sum of codes begins with; both of int8 alone */
} cgru_quantized;

/* A call forward with such weights: X, h0 and `last` in it, and h where all states are wanted; no other caches. */
typedef struct {
    const cgru_call *call;
    int kind; /* that of the weights; or CGRU_ROUNDED: of rows that are bfloat16, too */
    cgru_quantized U, V, Vhh; /* (e, 3 up) of r, z and hh; (u, 2 up) of r and z; (u, up) */
    const void *b;         /* (4, up), the last row chh */
    double x_bound, bound; /* of |x| and |h|: what stays within them has one scale for all; 0: each row has its own */
} cgru_low_precision_layer;

typedef struct {
    const char *level;
    ptrdiff_t lanes;
    int has_rounded; /* whether it has CGRU_ROUNDED */
    ptrdiff_t (*depth)(int kind, ptrdiff_t k);
    void (*pack)(int kind, const void *W, ptrdiff_t row, ptrdiff_t k, ptrdiff_t n, void *words, void *initial_sums);
    /* Bytes of memory, and all steps of some rows. */
    ptrdiff_t (*workspace_size)(const cgru_low_precision_layer *layer, ptrdiff_t rows);
    void (*forward)(const cgru_low_precision_layer *layer, ptrdiff_t row, ptrdiff_t rows, void *memory);
    /* One step of a single sample: x (e); h (u) in and out. */
    void (*single)(const cgru_low_precision_layer *layer, const void *x, void *h, void *memory);
    ptrdiff_t (*linear_workspace_size)(int kind, ptrdiff_t k, ptrdiff_t rows);
    /* out (rows, n) = X W + b, b padded to whole vectors */
    void (*linear)(const cgru_quantized *W, const void *b, const cgru_operand *X, cgru_array out, ptrdiff_t rows,
                   double bound, void *memory);
} cgru_low_precision_kernels;

typedef struct {
    const char *level; /* "avx512", "avx2", "baseline", "scalar" */
    int size;          /* bytes of a number */
    ptrdiff_t lanes;   /* numbers in a vector */

    /* Writes W (k, n), element (i, j) at W[i * row + j * column], into rows k0... and vectors vector0... of the packed
     * weights of `product`; the last vector's missing columns become zero. */
    void (*pack)(const cgru_product *product, void *weights, ptrdiff_t k0, ptrdiff_t vector0, cgru_matrix W,
                 ptrdiff_t k, ptrdiff_t n);
    void (*product)(const cgru_product *product, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);

    void (*load_h0)(const cgru_call *call, ptrdiff_t row, ptrdiff_t rows);
    void (*load_x)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);
    void (*mask_state)(const cgru_call *call, ptrdiff_t row, ptrdiff_t rows);
    void (*store_last)(const cgru_call *call, ptrdiff_t row, ptrdiff_t rows);
    void (*pad)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);
    void (*pad_backward)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);
    void (*gates_backward)(const cgru_call *call, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);

    /* One step: h (u) in and out, work of 5 up numbers; no caches. */
    void (*single_step)(const cgru_single_sample *single, const void *x, void *h, void *work);
    /* The steps from `first` to `stop`, in the order in which they run; all of so many, back through them. */
    void (*single_forward)(const cgru_single_sample *single, ptrdiff_t first, ptrdiff_t stop);
    void (*single_backward)(const cgru_single_sample *single, ptrdiff_t steps);
    void (*pack_single)(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to);

    cgru_epilogue *gates, *recurrent, *candidate, *reset_backward, *state_backward, *input_backward, *store_product;

    /* Takes up to CGRU_GROUP rows, each of some step t. */
    void (*collect_rows)(cgru_outer_product *outer, const ptrdiff_t *t, const ptrdiff_t *row, ptrdiff_t rows);
    void (*add_outer_products)(cgru_outer_product *outer);
    ptrdiff_t (*panel_count)(ptrdiff_t u);

    /* y[i] = f(x[i]); for the tests. */
    void (*activation)(cgru_activation f, const void *x, void *y, ptrdiff_t n);

    void (*norm_forward)(const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);
    void (*norm_backward)(const cgru_norm *norm, ptrdiff_t t, ptrdiff_t row, ptrdiff_t rows);

    /* Adds to the loss and, of a classification, to how many rows are right. */
    void (*loss)(const cgru_loss *loss, ptrdiff_t row, ptrdiff_t rows, double *value, double *right);
    void (*batch_linear)(const cgru_batch_linear *linear, ptrdiff_t t, ptrdiff_t samples);
    void (*batch_linear_gradients)(const cgru_batch_linear *linear, ptrdiff_t m, ptrdiff_t s, const ptrdiff_t *running,
                                   void *dW, void *db);
    void (*optimizer_steps[3])(const cgru_optimizer_step *step, ptrdiff_t n); /* of the optimizers, in the order of cgru/optimizers.py */
    double (*sum_of_squares)(const void *g, ptrdiff_t n, double unit);

    /* All steps of some rows; whether these are the `first` ones of the sequence to run, and the `last`. */
    void (*batch_forward)(const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last);
    void (*batch_backward)(const cgru_batch *w, ptrdiff_t row, ptrdiff_t rows, int first, int last);
    /* Sums of lanes over all steps; then those of all parts, and of their lanes, go to the terms. */
    void (*batch_gradient_sums)(const cgru_batch_gradients *part, int first);
    void (*batch_gradient_add)(const cgru_batch_gradients *parts, ptrdiff_t count);
    ptrdiff_t (*batch_gradient_size)(const cgru_call *call, int terms, ptrdiff_t samples);
    void (*feature_product)(const cgru_feature_product *product, ptrdiff_t rows);
    /* W (k, n) into rows `ld` stride_of. */
    void (*copy)(cgru_matrix W, ptrdiff_t k, ptrdiff_t n, void *to, ptrdiff_t ld);
} cgru_kernels;

/* The tables of one level for float and double; NULL where the compiler or the machine lacks it. */
const cgru_kernels *cgru_level(const char *level, int itemsize);

/* The table of one level for narrow weights, which beside those levels may be "avx512bf16", "avx512vnni", "avx2vnni" or
 * "baselinedot"; likewise. */
const cgru_low_precision_kernels *cgru_low_precision_level(const char *level);

#endif
