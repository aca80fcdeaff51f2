/* A pool of threads that runs the parts of one piece of work at a time, or is the crew of one call. */
#ifndef CGRU_THREAD_POOL_H
#define CGRU_THREAD_POOL_H

#include <stddef.h>

/* Run part `part` of the work. Parts may run at the same time, in any order. */
typedef void cgru_part(void *work, ptrdiff_t part);

/* Calls do_part(work, i) for each i < parts on up to `threads` threads, the caller among them; returns when all end.
 * || Each thread takes the next part that is not taken. On a busy machine, where pool threads may wake late, the caller
 * runs the parts itself and does not wait for them. */
void cgru_share(cgru_part *do_part, void *work, ptrdiff_t parts, int threads);

/* Does part `member` of `members` of a task, whose description, operands and results all lie in the crew's memory. */
typedef void cgru_task(void *memory, int member, int members);

/* A crew shares the many small tasks of one call; thread_pool.c has its protocol. The caller is member 0.
 *
 * Opens a crew of up to `threads` threads and returns its memory of `bytes` bytes. NULL: the pool is busy, there is no
 * memory, or crews were of no use lately; the caller then runs alone. Until `ready` calls members in, cgru_share works. */
void *cgru_crew_open(int threads, size_t bytes);
/* Returns how many share the next task, the caller among them. 1: nobody else is ready; the caller then leaves the
 * crew's memory alone and posts nothing. Calls members in, the first time and where they left for want of a task. */
int cgru_crew_ready(void);
/* Returns that, after a wait until a first member has come, of up to some tens of microseconds if callers have not lost
 * these already. */
int cgru_crew_gather(void);
/* Posts a task, which is described in the crew's memory. The caller then does part 0 itself. */
void cgru_crew_post(cgru_task *task);
/* Returns whether a member has done its part, after a wait no longer than the caller's own part took. 0: the caller
 * does that part itself, with its own operands and into its own memory. */
int cgru_crew_wait(int member);
/* Closes the crew, without waiting for anyone; its memory is the caller's no more. */
void cgru_crew_close(void);
/* Waits until the late members of a closed crew have left: they may still read what its tasks pointed to. */
void cgru_crew_left(void);
/* For the tests: all members have to come, and then the caller waits for their parts always (1) or never (0); with 1 a
 * thread has to come to a shared work, too; -1: as ever. */
void cgru_crew_waits(int always);
/* How many tasks crews have shared so far. */
long long cgru_crew_tasks(void);

#endif
