/* The most that threads can reach that only read: each reads its part of some bytes again and again, in vectors. */
#include <pthread.h>
#include <stddef.h>
#include <time.h>

enum { MOST = 64 };
typedef long long vector __attribute__((vector_size(64), aligned(64)));
static int ready, running; /* threads that have come, and whether they may begin */

typedef struct {
    const vector *from;
    ptrdiff_t count;
    long times;
    long long sink;
} part;

/* Reads a part so many times. */
static void *read_part(void *given) {
    part *mine = given;
    vector sum[4] = {{0}};
    __atomic_add_fetch(&ready, 1, __ATOMIC_ACQ_REL);
    while (!__atomic_load_n(&running, __ATOMIC_ACQUIRE)) {
    }
    for (long n = 0; n < mine->times; n++) {
        for (ptrdiff_t i = 0; i + 4 <= mine->count; i += 4)
            for (int c = 0; c < 4; c++) sum[c] += mine->from[i + c];
        __asm__ volatile("" ::: "memory");
    }
    mine->sink = (sum[0] + sum[1] + sum[2] + sum[3])[0];
    return NULL;
}

/* Returns the seconds in which so many threads read `bytes` bytes so many times. */
double read_bytes(const void *data, ptrdiff_t bytes, long times, int threads) {
    pthread_t thread[MOST];
    part parts[MOST];
    struct timespec start, end;
    const ptrdiff_t each = bytes / 64 / threads;
    ready = running = 0;
    for (int i = 0; i < threads; i++) {
        parts[i] = (part){(const vector *)data + i * each, each, times, 0};
        if (i) pthread_create(&thread[i], NULL, read_part, &parts[i]);
    }
    while (__atomic_load_n(&ready, __ATOMIC_ACQUIRE) < threads - 1) {
    }
    clock_gettime(CLOCK_MONOTONIC, &start);
    __atomic_store_n(&running, 1, __ATOMIC_RELEASE);
    read_part(&parts[0]);
    for (int i = 1; i < threads; i++) pthread_join(thread[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (double)(end.tv_sec - start.tv_sec) + 1e-9 * (double)(end.tv_nsec - start.tv_nsec);
}
