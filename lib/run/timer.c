#include "run/timer.h"

#include "actor/key.h"
#include "base/err.h"
#include "run/command.h"
#include "run/fire.h"
#include "run/runtime.h"
#include "run/schedule.h"

uint64_t sfi_timer_due(uint64_t now_us, uint64_t delay_ms)
{
    uint64_t now_ms = now_us / 1000 + (now_us % 1000 != 0); /* never early */
    if (delay_ms <= SFI_DUE_MAX_MS - now_ms)
        return now_ms + delay_ms;
    sfi_err(SF_EINVAL, "a delay of %llu ms ends past the end of time",
            (unsigned long long)delay_ms);
    return 0;
}

/* -- rows of table timer ----------------------------------------------------------------------- */

static int delete_row(struct sfi_work *work, const struct sfi_timer *timer)
{
    struct sfi_key key;
    sfi_key_timer(&key, timer->row_due_ms, timer->row_sequence);
    if (sfi_batch_delete(sfi_work_batch(work), SFI_TIMER, sfi_key_bytes(&key)) < 0)
        return sfi_work_no_memory(work);
    sfi_fire_forget(work->rt, timer->row_due_ms, timer->row_sequence);
    return sfi_work_charge(work, key.size);
}

/* Under what is wanted. */
static int put_row(struct sfi_work *work, const struct sfi_letter *letter, sf_bytes token,
                   struct sfi_timer *timer)
{
    sf_runtime *rt = work->rt;
    struct sfi_message *message = sfi_message_new(&rt->mailbox.pool, letter);
    if (!message)
        return sfi_work_no_memory(work);
    size_t size = sfi_message_bytes(message);
    int rc = sfi_message_save_timer(message, timer->due_ms, timer->sequence, token,
                                    sfi_work_batch(work));
    sfi_message_free(&rt->mailbox.pool, message);
    if (rc < 0)
        return sfi_work_no_memory(work);
    timer->row_due_ms = timer->due_ms;
    timer->row_sequence = timer->sequence;
    sfi_fire_expect(rt, timer->due_ms, timer->sequence);
    return sfi_work_charge(work, size + token.size);
}

/* Its message, to the actor itself; who it is from goes without saying. */
static int put_own(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                   struct sfi_timer *timer)
{
    struct sfi_letter letter = {.to_type = actor->type,
                                .to_id = actor->id,
                                .to_size = actor->id_size,
                                .from_id = "",
                                .kind = kind.data,
                                .kind_size = kind.size,
                                .body = key,
                                .parts = {.has = SFI_PART_TIMER, .timer = timer->sequence}};
    return put_row(work, &letter, SF_NONE, timer);
}

static uint64_t next_sequence(struct sfi_work *work)
{
    return work->rt->epoch.counters.next_timer++;
}

/* -- the actor's own --------------------------------------------------------------------------- */

/* In place of `old`, whose row may stay if it comes first: it is moved on then. */
static int replace(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                   const struct sfi_timer *old, struct sfi_timer *timer)
{
    timer->row_due_ms = old->row_due_ms;
    timer->row_sequence = old->row_sequence;
    if (timer->due_ms >= old->row_due_ms)
        return 0;
    int rc = delete_row(work, old);
    return rc < 0 ? rc : put_own(work, actor, kind, key, timer);
}

int sfi_timer_set(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                  const struct sfi_timer *wanted)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes name = sfi_timer_name(buffer, kind, key);
    struct sfi_timer old, timer = *wanted;
    int is_there = sfi_schedule_get(work, actor, name, &old);
    if (is_there < 0 || (is_there && sfi_timer_goes_on(&old, wanted)))
        return is_there < 0 ? is_there : 0;
    timer.sequence = next_sequence(work);
    int rc = is_there ? replace(work, actor, kind, key, &old, &timer)
                      : put_own(work, actor, kind, key, &timer);
    return rc < 0 ? rc : sfi_schedule_put(work, actor, name, &timer);
}

int sfi_timer_cancel(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes name = sfi_timer_name(buffer, kind, key);
    struct sfi_timer timer;
    int rc = sfi_schedule_get(work, actor, name, &timer);
    if (rc <= 0)
        return rc;
    rc = delete_row(work, &timer);
    return rc < 0 ? rc : sfi_schedule_delete(work, actor, name);
}

/* It was put off: its row is put where it is wanted now. */
static int move_on(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name, sf_bytes kind,
                   sf_bytes key, struct sfi_timer *timer)
{
    int rc = put_own(work, actor, kind, key, timer);
    return rc < 0 ? rc : sfi_schedule_put(work, actor, name, timer);
}

/* 1: it is this one that is wanted, and *timer and the name in `buffer` say how; 0: it was cancelled
 * or replaced, or it was put off, and has a row again. */
static int meet(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                uint64_t sequence, unsigned char *buffer, struct sfi_timer *timer)
{
    sf_bytes name = sfi_timer_name(buffer, kind, key);
    int rc = sfi_schedule_get(work, actor, name, timer);
    if (rc <= 0 || timer->row_sequence != sequence)
        return rc < 0 ? rc : 0;
    return timer->sequence == sequence ? 1 : move_on(work, actor, name, kind, key, timer);
}

int sfi_timer_meet(struct sfi_work *work, struct sfi_actor *actor, sf_bytes kind, sf_bytes key,
                   uint64_t sequence)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    struct sfi_timer timer;
    return meet(work, actor, kind, key, sequence, buffer, &timer);
}

int sfi_timer_take(struct sfi_work *work, struct sfi_actor *actor,
                   const struct sfi_message *message)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes kind = SF_BYTES(sfi_message_kind(message), message->kind_size);
    sf_bytes key = sfi_message_body(message), name = sfi_timer_name(buffer, kind, key);
    struct sfi_timer timer;
    int rc = meet(work, actor, kind, key, sfi_message_parts(message).timer, buffer, &timer);
    if (rc <= 0)
        return rc;
    timer.due_ms = sfi_timer_next(&timer, sfi_work_now_ms(work));
    if (timer.due_ms) {
        timer.sequence = next_sequence(work);
        rc = move_on(work, actor, name, kind, key, &timer);
    } else {
        rc = sfi_schedule_delete(work, actor, name);
    }
    return rc < 0 ? rc : 1;
}

/* -- delayed sends ----------------------------------------------------------------------------- */

/* 1: it is pending; 0: it was never there, or sent already: sending it takes it out of the
 * schedule, unless the sender's type is not registered then (fire.h: 5). */
static int is_pending(struct sfi_work *work, struct sfi_actor *actor, sf_bytes name,
                      struct sfi_timer *timer)
{
    struct sfi_key key;
    sf_bytes record;
    int rc = sfi_schedule_get(work, actor, name, timer);
    if (rc <= 0)
        return rc;
    struct sfi_rows rows = sfi_schedule_rows(work);
    sfi_key_timer(&key, timer->row_due_ms, timer->row_sequence);
    rc = sfi_rows_get(&rows, SFI_TIMER, sfi_key_bytes(&key), &record);
    if (rc == 0)
        return sfi_schedule_delete(work, actor, name);
    return rc < 0 ? sfi_work_unreadable(work, rc) : 1;
}

/* One that is pending is replaced. */
static int put_token(struct sfi_work *work, struct sfi_actor *actor, sf_bytes token,
                     const struct sfi_timer *timer)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes name = sfi_token_name(buffer, token);
    struct sfi_timer old;
    int rc = sfi_schedule_get(work, actor, name, &old);
    if (rc > 0)
        rc = delete_row(work, &old);
    return rc < 0 ? rc : sfi_schedule_put(work, actor, name, timer);
}

int sfi_timer_tell(struct sfi_work *work, struct sfi_actor *actor, sf_bytes token, uint64_t due_ms,
                   const struct sfi_letter *letter)
{
    struct sfi_timer timer = {.form = SFI_TELL, .due_ms = due_ms, .sequence = next_sequence(work)};
    int rc = put_row(work, letter, token, &timer);
    return rc < 0 || !token.data ? rc : put_token(work, actor, token, &timer);
}

int sfi_timer_tell_cancel(struct sfi_work *work, struct sfi_actor *actor, sf_bytes token)
{
    unsigned char buffer[SFI_TIMER_NAME_MAX];
    sf_bytes name = sfi_token_name(buffer, token);
    struct sfi_timer timer;
    int rc = is_pending(work, actor, name, &timer);
    if (rc <= 0)
        return rc;
    rc = delete_row(work, &timer);
    if (rc == 0)
        rc = sfi_schedule_delete(work, actor, name);
    return rc < 0 ? rc : 1;
}

/* -- from outside, as commands ----------------------------------------------------------------- */

/* Whole or not at all. */
static int end_command(struct sfi_work *work, int rc)
{
    if (rc < 0)
        sfi_work_undo(work);
    else
        sfi_work_keep(work);
    return rc < 0 ? rc : 0;
}

static int execute_later(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_work *work = &rt->turns.work;
    struct sfi_letter letter = {.to_type = command->type,
                                .to_id = command->id,
                                .to_size = command->id_size,
                                .from_id = "",
                                .kind = command->kind,
                                .kind_size = command->kind_size,
                                .body = command->text};
    sfi_work_begin(work);
    return end_command(work, sfi_timer_tell(work, NULL, command->token, command->number, &letter));
}

static int execute_cancel(sf_runtime *rt, const struct sfi_command *command)
{
    struct sfi_work *work = &rt->turns.work;
    sfi_work_begin(work);
    return end_command(work, sfi_timer_tell_cancel(work, NULL, command->token));
}

const struct sfi_verb sfi_verb_later = {"later", SFI_SENDS, execute_later};
const struct sfi_verb sfi_verb_cancel = {"cancel", SFI_RELIEF, execute_cancel};
