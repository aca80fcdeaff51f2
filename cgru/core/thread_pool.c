/* A pool of sleeping threads that take parts from one shared counter.
 *
 * One job runs at a time. A caller that finds the pool busy runs its parts alone. Threads spin for a moment before they
 * sleep, since the next job of a sequence often comes within microseconds. On Windows the pool is empty. */
#include "thread_pool.h"

#if defined(_WIN32)

void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads) {
    (void)threads;
    for (ptrdiff_t part = 0; part < parts; part++) do_part(work, part);
}

#else

#include <pthread.h>
#include <signal.h>

enum { MOST = 256, SPIN = 2000 }; /* most threads of the pool; checks before a thread sleeps */

/* The current job, guarded by `lock`, except `next`. `number` and `inside` are also read without the lock, as hints. */
static struct {
    cgru_part *do_part;
    void *work;
    ptrdiff_t parts, next;
    unsigned number; /* counts the jobs */
    int wanted;      /* threads that may still join the job */
    int inside;      /* threads that have joined and not left it */
} job;
static int started; /* threads of the pool that exist */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, one_job = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_job = PTHREAD_COND_INITIALIZER, all_left = PTHREAD_COND_INITIALIZER;

/* Run parts of the job until none is left. */
static void take_parts(cgru_part *do_part, void *work, ptrdiff_t parts) {
    for (;;) {
        ptrdiff_t part = __atomic_fetch_add(&job.next, 1, __ATOMIC_RELAXED);
        if (part >= parts) return;
        do_part(work, part);
    }
}

/* Tell the processor that this is a spin loop. */
static void pause_briefly(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* Wait for jobs and join them, for ever. */
static void *thread_of_pool(void *none) {
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPIN && __atomic_load_n(&job.number, __ATOMIC_RELAXED) == seen; i++) pause_briefly();
        pthread_mutex_lock(&lock);
        while (job.number == seen || job.wanted == 0) {
            seen = job.number;
            pthread_cond_wait(&has_job, &lock);
        }
        seen = job.number;
        job.wanted--;
        __atomic_add_fetch(&job.inside, 1, __ATOMIC_RELAXED);
        cgru_part *do_part = job.do_part;
        void *work = job.work;
        ptrdiff_t parts = job.parts;
        pthread_mutex_unlock(&lock);

        take_parts(do_part, work, parts);

        pthread_mutex_lock(&lock);
        if (__atomic_sub_fetch(&job.inside, 1, __ATOMIC_RELAXED) == 0) pthread_cond_signal(&all_left);
        pthread_mutex_unlock(&lock);
    }
    return none;
}

/* Reset the pool in a forked child: its threads do not exist there, and one of them may have held a lock. */
static void begin_anew(void) {
    static const pthread_mutex_t free_lock = PTHREAD_MUTEX_INITIALIZER;
    static const pthread_cond_t nobody_waits = PTHREAD_COND_INITIALIZER;
    lock = one_job = free_lock;
    has_job = all_left = nobody_waits;
    started = job.inside = job.wanted = 0;
}

/* Start threads until the pool has `threads` of them. The caller holds `lock`. */
static void start_threads(int threads) {
    if (started == 0) {
        static int registered;
        if (!registered && pthread_atfork(NULL, NULL, begin_anew) == 0) registered = 1;
        if (!registered) return;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* threads inherit the mask: signals go to the main thread */
    while (started < threads && started < MOST) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, thread_of_pool, NULL) != 0) break; /* the pool then has fewer threads */
        pthread_detach(thread);
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads) {
    if (threads > parts) threads = (int)parts;
    if (threads <= 1 || pthread_mutex_trylock(&one_job) != 0) { /* the pool runs another caller's job */
        for (ptrdiff_t part = 0; part < parts; part++) do_part(work, part);
        return;
    }
    pthread_mutex_lock(&lock);
    start_threads(threads - 1);
    job.do_part = do_part;
    job.work = work;
    job.parts = parts;
    __atomic_store_n(&job.next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&job.number, job.number + 1, __ATOMIC_RELAXED);
    job.wanted = threads - 1;
    pthread_cond_broadcast(&has_job);
    pthread_mutex_unlock(&lock);

    take_parts(do_part, work, parts);

    pthread_mutex_lock(&lock);
    job.wanted = 0;
    pthread_mutex_unlock(&lock);
    for (int i = 0; i < SPIN && __atomic_load_n(&job.inside, __ATOMIC_RELAXED) > 0; i++) pause_briefly();
    pthread_mutex_lock(&lock);
    while (job.inside > 0) pthread_cond_wait(&all_left, &lock);
    pthread_mutex_unlock(&lock);
    pthread_mutex_unlock(&one_job);
}

#endif
