#include "run/ticket.h"

#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"

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

static void append(struct sfi_tickets *tickets, struct sfi_then *then)
{
    then->next = NULL;
    *(tickets->due ? &tickets->last_due->next : &tickets->due) = then;
    tickets->last_due = then;
}

static struct sfi_then *pop_due(struct sfi_tickets *tickets)
{
    struct sfi_then *then = tickets->due;
    if (then)
        tickets->due = then->next;
    return then;
}

int sfi_ticket_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata)
{
    struct sfi_then *then = sfi_zalloc(rt->sys, sizeof *then);
    if (!then)
        return sfi_err(SF_ENOMEM, "out of memory");
    *then = (struct sfi_then){.ticket = ticket, .done = done, .userdata = userdata};
    pthread_mutex_lock(&rt->lock);
    int known = ticket <= rt->inbox.last_ticket;
    if (known && ticket <= rt->tickets.durable) {
        append(&rt->tickets, then);
        sfi_poll_signal(rt);
    } else if (known) {
        insert_sorted(&rt->tickets, then);
    }
    pthread_mutex_unlock(&rt->lock);
    if (known)
        return 0;
    sfi_free(rt->sys, then);
    return sfi_err(SF_EINVAL, "no ticket %lld was given yet", (long long)ticket);
}

static void forget_due(sf_runtime *rt, const void *userdata)
{
    struct sfi_tickets *tickets = &rt->tickets;
    struct sfi_then *due = tickets->due;
    tickets->due = NULL;
    for (struct sfi_then *then = due, *next; then; then = next) {
        next = then->next;
        if (then->userdata == userdata)
            sfi_free(rt->sys, then);
        else
            append(tickets, then);
    }
}

void sfi_ticket_forget(sf_runtime *rt, void *userdata)
{
    pthread_mutex_lock(&rt->lock);
    forget_due(rt, userdata);
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
    struct sfi_tickets *tickets = &rt->tickets;
    int64_t durable = rt->epoch.sealed_ticket;
    atomic_store_explicit(&tickets->durable, durable, memory_order_release);
    for (struct sfi_then *then; (then = tickets->first) && then->ticket <= durable;) {
        unlink_then(tickets, then);
        append(tickets, then);
    }
}

static int has_due(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    pthread_mutex_lock(&rt->lock);
    int has = rt->tickets.due != NULL;
    pthread_mutex_unlock(&rt->lock);
    return has;
}

const struct sfi_part sfi_part_tickets = {.name = "tickets", .durable = publish, .ready = has_due};

size_t sfi_tickets_due(sf_runtime *rt)
{
    size_t count = 0;
    pthread_mutex_lock(&rt->lock);
    for (const struct sfi_then *then = rt->tickets.due; then; then = then->next)
        count++;
    pthread_mutex_unlock(&rt->lock);
    return count;
}

static int call(sf_runtime *rt, struct sfi_then *then, int result)
{
    struct sfi_then made;
    if (!then)
        return 0;
    made = *then;
    sfi_free(rt->sys, then);
    SFI_INSIDE(rt->drive.guard.callbacks);
    made.done(result, made.ticket, made.userdata);
    return 1;
}

int sfi_ticket_call(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_then *then = pop_due(&rt->tickets);
    pthread_mutex_unlock(&rt->lock);
    return call(rt, then, 0);
}

int sfi_ticket_refuse(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_then *then = rt->tickets.first;
    if (then)
        unlink_then(&rt->tickets, then);
    pthread_mutex_unlock(&rt->lock);
    return then ? call(rt, then, sfi_err(SF_ECLOSED, "closed before the ticket was durable")) : 0;
}
