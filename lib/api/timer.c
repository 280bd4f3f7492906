/* timer.c - the public functions on what happens later: a turn's own timers, delayed sends, and
 * those from outside. */
#include <string.h>

#include "actor/cron.h"
#include "api/check.h"
#include "api/in_turn.h"
#include "base/err.h"
#include "run/command.h"
#include "run/guard.h"
#include "run/runtime.h"
#include "run/timer.h"

static struct sfi_work *work_of(sf_turn *turn)
{
    return &turn->rt->turns.work;
}

/* -- the actor's own --------------------------------------------------------------------------- */

/* The name of a timer, as its message will have it. */
static int check_timer(sf_turn *turn, const char *kind, sf_bytes *key)
{
    int rc = sfi_in_turn_check(turn);
    if (rc < 0)
        return rc;
    if (!kind)
        return sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "a timer without a kind"));
    if (sfi_check_payload(turn->rt, kind, *key) < 0)
        return sfi_in_turn_reject(turn, SF_EINVAL);
    if (strlen(kind) + key->size > SF_TIMER_NAME_MAX)
        return sfi_in_turn_reject(
            turn,
            sfi_err(SF_EINVAL, "kind and key of a timer have at most %d bytes together, these %zu",
                    SF_TIMER_NAME_MAX, strlen(kind) + key->size));
    if (key->size == 0) /* absent and empty name the same timer, and look the same */
        *key = SF_NONE;
    return 0;
}

static int set_timer(sf_turn *turn, const char *kind, sf_bytes key, const struct sfi_timer *wanted)
{
    return sfi_timer_set(work_of(turn), turn->actor, sf_str(kind), key, wanted);
}

int sf_timer_after(sf_turn *turn, const char *kind, sf_bytes key, uint64_t delay_ms)
{
    int rc = check_timer(turn, kind, &key);
    if (rc < 0)
        return rc;
    struct sfi_timer timer = {.form = SFI_AFTER,
                              .due_ms = sfi_timer_due(sfi_work_now_us(work_of(turn)), delay_ms)};
    return timer.due_ms ? set_timer(turn, kind, key, &timer) : sfi_in_turn_reject(turn, SF_EINVAL);
}

int sf_timer_every(sf_turn *turn, const char *kind, sf_bytes key, uint64_t period_ms)
{
    int rc = check_timer(turn, kind, &key);
    if (rc < 0)
        return rc;
    if (period_ms == 0)
        return sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "a period of 0 ms"));
    struct sfi_timer timer = {.form = SFI_EVERY,
                              .due_ms = sfi_timer_due(sfi_work_now_us(work_of(turn)), period_ms),
                              .period_ms = period_ms};
    return timer.due_ms ? set_timer(turn, kind, key, &timer) : sfi_in_turn_reject(turn, SF_EINVAL);
}

int sf_timer_cron(sf_turn *turn, const char *kind, sf_bytes key, const char *utc)
{
    struct sfi_cron cron;
    int rc = check_timer(turn, kind, &key);
    if (rc < 0)
        return rc;
    if (sfi_cron_parse(utc ? sf_str(utc) : SF_NONE, &cron) < 0)
        return sfi_in_turn_reject(turn, SF_EINVAL);
    struct sfi_timer timer = {.form = SFI_CRON,
                              .due_ms = sfi_cron_next(&cron, sfi_work_now_ms(work_of(turn))),
                              .cron = sf_str(utc)};
    if (timer.due_ms == 0 || timer.due_ms > SFI_DUE_MAX_MS)
        return sfi_in_turn_reject(
            turn, sfi_err(SF_EINVAL, "cron: '%s' comes past the end of time", utc));
    return set_timer(turn, kind, key, &timer);
}

int sf_timer_cancel(sf_turn *turn, const char *kind, sf_bytes key)
{
    int rc = check_timer(turn, kind, &key);
    return rc < 0 ? rc : sfi_timer_cancel(work_of(turn), turn->actor, sf_str(kind), key);
}

/* -- delayed sends ----------------------------------------------------------------------------- */

static int check_token(sf_bytes token, int is_needed)
{
    if (token.data ? token.size >= 1 && token.size <= SF_TOKEN_MAX : !token.size && !is_needed)
        return 0;
    return sfi_err(SF_EINVAL, "a token has 1 to %d bytes, this one %zu", SF_TOKEN_MAX, token.size);
}

int sf_tell_after(sf_turn *turn, sf_bytes token, uint64_t delay_ms, sf_address to, const char *kind,
                  sf_bytes body)
{
    int rc = sfi_in_turn_check(turn);
    if (rc < 0)
        return rc;
    if (!to.type)
        return sfi_in_turn_reject(turn, sfi_err(SF_EINVAL, "nothing is sent to the outside later"));
    if (check_token(token, 0) < 0)
        return sfi_in_turn_reject(turn, SF_EINVAL);
    uint64_t due_ms = sfi_timer_due(sfi_work_now_us(work_of(turn)), delay_ms);
    if (!due_ms)
        return sfi_in_turn_reject(turn, SF_EINVAL);
    struct sfi_type *type = sfi_in_turn_target(turn, to, kind, body, &rc);
    struct sfi_letter letter = {.to_type = type,
                                .from_type = turn->actor->type,
                                .to_id = to.id.data,
                                .to_size = to.id.size,
                                .from_id = turn->actor->id,
                                .from_size = turn->actor->id_size,
                                .kind = kind ? kind : "",
                                .kind_size = kind ? strlen(kind) : 0,
                                .body = body};
    return type ? sfi_timer_tell(work_of(turn), turn->actor, token, due_ms, &letter) : rc;
}

int sf_tell_cancel(sf_turn *turn, sf_bytes token)
{
    int rc = sfi_in_turn_check(turn);
    if (rc == 0 && check_token(token, 1) < 0)
        rc = sfi_in_turn_reject(turn, SF_EINVAL);
    return rc < 0 ? rc : sfi_timer_tell_cancel(work_of(turn), turn->actor, token);
}

/* -- from outside ------------------------------------------------------------------------------ */

static int check_later(sf_runtime *rt, sf_bytes token, uint64_t delay_ms, const char *kind,
                       sf_bytes body, uint64_t *due_ms)
{
    int rc = sfi_call_check(rt, SFI_HERE, "sf_send_after()", "sf_tell_after()");
    if (rc == 0)
        rc = check_token(token, 0);
    if (rc == 0)
        rc = sfi_check_payload(rt, kind, body);
    if (rc == 0)
        rc = sfi_check_public(kind);
    if (rc < 0)
        return rc;
    *due_ms = sfi_timer_due(rt->sys->wall_us(rt->sys->ctx), delay_ms);
    return *due_ms ? 0 : SF_EINVAL;
}

int64_t sf_send_after(sf_runtime *rt, sf_bytes token, uint64_t delay_ms, sf_address to,
                      const char *kind, sf_bytes body)
{
    uint64_t due_ms;
    int rc = check_later(rt, token, delay_ms, kind, body, &due_ms);
    if (rc == 0)
        rc = to.type ? sfi_check_id(to) : sfi_err(SF_EINVAL, "nothing is sent to the outside");
    if (rc < 0)
        return rc;
    pthread_mutex_lock(&rt->lock);
    struct sfi_type *type = sfi_types_find(&rt->types, to.type);
    int is_known = type && type->registered;
    pthread_mutex_unlock(&rt->lock);
    struct sfi_command command = {.type = type,
                                  .id = to.id.data,
                                  .id_size = to.id.size,
                                  .number = due_ms,
                                  .kind = kind ? kind : "",
                                  .kind_size = kind ? strlen(kind) : 0,
                                  .text = body,
                                  .token = token};
    return is_known ? sfi_command_give(rt, SFI_LATER, &command)
                    : sfi_not_registered("type", to.type);
}

int64_t sf_send_cancel(sf_runtime *rt, sf_bytes token)
{
    struct sfi_command command = {.id = "", .text = SF_NONE, .token = token};
    int rc = sfi_call_check(rt, SFI_HERE, "sf_send_cancel()", "sf_tell_cancel()");
    if (rc == 0)
        rc = check_token(token, 1);
    return rc < 0 ? rc : sfi_command_give(rt, SFI_CANCEL, &command);
}
