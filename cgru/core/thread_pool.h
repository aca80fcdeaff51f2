/* A pool of threads that runs the parts of one piece of work at a time. */
#ifndef CGRU_THREAD_POOL_H
#define CGRU_THREAD_POOL_H

#include <stddef.h>

/* Run part `part` of the work. Parts may run at the same time, in any order. */
typedef void cgru_part(void *work, ptrdiff_t part);

/* Calls do_part(work, i) for each i < parts on up to `threads` threads, the caller among them; returns when all end.
 * || Each thread takes the next part that is not taken. On a busy machine, where pool threads may wake late, the caller
 * runs the parts itself and does not wait for them. */
void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads);

#endif
