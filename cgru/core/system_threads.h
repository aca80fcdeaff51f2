/* What the pool of threads asks of the system, POSIX or Windows, under one name each: locks, conditions, threads, a
 * clock, aligned memory. */
#ifndef CGRU_SYSTEM_THREADS_H
#define CGRU_SYSTEM_THREADS_H

#include <stdlib.h>

#if defined(_WIN32)

#define WIN32_LEAN_AND_MEAN
#include <malloc.h>
#include <windows.h>

typedef SRWLOCK system_lock;
typedef CONDITION_VARIABLE system_condition;
#define FREE_LOCK SRWLOCK_INIT
#define NOBODY_WAITS CONDITION_VARIABLE_INIT
#define THREAD_RETURNS DWORD WINAPI

static int try_lock(system_lock *lock) { return TryAcquireSRWLockExclusive(lock) != 0; }
static void wait_for_lock(system_lock *lock) { AcquireSRWLockExclusive(lock); }
static void unlock(system_lock *lock) { ReleaseSRWLockExclusive(lock); }
static void wait_for(system_condition *condition, system_lock *lock) {
    SleepConditionVariableSRW(condition, lock, INFINITE, 0);
}
static void wake_all(system_condition *condition) { WakeAllConditionVariable(condition); }
static void yield_core(void) { SwitchToThread(); }

/* Starts a thread that runs until the process ends; returns whether it could. */
static int start_thread(LPTHREAD_START_ROUTINE run) {
    const HANDLE thread = CreateThread(NULL, 0, run, NULL, 0, NULL);
    return thread && CloseHandle(thread);
}

/* Nothing forks here. */
static int after_fork(void (*in_child)(void)) { return (void)in_child, 1; }

/* Returns the time in nanoseconds. */
static long long now(void) {
    LARGE_INTEGER ticks, second;
    QueryPerformanceCounter(&ticks), QueryPerformanceFrequency(&second);
    const long long whole = ticks.QuadPart / second.QuadPart, rest = ticks.QuadPart % second.QuadPart;
    return whole * 1000000000LL + rest * 1000000000LL / second.QuadPart;
}

static void *take_memory(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }
static void free_memory(void *memory) { _aligned_free(memory); }

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

enum { STACK = 1 << 20 }; /* bytes of a thread's stack, at least: musl has 128 kB, and unoptimised kernels take 160 */

typedef pthread_mutex_t system_lock;
typedef pthread_cond_t system_condition;
#define FREE_LOCK PTHREAD_MUTEX_INITIALIZER
#define NOBODY_WAITS PTHREAD_COND_INITIALIZER
#define THREAD_RETURNS void *

static int try_lock(system_lock *lock) { return pthread_mutex_trylock(lock) == 0; }
static void wait_for_lock(system_lock *lock) { pthread_mutex_lock(lock); }
static void unlock(system_lock *lock) { pthread_mutex_unlock(lock); }
static void wait_for(system_condition *condition, system_lock *lock) { pthread_cond_wait(condition, lock); }
static void wake_all(system_condition *condition) { pthread_cond_broadcast(condition); }
static void yield_core(void) { sched_yield(); }

/* Starts a thread that runs until the process ends; returns whether it could. */
static int start_thread(void *(*run)(void *)) {
    pthread_t thread;
    pthread_attr_t attributes;
    size_t stack;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* threads inherit the mask: signals go to the main thread */
    pthread_attr_init(&attributes);
    if (pthread_attr_getstacksize(&attributes, &stack) == 0 && stack < STACK) pthread_attr_setstacksize(&attributes, STACK);
    const int started = pthread_create(&thread, &attributes, run, NULL) == 0 && pthread_detach(thread) == 0;
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return started;
}

/* Lets a child that is forked from now on call a function first; returns whether it will. */
static int after_fork(void (*in_child)(void)) { return pthread_atfork(NULL, NULL, in_child) == 0; }

/* Returns the time in nanoseconds. */
static long long now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static void *take_memory(size_t alignment, size_t bytes) {
    void *memory;
    return posix_memalign(&memory, alignment, bytes) == 0 ? memory : NULL;
}
static void free_memory(void *memory) { free(memory); }

#endif
#endif
