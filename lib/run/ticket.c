#include "run/ticket.h"

#include "base/err.h"
#include "run/callback.h"
#include "run/part.h"

static void insert_sorted(struct sfi_tickets *tickets, struct sfi_then *then)
{
    struct sfi_then *before = tickets->last;
    while (before && before->ticket > then->ticket)
        before = before->previous;
    then->previous = before;
    then->next = before ? before->next : tickets->first;
    *(before ? &before->next : &tickets->first) = then;
    *(then->next ? &then->next->previous : &tickets->last) = then;
}

static void unlink_then(struct sfi_tickets *tickets, struct sfi_then *then)
{
    *(then->previous ? &then->previous->next : &tickets->first) = then->next;
    *(then->next ? &then->next->previous : &tickets->last) = then->previous;
}

int sfi_ticket_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata)
{
    struct sfi_then *then = sfi_zalloc(rt->sys, sizeof *then);
    if (!then)
        return sfi_err(SF_ENOMEM, "out of memory");
    *then = (struct sfi_then){.ticket = ticket, .done = done, .userdata = userdata};
    pthread_mutex_lock(&rt->lock);
    int known = ticket <= rt->inbox.last_ticket;
    if (known) {
        insert_sorted(&rt->tickets, then);
        if (ticket <= rt->tickets.durable)
            sfi_poll_signal(rt);
    }
    pthread_mutex_unlock(&rt->lock);
    if (known)
        return 0;
    sfi_free(rt->sys, then);
    return sfi_err(SF_EINVAL, "no ticket %lld was given yet", (long long)ticket);
}

void sfi_ticket_forget(sf_runtime *rt, void *userdata)
{
    pthread_mutex_lock(&rt->lock);
    for (struct sfi_then *then = rt->tickets.first, *next; then; then = next) {
        next = then->next;
        if (then->userdata != userdata)
            continue;
        unlink_then(&rt->tickets, then);
        sfi_free(rt->sys, then);
    }
    pthread_mutex_unlock(&rt->lock);
}

static void publish(sf_runtime *rt)
{
    atomic_store_explicit(&rt->tickets.durable, rt->epoch.sealed_ticket, memory_order_release);
}

static int is_due(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    pthread_mutex_lock(&rt->lock);
    int due = rt->tickets.first && rt->tickets.first->ticket <= rt->tickets.durable;
    pthread_mutex_unlock(&rt->lock);
    return due;
}

const struct sfi_part sfi_part_tickets = {.name = "tickets", .durable = publish, .ready = is_due};

int sfi_ticket_call(sf_runtime *rt, int all)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_then *then = rt->tickets.first;
    int due = then && then->ticket <= rt->tickets.durable;
    if (then && (due || all))
        unlink_then(&rt->tickets, then);
    else
        then = NULL;
    pthread_mutex_unlock(&rt->lock);
    if (!then)
        return 0;
    struct sfi_then call = *then;
    sfi_free(rt->sys, then);
    int result = due ? 0 : sfi_err(SF_ECLOSED, "closed before the ticket was durable");
    sfi_callback_begin(rt);
    call.done(result, call.ticket, call.userdata);
    sfi_callback_end(rt);
    return 1;
}
