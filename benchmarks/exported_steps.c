/* Times a step of an exported model: prints the fewest ns of a step in ROUNDS rounds of STEPS steps. */
#define _POSIX_C_SOURCE 199309L
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "model.h"

int main(int count, char **words) {
    const int rounds = count > 1 ? atoi(words[1]) : 1, steps = 2000;
    static model_state state;
    static float x[64][MODEL_INPUTS], y[MODEL_OUTPUTS];
    float *all = x[0];
    for (int i = 0; i < 64 * MODEL_INPUTS; i++) all[i] = (float)(i * 7 % 11 - 5) / 5;
    double fewest = 1e99;
    model_init(&state);
    for (int round = 0; round < rounds; round++) {
        struct timespec from, to;
        clock_gettime(CLOCK_MONOTONIC, &from);
        for (int t = 0; t < steps; t++) model_step(&state, x[t % 64], y);
        clock_gettime(CLOCK_MONOTONIC, &to);
        const double ns = 1e9 * (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec);
        fewest = ns / steps < fewest ? ns / steps : fewest;
    }
    printf("%.1f\n", fewest);
    return 0;
}
