/* timer.h - what is to be sent later: an actor's own timers, and its delayed sends that can be
 * cancelled.
 *
 *      name -> timer  (the schedule of its actor: run/schedule.h)
 *                 |  says where it is
 *                 v
 *      row of table timer, by due time --- due ---> a message on its way, and no row any more
 *
 * (1) A timer of one name is in one place at a time: in its row, or, once that was due, in a
 *     message that carries the row's sequence.  `row_due_ms` and `row_sequence` say which one
 *     counts; a row or message of that name with another sequence is void, and is dropped where it
 *     is met.
 * (2) What is wanted, `due_ms` and `sequence`, may be later than that: set again to a later time a
 *     timer needs no new row.  The old one is moved on when it comes.
 * (3) Sequences rise with each call and are never given again (run/counters.h), so timers due in
 *     the same millisecond fire in the order of the calls.
 *
 * A name is 00 and a token, or 01, the kind, 00 and the key.
 *
 * Record of a timer in a schedule: form:1 due:8 sequence:8 [row due:8 row sequence:8, if form has
 * SFI_TIMER_MOVED], then of SFI_EVERY the period:8, of SFI_CRON the text. */
#ifndef SFI_ACTOR_TIMER_H
#define SFI_ACTOR_TIMER_H

#include "statefun.h"

/* Numbers on disk: append only. */
enum sfi_timer_form {
    SFI_TELL = 1, /* a delayed send with a token */
    SFI_AFTER,    /* the actor's own, once; */
    SFI_EVERY,    /* each so many ms; */
    SFI_CRON      /* by the clock (cron.h) */
};

enum { SFI_TIMER_NAME_MAX = 1 + 1 + SF_TIMER_NAME_MAX, SFI_TIMER_RECORD_MAX = 33 + 255 };

/* What is later does not fit into microseconds. */
#define SFI_DUE_MAX_MS (UINT64_MAX / 1000)

struct sfi_timer {
    enum sfi_timer_form form;
    uint64_t due_ms, sequence;         /* as wanted */
    uint64_t row_due_ms, row_sequence; /* as it is on its way */
    uint64_t period_ms;                /* EVERY */
    sf_bytes cron;                     /* CRON: the text; points into the record */
};

/* Its name, in `out`, of SFI_TIMER_NAME_MAX bytes. */
sf_bytes sfi_timer_name(unsigned char *out, sf_bytes kind, sf_bytes key);
sf_bytes sfi_token_name(unsigned char *out, sf_bytes token);

/* The record, in `out`, of SFI_TIMER_RECORD_MAX bytes. */
sf_bytes sfi_timer_encode(const struct sfi_timer *timer, unsigned char *out);
/* SF_ECORRUPT, SF_ENEWER. */
int sfi_timer_decode(sf_bytes record, struct sfi_timer *out);

/* Do both say the same time, again and again? */
int sfi_timer_goes_on(const struct sfi_timer *timer, const struct sfi_timer *wanted);
/* When a recurring one is due after it was handled: EVERY keeps its beat, and what was missed
 * counts as one; 0: it never comes again. */
uint64_t sfi_timer_next(const struct sfi_timer *timer, uint64_t now_ms);

#endif
