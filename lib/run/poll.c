#include "run/poll.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/err.h"
#include "run/runtime.h"

static int add(int fd, int member)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = member};
    return epoll_ctl(fd, EPOLL_CTL_ADD, member, &event);
}

static void close_fd(int fd)
{
    if (fd >= 0)
        close(fd);
}

void sfi_poll_close(struct sfi_poll *poll)
{
    close_fd(poll->fd);
    close_fd(poll->event_fd);
    close_fd(poll->timer_fd);
    *poll = (struct sfi_poll){.fd = -1, .event_fd = -1, .timer_fd = -1};
}

/* What the kernel says of one of the three: there are no more, or this process may not have any. */
static int refused(const char *facility)
{
    if (errno == EMFILE || errno == ENFILE)
        return sfi_err(SF_ENOMEM, "out of file descriptors for %s", facility);
    if (errno == ENOMEM || errno == ENOSPC)
        return sfi_err(SF_ENOMEM, "out of memory for %s", facility);
    return sfi_err(SF_EACCESS, "%s is denied to this process: %s", facility, strerror(errno));
}

static int open_all(struct sfi_poll *poll)
{
    if ((poll->fd = epoll_create1(EPOLL_CLOEXEC)) < 0)
        return refused("epoll");
    if ((poll->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
        return refused("eventfd");
    if ((poll->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)) < 0)
        return refused("timerfd");
    if (add(poll->fd, poll->event_fd) < 0 || add(poll->fd, poll->timer_fd) < 0)
        return refused("epoll");
    return 0;
}

int sfi_poll_open(struct sfi_poll *poll)
{
    *poll = (struct sfi_poll){.fd = -1, .event_fd = -1, .timer_fd = -1};
    int rc = open_all(poll);
    if (rc < 0)
        sfi_poll_close(poll);
    return rc;
}

void sfi_poll_signal(sf_runtime *rt)
{
    uint64_t one = 1;
    if (rt->poll.signalled)
        return;
    SFI_NO_CANCELLATION;
    rt->poll.signalled = 1;
    if (write(rt->poll.event_fd, &one, sizeof one) < 0)
        rt->poll.signalled = 0; /* cannot happen: the counter is at most 1 */
    sfi_waiters_call(rt);
}

static void drain(int fd)
{
    uint64_t count;
    while (read(fd, &count, sizeof count) < 0 && errno == EINTR)
        ;
}

void sfi_poll_settled(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    rt->poll.settled = 1;
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
}

void sfi_poll_begin(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    rt->poll.settled = 0;
    pthread_mutex_unlock(&rt->lock);
}

int sfi_poll_has_settled(const sf_runtime *rt)
{
    return atomic_load_explicit(&rt->poll.settled, memory_order_relaxed);
}

int sfi_poll_clear(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int settled = rt->poll.settled;
    if (rt->poll.signalled)
        drain(rt->poll.event_fd);
    rt->poll.signalled = 0;
    pthread_mutex_unlock(&rt->lock);
    return settled;
}

void sfi_poll_set_due(sf_runtime *rt, uint64_t due_ns, uint64_t now_ns)
{
    struct sfi_poll *poll = &rt->poll;
    if (due_ns == poll->due_ns && (due_ns == 0 || due_ns > now_ns))
        return;
    /* Relative, because a test's clock is not the machine's; at least 1 ns, since 0 turns it off. */
    uint64_t in_ns = due_ns > now_ns ? due_ns - now_ns : 1;
    struct itimerspec when = {{0, 0}, {0, 0}};
    if (due_ns) {
        when.it_value.tv_sec = (time_t)(in_ns / 1000000000);
        when.it_value.tv_nsec = (long)(in_ns % 1000000000);
    }
    timerfd_settime(poll->timer_fd, 0, &when, NULL);
    pthread_mutex_lock(&rt->lock);
    poll->due_ns = due_ns;
    pthread_mutex_unlock(&rt->lock);
}

void sfi_poll_wait(sf_runtime *rt, int timeout_ms)
{
    struct pollfd watch = {.fd = rt->poll.fd, .events = POLLIN};
    poll(&watch, 1, timeout_ms);
}
