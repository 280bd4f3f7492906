/* test_timers_model.c - timers and delayed sends against a plain array: what is set, put off,
 * replaced, cancelled, cleared, purged and undone at random, with a clock that jumps and crashes in
 * between, comes as the array says, in that order.  Faults planted into the engine, or into what it
 * said, are found by the same comparison. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "run/runtime.h"
#include "statefun.h"
#include "support/rig.h"
#include "support/support.h"

#define MODEL "test/model"

enum { ACTORS = 4, OUTSIDE = ACTORS, KEYS = 6, OPS_MAX = 6, LOG_MAX = 1 << 16, PENDING_MAX = 4096 };

enum what { AFTER, EVERY, CANCEL, TELL, PLAIN, UNTELL, CLEAR, UNDONE, PURGE, WHATS };

struct op {
    uint32_t what, actor, key, to;
    uint64_t ms;
};

/* What came: who got it, what, and when it was due; or what a cancel said. */
struct event {
    uint32_t actor, kind, key;
    uint64_t due_ms;
};

enum { TICK = 100, TOLD, SAID };

struct log {
    struct event events[LOG_MAX];
    uint32_t count;
};

static struct log real, expected;
static char text[600];

static void add(struct log *log, uint32_t actor, uint32_t kind, uint32_t key, uint64_t due_ms)
{
    if (log->count < LOG_MAX)
        log->events[log->count++] = (struct event){actor, kind, key, due_ms};
}

/* -- the actors -------------------------------------------------------------------------------- */

static const char *const names[ACTORS] = {"a", "b", "c", "d"};

static uint32_t own_number(sf_turn *turn)
{
    return (uint32_t)(*(const char *)sf_self(turn).id.data - 'a');
}

static int obey(sf_turn *turn, const struct op *op)
{
    sf_bytes key = SF_OF(op->key);
    switch ((enum what)op->what) {
    case AFTER:
        return sf_timer_after(turn, "tick", key, op->ms);
    case EVERY:
        return sf_timer_every(turn, "tick", key, op->ms);
    case CANCEL:
        return sf_timer_cancel(turn, "tick", key);
    case TELL:
        return sf_tell_after(turn, key, op->ms, sf_addr(MODEL, names[op->to]), "told", key);
    case PLAIN:
        return sf_tell_after(turn, SF_NONE, op->ms, sf_addr(MODEL, names[op->to]), "told", key);
    case UNTELL:
        add(&real, own_number(turn), SAID, op->key, (uint64_t)sf_tell_cancel(turn, key));
        return 0;
    case CLEAR:
        return sf_clear(turn);
    default:
        sf_timer_after(turn, "tick", key, op->ms);
        sf_timer_cancel(turn, "tick", SF_OF((uint32_t){(op->key + 1) % KEYS}));
        sf_tell_after(turn, key, op->ms, sf_addr(MODEL, names[op->to]), "told", key);
        sf_tell_cancel(turn, SF_OF((uint32_t){(op->key + 1) % KEYS}));
        sf_clear(turn);
        return sf_reject(turn, "undone");
    }
}

static int take(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, "do"))
        return obey(turn, sf_body(turn, sizeof(struct op)));
    const uint32_t *key = sf_body(turn, sizeof *key);
    add(&real, own_number(turn), sf_is(msg, "tick") ? TICK : TOLD, *key, msg->due_ms);
    return 0;
}

static const sf_type model_type = SF_TYPE(MODEL, .handler = take);

/* -- the array --------------------------------------------------------------------------------- */

/* A timer or a delayed send: in its row, or, of a timer, on its way as a message and perhaps put
 * off since. */
struct pending {
    int is_there, is_tick, has_token, is_on_its_way;
    uint32_t owner, key, to;
    uint64_t due_ms, sequence, row_due_ms, row_sequence, period_ms;
};

struct message {
    int is_tick, is_told;
    struct op op;
    struct pending what; /* as it was when it fired */
};

static struct pending all[PENDING_MAX];
static struct message queue[PENDING_MAX];
static uint32_t queue_first, queue_last;
static uint64_t sequence, now_ms;

static struct pending *find(uint32_t owner, int is_tick, uint32_t key)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (all[i].is_there && all[i].owner == owner && all[i].is_tick == is_tick &&
            all[i].key == key && (is_tick || all[i].has_token))
            return &all[i];
    return NULL;
}

static struct pending *room(void)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (!all[i].is_there)
            return &all[i];
    return NULL;
}

static void put(struct pending pending)
{
    struct pending *place = room();
    pending.is_there = 1;
    pending.sequence = pending.row_sequence = ++sequence;
    pending.row_due_ms = pending.due_ms;
    if (place)
        *place = pending;
}

static void model_set(const struct op *op, uint64_t period_ms)
{
    struct pending *old = find(op->actor, 1, op->key);
    if (old && period_ms && old->period_ms == period_ms)
        return;
    struct pending fresh = {.is_tick = 1,
                            .owner = op->actor,
                            .to = op->actor,
                            .key = op->key,
                            .due_ms = now_ms + op->ms,
                            .period_ms = period_ms};
    if (old && old->is_on_its_way && fresh.due_ms >= old->row_due_ms) {
        old->due_ms = fresh.due_ms; /* it is put off when it is met */
        old->sequence = ++sequence;
        old->period_ms = period_ms;
        return;
    }
    if (old)
        old->is_there = 0;
    put(fresh);
}

static void model_tell(const struct op *op, int has_token)
{
    struct pending *old = has_token ? find(op->actor, 0, op->key) : NULL;
    if (old)
        old->is_there = 0;
    put((struct pending){.has_token = has_token,
                         .owner = op->actor,
                         .to = op->to,
                         .key = op->key,
                         .due_ms = now_ms + op->ms});
}

static void model_forget(uint32_t actor)
{
    for (int i = 0; i < PENDING_MAX; i++)
        if (all[i].owner == actor && (all[i].is_tick || all[i].has_token))
            all[i].is_there = 0;
}

static void model_cancel(const struct op *op, int is_tick)
{
    struct pending *old = find(op->actor, is_tick, op->key);
    if (!is_tick && op->actor != OUTSIDE)
        add(&expected, op->actor, SAID, op->key, old != NULL);
    if (old)
        old->is_there = 0;
}

static void model_obey(const struct op *op)
{
    switch ((enum what)op->what) {
    case AFTER:
        model_set(op, 0);
        break;
    case EVERY:
        model_set(op, op->ms);
        break;
    case CANCEL:
        model_cancel(op, 1);
        break;
    case TELL:
        model_tell(op, 1);
        break;
    case PLAIN:
        model_tell(op, 0);
        break;
    case UNTELL:
        model_cancel(op, 0);
        break;
    case CLEAR:
        model_forget(op->actor);
        break;
    default:
        break;
    }
}

static int comes_before(const struct pending *a, const struct pending *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->sequence < b->sequence;
}

/* What is due becomes messages, in order. */
static void model_fire(void)
{
    for (;;) {
        struct pending *first = NULL;
        for (int i = 0; i < PENDING_MAX; i++)
            if (all[i].is_there && !all[i].is_on_its_way && all[i].due_ms <= now_ms &&
                (!first || comes_before(&all[i], first)))
                first = &all[i];
        if (!first)
            return;
        queue[queue_last++ % PENDING_MAX] =
            (struct message){.is_tick = first->is_tick, .is_told = !first->is_tick, .what = *first};
        if (first->is_tick) {
            first->is_on_its_way = 1;
            first->row_due_ms = first->due_ms;
            first->row_sequence = first->sequence;
        } else {
            first->is_there = 0;
        }
    }
}

static void model_tick(const struct pending *tick)
{
    struct pending *timer = find(tick->owner, 1, tick->key);
    if (!timer || !timer->is_on_its_way || timer->row_sequence != tick->sequence)
        return;
    timer->is_on_its_way = 0;
    if (timer->sequence != tick->sequence)
        return; /* it was put off */
    add(&expected, tick->owner, TICK, tick->key, tick->due_ms);
    timer->is_there = timer->period_ms != 0;
    if (timer->period_ms) {
        timer->due_ms += ((now_ms - timer->due_ms) / timer->period_ms + 1) * timer->period_ms;
        timer->sequence = ++sequence;
    }
}

static void model_run(void)
{
    model_fire();
    while (queue_first != queue_last) {
        const struct message *message = &queue[queue_first++ % PENDING_MAX];
        if (message->is_tick)
            model_tick(&message->what);
        else if (message->is_told)
            add(&expected, message->what.to, TOLD, message->what.key, message->what.due_ms);
        else
            model_obey(&message->op);
        model_fire();
    }
}

/* -- both -------------------------------------------------------------------------------------- */

struct run {
    struct rig rig;
    uint64_t random;
    int fault;
};

static uint32_t drawn(struct run *run, uint32_t below)
{
    run->random ^= run->random << 13;
    run->random ^= run->random >> 7;
    run->random ^= run->random << 17;
    return (uint32_t)(run->random >> 20) % below;
}

static struct op draw(struct run *run)
{
    static const uint64_t delays[] = {0, 1, 2, 5, 20, 21, 100, 1000, 5000};
    static const uint64_t periods[] = {3, 10, 50};
    struct op op = {.what = drawn(run, WHATS),
                    .actor = drawn(run, ACTORS),
                    .key = drawn(run, KEYS),
                    .to = drawn(run, ACTORS)};
    if ((op.what == CLEAR || op.what == PURGE) && drawn(run, 4))
        op.what = AFTER;
    op.ms = op.what == EVERY ? periods[drawn(run, 3)] : delays[drawn(run, 9)];
    return op;
}

/* Executed when it is taken in: before the turns of what waits. */
static void outside(struct run *run, const struct op *op)
{
    struct op model = *op;
    sf_bytes token = SF_OF(op->key);
    model.actor = OUTSIDE;
    if (op->what == UNTELL)
        OK(sf_send_cancel(run->rig.rt, token));
    else
        OK(sf_send_after(run->rig.rt, op->what == TELL ? token : SF_NONE, op->ms,
                         sf_addr(MODEL, names[op->to]), "told", token));
    model_obey(&model);
}

static void ask(struct run *run, const struct op *op)
{
    OK(sf_send(run->rig.rt, sf_addr(MODEL, names[op->actor]), "do", SF_OF(*op)));
    queue[queue_last++ % PENDING_MAX] = (struct message){.op = *op};
}

/* Several from turns at once; or one from outside. */
static void some_ops(struct run *run)
{
    struct op op = draw(run);
    int is_outside = drawn(run, 4) == 0;
    if (op.what == PURGE) {
        OK(sf_purge(run->rig.rt, sf_addr(MODEL, names[op.actor])));
        model_forget(op.actor);
        return;
    }
    if (is_outside && (op.what == TELL || op.what == PLAIN || op.what == UNTELL)) {
        outside(run, &op);
        return;
    }
    for (uint32_t i = drawn(run, OPS_MAX); op.what != PURGE; op = draw(run)) {
        ask(run, &op);
        if (i-- == 0)
            break;
    }
}

static void crash(struct run *run)
{
    rig_crash(&run->rig);
    rig_start(&run->rig);
    OK(sf_register(run->rig.rt, &model_type, NULL));
}

/* What a mistake in the engine would do. */
static void plant(struct run *run)
{
    sf_runtime *rt = run->rig.rt;
    switch (run->fault) {
    case 1: /* what is in rows is forgotten until the next put or crash */
        rt->fire.is_any = 0;
        break;
    case 2: /* a sequence given twice */
        rt->epoch.counters.next_timer -= rt->epoch.counters.next_timer > 1;
        break;
    case 3: /* a row is passed over */
        rt->fire.sequence++;
        break;
    case 4: /* early by a millisecond */
        run->rig.machine.wall_ahead_us = 1000;
        break;
    case 5: /* once more than it came */
        if (real.count && real.events[real.count - 1].kind != SAID)
            real.events[real.count] = real.events[real.count - 1], real.count++;
        run->fault = 0;
        break;
    }
}

static void describe(const struct log *log, uint32_t at, char *out, size_t size)
{
    const struct event *e = &log->events[at];
    if (at >= log->count)
        snprintf(out, size, "nothing");
    else
        snprintf(out, size, "%s %s %u %llu", names[e->actor],
                 e->kind == TICK   ? "tick"
                 : e->kind == TOLD ? "told"
                                   : "said",
                 e->key, (unsigned long long)e->due_ms);
}

/* 1: they agree. */
static int compare(uint64_t seed, int step)
{
    char came[80], wanted[80];
    uint32_t at = 0;
    while (at < real.count && at < expected.count &&
           memcmp(&real.events[at], &expected.events[at], sizeof(struct event)) == 0)
        at++;
    if (at == real.count && at == expected.count)
        return 1;
    describe(&real, at, came, sizeof came);
    describe(&expected, at, wanted, sizeof wanted);
    snprintf(text, sizeof text, "seed %llu, step %d at %llu, event %u: %s came, %s was wanted",
             (unsigned long long)seed, step, (unsigned long long)now_ms, at, came, wanted);
    return 0;
}

static void begin(struct run *run, struct place *place, uint64_t seed, int fault)
{
    memset(all, 0, sizeof all);
    real.count = expected.count = queue_first = queue_last = 0;
    sequence = 0;
    run->random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    run->fault = fault;
    rig_open(&run->rig, place, (sf_options)SF_OPTIONS());
    OK(sf_register(run->rig.rt, &model_type, NULL));
}

/* 1: the engine did what the array says. */
static int agrees(struct place *place, uint64_t seed, int steps, int fault)
{
    static const uint64_t jumps[] = {0, 0, 1, 1, 3, 10, 37, 200, 1500};
    static struct run run;
    int agreed = 1;
    begin(&run, place, seed, fault);
    for (int step = 0; step < steps && agreed; step++) {
        machine_advance_ms(&run.rig.machine, jumps[drawn(&run, 9)]);
        now_ms = run.rig.machine.now_ns / 1000000;
        OK(sf_run_until_idle(run.rig.rt));
        model_run();
        some_ops(&run);
        OK(sf_run_until_idle(run.rig.rt));
        model_run();
        plant(&run);
        if (drawn(&run, 8) == 0)
            crash(&run);
        agreed = compare(seed, step);
    }
    sf_runtime *rt = run.rig.rt;
    assert_true(fault || !agreed || rt->fire.damaged == 0);
    rig_close(&run.rig);
    return agreed;
}

static void timers_do_what_a_plain_array_would(void **state)
{
    uint32_t events = 0;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        if (!agrees(*state, seed, 150, 0))
            fail_msg("%s", text);
        events += real.count;
    }
    assert_true(events > 10000);
}

static void the_array_finds_each_fault_that_is_planted(void **state)
{
    for (int fault = 1; fault <= 5; fault++) {
        int found = 0;
        for (uint64_t seed = 1; seed <= 20 && !found; seed++)
            found = !agrees(*state, seed, 150, fault);
        if (!found)
            fail_msg("fault %d was not found", fault);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(timers_do_what_a_plain_array_would),
                                       TEST(the_array_finds_each_fault_that_is_planted)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
