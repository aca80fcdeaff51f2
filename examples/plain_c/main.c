/* A model in a C program: reads steps of MODEL_INPUTS numbers from the standard input, and after each prints the
 * outputs so far in a line of their own.
 *
 *     cgru fit --no-bidirectional               trains a model on the data set that comes with cgru
 *     cgru export cgru-model.npz -o model.c     writes model.c and model.h
 *     make
 *     ./frames < numbers.txt
 */
#include <stdio.h>

#include "model.h"

static int read_step(float *x) {
    for (int i = 0; i < MODEL_INPUTS; i++)
        if (scanf("%f", &x[i]) != 1) return 0;
    return 1;
}

int main(void) {
    model_state state;
    float x[MODEL_INPUTS], y[MODEL_OUTPUTS];

    model_init(&state);
    while (read_step(x)) {
        model_step(&state, x, y);
        for (int i = 0; i < MODEL_OUTPUTS; i++) printf(i ? " %.9g" : "%.9g", y[i]);
        putchar('\n');
    }
    return feof(stdin) ? 0 : 1;
}
