/* drive.h - who may drive, and one step of the engine.
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

/* May this call be made at all?  0, SF_EFORK, what broke the engine; SF_ETURN inside a handler of this
 * runtime, whose turn is doomed with a sentence naming `call`. */
int sfi_call_check(sf_runtime *rt, uintptr_t frame, const char *call, const char *instead);

/* Takes and gives back the right to drive. */
int sfi_drive_enter(sf_runtime *rt, uintptr_t frame, const char *call);
void sfi_drive_leave(sf_runtime *rt);
/* Is this the thread whose waiting must drive? */
int sfi_drive_is_mine(sf_runtime *rt);

/* One step, with the right to drive.  Turns run, or a negative code. */
int sfi_step(sf_runtime *rt, int turns_max);
/* Nothing to do now? */
int sfi_is_idle(sf_runtime *rt);
int sfi_timeout(sf_runtime *rt);

/* Around every callback, so that one that calls the driver is refused. */
void sfi_callback_begin(sf_runtime *rt);
void sfi_callback_end(sf_runtime *rt);

/* Stops the engine for good. */
void sfi_break(sf_runtime *rt, int code, const char *why);

int sfi_background_start(sf_runtime *rt);
int sfi_background_stop(sf_runtime *rt);

#endif
