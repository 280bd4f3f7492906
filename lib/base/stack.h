/* stack.h - is a call still under way beneath us on this stack, or was it left by longjmp?
 *
 * Exceptions, cancellation and pthread_exit() run cleanups and need no such question; longjmp() runs
 * nothing.  What tells is the chain of callers, walked with the tables that exceptions need:
 * (1) The call is in the chain: it is under way.
 * (2) The chain passes the place where its frame was, or ends on the same stack without it: it was left.
 * (3) The chain breaks off (a caller without tables), or runs on another stack than the call (a coroutine):
 *     nobody can tell.
 * A place alone proves nothing: after longjmp() other frames lie there.  So a call is known by its place and by
 * where it returns to. */
#ifndef SFI_BASE_STACK_H
#define SFI_BASE_STACK_H

#include <stdint.h>

/* One call of a function: where its caller's frame ends, and the instruction that it returns to. */
struct sfi_frame {
    uintptr_t place, returns_to;
};

/* Of the function that says it. */
#define SFI_HERE                                                                                   \
    ((struct sfi_frame){(uintptr_t)__builtin_dwarf_cfa(), (uintptr_t)__builtin_return_address(0)})

enum sfi_call_state { SFI_CALL_LEFT, SFI_CALL_GOES_ON, SFI_CALL_UNKNOWN };

/* Asked by a call from `here`, on the thread that made the call `frame`. */
enum sfi_call_state sfi_stack_look(struct sfi_frame frame, struct sfi_frame here);

#endif
