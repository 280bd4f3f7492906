/* wait.h - blocking, from any thread.
 *
 * The thread whose job it is to drive drives while it waits; every other thread sleeps until the
 * driver says that something changed. */
#ifndef SFI_RUN_WAIT_H
#define SFI_RUN_WAIT_H

#include <stdint.h>

#include "run/ask.h"

/* SF_EBUSY inside a callback: waiting there would wait for itself. */
int sfi_wait_allowed(sf_runtime *rt, uintptr_t frame, const char *call);
int sfi_wait_durable(sf_runtime *rt, uintptr_t frame, int64_t ticket, int timeout_ms);
int sfi_wait_room(sf_runtime *rt, uintptr_t frame, int timeout_ms);
/* Takes the ask over: in the heap, because an exception may leave this call. */
int sfi_wait_answer(sf_runtime *rt, uintptr_t frame, struct sfi_ask *ask, int timeout_ms,
                    sf_message **out);

#endif
