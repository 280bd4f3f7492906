/* api.c - the public functions, but those on a view: check what a stranger may pass, then hand on. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
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

sf_bytes sf_str(const char *text)
{
    return text ? SF_BYTES(text, strlen(text)) : SF_NONE;
}

sf_address sf_addr(const char *type, const char *id)
{
    return (sf_address){type, id, id ? strlen(id) : 0};
}

int sf_is(const sf_message *msg, const char *kind)
{
    return msg && msg->kind && kind && strcmp(msg->kind, kind) == 0;
}

/* -- checks -------------------------------------------------------------------------------------------- */

static int check_id(sf_address to)
{
    if (to.id && to.id_size >= 1 && to.id_size <= SF_ID_MAX)
        return 0;
    return sfi_err(SF_EINVAL, "%s: an id has 1 to %d bytes, this one %zu", to.type, SF_ID_MAX,
                   to.id ? to.id_size : 0);
}

static int check_payload(const sf_runtime *rt, const char *kind, sf_bytes body)
{
    if (kind && strnlen(kind, SF_KIND_MAX + 1) > SF_KIND_MAX)
        return sfi_err(SF_EINVAL, "a kind has at most %d bytes", SF_KIND_MAX);
    if (!body.data && body.size)
        return sfi_err(SF_EINVAL, "a body of %zu bytes without data", body.size);
    if (body.size > rt->payload_max)
        return sfi_err(SF_EINVAL, "%zu bytes are more than payload_max, %u", body.size,
                       rt->payload_max);
    return 0;
}

/* A name of an egress or a source. */
static int check_name(const char *what, const char *name)
{
    if (name && name[0] && strnlen(name, SF_NAME_MAX + 1) <= SF_NAME_MAX)
        return 0;
    return sfi_err(SF_EINVAL, "a name of %s has 1 to %d bytes", what, SF_NAME_MAX);
}

static int not_registered(const char *what, const char *name)
{
    return sfi_err(SF_ENOTFOUND, "%s '%.200s' is not registered", what, name);
}

/* Under the lock: finds the type and checks the rest. */
static int make_parcel(sf_runtime *rt, sf_address to, const char *kind, sf_bytes body,
                       struct sfi_parcel *out)
{
    int rc = to.type ? check_id(to) : sfi_err(SF_EINVAL, "an address needs a type");
    if (rc == 0)
        rc = check_payload(rt, kind, body);
    if (rc < 0)
        return rc;
    struct sfi_type *type = sfi_types_find(&rt->types, to.type);
    if (!type || !type->registered) {
        rc = sfi_type_name_check(to.type);
        return rc < 0 ? rc : not_registered("type", to.type);
    }
    *out = (struct sfi_parcel){.type = type,
                               .id = to.id,
                               .id_size = to.id_size,
                               .kind = kind ? kind : "",
                               .kind_size = kind ? strlen(kind) : 0,
                               .body = body};
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
    rc = finish(rt, SFI_HERE, &result);
    if (rc < 0)
        return rc;
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
        rc = check_name("a source", name);
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
    int rc = check_name("an egress", name);
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
        rc = check_name("an egress", name);
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    struct sfi_egress *egress = sfi_egresses_find(&rt->egresses, name);
    rc = egress ? sfi_delivery_request_ack(rt, egress, sequence) : not_registered("egress", name);
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
    if (!address.type || address.id_size > SF_ID_MAX || (address.id_size && !address.id))
        return sfi_err(SF_EINVAL, "an address is a type and an id of 1 to %d bytes, or none",
                       SF_ID_MAX);
    pthread_mutex_lock(&rt->lock);
    struct sfi_type *type = sfi_types_find(&rt->types, address.type);
    pthread_mutex_unlock(&rt->lock);
    struct sfi_command command = {.type = type,
                                  .id = address.id_size ? address.id : "",
                                  .id_size = address.id_size,
                                  .text = text};
    return type ? sfi_command_give(rt, verb, &command) : not_registered("type", address.type);
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

/* -- in a turn ------------------------------------------------------------------------------------------------ */

/* May this turn still do something?  After its handler returned the object is not a turn any more. */
static int turn_check(sf_turn *turn)
{
    if (!turn || !turn->active)
        return sfi_err(SF_EINVAL, "this turn is over");
    int rc = sfi_life_check(turn->rt, "a turn");
    if (rc < 0)
        return rc;
    return turn->verdict == SFI_KEEP ? 0 : sfi_turn_error(turn);
}

/* What the handler passed broke a rule: it will again, so the message is not tried again. */
static int turn_reject(sf_turn *turn, int code)
{
    sfi_turn_doom(turn, SFI_REJECT, code, "%s", sf_errmsg());
    return code;
}

void *sf_state(sf_turn *turn)
{
    return turn && turn->active ? sfi_turn_state(turn) : NULL;
}

const sf_message *sf_msg(sf_turn *turn)
{
    return turn && turn->active ? &turn->view : NULL;
}

const void *sf_body(sf_turn *turn, size_t size)
{
    if (!turn || !turn->active)
        return NULL;
    if (turn->view.body.size == size)
        return turn->view.body.data ? turn->view.body.data : "";
    sfi_turn_doom(turn, SFI_REJECT, SF_EINVAL, "the body of '%s' has %zu bytes, not %zu",
                  turn->view.kind, turn->view.body.size, size);
    sfi_turn_error(turn);
    return sfi_turn_no_body(turn, size);
}

sf_address sf_self(sf_turn *turn)
{
    return turn && turn->active ? turn->view.to : (sf_address){NULL, "", 0};
}

void *sf_userdata(sf_turn *turn)
{
    return turn && turn->active ? turn->actor->type->userdata : NULL;
}

uint64_t sf_now_ms(sf_turn *turn)
{
    if (!turn || !turn->active)
        return 0;
    if (!turn->now_ms)
        turn->now_ms = turn->rt->sys->wall_ms(turn->rt->sys->ctx);
    return turn->now_ms;
}

uint64_t sf_random(sf_turn *turn)
{
    if (!turn || !turn->active)
        return 0;
    sf_runtime *rt = turn->rt;
    uint64_t number = rt->sys->random(rt->sys->ctx);
    if (number)
        return number;
    rt->randoms++; /* denied since it was opened: a key that was drawn then goes on */
    return sfi_hash(&rt->types.key, 1, &rt->randoms, sizeof rt->randoms);
}

static int answer_outside(sf_turn *turn, sf_address to, const char *kind, sf_bytes body)
{
    uint64_t number = 0;
    if (to.id_size != 0 && (to.id_size != sizeof number || !to.id))
        return turn_reject(turn, sfi_err(SF_EINVAL, "this is no address of an asker"));
    if (to.id_size)
        memcpy(&number, to.id, sizeof number);
    return number ? sfi_turn_answer(turn, number, kind ? kind : "", body) : 0;
}

int sf_tell(sf_turn *turn, sf_address to, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    if (rc < 0)
        return rc;
    rc = check_payload(turn->rt, kind, body);
    if (rc == 0 && to.type)
        rc = check_id(to);
    if (rc < 0)
        return turn_reject(turn, rc);
    if (!to.type)
        return answer_outside(turn, to, kind, body);
    struct sfi_type *type = sfi_types_find(&turn->rt->types, to.type);
    if (!type || !type->registered) {
        rc = not_registered("type", to.type);
        sfi_turn_doom(turn, SFI_FAIL, rc, "%s", sf_errmsg());
        return rc;
    }
    return sfi_turn_send(turn, type, to, kind ? kind : "", kind ? strlen(kind) : 0, body);
}

int sf_reply(sf_turn *turn, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    return rc < 0 ? rc : sf_tell(turn, turn->view.from, kind, body);
}

int sf_emit(sf_turn *turn, const char *name, const char *kind, sf_bytes body)
{
    int rc = turn_check(turn);
    if (rc < 0)
        return rc;
    rc = check_name("an egress", name);
    if (rc == 0)
        rc = check_payload(turn->rt, kind, body);
    if (rc < 0)
        return turn_reject(turn, rc);
    struct sfi_egress *egress = sfi_egresses_find(&turn->rt->egresses, name);
    if (!egress || !egress->callback) {
        rc = not_registered("egress", name);
        sfi_turn_doom(turn, SFI_FAIL, rc, "%s", sf_errmsg());
        return rc;
    }
    return sfi_turn_emit(turn, egress, kind ? kind : "", kind ? strlen(kind) : 0, body);
}

static int doom_formatted(sf_turn *turn, enum sfi_verdict verdict, const char *format, va_list args)
{
    char reason[SFI_REASON_MAX];
    if (!turn || !turn->active)
        return sfi_err(SF_EINVAL, "this turn is over");
    vsnprintf(reason, sizeof reason, format ? format : "", args);
    sfi_turn_doom(turn, verdict, SF_EFAILED, "%s", reason);
    return sfi_err(SF_EFAILED, "%s", reason);
}

int sf_fail(sf_turn *turn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = doom_formatted(turn, SFI_FAIL, format, args);
    va_end(args);
    return rc;
}

int sf_reject(sf_turn *turn, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int rc = doom_formatted(turn, SFI_REJECT, format, args);
    va_end(args);
    return rc;
}

sf_bytes sf_value_get(sf_turn *turn, const sf_value *value)
{
    struct sfi_slot *slot = turn_check(turn) < 0 ? NULL : sfi_turn_slot(turn, value);
    return slot && slot->data ? SF_BYTES(slot->data, slot->size) : SF_NONE;
}

static int set_value(sf_turn *turn, const sf_value *value, sf_bytes bytes)
{
    int rc = turn_check(turn);
    if (rc < 0)
        return rc;
    struct sfi_slot *slot = sfi_turn_slot(turn, value);
    return slot ? sfi_turn_set(turn, slot, bytes) : turn->code;
}

int sf_value_put(sf_turn *turn, const sf_value *value, sf_bytes bytes)
{
    int rc = turn_check(turn);
    if (rc == 0 && !bytes.data)
        rc = turn_reject(turn, sfi_err(SF_EINVAL, "a value without data: use sf_value_del()"));
    if (rc == 0 && check_payload(turn->rt, NULL, bytes) < 0)
        rc = turn_reject(turn, SF_EINVAL);
    return rc < 0 ? rc : set_value(turn, value, bytes);
}

int sf_value_del(sf_turn *turn, const sf_value *value)
{
    return set_value(turn, value, SF_NONE);
}

int sf_clear(sf_turn *turn)
{
    int rc = turn_check(turn);
    return rc < 0 ? rc : sfi_turn_clear(turn);
}

/* Saved address: type's name size:1, name, id; an empty name is the outside. */
_Static_assert(1 + SF_TYPE_NAME_MAX + SF_ID_MAX <= SF_ADDRESS_MAX, "a saved address fits");

sf_bytes sf_addr_save(sf_turn *turn, sf_address address)
{
    if (turn_check(turn) < 0)
        return SF_NONE;
    size_t name_size = address.type ? strlen(address.type) : 0;
    if (name_size > SF_TYPE_NAME_MAX || address.id_size > SF_ID_MAX) {
        turn_reject(turn, sfi_err(SF_EINVAL, "this is no address"));
        return SF_NONE;
    }
    unsigned char *bytes = sfi_arena_alloc(&turn->arena, 2 + name_size + address.id_size);
    if (!bytes) {
        sfi_turn_doom(turn, SFI_TROUBLE, SF_ENOMEM, "out of memory");
        return SF_NONE;
    }
    bytes[0] = (unsigned char)name_size;
    if (name_size)
        memcpy(bytes + 1, address.type, name_size);
    if (address.id_size)
        memcpy(bytes + 1 + name_size, address.id, address.id_size);
    bytes[1 + name_size + address.id_size] = 0;
    return SF_BYTES(bytes, 1 + name_size + address.id_size);
}

/* A name that a type can have, and an id; or no name, and the id of an asker or none. */
static int is_saved_address(sf_bytes saved)
{
    const unsigned char *bytes = saved.data;
    if (!bytes || saved.size < 1 || bytes[0] > SF_TYPE_NAME_MAX || saved.size < 1u + bytes[0] ||
        memchr(bytes + 1, 0, bytes[0]))
        return 0;
    size_t id_size = saved.size - 1 - bytes[0];
    return bytes[0] ? id_size >= 1 && id_size <= SF_ID_MAX
                    : id_size == 0 || id_size == sizeof(uint64_t);
}

sf_address sf_addr_load(sf_turn *turn, sf_bytes saved)
{
    sf_address nobody = {NULL, "", 0};
    const unsigned char *bytes = saved.data;
    if (turn_check(turn) < 0)
        return nobody;
    if (!is_saved_address(saved)) {
        turn_reject(turn, sfi_err(SF_EINVAL, "these bytes are no saved address"));
        return nobody;
    }
    size_t name_size = bytes[0], id_size = saved.size - 1 - name_size;
    const char *name = sfi_arena_copy(&turn->arena, bytes + 1, name_size);
    const char *id = sfi_arena_copy(&turn->arena, bytes + 1 + name_size, id_size);
    if (!name || !id) {
        sfi_turn_doom(turn, SFI_TROUBLE, SF_ENOMEM, "out of memory");
        return nobody;
    }
    return (sf_address){name_size ? name : NULL, id, id_size};
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
