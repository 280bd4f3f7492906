#define _GNU_SOURCE /* pthread_getattr_np() */
#include "base/stack.h"

#include <pthread.h>
#include <sys/resource.h>
#include <unwind.h>

enum { GAP_MIN = 128 << 20 }; /* the kernel maps nothing nearer to the first thread's stack */

extern void *__libc_stack_end __attribute__((weak)); /* of the first thread; glibc's */

struct walk {
    struct sfi_frame frame;
    uintptr_t last; /* the place met before */
    enum sfi_call_state found;
};

/* Called for each caller, outwards.  Stacks grow down, so places rise. */
static _Unwind_Reason_Code meet(struct _Unwind_Context *context, void *arg)
{
    struct walk *walk = arg;
    uintptr_t place = (uintptr_t)_Unwind_GetCFA(context);
    if (place == walk->frame.place)
        walk->found = (uintptr_t)_Unwind_GetIP(context) == walk->frame.returns_to ? SFI_CALL_GOES_ON
                                                                                  : SFI_CALL_LEFT;
    else if (walk->last < walk->frame.place && place > walk->frame.place)
        walk->found = SFI_CALL_LEFT;
    walk->last = place;
    return walk->found == SFI_CALL_UNKNOWN ? _URC_NO_REASON : _URC_END_OF_STACK;
}

/* The first thread's, for where there is no /proc: there pthread_getattr_np() cannot tell it. */
static size_t first_stack(uintptr_t *begin)
{
    struct rlimit limit;
    if (!&__libc_stack_end || getrlimit(RLIMIT_STACK, &limit) != 0)
        return 0;
    size_t size = limit.rlim_cur < GAP_MIN ? (size_t)limit.rlim_cur : GAP_MIN;
    *begin = (uintptr_t)__libc_stack_end - size;
    return size;
}

static size_t own_stack(uintptr_t *begin)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return first_stack(begin);
    pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    *begin = (uintptr_t)low;
    return size;
}

/* Do both lie on the stack that this thread was started with? */
static int are_on_own_stack(uintptr_t one, uintptr_t other)
{
    uintptr_t begin = 0;
    size_t size = own_stack(&begin);
    return one - begin < size && other - begin < size;
}

enum sfi_call_state sfi_stack_look(struct sfi_frame frame, struct sfi_frame here)
{
    struct walk walk = {.frame = frame, .last = 0, .found = SFI_CALL_UNKNOWN};
    if (here.place == frame.place) /* two calls cannot lie there */
        return SFI_CALL_LEFT;
    if (here.place > frame.place)
        return are_on_own_stack(here.place, frame.place) ? SFI_CALL_LEFT : SFI_CALL_UNKNOWN;
    walk.last = here.place;
    _Unwind_Backtrace(meet, &walk);
    return walk.found;
}
