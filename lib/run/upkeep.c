/* upkeep.c - the store's own work, when the store has no thread to do it (store.h: 4).
 *
 * It is not urgent: it waits until nothing was committed for a while, goes in slices, one a step, and that it
 * fails is nobody's business before it stands in a commit's way. */
#include "run/part.h"
#include "run/runtime.h"

#define QUIET_NS (UINT64_C(10) * 1000000)
#define RETRY_NS (UINT64_C(1000) * 1000000)

static void published(sf_runtime *rt)
{
    if (rt->commit_inline)
        rt->tidy_ns = rt->sys->mono_ns(rt->sys->ctx) + QUIET_NS;
}

static uint64_t due(sf_runtime *rt)
{
    return rt->epoch.is_submitted ? 0 : rt->tidy_ns;
}

static void wake(sf_runtime *rt, uint64_t now_ns)
{
    if (!rt->tidy_ns || now_ns < rt->tidy_ns || rt->epoch.is_submitted)
        return;
    int rc = sfi_store_tidy(rt->store);
    rt->tidy_ns = rc > 0 ? now_ns : rc < 0 ? now_ns + RETRY_NS : 0;
}

const struct sfi_part sfi_part_upkeep = {
    .name = "upkeep", .published = published, .due = due, .wake = wake};
