/* poll.h - the file descriptor that a host's own loop watches, and our own loop too.
 *
 * An epoll descriptor over an eventfd (work came in, or is left) and a timerfd (something is due), so
 * that one descriptor is enough.  `signalled` keeps the system calls to one a step, however many
 * messages come in. */
#ifndef SFI_RUN_POLL_H
#define SFI_RUN_POLL_H

#include <stdatomic.h>

#include "statefun.h"

struct sfi_poll {
    int fd, event_fd, timer_fd;
    int signalled;   /* under the runtime's lock */
    atomic_int settled; /* the commit thread had something to say since the step began; written likewise */
    uint64_t due_ns; /* what the timer is set to; 0: off; written under the lock */
};

int sfi_poll_open(struct sfi_poll *poll);
void sfi_poll_close(struct sfi_poll *poll);

void sfi_poll_signal(sf_runtime *rt);  /* under the lock: there is something to do */
void sfi_poll_settled(sf_runtime *rt); /* the same, from the commit thread; takes the lock */
/* Engine.  The descriptor stays readable while a step runs: one that is left by longjmp or an exception never
 * comes to its end. */
void sfi_poll_begin(sf_runtime *rt);
/* Did the commit thread have something to say since? */
int sfi_poll_has_settled(const sf_runtime *rt);
/* Not readable from here on unless somebody signals.  1: the commit thread did meanwhile. */
int sfi_poll_clear(sf_runtime *rt);
void sfi_poll_set_due(sf_runtime *rt, uint64_t due_ns,
                      uint64_t now_ns); /* engine, at its end; 0: never */

/* Waits until there is something to do. */
void sfi_poll_wait(sf_runtime *rt, int timeout_ms);

#endif
