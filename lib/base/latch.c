#include "base/latch.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void sfi_latch_open(struct sfi_latch *latch)
{
    void *address = latch;
    atomic_store_explicit(&latch->is_open, 1, memory_order_release);
    (void)syscall(SYS_futex, address, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static int is_open(struct sfi_latch *latch)
{
    return (int)atomic_load_explicit(&latch->is_open, memory_order_acquire);
}

/* The C library cancels who is in such a system call by a signal.  One that was sent, and comes only now, would
 * end the thread in the next system call that the library makes, with cancellation off or not: so meet it here,
 * at a cancellation point that does nothing, on whose way out the library waits for that signal. */
static void wait_for_cancellation_on_its_way(void)
{
    (void)!read(-1, NULL, 0);
}

/* A thread can be cancelled here as in the C library's own waits: in the system call alone.
 *
 * The kernel compares before it puts the thread to sleep, so that an opening in between is not missed; its
 * clock for this is the monotonic one. */
int sfi_latch_wait(struct sfi_latch *latch, int wait_ms)
{
    struct timespec most = {wait_ms / 1000, (long)(wait_ms % 1000) * 1000000};
    int before;
    if (!is_open(latch) && wait_ms > 0) {
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &before);
        (void)syscall(SYS_futex, &latch->is_open, FUTEX_WAIT_PRIVATE, 0, &most, NULL, 0);
        pthread_setcanceltype(before, NULL);
        wait_for_cancellation_on_its_way();
    }
    return is_open(latch);
}
