/* callback.h - the marks around every call out to the application's callbacks.
 *
 * While one runs, its frame tells a call from inside it (refused: it would wait for itself) from a call
 * after it was left by longjmp or an exception; see drive.h. */
#ifndef SFI_RUN_CALLBACK_H
#define SFI_RUN_CALLBACK_H

#include "run/runtime.h"

/* Inlined, so that the frame is that of the function which makes the call. */
static inline __attribute__((always_inline)) void sfi_callback_begin(sf_runtime *rt)
{
    rt->callback_frame = (uintptr_t)__builtin_frame_address(0);
}

static inline void sfi_callback_end(sf_runtime *rt)
{
    rt->callback_frame = 0;
}

#endif
