/* drive.h - who may call, and who drives.
 *
 * `owner` is the thread inside the driver.  The same thread met again means one of three: a handler
 * calls in (its turn is doomed), a callback calls in (refused), or one of them was left by longjmp or
 * an exception.  The last is told from the others by the stack: a call from inside lies below the
 * frame that made it.  So each public function hands down its own frame, SFI_HERE. */
#ifndef SFI_RUN_DRIVE_H
#define SFI_RUN_DRIVE_H

#include <stdint.h>

#include "statefun.h"

#define SFI_HERE ((uintptr_t)__builtin_frame_address(0))

/* Is there a runtime, in this process?  0, SF_EINVAL, SF_EFORK. */
int sfi_life_check(const sf_runtime *rt, const char *call);
/* May this call be made at all?  As above, and what broke the engine; SF_ETURN inside a handler of this
 * runtime, whose turn is doomed with a sentence naming `call`. */
int sfi_call_check(sf_runtime *rt, uintptr_t frame, const char *call, const char *instead);

/* Not in a child that was forked around the C library?  A system call, where life_check() is none.  0,
 * SF_EFORK. */
int sfi_pid_check(const sf_runtime *rt, const char *call);
/* Outside of callbacks, where it would wait for itself?  0, SF_EBUSY. */
int sfi_callback_check(const sf_runtime *rt, uintptr_t frame, const char *call);

/* Takes and gives back the right to drive. */
int sfi_drive_enter(sf_runtime *rt, uintptr_t frame, const char *call);
void sfi_drive_leave(sf_runtime *rt);
/* Is this the thread whose waiting must drive? */
int sfi_drive_is_mine(sf_runtime *rt);

/* Stops the engine for good. */
void sfi_break(sf_runtime *rt, int code, const char *why);

#endif
