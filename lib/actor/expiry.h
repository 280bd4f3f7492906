/* expiry.h - when what an actor has is absent again.
 *
 * A struct, or what lies in a slot, that expires has the time with it at which it was touched: written, or read
 * where reading counts (`on_access`).  It is absent from the millisecond touched + after_ms on, for whoever looks;
 * that its space comes back is another matter (run/glean.h).
 *
 * (1) The times are those of today's registration, whatever they were when something was written.  So what is
 *     stored is when it was touched, not when it ends.
 * (2) What was written while nobody counted has no time with it: it counts from the moment since when somebody
 *     does, `since`, which the type's record keeps.  The same holds for all that is older.
 * (3) Touched only rises: a clock that was set back makes nothing end sooner.  0 is kept for what is absent. */
#ifndef SFI_ACTOR_EXPIRY_H
#define SFI_ACTOR_EXPIRY_H

#include "statefun.h"

struct sfi_expiry {
    uint64_t after_ms; /* 0: never */
    uint64_t since;    /* 0: nobody counts */
    int on_access;
};

enum { SFI_TOUCHED_UNKNOWN = 1 /* (2): there, and without a time */ };

/* `what` it is, with its name, for the sentence.  SF_EINVAL. */
int sfi_expiry_check(const char *what, const char *name, uint64_t after_write_ms,
                     uint64_t after_access_ms);
/* What a registration said.  1: `since` changed; 0. */
int sfi_expiry_declare(struct sfi_expiry *expiry, uint64_t after_write_ms, uint64_t after_access_ms,
                       uint64_t now_ms);

static inline int sfi_expiry_is_over(const struct sfi_expiry *expiry, uint64_t touched,
                                     uint64_t now_ms)
{
    uint64_t from = touched > expiry->since ? touched : expiry->since;
    return expiry->after_ms && now_ms > from && now_ms - from >= expiry->after_ms;
}

/* Touched again. */
static inline uint64_t sfi_expiry_touch(const struct sfi_expiry *expiry, uint64_t touched,
                                        uint64_t now_ms)
{
    uint64_t now = expiry->after_ms && now_ms ? now_ms : SFI_TOUCHED_UNKNOWN;
    return now > touched ? now : touched;
}

#endif
