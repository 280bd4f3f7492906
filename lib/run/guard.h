/* guard.h - may this call be made, in this process and from where it comes?
 *
 * (1) What is under way on the thread that drives is kept as explicit depths: SFI_INSIDE() around every call
 *     out to a handler or a callback.  An exception, a cancellation or pthread_exit() that leaves it runs the
 *     cleanup and the depth is right again; so does the right to drive come back (drive.h).
 * (2) longjmp() runs nothing: the depth stays, and so does the right.  Whether the call that drove is still
 *     under way is then asked of the stack (base/stack.h), from the next call on the same thread.  Surely
 *     left: it is settled.  Otherwise it counts as inside, which is an error with a sentence and never harms.
 *
 * At the bottom of the room: it knows the runtime's fields and calls no other part. */
#ifndef SFI_RUN_GUARD_H
#define SFI_RUN_GUARD_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/stack.h"
#include "statefun.h"

/* `thread` may be read by all; the rest belongs to that thread. */
struct sfi_guard {
    _Atomic uintptr_t thread; /* that drives; 0: none */
    struct sfi_frame frame;   /* of the public call in which it does */
    int handlers, callbacks;  /* of the application's, under way: so deep */
};

struct sfi_inside {
    int *depth, before;
};

static inline struct sfi_inside sfi_inside_begin(int *depth)
{
    return (struct sfi_inside){depth, (*depth)++};
}

/* Also of calls further inside that were left by longjmp(), and have not given their depths back. */
static inline void sfi_inside_end(const struct sfi_inside *inside)
{
    *inside->depth = inside->before;
}

/* From here to the end of the block code of the application runs. */
#define SFI_INSIDE(depth)                                                                          \
    struct sfi_inside inside_ __attribute__((cleanup(sfi_inside_end), unused)) =                   \
        sfi_inside_begin(&(depth))

/* Is there a runtime, in this process?  0, SF_EINVAL, SF_EFORK. */
int sfi_life_check(const sf_runtime *rt, const char *call);
/* Not in a child that was forked around the C library?  A system call, where life_check() is none.  0,
 * SF_EFORK. */
int sfi_pid_check(const sf_runtime *rt, const char *call);

/* Is this the thread that drives?  Then nothing but this call changes the guard. */
static inline int sfi_guard_is_mine(const struct sfi_guard *guard)
{
    uintptr_t thread = atomic_load_explicit(&guard->thread, memory_order_relaxed);
    return thread && thread == (uintptr_t)pthread_self();
}
/* Is the call in which this thread drives left for sure, seen from a call `here`? */
int sfi_guard_was_left(const struct sfi_guard *guard, struct sfi_frame here);

#endif
