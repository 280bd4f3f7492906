#include "run/background.h"

#include "base/cancel.h"
#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/step.h"

/* Also when a handler ended the thread: then others may drive. */
static void end_driving(sf_runtime **runtime)
{
    sf_runtime *rt = *runtime;
    if (sfi_life_check(rt, "background") < 0)
        return;
    pthread_mutex_lock(&rt->lock);
    atomic_store(&rt->background, 0);
    struct sfi_waiter *next = sfi_waiters_next_driver(rt);
    pthread_mutex_unlock(&rt->lock);
    sfi_waiters_wake(next);
}

static int step(sf_runtime *rt, struct sfi_frame here)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, rt, here, "background", SFI_STEPS);
    return rc < 0 ? rc : sfi_step(rt, 0, 1);
}

static void *background(void *arg)
{
    sf_runtime *rt __attribute__((cleanup(end_driving))) = arg;
    atomic_store(&rt->background, (uintptr_t)pthread_self());
    while (!atomic_load(&rt->stopping)) {
        int rc = step(rt, SFI_HERE);
        if (rc == SF_EFORK || atomic_load(&rt->broken))
            break;
        /* The step may have taken the signal that came with `stopping`. */
        if (!atomic_load(&rt->stopping))
            sfi_poll_wait(rt, rc == SF_EBUSY ? 1 : -1);
    }
    return NULL;
}

int sfi_background_start(sf_runtime *rt)
{
    if (atomic_load(&rt->background))
        return sfi_err(SF_EBUSY, "the background thread is running");
    sfi_background_stop(rt); /* one that has ended by itself */
    atomic_store(&rt->stopping, 0);
    /* Nobody else drives from here on, also before the thread says its own name. */
    atomic_store(&rt->background, UINTPTR_MAX);
    int rc =
        rt->sys->thread_start(rt->sys->ctx, "sf-engine", background, rt, &rt->background_handle);
    rt->has_background = rc == 0;
    if (rc == 0)
        return 0;
    atomic_store(&rt->background, 0);
    return sfi_err(SF_ENOMEM, "cannot start a thread");
}

void sfi_background_stop(sf_runtime *rt)
{
    SFI_NO_CANCELLATION;
    if (!rt->has_background)
        return;
    atomic_store(&rt->stopping, 1);
    pthread_mutex_lock(&rt->lock);
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
    rt->sys->thread_join(rt->sys->ctx, rt->background_handle);
    rt->has_background = 0;
}
