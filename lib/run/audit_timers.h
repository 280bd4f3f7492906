/* audit_timers.h - what sf_verify() holds true of timers.
 *
 * (1) A row of table timer has a number that was given, and says who gets what; one of an actor's
 *     own names itself.
 * (2) What lies in an actor's schedule can be read (schedule.h).  Whether each timer in it has its
 *     row is not compared: rows of table state may be older than those of the changelog, and a row
 *     without a schedule is void.
 * (3) The schedule of the outside is rows alone, and nobody clears it: there each token has its
 *     row, and each row with a token has its token. */
#ifndef SFI_RUN_AUDIT_TIMERS_H
#define SFI_RUN_AUDIT_TIMERS_H

#include "actor/message.h"

struct sfi_timer_audit {
    uint64_t newest; /* greatest sequence of a row */
    uint64_t tokens, token_sum, rows, row_sum; /* of the outside: how many, and their sequences */
};

/* The row is sound, or SF_ECORRUPT, SF_ENEWER with a sentence. */
int sfi_audit_timer(struct sfi_timer_audit *audit, sf_bytes key, sf_bytes value,
                    struct sfi_envelope *out);
/* Of table entry, if it is a token of the outside; others are nobody's here. */
int sfi_audit_token(struct sfi_timer_audit *audit, sf_bytes key, sf_bytes payload);
/* What an actor's slot of timers holds. */
int sfi_audit_schedule(sf_bytes slot);
/* Together.  `next`: the sequence that is given next. */
int sfi_audit_timers(const struct sfi_timer_audit *audit, uint64_t next);

#endif
