/* outside.c - the public functions around the handlers, but those on a view: check what a stranger may pass, then
 * hand on. */
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "api/check.h"
#include "base/abi.h"
#include "base/cancel.h"
#include "base/err.h"
#include "run/background.h"
#include "run/command.h"
#include "run/delivery.h"
#include "run/drive.h"
#include "run/life.h"
#include "run/runtime.h"
#include "run/source.h"
#include "run/step.h"
#include "run/verify.h"
#include "run/view.h"
#include "run/wait.h"

int sf_version(void)
{
    return SF_VERSION;
}

/* Under the lock: finds the type and checks the rest. */
static int make_parcel(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body,
                       struct sfi_parcel *out)
{
    size_t kind_size;
    int rc = to.type ? sfi_check_id(to) : sfi_err(SF_EINVAL, "an address needs a type");
    if (rc == 0)
        rc = sfi_check_letter(rt, kind, body, &kind_size);
    if (rc == 0)
        rc = sfi_check_public(kind);
    if (rc < 0)
        return rc;
    struct sfi_type *type = sfi_types_find(&rt->types, to.type);
    if (!type || !type->registered) {
        rc = sfi_type_name_check(to.type);
        return rc < 0 ? rc : sfi_not_registered("type", to.type);
    }
    out->verb = SFI_MESSAGE; /* an initializer would clear all of it first */
    out->type = type;
    out->id = to.id.data;
    out->id_size = to.id.size;
    out->kind = kind ? kind : "";
    out->kind_size = kind_size;
    out->body = body;
    out->ask = out->number = 0;
    out->token = SF_NONE;
    return 0;
}

/* How little of each a program may give; see base/abi.h. */
static const struct sfi_abi options_abi = {"sf_options", "SF_OPTIONS", sizeof(size_t),
                                           sizeof(sf_options)};
static const struct sfi_abi type_abi = {
    "sf_type", "SF_TYPE", offsetof(sf_type, name) + sizeof(char *), sizeof(sf_type)};

/* -- open and close -------------------------------------------------------------------------------------- */

int sf_runtime_open(const char *dir, const sf_options *options, sf_runtime **out)
{
    sf_options ours;
    if (!dir || !dir[0] || !out)
        return sfi_err(SF_EINVAL, "open: %s",
                       out ? "no directory given" : "no place for the runtime");
    int rc = options ? sfi_abi_take(&options_abi, options, &ours) : 0;
    if (rc < 0)
        return rc;
    SFI_NO_CANCELLATION;
    return sfi_runtime_open(sfi_sys_default(), dir, options ? &ours : NULL, out);
}

static int has_handles(sf_runtime *rt)
{
    pthread_mutex_lock(&rt->lock);
    int handles = rt->handles;
    pthread_mutex_unlock(&rt->lock);
    return handles;
}

/* 0: it can be dropped, and *result has what became of the rest. */
static int finish(sf_runtime *rt, struct sfi_frame here, int *result)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, rt, here, "sf_runtime_close()", SFI_CLOSES);
    if (rc == 0)
        *result = sfi_runtime_finish(rt);
    return rc;
}

int sf_runtime_close(sf_runtime *rt)
{
    if (!rt)
        return 0;
    SFI_NO_CANCELLATION;
    int result = 0, rc = sfi_call_check(rt, SFI_HERE, "sf_runtime_close()", NULL);
    if (rc == SF_EFORK || rc == SF_ETURN)
        return rc;
    if (atomic_load(&rt->background) == (uintptr_t)pthread_self())
        return sfi_err(SF_EBUSY, "sf_runtime_close() called inside a callback");
    if (has_handles(rt))
        return sfi_err(SF_EBUSY, "sf_runtime_close(): close every source and view first");
    sfi_background_stop(rt);
    sfi_workers_stop(&rt->operations.workers); /* what they answer while they end is taken in */
    rc = finish(rt, SFI_HERE, &result);
    if (rc < 0) {
        sfi_workers_go_on(&rt->operations.workers);
        return rc;
    }
    sfi_runtime_drop(rt);
    return result;
}

int sf_register(sf_runtime *rt, const sf_type *type, void *userdata)
{
    struct sfi_session session SFI_DRIVES = {.rt = NULL};
    sf_type ours;
    int rc = sfi_drive_begin(&session, rt, SFI_HERE, "sf_register()", SFI_STEPS);
    if (rc == 0)
        rc = sfi_abi_take(&type_abi, type, &ours);
    return rc < 0 ? rc : sfi_runtime_register(rt, &ours, userdata);
}

/* -- send and wait ---------------------------------------------------------------------------------------- */

static int64_t send_locked(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body,
                           uint64_t ask)
{
    struct sfi_parcel parcel;
    int rc = make_parcel(rt, to, kind, body, &parcel);
    if (rc < 0)
        return rc;
    parcel.ask = ask;
    int64_t ticket = sfi_inbox_send(rt, &parcel);
    if (ticket > 0)
        sfi_poll_signal(rt);
    return ticket;
}

int64_t sf_send(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_send()", "sf_tell()");
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    int64_t ticket = send_locked(rt, to, kind, body, 0);
    pthread_mutex_unlock(&rt->lock);
    return ticket;
}

static int64_t send_once_locked(sf_runtime *rt, sf_bytes key, sf_address to, const char *kind,
                                sf_bytes body)
{
    struct sfi_parcel parcel;
    int rc = make_parcel(rt, to, kind, body, &parcel);
    if (rc < 0)
        return rc;
    parcel.verb = SFI_ONCE;
    parcel.token = key;
    int64_t ticket = sfi_inbox_send(rt, &parcel);
    if (ticket > 0)
        sfi_poll_signal(rt);
    return ticket;
}

int64_t sf_send_once(sf_runtime *rt, sf_bytes key, sf_address to, const char *kind, sf_bytes body)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_send_once()", "sf_tell()");
    if (rc == 0 && (!key.data || key.size < 1 || key.size > SF_TOKEN_MAX))
        rc = sfi_err(SF_EINVAL, "an idempotency key has 1 to %d bytes, this one %zu", SF_TOKEN_MAX,
                     key.data ? key.size : 0);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    int64_t ticket = send_once_locked(rt, key, to, kind, body);
    pthread_mutex_unlock(&rt->lock);
    return ticket;
}

int64_t sf_durable(const sf_runtime *rt)
{
    int rc = sfi_life_check(rt, "sf_durable()");
    return rc < 0 ? rc : atomic_load_explicit(&rt->tickets.durable, memory_order_acquire);
}

int sf_wait(sf_runtime *rt, int64_t ticket, int timeout_ms)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_wait()", NULL);
    if (rc == 0 && ticket < 0) /* a send that failed: its sentence stands */
        return (int)ticket;
    return rc < 0 ? rc : sfi_wait_durable(rt, SFI_HERE, ticket, timeout_ms);
}

int sf_wait_room(sf_runtime *rt, int timeout_ms)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_wait_room()", NULL);
    return rc < 0 ? rc : sfi_wait_room(rt, SFI_HERE, timeout_ms);
}

int sf_then(sf_runtime *rt, int64_t ticket, sf_done *done, void *userdata)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_then()", NULL);
    if (rc < 0)
        return rc;
    if (ticket <= 0 || !done)
        return sfi_err(SF_EINVAL, "sf_then: needs a ticket and a callback");
    return sfi_ticket_then(rt, ticket, done, userdata);
}

/* -- ask --------------------------------------------------------------------------------------------------- */

static int ask(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body, int timeout_ms,
               struct sfi_ask *question)
{
    pthread_mutex_lock(&rt->lock);
    int64_t rc = sfi_ask_add(rt, question, timeout_ms);
    if (rc == 0) {
        rc = send_locked(rt, to, kind, body, question->number);
        if (rc < 0)
            sfi_ask_withdraw(rt, question);
        else if (timeout_ms >= 0)
            sfi_poll_signal(rt); /* so that the driver sees the deadline */
    }
    pthread_mutex_unlock(&rt->lock);
    return rc < 0 ? (int)rc : 0;
}

int sf_ask(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body, int timeout_ms,
           sf_message **out)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_ask()", "sf_tell() and a reply");
    if (rc == 0 && !out)
        rc = sfi_err(SF_EINVAL, "sf_ask: no place for the reply");
    if (rc == 0)
        rc = sfi_callback_check(rt, SFI_HERE, "sf_ask()");
    if (rc < 0)
        return rc;
    struct sfi_ask *question = sfi_zalloc(rt->sys, sizeof *question);
    if (!question)
        return sfi_err(SF_ENOMEM, "out of memory");
    rc = ask(rt, to, kind, body, timeout_ms, question);
    if (rc == 0)
        return sfi_wait_answer(rt, SFI_HERE, question, timeout_ms, out);
    sfi_free(rt->sys, question);
    return rc;
}

void sf_message_free(sf_message *msg)
{
    if (msg)
        sfi_reply_free((struct sfi_reply *)((char *)msg - offsetof(struct sfi_reply, message)));
}

int sf_ask_then(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body, int timeout_ms,
                sf_answer *answer, void *userdata)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_ask_then()", "sf_tell() and a reply");
    if (rc < 0)
        return rc;
    if (!answer)
        return sfi_err(SF_EINVAL, "sf_ask_then: needs a callback");
    struct sfi_ask *question = sfi_zalloc(rt->sys, sizeof *question);
    if (!question)
        return sfi_err(SF_ENOMEM, "out of memory");
    question->answer = answer;
    question->userdata = userdata;
    rc = ask(rt, to, kind, body, timeout_ms, question);
    if (rc < 0)
        sfi_free(rt->sys, question);
    return rc;
}

int sf_then_cancel(sf_runtime *rt, void *userdata)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_call_check(rt, SFI_HERE, "sf_then_cancel()", NULL);
    if (rc == 0 && !userdata)
        rc = sfi_err(SF_EINVAL, "sf_then_cancel: userdata NULL would be everybody's");
    if (rc == 0) /* so that no callback of a thread that waits is under way; a callback may cancel, too */
        rc = sfi_drive_begin(&session, rt, SFI_HERE, "sf_then_cancel()", SFI_STEPS);
    if (rc < 0 && rc != SF_EBUSY)
        return rc;
    sfi_ticket_forget(rt, userdata);
    sfi_ask_forget(rt, userdata);
    return 0;
}

/* -- sources ------------------------------------------------------------------------------------------------ */

int sf_source_open(sf_runtime *rt, const char *name, uint32_t partition, sf_source **out)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_source_open()", NULL);
    if (rc == 0 && !out)
        rc = sfi_err(SF_EINVAL, "sf_source_open: no place for the source");
    if (rc == 0)
        rc = sfi_check_name("a source", name);
    return rc < 0 ? rc : sfi_source_open(rt, name, partition, out);
}

void sf_source_close(sf_source *source)
{
    if (source)
        sfi_source_close(source);
}

uint64_t sf_source_position(const sf_source *source)
{
    return source && sfi_life_check(source->rt, "sf_source_position()") == 0
               ? sfi_source_position(source)
               : 0;
}

static int stage(sf_source *source, sf_address to, const char *kind, sf_bytes body)
{
    struct sfi_parcel parcel;
    pthread_mutex_lock(&source->rt->lock);
    int rc = make_parcel(source->rt, to, kind, body, &parcel);
    pthread_mutex_unlock(&source->rt->lock);
    return rc < 0 ? rc : sfi_buffer_add(&source->staged, source->rt->sys, &parcel);
}

int sf_source_send(sf_source *source, sf_address to, const char *kind, sf_bytes body)
{
    if (!source)
        return sfi_err(SF_EINVAL, "sf_source_send: the source is NULL");
    int rc = sfi_call_check(source->rt, SFI_HERE, "sf_source_send()", "sf_tell()");
    if (rc < 0)
        return rc;
    if (source->error)
        return sfi_err(source->error, "%s", source->why);
    rc = stage(source, to, kind, body);
    if (rc < 0) {
        source->error = rc;
        snprintf(source->why, sizeof source->why, "%.255s", sf_errmsg());
    }
    return rc;
}

int sf_source_advance(sf_source *source, uint64_t position)
{
    if (!source)
        return sfi_err(SF_EINVAL, "sf_source_advance: the source is NULL");
    int rc = sfi_call_check(source->rt, SFI_HERE, "sf_source_advance()", NULL);
    return rc < 0 ? rc : sfi_source_advance(source, position);
}

/* -- egress ------------------------------------------------------------------------------------------------- */

int sf_egress_register(sf_runtime *rt, const char *name, sf_egress *egress, void *userdata)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_check_name("an egress", name);
    if (rc == 0 && !egress)
        rc = sfi_err(SF_EINVAL, "egress '%s' needs a callback", name);
    if (rc == 0)
        rc = sfi_drive_begin(&session, rt, SFI_HERE, "sf_egress_register()", SFI_STEPS);
    return rc < 0 ? rc : sfi_runtime_register_egress(rt, name, egress, userdata);
}

int sf_egress_ack(sf_runtime *rt, const char *name, uint64_t sequence)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_egress_ack()", NULL);
    if (rc == 0)
        rc = sfi_check_name("an egress", name);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    struct sfi_egress *egress = sfi_egresses_find(&rt->egresses, name);
    rc = egress ? sfi_delivery_request_ack(rt, egress, sequence) : sfi_not_registered("egress", name);
    pthread_mutex_unlock(&rt->lock);
    return rc;
}

/* -- operate ------------------------------------------------------------------------------------------------ */

static int64_t command_dead(sf_runtime *rt, enum sfi_verb_number verb, uint64_t sequence)
{
    struct sfi_command command = {.number = sequence};
    int rc = sfi_dead_find(rt, sequence, verb == SFI_RESEND);
    return rc < 0 ? rc : sfi_command_give(rt, verb, &command);
}

int64_t sf_dead_resend(sf_runtime *rt, uint64_t sequence)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_dead_resend()", NULL);
    return rc < 0 ? rc : command_dead(rt, SFI_RESEND, sequence);
}

int64_t sf_dead_drop(sf_runtime *rt, uint64_t sequence)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_dead_drop()", NULL);
    return rc < 0 ? rc : command_dead(rt, SFI_DROP, sequence);
}

/* The command is about an actor or, without an id, about a type, one of an earlier run too. */
static int64_t command_actor(sf_runtime *rt, enum sfi_verb_number verb, sf_address address,
                             sf_bytes text)
{
    if (!address.type || address.id.size > SF_ID_MAX || (address.id.size && !address.id.data))
        return sfi_err(SF_EINVAL, "an address is a type and an id of 1 to %d bytes, or none",
                       SF_ID_MAX);
    pthread_mutex_lock(&rt->lock);
    struct sfi_type *type = sfi_types_find(&rt->types, address.type);
    pthread_mutex_unlock(&rt->lock);
    struct sfi_command command = {.type = type,
                                  .id = address.id.size ? address.id.data : "",
                                  .id_size = address.id.size,
                                  .text = text};
    return type ? sfi_command_give(rt, verb, &command) : sfi_not_registered("type", address.type);
}

int64_t sf_pause(sf_runtime *rt, sf_address address, const char *reason)
{
    size_t size = reason ? strnlen(reason, SFI_WHY_MAX + 1) : 0;
    int rc = sfi_call_check(rt, SFI_HERE, "sf_pause()", NULL);
    if (rc == 0 && size > SFI_WHY_MAX)
        rc = sfi_err(SF_EINVAL, "a reason is at most %d bytes", SFI_WHY_MAX);
    return rc < 0 ? rc : command_actor(rt, SFI_PAUSE, address, SF_BYTES(reason, size));
}

int64_t sf_resume(sf_runtime *rt, sf_address address)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_resume()", NULL);
    return rc < 0 ? rc : command_actor(rt, SFI_RESUME, address, SF_NONE);
}

int64_t sf_purge(sf_runtime *rt, sf_address address)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_purge()", NULL);
    struct sfi_parcel parcel;
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    rc = make_parcel(rt, address, NULL, SF_NONE, &parcel);
    pthread_mutex_unlock(&rt->lock);
    struct sfi_command command = {
        .type = parcel.type, .id = address.id.data, .id_size = address.id.size, .text = SF_NONE};
    return rc < 0 ? rc : sfi_command_give(rt, SFI_PURGE, &command);
}

/* -- drive --------------------------------------------------------------------------------------------------- */

int sf_fd(const sf_runtime *rt)
{
    int rc = sfi_life_check(rt, "sf_fd()");
    return rc < 0 ? rc : rt->poll.fd;
}

int sf_timeout_ms(const sf_runtime *rt)
{
    int rc = sfi_life_check(rt, "sf_timeout_ms()");
    return rc < 0 ? rc : sfi_timeout((sf_runtime *)rt);
}

int sf_step(sf_runtime *rt, int turns_max)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, rt, SFI_HERE, "sf_step()", SFI_STEPS);
    return rc < 0 ? rc : sfi_step(rt, turns_max, 0);
}

static int run_for(sf_runtime *rt, struct sfi_frame here, const char *call, int timeout_ms)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, rt, here, call, SFI_STEPS);
    return rc < 0 ? rc : sfi_wait_idle(rt, timeout_ms);
}

int sf_run_until_idle(sf_runtime *rt)
{
    return run_for(rt, SFI_HERE, "sf_run_until_idle()", -1);
}

int sf_run_for(sf_runtime *rt, int timeout_ms)
{
    return run_for(rt, SFI_HERE, "sf_run_for()", timeout_ms);
}

int sf_runtime_start(sf_runtime *rt)
{
    struct sfi_session session SFI_DRIVES = {0};
    int rc = sfi_drive_begin(&session, rt, SFI_HERE, "sf_runtime_start()", SFI_STEPS);
    return rc < 0 ? rc : sfi_background_start(rt);
}

int sf_runtime_stop(sf_runtime *rt)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_runtime_stop()", NULL);
    if (rc == SF_EINVAL || rc == SF_EFORK || rc == SF_ETURN)
        return rc;
    if (atomic_load(&rt->background) == (uintptr_t)pthread_self())
        return sfi_err(SF_EBUSY, "sf_runtime_stop() called inside a callback");
    sfi_background_stop(rt);
    return 0;
}

int sf_stats_get(sf_runtime *rt, sf_stats *stats)
{
    enum { HEAD = sizeof stats->size, SIZE_MAX_EVER = 1 << 16 };
    int rc = sfi_life_check(rt, "sf_stats_get()");
    if (rc < 0)
        return rc;
    if (!stats || stats->size < HEAD || stats->size > SIZE_MAX_EVER)
        return sfi_err(SF_EINVAL, "sf_stats.size is not set");
    size_t size = stats->size < sizeof *stats ? stats->size : sizeof *stats;
    memset((char *)stats + size, 0, stats->size - size); /* what a later version counts */
    pthread_mutex_lock(&rt->lock);
    memcpy((char *)stats + HEAD, (char *)&rt->stats + HEAD, size - HEAD);
    pthread_mutex_unlock(&rt->lock);
    return 0;
}

/* -- look in ----------------------------------------------------------------------------------------------------- */

int sf_view_open(sf_runtime *rt, sf_view **out)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_view_open()", NULL);
    if (rc == 0 && !out)
        rc = sfi_err(SF_EINVAL, "sf_view_open: no place for the view");
    SFI_NO_CANCELLATION;
    return rc < 0 ? rc : sfi_view_open(rt, out);
}

void sf_view_close(sf_view *view)
{
    if (view)
        sfi_view_close(view);
}

int64_t sf_verify(const char *dir, sf_problem *problem, void *userdata)
{
    return sfi_verify(sfi_sys_default(), dir, problem, userdata);
}
