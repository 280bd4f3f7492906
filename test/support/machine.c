#include "support/machine.h"

#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "statefun.h"

/* Counts one more, and says whether it is to fail. */
static int is_refused(struct machine *m)
{
    uint64_t nth = ++m->allocations;
    return m->fail_allocation &&
           (nth == m->fail_allocation || (m->fail_for_good && nth > m->fail_allocation));
}

static void *machine_aligned(void *ctx, size_t alignment, size_t size)
{
    struct machine *m = ctx;
    void *fresh = is_refused(m) ? NULL : aligned_alloc(alignment, size);
    if (fresh)
        m->live++;
    return fresh;
}

static void *machine_resize(void *ctx, void *old, size_t size)
{
    struct machine *m = ctx;
    if (size == 0) {
        m->live--;
        free(old);
        return NULL;
    }
    if (is_refused(m))
        return NULL;
    void *fresh = realloc(old, size);
    if (fresh && !old)
        m->live++;
    return fresh;
}

static uint64_t machine_wall_us(void *ctx)
{
    struct machine *m = ctx;
    return m->now_ns / 1000 + (uint64_t)m->wall_ahead_us;
}

static uint64_t machine_wall_ms(void *ctx)
{
    return machine_wall_us(ctx) / 1000;
}

static uint64_t machine_mono_ns(void *ctx)
{
    return ((struct machine *)ctx)->now_ns;
}

/* xorshift64: any sequence will do, as long as it is the same each time. */
static uint64_t machine_random(void *ctx)
{
    struct machine *m = ctx;
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return m->random;
}

static int machine_fault(void *ctx, const char *point)
{
    struct machine *m = ctx;
    uint64_t nth = ++m->faults;
    if (nth == m->kill_fault)
        kill(getpid(), SIGKILL);
    if (nth != m->fail_fault)
        return 0;
    m->failed_point = point;
    return m->fault_code;
}

void machine_init(struct machine *machine)
{
    *machine = (struct machine){.now_ns = UINT64_C(1000000000000), .random = 88172645463325252u,
                                .fault_code = SF_EDISK};
    machine->sys = *sfi_sys_default();
    machine->sys.ctx = machine;
    machine->sys.resize = machine_resize;
    machine->sys.aligned = machine_aligned;
    machine->sys.wall_ms = machine_wall_ms;
    machine->sys.wall_us = machine_wall_us;
    machine->sys.mono_ns = machine->sys.coarse_ns = machine_mono_ns;
    machine->sys.random = machine_random;
    machine->sys.fault = machine_fault;
}

void machine_advance_ms(struct machine *machine, uint64_t ms)
{
    machine->now_ns += ms * 1000000;
}
