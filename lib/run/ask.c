#include "run/ask.h"

#include <string.h>

#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"

enum { BUCKETS_MIN = 64 };

void sfi_asks_init(struct sfi_asks *asks, const struct sfi_sys *sys)
{
    *asks = (struct sfi_asks){.next_number = sys->random(sys->ctx) | 1};
    asks->answered_tail = &asks->answered;
    sfi_heap_init(&asks->deadlines, sys);
}

void sfi_asks_fini(struct sfi_asks *asks, const struct sfi_sys *sys)
{
    sfi_heap_fini(&asks->deadlines);
    sfi_free(sys, asks->buckets);
}

/* -- replies -------------------------------------------------------------------------------------- */

static const struct sfi_effect_kind reply_kind;

static char *append(char **at, const void *data, size_t size)
{
    char *copy = *at;
    if (size)
        memcpy(copy, data, size);
    copy[size] = 0;
    *at += size + 1;
    return copy;
}

struct sfi_reply *sfi_reply_new(const struct sfi_sys *sys, uint64_t ask, int result,
                                const struct sfi_actor *from, const char *kind, sf_bytes body,
                                const char *reason)
{
    sf_address sender = from ? sfi_actor_address(from) : (sf_address){NULL, {"", 0}};
    const char *type = from ? sender.type : "";
    size_t head = (sizeof(struct sfi_reply) + 15) & ~(size_t)15; /* the body is aligned */
    size_t size =
        head + body.size + strlen(type) + sender.id.size + strlen(kind) + strlen(reason) + 5;
    struct sfi_reply *reply = sfi_alloc(sys, size);
    if (!reply)
        return NULL;
    char *at = (char *)reply + head;
    *reply = (struct sfi_reply){
        .effect = {.kind = &reply_kind, .bytes = size}, .sys = sys, .ask = ask, .result = result};
    sf_message *message = &reply->message;
    const char *copy = append(&at, body.data, body.size);
    message->body = body.data ? SF_BYTES(copy, body.size) : SF_NONE;
    copy = append(&at, type, strlen(type));
    message->from.type = from ? copy : NULL;
    message->from.id.data = append(&at, sender.id.data, sender.id.size);
    message->from.id.size = sender.id.size;
    message->to.id = SF_BYTES("", 0);
    message->kind = append(&at, kind, strlen(kind));
    message->reason = append(&at, reason, strlen(reason));
    message->attempt = 1;
    return reply;
}

void sfi_reply_free(struct sfi_reply *reply)
{
    if (reply)
        sfi_free(reply->sys, reply);
}

/* -- the asks that wait ------------------------------------------------------------------------------ */

static struct sfi_ask **bucket(const struct sfi_asks *asks, uint64_t number)
{
    return &asks->buckets[number & (asks->capacity - 1)];
}

static int grow(sf_runtime *rt)
{
    struct sfi_asks *asks = &rt->asks;
    struct sfi_asks fresh = {.capacity = asks->capacity ? asks->capacity * 2 : BUCKETS_MIN};
    fresh.buckets = sfi_zalloc(rt->sys, fresh.capacity * sizeof *fresh.buckets);
    if (!fresh.buckets)
        return SF_ENOMEM;
    for (size_t i = 0; i < asks->capacity; i++)
        for (struct sfi_ask *ask = asks->buckets[i], *next; ask; ask = next) {
            struct sfi_ask **to = bucket(&fresh, ask->number);
            next = ask->next;
            ask->next = *to;
            *to = ask;
        }
    sfi_free(rt->sys, asks->buckets);
    asks->buckets = fresh.buckets;
    asks->capacity = fresh.capacity;
    return 0;
}

int sfi_ask_add(sf_runtime *rt, struct sfi_ask *ask, int timeout_ms)
{
    struct sfi_asks *asks = &rt->asks;
    if (asks->count >= asks->capacity && grow(rt) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    if (timeout_ms >= 0) {
        uint64_t now_ns = rt->sys->mono_ns(rt->sys->ctx);
        if (sfi_heap_push(&asks->deadlines, &ask->deadline,
                          now_ns + (uint64_t)timeout_ms * 1000000) < 0)
            return sfi_err(SF_ENOMEM, "out of memory");
    }
    ask->number = asks->next_number++;
    if (asks->next_number == 0) /* 0 is nobody */
        asks->next_number = 1;
    struct sfi_ask **place = bucket(asks, ask->number);
    ask->next = *place;
    *place = ask;
    asks->count++;
    return 0;
}

static struct sfi_ask *take_out(struct sfi_asks *asks, uint64_t number)
{
    if (!asks->capacity)
        return NULL;
    struct sfi_ask **place = bucket(asks, number), *ask;
    while ((ask = *place) && ask->number != number)
        place = &ask->next;
    if (!ask)
        return NULL;
    *place = ask->next;
    asks->count--;
    sfi_heap_remove(&asks->deadlines, &ask->deadline);
    return ask;
}

void sfi_ask_withdraw(sf_runtime *rt, struct sfi_ask *ask)
{
    if (!ask->answered)
        take_out(&rt->asks, ask->number);
}

void sfi_ask_free(sf_runtime *rt, struct sfi_ask *ask)
{
    sfi_reply_free(ask->reply);
    sfi_free(rt->sys, ask);
}

void sfi_ask_abandon(sf_runtime *rt)
{
    struct sfi_ask *ask = rt->drive.ask;
    rt->drive.ask = NULL;
    if (!ask)
        return;
    pthread_mutex_lock(&rt->lock);
    sfi_ask_withdraw(rt, ask);
    pthread_mutex_unlock(&rt->lock);
    sfi_ask_free(rt, ask);
}

/* The ask is out of the table.  A waiting thread sees `answered`; a callback is queued. */
static void settle(sf_runtime *rt, struct sfi_ask *ask, int result, struct sfi_reply *reply)
{
    ask->result = result;
    ask->reply = reply;
    ask->answered = 1;
    ask->next = NULL;
    if (ask->answer) {
        *rt->asks.answered_tail = ask;
        rt->asks.answered_tail = &ask->next;
    }
}

/* The gate lets a reply out.  Who waits is woken by the step. */
static void reply_out(sf_runtime *rt, struct sfi_effect *effect)
{
    struct sfi_reply *reply = (struct sfi_reply *)effect;
    struct sfi_ask *ask = take_out(&rt->asks, reply->ask);
    if (ask)
        settle(rt, ask, reply->result, reply);
    else
        sfi_reply_free(reply);
}

static void reply_drop(struct sfi_effect *effect)
{
    sfi_reply_free((struct sfi_reply *)effect);
}

static const struct sfi_effect_kind reply_kind = {.out = reply_out, .drop = reply_drop};

static struct sfi_ask *ask_of(struct sfi_heap_node *deadline)
{
    return (struct sfi_ask *)((char *)deadline - offsetof(struct sfi_ask, deadline));
}

static void expire(sf_runtime *rt, uint64_t now_ns)
{
    pthread_mutex_lock(&rt->lock);
    for (struct sfi_heap_node *first;
         (first = sfi_heap_first(&rt->asks.deadlines)) && first->due <= now_ns;) {
        struct sfi_ask *ask = take_out(&rt->asks, ask_of(first)->number);
        settle(rt, ask, SF_ETIMEOUT, NULL);
    }
    pthread_mutex_unlock(&rt->lock);
}

static uint64_t next_deadline(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    const struct sfi_heap_node *first = sfi_heap_first(&rt->asks.deadlines);
    uint64_t due_ns = first ? first->due : 0;
    pthread_mutex_unlock(&rt->lock);
    return due_ns;
}

static int is_answered(sf_runtime *rt, uint64_t now_ns)
{
    (void)now_ns;
    pthread_mutex_lock(&rt->lock);
    int answered = rt->asks.answered != NULL;
    pthread_mutex_unlock(&rt->lock);
    return answered;
}

const struct sfi_part sfi_part_asks = {
    .name = "asks", .due = next_deadline, .wake = expire, .ready = is_answered};

void sfi_asks_end(sf_runtime *rt, int code)
{
    pthread_mutex_lock(&rt->lock);
    for (size_t i = 0; i < rt->asks.capacity; i++)
        while (rt->asks.buckets[i])
            settle(rt, take_out(&rt->asks, rt->asks.buckets[i]->number), code, NULL);
    pthread_mutex_unlock(&rt->lock);
}

static void forget_waiting(sf_runtime *rt, void *userdata)
{
    for (size_t i = 0; i < rt->asks.capacity; i++)
        for (struct sfi_ask *ask = rt->asks.buckets[i], *next; ask; ask = next) {
            next = ask->next;
            if (ask->answer && ask->userdata == userdata)
                sfi_ask_free(rt, take_out(&rt->asks, ask->number));
        }
}

static void forget_answered(sf_runtime *rt, void *userdata)
{
    struct sfi_ask **place = &rt->asks.answered, *ask;
    while ((ask = *place)) {
        if (ask->userdata == userdata) {
            *place = ask->next;
            sfi_ask_free(rt, ask);
        } else {
            place = &ask->next;
        }
    }
    rt->asks.answered_tail = place;
}

void sfi_ask_forget(sf_runtime *rt, void *userdata)
{
    pthread_mutex_lock(&rt->lock);
    forget_waiting(rt, userdata);
    forget_answered(rt, userdata);
    pthread_mutex_unlock(&rt->lock);
}

static struct sfi_ask *next_answered(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    struct sfi_ask *ask = rt->asks.answered;
    if (ask) {
        rt->asks.answered = ask->next;
        if (!ask->next)
            rt->asks.answered_tail = &rt->asks.answered;
    }
    pthread_mutex_unlock(&rt->lock);
    return ask;
}

int sfi_ask_explain(const sf_runtime *rt, const struct sfi_ask *ask)
{
    if (ask->result == SF_ETIMEOUT)
        return sfi_err(SF_ETIMEOUT, "no answer in time");
    if (ask->result == SF_ECLOSED)
        return sfi_err(SF_ECLOSED, "closed before the answer came");
    return sfi_err(ask->result, "%s", ask->reply ? ask->reply->message.reason : rt->broken_why);
}

size_t sfi_asks_answered(sf_runtime *rt)
{
    size_t count = 0;
    pthread_mutex_lock(&rt->lock);
    for (const struct sfi_ask *ask = rt->asks.answered; ask; ask = ask->next)
        count++;
    pthread_mutex_unlock(&rt->lock);
    return count;
}

/* An ask in the hands of its callback: gone however that ends; one left by longjmp leaks it. */
struct called {
    sf_runtime *rt;
    struct sfi_ask *ask;
};

static void end_call(struct called *called)
{
    sfi_ask_free(called->rt, called->ask);
}

int sfi_ask_call(sf_runtime *rt)
{
    struct sfi_ask *ask = next_answered(rt);
    if (!ask)
        return 0;
    struct called called __attribute__((cleanup(end_call), unused)) = {rt, ask};
    const sf_message *reply = ask->result < 0 ? NULL : &ask->reply->message;
    if (ask->result < 0)
        sfi_ask_explain(rt, ask);
    SFI_INSIDE(rt->drive.guard.callbacks);
    ask->answer(ask->result, reply, ask->userdata);
    return 1;
}
