/* cancel.h - no cancellation of this thread from here to the end of the block.
 *
 * A thread that is cancelled at a system call made under a lock takes the lock with it, and everybody else
 * hangs.  What was asked for meanwhile comes at the next cancellation point outside. */
#ifndef SFI_BASE_CANCEL_H
#define SFI_BASE_CANCEL_H

#include <pthread.h>

static inline int sfi_cancel_off(void)
{
    int before;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &before);
    return before;
}

static inline void sfi_cancel_restore(const int *before)
{
    pthread_setcancelstate(*before, NULL);
}

#define SFI_NO_CANCELLATION                                                                        \
    int cancel_before_ __attribute__((cleanup(sfi_cancel_restore), unused)) = sfi_cancel_off()

#endif
