/* A pool of threads that shares out the parts of a piece of work. */
#ifndef CGRU_THREAD_POOL_H
#define CGRU_THREAD_POOL_H

#include <stddef.h>

/* Does part `part` of the work; parts may run at the same time, in any order. */
typedef void cgru_part(void *work, ptrdiff_t part);

/* Runs all parts on up to `threads` threads, the caller's among them, and returns when they are done.
 *
 * Each thread takes the next part that nobody has taken. The caller does whatever the others do not come for, so that on
 * a busy machine, where they may be long in coming, nothing waits for them. */
void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads);

#endif
