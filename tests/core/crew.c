/* The pool and its crew under random delays, whose memory a sanitizer can watch; tests/core/test_crew.py compiles it.
 *
 * A task doubles numbers, and adds others that the caller keeps: each member those of its part, from operands and into
 * results in the crew's memory. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static _Thread_local unsigned state;

/* Sleep for up to some microseconds now and then, as a thread does whose core is taken. */
static void delay(void) {
    if (!state) state = (unsigned)(size_t)&state | 1;
    state = state * 1664525u + 1013904223u;
    if (state >> 24 < 8) nanosleep(&(struct timespec){0, (state >> 8 & 0xff) * 1000}, NULL);
}

/* Sleep so long that members leave. */
static void delay_idle(void) { nanosleep(&(struct timespec){0, 1000000}, NULL); }

#define DELAY() delay()
#include "../../cgru/core/thread_pool.c"

enum { N = 64, TASKS = 150, THREADS = 3 };
static int calls = 100;

typedef struct {
    int number, operands[N], results[N];
    const int *kept; /* what the caller keeps elsewhere: numbers to add */
} numbers;

static void double_part(void *memory, int member, int members) {
    numbers *all = memory;
    for (int i = member * N / members; i < (member + 1) * N / members; i++) {
        if (i % 16 == 0) delay();
        all->results[i] = 2 * all->operands[i] + all->number + all->kept[i];
    }
}

static void add_part(void *work, ptrdiff_t part) { __atomic_add_fetch((int *)work, (int)part + 1, __ATOMIC_RELAXED); }

/* Returns 1 where a sum of parts is wrong, which as many threads share. */
static int share_wrong(void) {
    int sum = 0;
    cgru_share(add_part, &sum, 10, THREADS);
    return sum != 55;
}

/* Returns whether a sum of parts is wrong, or shared, within a crew whose members may come at any time. */
static int alone_wrong(void) {
    wait_for_lock(&lock);
    const unsigned number = job.number;
    unlock(&lock);
    const int wrong = share_wrong();
    wait_for_lock(&lock);
    const int shared = job.number != number;
    unlock(&lock);
    return wrong + shared;
}

/* Runs one call of TASKS tasks; returns how many results are wrong. `shared` counts tasks with members, `late` parts
 * that the caller did itself. */
static int call(int *shared, int *late) {
    int wrong = 0, mine[N], results[N], *kept = malloc(N * sizeof(int));
    numbers *all = cgru_crew_open(THREADS, sizeof(numbers));
    for (int i = 0; i < N; i++) kept[i] = rand() % 1000;
    wrong += share_wrong(); /* before the members are called in */
    for (int task = 0; task < TASKS; task++) {
        if (task % 100 == 50) delay_idle();
        const int members = all ? cgru_crew_ready() : 1;
        if (all && task == 0) wrong += alone_wrong(); /* members are called in, and come now */
        for (int i = 0; i < N; i++) mine[i] = rand() % 1000, results[i] = -1;
        if (members > 1) {
            all->number = task, all->kept = kept;
            for (int i = 0; i < N; i++) all->operands[i] = mine[i];
            cgru_crew_post(double_part);
            ++*shared;
        }
        for (int member = 0; member < members; member++) {
            const int came = member && cgru_crew_wait(member);
            *late += member && !came;
            for (int i = member * N / members; i < (member + 1) * N / members; i++)
                results[i] = came ? all->results[i] : 2 * mine[i] + task + kept[i];
        }
        for (int i = 0; i < N; i++) wrong += results[i] != 2 * mine[i] + task + kept[i];
    }
    if (all) cgru_crew_close();
    cgru_crew_left();
    for (int i = 0; i < N; i++) kept[i] = -1;
    free(kept);
    return wrong;
}

/* Calls that other threads make at the same time find the pool busy. */
static void *others(void *wrong) {
    for (int i = 0; i < calls; i++) *(int *)wrong += share_wrong();
    return NULL;
}

int main(int count, char **given) {
    const int waits[] = {0, -1, 1}; /* never; as in the library; always */
    if (count > 1) calls = atoi(given[1]);
    for (int i = 0; i < 3; i++) {
        int wrong = 0, shared = 0, late = 0, of_others = 0;
        pthread_t other;
        cgru_crew_waits(waits[i]);
        if (pthread_create(&other, NULL, others, &of_others) != 0) return 2;
        for (int n = 0; n < calls || (!shared && n < 1000 * calls); n++) wrong += call(&shared, &late) + share_wrong();
        pthread_join(other, NULL);
        printf("%d %d %d %d late\n", waits[i], wrong + of_others, shared > 0, late);
    }
    return 0;
}
