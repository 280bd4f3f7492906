/* ticket.h - who waits for a ticket to be durable.
 *
 * Tickets rise with what comes in, so "durable" is one number.  sf_then() callbacks stand in the order
 * of their tickets; each is called exactly once, on the driving thread.  Under the runtime's lock. */
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
    struct sfi_then *first, *last;
};

int sfi_ticket_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata);
void sfi_ticket_forget(sf_runtime *rt, void *userdata);
/* Engine: makes one callback that is due (all: whether due or not, with SF_ECLOSED).  0: there is none. */
int sfi_ticket_call(sf_runtime *rt, int all);

#endif
