/* Kernels at what stands in stdin, for test_machines.py: requests LEVEL WHAT m k n option, each a line, and the arrays
 * after it. The answer to each is a line with its size in bytes, and its results. */
#include "cgru.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static ptrdiff_t m, k, n, option;

static void *room(size_t bytes) { /* zeroed, and more than is asked for */
    void *memory = aligned_alloc(64, bytes / 64 * 64 + 512);
    return memory ? memset(memory, 0, bytes / 64 * 64 + 512) : NULL;
}

static void *given(size_t bytes) {
    void *memory = room(bytes);
    if (!memory || fread(memory, 1, bytes, stdin) != bytes) exit(3);
    return memory;
}

static int put(const void *data, size_t bytes) {
    printf("%zu\n", bytes);
    return fwrite(data, 1, bytes, stdout) != bytes || fflush(stdout);
}

/* y = f(x), x (n), f the option */
static int activation(const cgru_kernels *of) {
    void *x = given(n * of->size), *y = room(n * of->size);
    of->activation((cgru_activation){option, 0.3}, x, y, n);
    return put(y, n * of->size);
}

/* X W + b: X (m, k), W (k, n), b (n); the option is how many chains a sum has, 0: W is read where it lies,
 * -1: its transpose (n, k) is */
static int product(const cgru_kernels *of) {
    const cgru_call call = {.m = m};
    const ptrdiff_t size = of->size, vectors = (n + of->lanes - 1) / of->lanes, columns = vectors * of->lanes;
    void *X = given(m * k * size), *W = given(k * n * size), *b = given(n * size), *out = room(m * n * size);
    void *weights = room(k * columns * size), *bias = room(columns * size);
    cgru_product it = {.call = &call, .operands = 1, .operand = {{NULL, 0, 1}}, .vectors = vectors, .columns = n};
    it.chains = option, it.epilogue = of->store_product, it.out = (cgru_array){out, n, 0, 1};
    of->pack(&it, bias, 0, 0, (cgru_matrix){b, n, 1}, 1, n);
    const cgru_matrix lies = {W, option < 0 ? k : n, 1};
    if (option < 1) it.unpacked[0] = &lies, it.is_transposed = option < 0, it.width = n, it.sums = room(m * columns * size);
    it.operand[0] = (cgru_operand){X, k, k}, it.weights = weights, it.bias = bias;
    if (option > 0) of->pack(&it, weights, 0, 0, lies, k, n);
    of->product(&it, 0, 0, m);
    return put(out, m * n * size);
}

static cgru_call call_of(ptrdiff_t lanes) { /* k features, n units; the option is whether the reset comes after */
    return (cgru_call){.m = m, .s = 1, .e = k, .u = n, .up = (n + lanes - 1) / lanes * lanes,
                       .ep = (k + lanes - 1) / lanes * lanes, .activate = {CGRU_TANH, 0},
                       .activate_update = {CGRU_SIGMOID, 0}, .activate_reset = {CGRU_SIGMOID, 0}, .variant = option};
}

/* A step of one sample: U and V of each gate, the biases, x (k), h (n) */
static int step(const cgru_kernels *of) {
    const cgru_call call = call_of(of->lanes);
    const ptrdiff_t size = of->size;
    void *U = room(3 * k * call.up * size), *b = room(4 * call.up * size);
    cgru_product of_x = {.operands = 1, .operand = {{NULL, 0, k}}, .vectors = 3 * call.up / of->lanes};
    cgru_single_sample single = {.call = &call, .U = U};
    for (ptrdiff_t gate = 0; gate < 3; gate++)
        of->pack(&of_x, U, 0, gate * call.up / of->lanes, (cgru_matrix){given(k * n * size), n, 1}, k, n);
    for (int gate = 0; gate < 3; gate++) {
        void *V = room(n * call.up * size);
        of->pack_single((cgru_matrix){given(n * n * size), n, 1}, n, n, V);
        single.V[gate] = (cgru_matrix){V, 0, 1};
    }
    for (ptrdiff_t gate = 0; gate < 4; gate++) {
        single.b[gate] = (cgru_matrix){(char *)b + gate * call.up * size, 0, 1};
        of->pack_single((cgru_matrix){given(n * size), n, 1}, 1, n, (void *)single.b[gate].data);
    }
    void *x = given(k * size), *h = given(n * size);
    of->single_step(&single, x, h, room(5 * call.up * size));
    return put(h, n * size);
}

/* Of so many matrices side by side, each the weights, then the scales. */
static cgru_quantized low_precision_matrix(const cgru_low_precision_kernels *of, int kind, ptrdiff_t rows, ptrdiff_t matrices) {
    const ptrdiff_t width = (n + of->lanes - 1) / of->lanes * of->lanes, columns = matrices * width;
    const ptrdiff_t depth = of->depth(kind, rows), size = kind == CGRU_INT8 ? 1 : 2;
    char *words = room(4 * depth * columns), *wide = room(rows * columns * size), *scales = room(4 * columns);
    for (ptrdiff_t i = 0; i < matrices; i++) {
        const char *W = given(rows * n * size);
        for (ptrdiff_t row = 0; row < rows; row++)
            memcpy(wide + (row * columns + i * width) * size, W + row * n * size, n * size);
        memcpy(scales + 4 * i * width, given(4 * n), 4 * n);
    }
    void *begin = room(4 * columns);
    of->pack(kind, wide, columns, rows, columns, words, begin);
    return (cgru_quantized){kind, depth, matrices > 1 ? columns : n, words, (float *)scales, begin};
}

/* X W + b: W (k, n), its scales (n), b (n), X (m, k); the option is the bound of |x| */
static int low_precision_linear(const cgru_low_precision_kernels *of, int kind) {
    const cgru_quantized W = low_precision_matrix(of, kind, k, 1);
    void *b = given(4 * n), *X = given(4 * m * k), *out = room(4 * m * n);
    of->linear(&W, b, &(cgru_operand){X, k, k}, (cgru_array){out, n, 0, 1}, m, option, room(of->linear_workspace_size(kind, k, m)));
    return put(out, 4 * m * n);
}

/* A step of m samples: U and V of each gate with their scales, the biases, X (m, k), h (m, n) */
static int low_precision_step(const cgru_low_precision_kernels *of, int kind) {
    cgru_call call = call_of(of->lanes);
    cgru_low_precision_layer layer = {.call = &call, .bound = 1};
    layer.U = low_precision_matrix(of, kind, k, 3), layer.V = low_precision_matrix(of, kind, n, 2), layer.Vhh = low_precision_matrix(of, kind, n, 1);
    float *b = room(4 * 4 * call.up);
    for (int part = 0; part < 4; part++) memcpy(b + part * call.up, given(4 * n), 4 * n);
    layer.b = b;
    if (call.variant != CGRU_RESET_BEFORE) layer.recurrent_bias = b + 3 * call.up;
    call.X = (cgru_array){given(4 * m * k), k, k, 1};
    call.h0 = call.last = (cgru_array){given(4 * m * n), n, 0, 1};
    of->forward(&layer, 0, m, room(of->workspace_size(&layer, m)));
    return put(call.last.data, 4 * m * n);
}

/* Answers one request; returns 0 where that went well. */
static int answer(const char *level, const char *what) {
    const int narrow = !strncmp(what, "narrow", 6), size = strstr(what, "float64") ? 8 : 4;
    const cgru_kernels *of = narrow ? NULL : cgru_level(level, size);
    const cgru_low_precision_kernels *low = narrow ? cgru_low_precision_level(level) : NULL;
    const int kind = strstr(what, "int8") ? CGRU_INT8 : CGRU_BFLOAT16;
    const char *name = of ? of->level : low ? low->level : "";
    if (strstr(what, "offered")) return put(name, strlen(name));
    if (strcmp(name, level)) return 4;
    if (narrow) return strstr(what, "step") ? low_precision_step(low, kind) : low_precision_linear(low, kind);
    return strstr(what, "activation") ? activation(of) : strstr(what, "step") ? step(of) : product(of);
}

int main(void) {
    char level[32], what[32];
    int wrong = 0;
    while (!wrong && scanf("%31s %31s %td %td %td %td", level, what, &m, &k, &n, &option) == 6 && getchar() == '\n') {
        alarm(60); /* ends a kernel that does not return */
        wrong = answer(level, what);
    }
    return wrong;
}
