#include "run/background.h"

#include "base/err.h"
#include "run/drive.h"
#include "run/runtime.h"
#include "run/step.h"

static void *background(void *arg)
{
    sf_runtime *rt = arg;
    atomic_store(&rt->background, (uintptr_t)pthread_self());
    while (!atomic_load(&rt->stopping)) {
        int rc = sfi_drive_enter(rt, SFI_HERE, "background");
        if (rc == 0) {
            rc = sfi_step(rt, 0, 1);
            sfi_drive_leave(rt);
        }
        if (rc == SF_EFORK || atomic_load(&rt->broken))
            break;
        /* The step may have taken the signal that came with `stopping`. */
        if (!atomic_load(&rt->stopping))
            sfi_poll_wait(rt, -1);
    }
    return NULL;
}

int sfi_background_start(sf_runtime *rt)
{
    if (atomic_load(&rt->background))
        return sfi_err(SF_EBUSY, "the background thread is running");
    atomic_store(&rt->stopping, 0);
    /* Nobody else drives from here on, also before the thread says its own name. */
    atomic_store(&rt->background, UINTPTR_MAX);
    int rc =
        rt->sys->thread_start(rt->sys->ctx, "sf-engine", background, rt, &rt->background_handle);
    if (rc == 0)
        return 0;
    atomic_store(&rt->background, 0);
    return sfi_err(SF_ENOMEM, "cannot start a thread");
}

int sfi_background_stop(sf_runtime *rt)
{
    if (!atomic_load(&rt->background))
        return 0;
    atomic_store(&rt->stopping, 1);
    pthread_mutex_lock(&rt->lock);
    sfi_poll_signal(rt);
    pthread_mutex_unlock(&rt->lock);
    rt->sys->thread_join(rt->sys->ctx, rt->background_handle);
    atomic_store(&rt->background, 0);
    atomic_store(&rt->driver, (uintptr_t)pthread_self());
    return 0;
}
