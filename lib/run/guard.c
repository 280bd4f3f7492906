#include "run/guard.h"

#include <unistd.h>

#include "base/err.h"
#include "run/runtime.h"

static int forked(const char *call)
{
    return sfi_err(SF_EFORK, "%s: a runtime cannot be used after fork()", call);
}

int sfi_life_check(const sf_runtime *rt, const char *call)
{
    if (!rt)
        return sfi_err(SF_EINVAL, "%s: the runtime is NULL", call);
    return rt->has_dir && sfi_dir_forked(&rt->dir) ? forked(call) : 0;
}

int sfi_pid_check(const sf_runtime *rt, const char *call)
{
    return rt->has_dir && rt->dir.pid != getpid() ? forked(call) : 0;
}

int sfi_guard_was_left(const struct sfi_guard *guard, struct sfi_frame here)
{
    return sfi_stack_look(guard->frame, here) == SFI_CALL_LEFT;
}
