#define _GNU_SOURCE /* pthread_setname_np() */
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

static void *machine_resize(void *ctx, void *old, size_t size)
{
    (void)ctx;
    if (size)
        return realloc(old, size);
    free(old);
    return NULL;
}

static void *machine_aligned(void *ctx, size_t alignment, size_t size)
{
    (void)ctx;
    return aligned_alloc(alignment, size);
}

static uint64_t machine_clock(clockid_t clock, uint64_t per_second)
{
    struct timespec now = {0};
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec / (1000000000u / per_second);
}

static uint64_t machine_wall_ms(void *ctx)
{
    (void)ctx;
    return machine_clock(CLOCK_REALTIME, 1000);
}

static uint64_t machine_wall_us(void *ctx)
{
    (void)ctx;
    return machine_clock(CLOCK_REALTIME, 1000000);
}

static uint64_t machine_mono_ns(void *ctx)
{
    (void)ctx;
    return machine_clock(CLOCK_MONOTONIC, 1000000000u);
}

static uint64_t machine_coarse_ns(void *ctx)
{
    (void)ctx;
    return machine_clock(CLOCK_MONOTONIC_COARSE, 1000000000u);
}

/* For where getrandom() is denied. */
static uint64_t random_from_device(void)
{
    uint64_t number = 0;
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    if (read(fd, &number, sizeof number) != sizeof number)
        number = 0;
    close(fd);
    return number;
}

static uint64_t machine_random(void *ctx)
{
    uint64_t number = 0;
    ssize_t got;
    (void)ctx;
    do
        got = getrandom(&number, sizeof number, 0);
    while (got < 0 && errno == EINTR);
    return got == sizeof number ? number : random_from_device();
}

/* No thread of ours takes a signal that is meant for the host's. */
static int machine_thread_start(void *ctx, const char *name, void *(*run)(void *), void *arg,
                                uintptr_t *out_thread)
{
    pthread_t thread;
    sigset_t all, before;
    (void)ctx;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&thread, NULL, run, arg);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -1;
    pthread_setname_np(thread, name);
    *out_thread = (uintptr_t)thread;
    return 0;
}

static void machine_thread_join(void *ctx, uintptr_t thread)
{
    (void)ctx;
    pthread_join((pthread_t)thread, NULL);
}

static int machine_fault(void *ctx, const char *point)
{
    (void)ctx, (void)point;
    return 0;
}

const struct sfi_sys *sfi_sys_default(void)
{
    static const struct sfi_sys machine = {
        .resize = machine_resize,
        .aligned = machine_aligned,
        .wall_ms = machine_wall_ms,
        .wall_us = machine_wall_us,
        .mono_ns = machine_mono_ns,
        .coarse_ns = machine_coarse_ns,
        .random = machine_random,
        .thread_start = machine_thread_start,
        .thread_join = machine_thread_join,
        .fault = machine_fault,
    };
    return &machine;
}

void *sfi_zalloc(const struct sfi_sys *sys, size_t size)
{
    void *memory = sfi_alloc(sys, size);
    if (memory)
        memset(memory, 0, size);
    return memory;
}

void *sfi_grow(const struct sfi_sys *sys, void *items, uint32_t *capacity, uint64_t need,
               uint32_t least, size_t size)
{
    uint64_t fresh = (uint64_t)*capacity + *capacity / 2;
    fresh = fresh < least ? least : fresh;
    fresh = fresh < need ? need : fresh;
    void *grown = fresh <= UINT32_MAX ? sfi_resize(sys, items, fresh * size) : NULL;
    if (grown)
        *capacity = (uint32_t)fresh;
    return grown;
}
