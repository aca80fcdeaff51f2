/* A pool of sleeping threads that take parts from one shared counter, and the crew that it lends to one call.
 *
 * One job runs at a time. A caller that finds the pool busy runs its parts alone. The caller of an open crew may share
 * a job, too, as long as nobody has been called in. Threads spin for a moment before they
 * sleep, since the next job of a sequence often comes within microseconds. On Windows the pool is empty.
 *
 * A crew meets hundreds of times in a millisecond, and may not depend on when a thread runs. Its protocol:
 *
 *     caller                                          member i of n
 *     cgru_crew_ready(): calls members in
 *     n = cgru_crew_ready(): 1 + members that came    arrives: adds itself to `arrived`
 *     writes the operands into the crew's memory      spins until `posted` changes
 *     cgru_crew_post: posted = (number, n)       -->  if i < n: reads operands, writes results, then
 *     does its own part                               done[i] = posted
 *     cgru_crew_wait(i): done[i] == posted?      <--
 *     yes: copies the results; no: does part i itself
 *
 * 1. A member writes the crew's memory alone. So it can spoil nothing of the caller's, however late it runs. It reads
 *    that memory, and what a task points to, such as packed weights that stay as they are: who changes or frees these
 *    calls cgru_crew_left before.
 * 2. That memory is the pool's, and stays as it is until the last has left, though the caller closes without waiting: no
 *    further job or crew begins while someone is inside; who wants one runs alone. The next crew gets the same memory,
 *    unless it is large, since fresh memory costs a page fault for each page.
 * 3. The caller writes the memory after `ready` alone, which is 1 as long as a member of the last task has not finished
 *    it: what a late member reads does not change beneath it, and what it writes nobody reads. A member that does not
 *    belong to a task reads nothing but `posted`. So there is no data race, whoever sleeps where.
 * 4. The caller waits no longer for a part than its own part took, and in vain no more than a sixteenth of the time,
 *    counted over all crews: short ones that follow one another, in which nobody is in time, are opened no more for a
 *    while. After MOST_LATE late parts it stays alone for the rest of the call. Sums are the same whoever computes them.
 * 5. A member that waits for more than some microseconds yields its core, on which the caller may want to run. */
#include "thread_pool.h"

#if defined(_WIN32)

void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads) {
    (void)threads;
    for (ptrdiff_t part = 0; part < parts; part++) do_part(work, part);
}

void *cgru_crew_open(int threads, size_t bytes) { return (void)threads, (void)bytes, NULL; }
int cgru_crew_ready(void) { return 1; }
int cgru_crew_gather(void) { return 1; }
void cgru_crew_post(cgru_task *task) { (void)task; }
int cgru_crew_wait(int member) { return (void)member, 0; }
void cgru_crew_close(void) {}
void cgru_crew_left(void) {}
void cgru_crew_waits(int always) { (void)always; }
long cgru_crew_tasks(void) { return 0; }

#else

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum {
    MOST = 256,       /* most threads of the pool */
    SPIN = 2000,      /* checks before a thread sleeps */
    IDLE = 500000,    /* nanoseconds for which a member of a crew waits for the next task before it leaves */
    FIRST = 4000000,  /* nanoseconds for which it waits for the first task, while small weights are packed */
    MOST_LATE = 8,    /* parts of a call that may come late: the first ones do, whose weights are in no cache */
    CREDIT = 50000,   /* nanoseconds that callers may lose by crews at once: in so many, a thread mostly wakes */
    LOST = 16,        /* they may lose one nanosecond in so many */
    OPENING = 2000,   /* nanoseconds lost by a crew in which nobody did a part in time */
    YIELD = 10000,    /* nanoseconds after which a member that waits yields its core */
    BRIEFLY = 100,    /* checks before a thread sleeps until `lock` is free */
    LEAVING = 200,    /* checks until a thread that is about to leave has mostly left */
    LINE = 64,        /* bytes that two cores do not share */
    KEPT = 1 << 25,   /* bytes that the pool keeps for the next crew */
    STACK = 1 << 20,  /* bytes of a thread's stack, at least: musl has 128 kB, and unoptimised kernels take 160 */
};

/* Where a test may delay a thread; nothing in the library. */
#ifndef DELAY
#define DELAY()
#endif

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

static _Thread_local int has_pool; /* whether this thread is the caller of an open crew that nobody is called into */
static int waits = -1; /* whether the caller always waits for members, or, once they came, never; -1: as it should */

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

/* Take `lock`, which others hold for less than it takes to sleep and be woken. */
static void take_lock(void) {
    for (int i = 0; i < BRIEFLY; i++) {
        if (pthread_mutex_trylock(&lock) == 0) return;
        pause_briefly();
    }
    pthread_mutex_lock(&lock);
}

/* The crew. `one_job` is its caller's while it is open; members read `task` and `memory` after `posted`. */
static struct {
    _Alignas(LINE) unsigned long long posted; /* number of the task << 16 | its members; CLOSED at the end */
    cgru_task *task;
    void *memory;
    size_t bytes; /* of the memory */
    _Alignas(LINE) ptrdiff_t arrived; /* members that came, without the caller */
    int gone;                         /* that left again */
    struct {
        _Alignas(LINE) unsigned long long done; /* `posted` of the last task that this member finished */
    } member[MOST];
    /* The caller's own. */
    _Alignas(LINE) int threads, members, late, came; /* parts that came late, and in time */
    int alone;                       /* whether callers run alone until `credit` is CREDIT again */
    long long opened, begun, closed; /* when the crew was opened, the task posted, and the crew before closed */
    long tasks;                      /* posted since the start, by all callers */
    long long own, credit;           /* nanoseconds of the caller's own part; that callers may lose */
} crew;
#define CLOSED (~0ULL)
#define FOREVER 10000000000LL /* nanoseconds, for the tests */

/* Returns the time in nanoseconds. */
static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* Wait until a count has come to `least`, for the tests. */
static void await_count(const ptrdiff_t *count, int least) {
    for (const long long since = now(); now() - since < FOREVER; sched_yield())
        if (__atomic_load_n(count, __ATOMIC_RELAXED) >= least) break;
}

/* Be a member of the crew until it closes, or no task comes for a while. */
static void join_crew(void *none, ptrdiff_t part) {
    const int me = 1 + (int)__atomic_fetch_add(&crew.arrived, 1, __ATOMIC_RELAXED);
    unsigned long long seen = 0, posted;
    (void)none, (void)part;
    if (me >= MOST) return;
    for (;;) {
        const long long since = now();
        for (int i = 1; (posted = __atomic_load_n(&crew.posted, __ATOMIC_ACQUIRE)) == seen; i++) {
            if (i % 16 == 0 && now() - since > (seen ? IDLE : FIRST)) {
                __atomic_add_fetch(&crew.gone, 1, __ATOMIC_RELAXED);
                return;
            }
            if (i % 16 == 0 && now() - since > YIELD)
                sched_yield();
            else
                pause_briefly();
        }
        DELAY();
        if (posted == CLOSED) return;
        seen = posted;
        if (me >= (int)(posted & 0xffff)) continue;
        crew.task(crew.memory, me, (int)(posted & 0xffff));
        DELAY();
        __atomic_store_n(&crew.member[me].done, posted, __ATOMIC_RELEASE);
    }
}

/* Free the memory of a closed crew, if it is large and nobody is inside. The caller holds `lock`. */
static void free_crew(void) {
    if (job.inside > 0 || crew.bytes <= KEPT || __atomic_load_n(&crew.posted, __ATOMIC_RELAXED) != CLOSED) return;
    free(crew.memory);
    crew.memory = NULL, crew.bytes = 0;
}

/* Pause while the caller waits; in tests, which wait for all, let others run. */
static void pause_of_caller(void) {
    if (waits < 0)
        pause_briefly();
    else
        sched_yield();
}

/* Wait for jobs and join them, for ever. */
static void *thread_of_pool(void *none) {
    unsigned seen = 0;
    for (;;) {
        for (int i = 0; i < SPIN && __atomic_load_n(&job.number, __ATOMIC_RELAXED) == seen; i++) pause_briefly();
        take_lock();
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

        take_lock();
        if (__atomic_sub_fetch(&job.inside, 1, __ATOMIC_RELAXED) == 0) pthread_cond_broadcast(&all_left);
        free_crew();
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
    crew.late = MOST_LATE;
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
    pthread_attr_t attributes;
    size_t stack;
    pthread_attr_init(&attributes);
    if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < STACK) pthread_attr_setstacksize(&attributes, STACK);
    while (started < threads && started < MOST) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, thread_of_pool, NULL) != 0) break; /* the pool then has fewer threads */
        pthread_detach(thread);
        started++;
    }
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* Wait a moment until nobody is inside, and return whether that is so. */
static int all_have_left(int checks) {
    for (int i = 0; i < checks && __atomic_load_n(&job.inside, __ATOMIC_RELAXED) > 0; i++) pause_of_caller();
    return __atomic_load_n(&job.inside, __ATOMIC_RELAXED) == 0;
}

/* Take the pool, unless it runs another caller's job, or a thread is late with the last one; return whether it did. */
static int take_pool(void) {
    if (pthread_mutex_trylock(&one_job) != 0) return 0;
    if (all_have_left(waits < 0 ? LEAVING : INT_MAX)) return 1;
    pthread_mutex_unlock(&one_job);
    return 0;
}

/* Post a job of `parts` parts for `threads` threads of the pool. The caller has the pool and holds `lock`. */
static void post_job(cgru_part *do_part, void *work, ptrdiff_t parts, int threads) {
    start_threads(threads);
    job.do_part = do_part;
    job.work = work;
    job.parts = parts;
    __atomic_store_n(&job.next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&job.number, job.number + 1, __ATOMIC_RELAXED);
    job.wanted = threads;
    pthread_cond_broadcast(&has_job);
}

void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads) {
    if (threads > parts) threads = (int)parts;
    if (threads <= 1 || !(has_pool ? all_have_left(0) : take_pool())) {
        for (ptrdiff_t part = 0; part < parts; part++) do_part(work, part);
        return;
    }
    take_lock();
    post_job(do_part, work, parts, threads - 1);
    pthread_mutex_unlock(&lock);
    if (waits > 0) await_count(&job.next, 1); /* a thread has taken a part */

    take_parts(do_part, work, parts);

    take_lock();
    job.wanted = 0;
    pthread_mutex_unlock(&lock);
    all_have_left(SPIN);
    take_lock();
    while (job.inside > 0) pthread_cond_wait(&all_left, &lock);
    pthread_mutex_unlock(&lock);
    if (!has_pool) pthread_mutex_unlock(&one_job);
}

/* Call the members in, unless one of them is still here. The caller has the pool and holds `lock`. They come at any
 * time from now on, so that it shares no other job. */
static void call_members(void) {
    has_pool = 0;
    if (job.inside > 0) return;
    crew.posted = 0, crew.arrived = 0, crew.gone = 0, crew.members = 1;
    for (int i = 1; i < crew.threads && i < MOST; i++) crew.member[i].done = 0;
    post_job(join_crew, NULL, crew.threads - 1, crew.threads - 1);
}

/* Returns whether callers have lost so little by crews that another one may be opened. The caller has the pool. */
static int may_open(void) {
    crew.opened = now();
    crew.credit += (crew.opened - crew.closed) / LOST;
    crew.closed = crew.opened;
    if (crew.credit >= CREDIT) crew.credit = CREDIT, crew.alone = 0;
    return !crew.alone || waits >= 0;
}

void *cgru_crew_open(int threads, size_t bytes) {
    void *memory;
    if (threads < 2 || !take_pool()) return NULL;
    if (!may_open()) {
        pthread_mutex_unlock(&one_job);
        return NULL;
    }
    take_lock();
    if (bytes > crew.bytes) {
        free(crew.memory);
        crew.bytes = bytes;
        if (posix_memalign(&crew.memory, LINE, bytes) != 0) crew.memory = NULL, crew.bytes = 0;
    }
    memory = crew.memory;
    crew.threads = threads, crew.late = 0, crew.came = 0;
    crew.posted = 0, crew.gone = 1; /* nobody is here yet */
    pthread_mutex_unlock(&lock);
    has_pool = memory != NULL;
    if (!memory) pthread_mutex_unlock(&one_job);
    return memory;
}

int cgru_crew_ready(void) {
    if (crew.late >= MOST_LATE) return 1;
    if (__atomic_load_n(&crew.gone, __ATOMIC_RELAXED)) {
        take_lock();
        call_members();
        pthread_mutex_unlock(&lock);
        return 1;
    }
    for (int i = 1; i < crew.members; i++)
        if (__atomic_load_n(&crew.member[i].done, __ATOMIC_ACQUIRE) != crew.posted) return 1;
    if (waits >= 0) await_count(&crew.arrived, crew.threads - 1);
    crew.members = 1 + (int)__atomic_load_n(&crew.arrived, __ATOMIC_RELAXED);
    if (crew.members > crew.threads) crew.members = crew.threads;
    return crew.members;
}

int cgru_crew_gather(void) {
    const long long since = now();
    long long waited = 0;
    cgru_crew_ready();
    while (!__atomic_load_n(&crew.arrived, __ATOMIC_RELAXED) && waited < crew.credit) {
        pause_briefly();
        waited = now() - since;
    }
    if (!__atomic_load_n(&crew.arrived, __ATOMIC_RELAXED)) crew.credit -= waited;
    return cgru_crew_ready();
}

void cgru_crew_post(cgru_task *task) {
    crew.task = task, crew.own = 0, crew.begun = now(), crew.tasks++;
    __atomic_store_n(&crew.posted, ((crew.posted >> 16) + 1) << 16 | (unsigned)crew.members, __ATOMIC_RELEASE);
    DELAY();
}

int cgru_crew_wait(int member) {
    const long long since = now(), left = crew.credit + (since - crew.opened) / LOST;
    if (crew.own == 0) crew.own = since - crew.begun;
    const long long most = waits >= 0 ? waits * FOREVER : crew.own < left ? crew.own : left;
    while (__atomic_load_n(&crew.member[member].done, __ATOMIC_ACQUIRE) != crew.posted) {
        const long long waited = now() - since;
        if (waited > most || __atomic_load_n(&crew.gone, __ATOMIC_RELAXED)) { /* it may have left before the task came */
            crew.late++, crew.credit -= waited;
            return 0;
        }
        pause_of_caller();
    }
    crew.came++;
    return 1;
}

void cgru_crew_close(void) {
    crew.closed = now();
    crew.credit += (crew.closed - crew.opened) / LOST - (crew.came ? 0 : OPENING);
    crew.alone = crew.credit < 0;
    __atomic_store_n(&crew.posted, CLOSED, __ATOMIC_RELEASE);
    take_lock();
    job.wanted = 0;
    __atomic_store_n(&job.next, job.parts, __ATOMIC_RELAXED);
    free_crew();
    pthread_mutex_unlock(&lock);
    has_pool = 0;
    pthread_mutex_unlock(&one_job);
}

void cgru_crew_left(void) {
    take_lock();
    const unsigned number = job.number; /* a next job begins when all have left */
    while (job.number == number && job.do_part == join_crew && job.inside > 0) {
        if (__atomic_load_n(&crew.posted, __ATOMIC_RELAXED) != CLOSED) break; /* another caller's */
        pthread_cond_wait(&all_left, &lock);
    }
    pthread_mutex_unlock(&lock);
}

void cgru_crew_waits(int always) { waits = always; }

long cgru_crew_tasks(void) { return crew.tasks; }

#endif
