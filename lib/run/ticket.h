/* ticket.h - who waits for a ticket to be durable.
 *
 * Tickets rise with what comes in, so "durable" is one number.  sf_then() callbacks stand in the order
 * of their tickets until theirs is durable, then in a list of those that are due; each is called exactly
 * once, by who drives.  A step makes as many callbacks as were due when it came to them: one that asks to be
 * called again cannot keep it.  Under the runtime's lock. */
#ifndef SFI_RUN_TICKET_H
#define SFI_RUN_TICKET_H

#include <stdatomic.h>

#include "statefun.h"

struct sfi_then {
    struct sfi_then *next, *previous;
    int64_t ticket;
    sf_done *done;
    void *userdata;
};

struct sfi_tickets {
    _Atomic int64_t durable;
    struct sfi_then *first, *last; /* not durable yet */
    struct sfi_then *due, *last_due;
};

int sfi_ticket_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata);
void sfi_ticket_forget(sf_runtime *rt, void *userdata);
/* Engine.  Callbacks that are due; makes one; 0: there is none. */
size_t sfi_tickets_due(sf_runtime *rt);
int sfi_ticket_call(sf_runtime *rt);
/* At close: makes one that will not be due any more, with SF_ECLOSED. */
int sfi_ticket_refuse(sf_runtime *rt);

#endif
