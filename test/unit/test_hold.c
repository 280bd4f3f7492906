/* test_hold.c - holds and what waits behind them: reasons and their rows, and, against a model in
 * random schedules with tiny budgets, crashes and failing memory, that nobody held is handled,
 * nothing is lost, handled twice or out of order, and memory stays in its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/key.h"
#include "actor/mailbox.h"
#include "actor/waiting.h"
#include "store/mem_store.h"
#include "store/record.h"
#include "support/machine.h"

enum { TYPES = 2, ACTORS = 3, ALL = TYPES * ACTORS };

struct fixture {
    struct machine machine;
    struct sfi_mailbox mailbox;
    struct sfi_actors actors;
    struct sfi_types types;
    struct sfi_mem_disk *disk;
    struct sfi_store *store;
    struct sfi_batch batches[2];
    int open, is_sealed;
    struct sfi_type type[TYPES], *all[TYPES];
    uint64_t bytes_max;
    struct {
        uint64_t next, waiting, parked, bytes;
    } sealed, stored;
};

static void live(struct fixture *f)
{
    sfi_actors_init(&f->actors, &f->machine.sys, 1 << 20);
    sfi_mailbox_init(&f->mailbox, &f->machine.sys, &f->actors, &f->types, f->bytes_max);
    sfi_batch_init(&f->batches[0], &f->machine.sys);
    sfi_batch_init(&f->batches[1], &f->machine.sys);
    f->open = f->is_sealed = 0;
    assert_int_equal(sfi_mem_open(&f->machine.sys, f->disk, &f->store), 0);
    sfi_mailbox_recover(&f->mailbox, f->store, f->stored.next, f->stored.waiting, f->stored.parked);
    f->mailbox.parking.bytes = f->stored.bytes;
    assert_int_equal(sfi_mailbox_load_holds(&f->mailbox), 0);
}

static void die(struct fixture *f)
{
    sfi_mailbox_fini(&f->mailbox);
    sfi_actors_fini(&f->actors);
    sfi_batch_fini(&f->batches[0]);
    sfi_batch_fini(&f->batches[1]);
    sfi_store_close(f->store);
}

static int setup(void **state)
{
    static struct fixture f;
    static const char *const names[TYPES] = {"test/a", "test/b"};
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    f.disk = sfi_mem_disk_new(&f.machine.sys);
    f.types =
        (struct sfi_types){.sys = &f.machine.sys, .all = f.all, .count = TYPES, .capacity = TYPES};
    for (int i = 0; i < TYPES; i++) {
        f.all[i] = &f.type[i];
        f.type[i].name = (char *)names[i];
        f.type[i].number = (uint32_t)i + 1;
        f.type[i].registered = 1;
        f.type[i].desc.name = names[i];
        f.type[i].backoff_ms_max = 1000;
    }
    f.bytes_max = 1 << 20;
    f.stored.next = 1;
    live(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    die(f);
    sfi_mem_disk_free(f->disk);
    return f->machine.live == 0 ? 0 : -1;
}

static struct sfi_batch *batch(struct fixture *f)
{
    return &f->batches[f->open];
}

/* Seals; 0, or SF_ENOMEM with the epoch open as before. */
static int seal(struct fixture *f)
{
    struct sfi_batch_mark mark = sfi_batch_mark(batch(f));
    int rc = sfi_mailbox_save(&f->mailbox, batch(f));
    if (rc < 0) {
        sfi_batch_rollback(batch(f), mark);
        return rc;
    }
    sfi_mailbox_saved(&f->mailbox);
    sfi_batch_seal(batch(f), f->store->durable + 1);
    f->sealed.next = f->mailbox.next_sequence;
    f->sealed.parked = f->mailbox.parking.rows;
    f->sealed.bytes = f->mailbox.parking.bytes;
    f->sealed.waiting = f->mailbox.count - f->sealed.parked;
    f->open = !f->open;
    f->is_sealed = 1;
    return 0;
}

static void settle(struct fixture *f)
{
    struct sfi_batch *sealed = &f->batches[!f->open];
    assert_int_equal(sfi_store_submit(f->store, sealed), 0);
    assert_int_equal(sfi_store_settle(f->store, 1), SFI_DURABLE);
    sfi_batch_reset(sealed);
    f->stored.next = f->sealed.next;
    f->stored.waiting = f->sealed.waiting;
    f->stored.parked = f->sealed.parked;
    f->stored.bytes = f->sealed.bytes;
    f->is_sealed = 0;
    sfi_mailbox_published(&f->mailbox);
}

static void commit(struct fixture *f)
{
    if (f->is_sealed)
        settle(f);
    assert_int_equal(seal(f), 0);
    settle(f);
}

/* A crash: what was not committed is gone. */
static void restart(struct fixture *f)
{
    die(f);
    live(f);
}

static const char ids[ACTORS][2] = {"x", "y", "z"};

static struct sfi_whom whom(struct fixture *f, int actor)
{
    struct sfi_type *type = &f->type[actor / ACTORS];
    const char *id = ids[actor % ACTORS];
    return (struct sfi_whom){type, sfi_actors_hash(&f->actors, type, id, 1), id, 1};
}

static struct sfi_whom whole_type(struct fixture *f, int type)
{
    return (struct sfi_whom){.type = &f->type[type]};
}

static void push(struct fixture *f, int actor, uint64_t number)
{
    char kind[24];
    struct sfi_whom to = whom(f, actor);
    snprintf(kind, sizeof kind, "%" PRIu64, number);
    struct sfi_letter letter = {.to_type = to.type,
                                .hash = to.hash,
                                .to_id = to.id,
                                .to_size = 1,
                                .kind = kind,
                                .kind_size = strlen(kind)};
    struct sfi_message *message = sfi_message_new(&f->mailbox.pool, &letter);
    assert_non_null(message);
    sfi_mailbox_push(&f->mailbox, message);
}

static struct sfi_message *head(struct fixture *f, int *rc)
{
    struct sfi_message *message;
    do
        message = sfi_mailbox_head(&f->mailbox, batch(f), rc);
    while (!message && *rc > 0);
    return message;
}

static int actor_of(struct fixture *f, const struct sfi_message *message)
{
    return (int)(message->to_type - f->type) * ACTORS + (*sfi_message_to(message) - 'x');
}

static uint64_t number_of(const struct sfi_message *message)
{
    return strtoull(sfi_message_kind(message), NULL, 10);
}

static void handle(struct fixture *f, int actor, uint64_t number)
{
    int rc = 0;
    struct sfi_message *message = head(f, &rc);
    assert_int_equal(rc, 0);
    assert_non_null(message);
    assert_int_equal(actor_of(f, message), actor);
    assert_int_equal(number_of(message), number);
    assert_false(message->purged);
    sfi_mailbox_done(&f->mailbox);
}

static int nothing_now(struct fixture *f)
{
    int rc = 0;
    return head(f, &rc) == NULL && rc == 0;
}

static void pause(struct fixture *f, struct sfi_whom who)
{
    assert_int_equal(
        sfi_holds_pause(&f->mailbox.holds, batch(f), &who, SFI_HELD_PAUSED, sf_str("why not")), 0);
}

static void resume(struct fixture *f, struct sfi_whom who)
{
    assert_int_equal(sfi_holds_resume(&f->mailbox.holds, batch(f), &who, SFI_HELD_PAUSED), 0);
}

static uint64_t draw(struct fixture *f, uint64_t below)
{
    return f->machine.sys.random(f->machine.sys.ctx) % below;
}

/* -- what a pause means ------------------------------------------------------------------------ */

static void a_paused_actor_waits_and_others_go_on(void **state)
{
    struct fixture *f = *state;
    pause(f, whom(f, 0));
    push(f, 0, 0);
    push(f, 1, 0);
    push(f, 0, 1);
    handle(f, 1, 0);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    handle(f, 0, 0);
    handle(f, 0, 1);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

/* What senders ask from their threads, of what the engine changes under the lock. */
static void that_an_actor_or_its_type_is_held_is_known_to_those_who_send(void **state)
{
    struct fixture *f = *state;
    struct sfi_whom x = whom(f, 0), y = whom(f, 1), other = whom(f, ACTORS);
    pause(f, x);
    y.hash = x.hash; /* two ids may share one */
    assert_true(sfi_holds_stop(&f->mailbox.holds, &x));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &y));
    assert_true(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash));
    assert_false(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash + 1));
    pause(f, whole_type(f, 0));
    assert_true(sfi_holds_stop(&f->mailbox.holds, &y));
    assert_true(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash + 1));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &other));
    resume(f, x);
    resume(f, whole_type(f, 0));
    assert_true(nothing_now(f));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &x));
    assert_false(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash));
}

static void a_pause_outlives_the_process(void **state)
{
    struct fixture *f = *state;
    pause(f, whom(f, 0));
    push(f, 0, 0);
    push(f, 1, 0);
    commit(f);
    restart(f);
    handle(f, 1, 0);
    assert_true(nothing_now(f));
    struct sfi_whom who = whom(f, 0);
    struct sfi_hold *hold = sfi_holds_find(&f->mailbox.holds, &who);
    assert_non_null(hold);
    assert_string_equal(hold->why->text, "why not");
    assert_int_equal(hold->why->since_ms, f->machine.now_ns / 1000000);
    resume(f, whom(f, 0));
    commit(f);
    restart(f);
    handle(f, 0, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void a_paused_type_waits_with_all_its_actors(void **state)
{
    struct fixture *f = *state;
    pause(f, whole_type(f, 0));
    push(f, 0, 0);
    push(f, 1, 0);
    push(f, 3, 0);
    push(f, 0, 1);
    handle(f, 3, 0);
    assert_true(nothing_now(f));
    commit(f);
    assert_int_equal(f->mailbox.bytes, 0); /* all of it is parked */
    restart(f);
    assert_true(nothing_now(f));
    resume(f, whole_type(f, 0));
    handle(f, 0, 0);
    handle(f, 1, 0);
    handle(f, 0, 1);
    assert_true(nothing_now(f));
    commit(f);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->stored.parked, 0);
}

/* What waits for the actor is older than what waits for its type. */
static void an_actor_held_before_its_type_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    pause(f, whom(f, 0));
    push(f, 0, 0);
    assert_true(nothing_now(f));
    pause(f, whole_type(f, 0));
    push(f, 0, 1);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    assert_true(nothing_now(f));
    commit(f);
    resume(f, whole_type(f, 0));
    handle(f, 0, 0);
    handle(f, 0, 1);
    assert_int_equal(f->mailbox.count, 0);
}

static void two_reasons_must_both_go(void **state)
{
    struct fixture *f = *state;
    int rc;
    push(f, 0, 0);
    push(f, 0, 1);
    assert_non_null(head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, batch(f), 100), 0);
    pause(f, whom(f, 0));
    machine_advance_ms(&f->machine, 100);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    handle(f, 0, 0);
    handle(f, 0, 1);
    push(f, 0, 2);
    assert_non_null(head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, batch(f), 100), 0);
    pause(f, whom(f, 0));
    resume(f, whom(f, 0));
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 99);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 1);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    handle(f, 0, 2);
}

static void resuming_whoever_is_not_paused_does_nothing(void **state)
{
    struct fixture *f = *state;
    int rc;
    resume(f, whom(f, 0));
    assert_int_equal(batch(f)->op_count, 0);
    push(f, 0, 0);
    assert_non_null(head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, batch(f), 100), 0);
    resume(f, whom(f, 0));
    assert_true(nothing_now(f));
}

static void a_purge_drops_what_is_older_wherever_it_waits(void **state)
{
    struct fixture *f = *state;
    int rc = 0;
    f->mailbox.bytes_max = 64 * 8; /* two in memory behind the hold, the others parked */
    pause(f, whom(f, 0));
    for (uint64_t n = 0; n < 6; n++)
        push(f, 0, n);
    assert_true(nothing_now(f));
    commit(f);
    assert_int_equal(f->mailbox.parking.unread, 4);
    push(f, 0, 6);
    struct sfi_whom who = whom(f, 0);
    assert_int_equal(sfi_hold_purge(&f->mailbox.holds, batch(f), &who, f->mailbox.next_sequence),
                     0);
    push(f, 0, 7);
    for (uint64_t n = 0; n < 7; n++) {
        if (n == 3)
            commit(f);
        struct sfi_message *message = head(f, &rc);
        if (!message) {
            commit(f);
            message = head(f, &rc);
        }
        assert_non_null(message);
        assert_int_equal(number_of(message), n);
        assert_true(message->purged);
        sfi_mailbox_done(&f->mailbox);
    }
    if (!head(f, &rc))
        commit(f);
    handle(f, 0, 7);
    assert_true(nothing_now(f));
    commit(f);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
    commit(f);
    restart(f);
    assert_int_equal(f->mailbox.holds.count, 0);
}

/* Nothing else moves: neither a later message nor a commit may be needed. */
static void what_an_earlier_run_parked_comes_back_when_the_queue_is_empty(void **state)
{
    struct fixture *f = *state;
    f->bytes_max = f->mailbox.bytes_max = 64 * 8; /* two in memory behind holds */
    pause(f, whom(f, 0));
    pause(f, whom(f, 1));
    push(f, 1, 0);
    push(f, 0, 0);
    push(f, 0, 1);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    resume(f, whom(f, 1));
    commit(f);
    assert_int_equal(f->stored.parked, 1);
    restart(f);
    handle(f, 1, 0);
    handle(f, 0, 0);
    handle(f, 0, 1);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

/* What came back for its type and waits for its actor in memory is not read again with the type's rows. */
static void a_row_that_came_back_for_its_type_is_read_once(void **state)
{
    struct fixture *f = *state;
    int rc;
    pause(f, whom(f, 1));
    push(f, 1, 0);
    assert_true(nothing_now(f));
    pause(f, whole_type(f, 0));
    push(f, 0, 0);
    assert_true(nothing_now(f));
    commit(f);
    pause(f, whom(f, 0));
    resume(f, whole_type(f, 0));
    assert_true(nothing_now(f)); /* 0 waits in memory now, */
    resume(f, whom(f, 1));
    assert_int_equal(actor_of(f, head(f, &rc)), 1);
    pause(f, whole_type(f, 0)); /* and what is older and what is newer is parked for the type */
    push(f, 2, 0);
    assert_true(nothing_now(f));
    commit(f);
    resume(f, whole_type(f, 0));
    handle(f, 1, 0);
    handle(f, 2, 0);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    handle(f, 0, 0);
    assert_int_equal(f->mailbox.count, 0);
}

/* Put there and deleted here go together, whatever fails. */
static void no_memory_leaves_a_row_in_one_table(void **state)
{
    struct fixture *f = *state;
    uint64_t refused = 0;
    for (uint64_t n = 0; n < 3000; n++)
        push(f, 0, n);
    commit(f);
    pause(f, whole_type(f, 0));
    for (int rc = 1; rc;) {
        f->machine.fail_allocation = f->machine.allocations + 1 + draw(f, 2);
        sfi_mailbox_head(&f->mailbox, batch(f), &rc);
        f->machine.fail_allocation = 0;
        refused += rc < 0;
        assert_int_equal(batch(f)->tables[SFI_PARKED].count, batch(f)->tables[SFI_MAILBOX].count);
        if (rc < 0)
            sfi_mailbox_head(&f->mailbox, batch(f), &rc);
    }
    assert_true(refused > 3);
    assert_int_equal(f->mailbox.parking.rows, 3000);
}

/* What is let go from disk does not wait until all others are through. */
static void parked_messages_come_back_while_others_never_stop(void **state)
{
    struct fixture *f = *state;
    int rc;
    f->mailbox.bytes_max = 1;
    pause(f, whom(f, 0));
    push(f, 0, 0);
    assert_true(nothing_now(f));
    resume(f, whom(f, 0));
    for (uint64_t n = 0; n < 10; n++)
        push(f, 1, n);
    assert_int_equal(actor_of(f, head(f, &rc)), 1); /* it is not durable yet */
    commit(f);
    handle(f, 0, 0);
    handle(f, 1, 0);
}

static void push_to(struct fixture *f, unsigned char id)
{
    struct sfi_letter letter = {.to_type = &f->type[0],
                                .hash = sfi_actors_hash(&f->actors, &f->type[0], &id, 1),
                                .to_id = (const char *)&id,
                                .to_size = 1,
                                .kind = ""};
    sfi_mailbox_push(&f->mailbox, sfi_message_new(&f->mailbox.pool, &letter));
}

/* However many are resumed at once, their messages come back as memory allows. */
static void many_that_are_resumed_at_once_stay_in_the_budget(void **state)
{
    enum { MANY = 100, EACH = 20 };
    struct fixture *f = *state;
    int rc;
    f->mailbox.bytes_max = 64 * 64;
    for (int reason = 1; reason >= 0; reason--) {
        for (int i = 0; i < MANY; i++) {
            unsigned char id = (unsigned char)i;
            struct sfi_whom who = {&f->type[0], sfi_actors_hash(&f->actors, &f->type[0], &id, 1),
                                   (const char *)&id, 1};
            reason ? pause(f, who) : resume(f, who);
            for (int n = 0; reason && n < EACH; n++)
                push_to(f, id);
        }
        head(f, &rc);
        commit(f);
    }
    for (uint64_t n = 0; n < MANY * EACH; n++) {
        if (!head(f, &rc))
            commit(f);
        assert_non_null(head(f, &rc));
        sfi_mailbox_done(&f->mailbox);
        assert_true(f->mailbox.bytes - f->mailbox.handled_bytes <= 64 * 64 * 2);
        if (n % 16 == 15)
            commit(f);
    }
    assert_int_equal(f->mailbox.count, 0);
}

/* -- where it waits ---------------------------------------------------------------------------- */

static void what_waits_behind_a_hold_is_bounded_in_memory_and_takes_no_quota(void **state)
{
    struct fixture *f = *state;
    f->mailbox.bytes_max = 64 * 64;
    uint64_t sent = 0;
    pause(f, whom(f, 0));
    for (uint64_t n = 0; n < 5000; n++) {
        push(f, 0, n);
        if (n % 50 == 49) {
            sent += f->mailbox.counted_bytes;
            assert_true(nothing_now(f));
            commit(f);
            assert_int_equal(f->mailbox.bytes, 64 * 16);
            assert_int_equal(f->mailbox.counted_bytes, 0);
        }
    }
    assert_int_equal(f->mailbox.parking.rows, 5000 - 16);
    assert_in_range(f->mailbox.parking.bytes, 2 * (sent - UINT64_C(64) * 16), 2 * sent - 1);
    assert_int_equal(f->mailbox.aside_bytes, sent);
    assert_int_equal(f->mailbox.count, 5000);
    resume(f, whom(f, 0));
    push(f, 0, 5000);
    for (uint64_t n = 0; n <= 5000; n++) {
        int rc;
        if (!head(f, &rc))
            commit(f);
        assert_true(f->mailbox.bytes <= 64 * 64 * 2);
        handle(f, 0, n);
        if (n % 50 == 49)
            commit(f);
    }
    commit(f);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.counted_bytes, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->mailbox.parking.rows, 0);
}

static void a_type_that_is_not_registered_takes_no_memory(void **state)
{
    struct fixture *f = *state;
    for (uint64_t n = 0; n < 3000; n++)
        push(f, (int)(n % 3), n / 3);
    commit(f);
    f->type[0].registered = 0;
    f->bytes_max = 64 * 32;
    restart(f);
    int rc = 0, calls = 0;
    while (!sfi_mailbox_head(&f->mailbox, batch(f), &rc) && rc > 0) {
        assert_in_range(rc, 1, 257); /* so many at a time, */
        assert_true(f->mailbox.bytes <= (64 << 10) + 64 * 1024);
        calls++;
    }
    assert_true(calls > 10);
    commit(f);
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.queued, 0);
    assert_int_equal(f->mailbox.parking.rows, 3000);
    uint64_t allocations = f->machine.allocations;
    f->type[0].registered = 1;
    sfi_mailbox_admit(&f->mailbox, &f->type[0]);
    assert_int_equal(f->machine.allocations, allocations);
    for (uint64_t n = 0; n < 3000; n++)
        handle(f, (int)(n % 3), n / 3);
    assert_true(nothing_now(f));
}

/* One row short of what was counted, or one too many. */
static void expect_corruption(struct fixture *f, uint64_t counted)
{
    int rc = 0;
    pause(f, whole_type(f, 0));
    push(f, 0, 0);
    push(f, 0, 1);
    assert_true(nothing_now(f));
    commit(f);
    f->stored.parked = counted;
    restart(f);
    resume(f, whole_type(f, 0));
    while (rc == 0 && head(f, &rc))
        sfi_mailbox_done(&f->mailbox);
    assert_int_equal(rc, SF_ECORRUPT);
}

static void a_parked_row_that_is_missing_is_corruption(void **state)
{
    expect_corruption(*state, 3);
}

static void a_parked_row_too_many_is_corruption(void **state)
{
    expect_corruption(*state, 1);
}

static void a_counter_that_would_sink_below_zero_stops_the_engine(void **state)
{
    struct fixture *f = *state;
    uint64_t *counters[] = {&f->mailbox.bytes, &f->mailbox.count, &f->mailbox.queued,
                            &f->mailbox.counted_bytes, &f->mailbox.unsaved_bytes};
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
        restart(f);
        push(f, 0, 0);
        *counters[i] = 0;
        handle(f, 0, 0);
        assert_int_equal(seal(f), SF_ECORRUPT);
    }
}

static void attempts_without_back_off_outlive_the_process(void **state)
{
    struct fixture *f = *state;
    int rc;
    push(f, 0, 0);
    commit(f);
    head(f, &rc)->attempts++;
    assert_int_equal(sfi_mailbox_again(&f->mailbox, batch(f)), 0);
    commit(f);
    restart(f);
    assert_int_equal(head(f, &rc)->attempts, 1);
}

/* A message that failed and waits on disk comes back with its attempts, when its time has come. */
static void a_failed_message_may_wait_on_disk_too(void **state)
{
    struct fixture *f = *state;
    int rc;
    f->bytes_max = f->mailbox.bytes_max = 1;
    for (int restarts = 0; restarts < 2; restarts++) {
        push(f, 0, 0);
        push(f, 0, 1);
        head(f, &rc)->attempts++;
        assert_int_equal(sfi_mailbox_back_off(&f->mailbox, batch(f), 100), 0);
        assert_true(nothing_now(f));
        commit(f);
        assert_int_equal(f->mailbox.bytes, 0);
        if (restarts)
            restart(f);
        assert_true(nothing_now(f));
        machine_advance_ms(&f->machine, 99);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        assert_true(nothing_now(f));
        commit(f);
        machine_advance_ms(&f->machine, 1);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        if (!head(f, &rc))
            commit(f);
        assert_int_equal(head(f, &rc)->attempts, 1);
        handle(f, 0, 0);
        if (!head(f, &rc))
            commit(f);
        handle(f, 0, 1);
        commit(f);
    }
}

/* -- records ----------------------------------------------------------------------------------- */

static void a_row_of_held_that_is_cut_or_unknown_is_refused(void **state)
{
    struct fixture *f = *state;
    struct sfi_held held;
    pause(f, whom(f, 0));
    const struct sfi_op *op = &batch(f)->tables[SFI_HELD].ops[0];
    sf_bytes key = sfi_op_key(op), row = sfi_op_value(op);
    assert_int_equal(sfi_held_parse(key, row, &held), 0);
    assert_int_equal(held.reasons, SFI_HELD_PAUSED);
    assert_int_equal(held.text.size, 7);
    unsigned char copy[256];
    for (size_t size = SFI_RECORD_HEADER; size < row.size - held.text.size; size++) {
        memcpy(copy, row.data, size);
        sfi_record_finish(copy, size, SFI_RECORD_HELD, key);
        assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, size), &held), SF_ECORRUPT);
    }
    memcpy(copy, row.data, row.size);
    copy[SFI_RECORD_HEADER] |= 1 << 5;
    sfi_record_finish(copy, row.size, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, row.size), &held), SF_ENEWER);
    copy[SFI_RECORD_HEADER] = 0;
    sfi_record_finish(copy, row.size, SFI_RECORD_HELD, key);
    assert_int_equal(sfi_held_parse(key, SF_BYTES(copy, row.size), &held), SF_ECORRUPT);
}

/* -- the model --------------------------------------------------------------------------------- */

enum { STEPS = 6000, NUMBERS = 1 << 13 };

struct model {
    uint64_t sent[ALL], waiting;
    uint64_t next[ALL],
        purged[ALL]; /* to be handled; dropped, in any order, is what is below `purged` */
    uint64_t due_ns[ALL];
    uint32_t failed[ALL]; /* attempts of the next one */
    uint8_t done[ALL][NUMBERS];
    int paused[ALL], type_paused[TYPES];
};

struct run {
    struct fixture *f;
    struct model now, sealed, durable;
    uint64_t refused; /* calls that met no memory */
};

/* One of the next allocations may fail, or one of the next touches of the store. */
static void arm(struct fixture *f)
{
    if (draw(f, 4) == 0)
        f->machine.fail_allocation = f->machine.allocations + 1 + draw(f, 3);
    if (draw(f, 8) == 0)
        f->machine.fail_fault = f->machine.faults + 1 + draw(f, 3);
}

static int disarmed(struct run *r, int rc)
{
    r->f->machine.fail_allocation = r->f->machine.fail_fault = 0;
    assert_true(rc == 0 || rc == SF_ENOMEM || rc == SF_EDISK);
    r->refused += rc < 0;
    return rc;
}

static void model_send(struct run *r)
{
    for (uint64_t i = draw(r->f, 20); i > 0; i--) {
        int actor = (int)draw(r->f, ALL);
        if (r->f->type[actor / ACTORS].registered)
            push(r->f, actor, r->now.sent[actor]++), r->now.waiting++;
    }
}

/* Backs off, is tried again at once, or cannot be handled by this program. */
static void model_failure(struct run *r, struct sfi_message *message, int actor)
{
    struct fixture *f = r->f;
    uint64_t what = draw(f, 3), pause_ms = draw(f, 20);
    arm(f);
    message->attempts += what < 2;
    int rc = what == 0   ? sfi_mailbox_back_off(&f->mailbox, batch(f), pause_ms)
             : what == 1 ? sfi_mailbox_again(&f->mailbox, batch(f))
                         : sfi_mailbox_put_off(&f->mailbox, batch(f), pause_ms);
    if (disarmed(r, rc) < 0) {
        message->attempts -= what < 2;
        return;
    }
    r->now.failed[actor] += what < 2;
    if (what == 0)
        r->now.due_ns[actor] = f->machine.now_ns + pause_ms * 1000000;
}

static void model_turn(struct run *r, struct sfi_message *message)
{
    struct fixture *f = r->f;
    int actor = actor_of(f, message);
    uint64_t number = number_of(message);
    assert_false(r->now.done[actor][number]);
    assert_int_equal(message->purged, number < r->now.purged[actor]);
    if (!message->purged) {
        assert_int_equal(number, r->now.next[actor]);
        assert_int_equal(message->attempts, r->now.failed[actor]);
        assert_false(r->now.paused[actor]);
        assert_false(r->now.type_paused[actor / ACTORS]);
        assert_true(f->type[actor / ACTORS].registered);
        assert_true(r->now.due_ns[actor] <= f->machine.now_ns);
    }
    if (message->purged || draw(f, 4)) {
        r->now.next[actor] += !message->purged;
        r->now.failed[actor] = message->purged ? r->now.failed[actor] : 0;
        r->now.done[actor][number] = 1;
        r->now.waiting--;
        sfi_mailbox_done(&f->mailbox);
    } else {
        model_failure(r, message, actor);
    }
}

static void model_handle(struct run *r)
{
    for (uint64_t i = draw(r->f, 30); i > 0; i--) {
        int rc = 0;
        arm(r->f);
        struct sfi_message *message = head(r->f, &rc);
        disarmed(r, rc);
        if (message)
            model_turn(r, message);
        else if (rc == 0)
            return;
    }
}

static void model_command(struct run *r)
{
    struct fixture *f = r->f;
    struct sfi_holds *holds = &f->mailbox.holds;
    int actor = (int)draw(f, ALL), type = actor / ACTORS;
    struct sfi_whom one = whom(f, actor), all = whole_type(f, type);
    uint64_t what = draw(f, 20);
    arm(f);
    if (what < 4) {
        if (!disarmed(r, sfi_holds_pause(holds, batch(f), &one, SFI_HELD_PAUSED, sf_str("x"))))
            r->now.paused[actor] = 1;
    } else if (what < 13) {
        if (!disarmed(r, sfi_holds_resume(holds, batch(f), &one, SFI_HELD_PAUSED)))
            r->now.paused[actor] = 0;
    } else if (what < 14) {
        if (!disarmed(r, sfi_holds_pause(holds, batch(f), &all, SFI_HELD_PAUSED, SF_NONE)))
            r->now.type_paused[type] = 1;
    } else if (what < 19) {
        if (!disarmed(r, sfi_holds_resume(holds, batch(f), &all, SFI_HELD_PAUSED)))
            r->now.type_paused[type] = 0;
    } else if (!disarmed(r, sfi_hold_purge(holds, batch(f), &one, f->mailbox.next_sequence))) {
        r->now.purged[actor] = r->now.next[actor] = r->now.sent[actor];
        r->now.paused[actor] = 0;
        r->now.due_ns[actor] = 0;
        r->now.failed[actor] = 0;
    }
}

static void model_seal(struct run *r)
{
    if (r->f->is_sealed)
        return;
    arm(r->f);
    if (disarmed(r, seal(r->f)) == 0)
        r->sealed = r->now;
}

static void model_settle(struct run *r)
{
    if (!r->f->is_sealed)
        return;
    settle(r->f);
    r->durable = r->sealed;
}

static void model_crash(struct run *r)
{
    for (int i = 0; i < TYPES; i++)
        r->f->type[i].registered = draw(r->f, 3) != 0;
    restart(r->f);
    r->now = r->durable;
}

static void model_register(struct run *r)
{
    for (int i = 0; i < TYPES; i++)
        if (!r->f->type[i].registered && draw(r->f, 10) == 0) {
            r->f->type[i].registered = 1;
            sfi_mailbox_admit(&r->f->mailbox, &r->f->type[i]);
        }
}

static uint64_t length(const struct sfi_message_list *list, uint64_t *let_go)
{
    uint64_t count = 0;
    for (const struct sfi_message *m = list->first; m; m = m->next, count++)
        *let_go += m->let_go != 0;
    return count;
}

/* What the mailbox counts is what is there. */
static void model_check(struct run *r)
{
    struct sfi_mailbox *mailbox = &r->f->mailbox;
    uint64_t let_go = 0, held = 0, held_bytes = 0, out = 0, none = 0;
    for (int i = 0; i < ALL; i++) {
        struct sfi_whom who = whom(r->f, i);
        struct sfi_hold *hold = sfi_holds_find(&mailbox->holds, &who);
        if (!hold)
            continue;
        out += hold->out;
        held += length(&hold->waiting, &none);
        held_bytes += hold->waiting_bytes;
    }
    for (int i = 0; i < TYPES; i++)
        out += r->f->type[i].hold ? r->f->type[i].hold->out : 0;
    uint64_t queued =
        length(&mailbox->queue, &let_go) + length(&mailbox->tail, &let_go) + mailbox->backlog.count;
    assert_int_equal(mailbox->count, r->now.waiting);
    assert_int_equal(mailbox->queued, queued);
    assert_int_equal(mailbox->count, queued + held + mailbox->parking.unread);
    assert_int_equal(mailbox->let_go, let_go);
    assert_int_equal(out, let_go);
    assert_int_equal(none, 0);
    assert_int_equal(mailbox->held_bytes, held_bytes);
    assert_true(held_bytes <= mailbox->bytes_max / 4);
    assert_int_equal(mailbox->parking.rows != 0, mailbox->parking.bytes != 0);
    assert_false(mailbox->is_broken);
}

static void model_step(struct run *r)
{
    struct fixture *f = r->f;
    uint64_t what = draw(f, 200);
    if (what < 50)
        model_send(r);
    else if (what < 115)
        model_handle(r);
    else if (what < 140)
        model_command(r);
    else if (what < 160)
        model_seal(r);
    else if (what < 185)
        model_settle(r);
    else if (what < 198)
        machine_advance_ms(&f->machine, draw(f, 15));
    else if (what == 198)
        model_crash(r);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    model_register(r);
    model_check(r);
}

/* Nothing stops anybody any more: all that waits is handled. */
static void model_drain(struct run *r)
{
    struct fixture *f = r->f;
    for (int i = 0; i < TYPES; i++) {
        f->type[i].registered = 1;
        sfi_mailbox_admit(&f->mailbox, &f->type[i]);
        resume(f, whole_type(f, i));
        r->now.type_paused[i] = 0;
    }
    for (int i = 0; i < ALL; i++) {
        resume(f, whom(f, i));
        r->now.paused[i] = 0;
    }
    for (int round = 0; f->mailbox.count; round++) {
        assert_true(round < 100000);
        model_handle(r);
        commit(f);
        machine_advance_ms(&f->machine, 20);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        model_check(r);
    }
    commit(f);
    assert_true(nothing_now(f));
    commit(f); /* ended purges */
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->mailbox.parking.rows, 0);
    assert_int_equal(f->mailbox.parking.bytes, 0);
    restart(f);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void any_schedule_keeps_order_and_loses_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t refused = 0;
    for (uint64_t bytes_max = 1; bytes_max <= 64 * 256; bytes_max *= 4) {
        static struct run r;
        memset(&r, 0, sizeof r);
        r.f = f;
        f->bytes_max = bytes_max;
        restart(f);
        for (int step = 0; step < STEPS; step++)
            model_step(&r);
        model_drain(&r);
        refused += r.refused;
    }
    assert_true(refused > STEPS / 100);
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(a_paused_actor_waits_and_others_go_on),
        HERE(that_an_actor_or_its_type_is_held_is_known_to_those_who_send),
        HERE(a_pause_outlives_the_process),
        HERE(a_paused_type_waits_with_all_its_actors),
        HERE(an_actor_held_before_its_type_keeps_the_order),
        HERE(two_reasons_must_both_go),
        HERE(resuming_whoever_is_not_paused_does_nothing),
        HERE(a_purge_drops_what_is_older_wherever_it_waits),
        HERE(what_an_earlier_run_parked_comes_back_when_the_queue_is_empty),
        HERE(a_row_that_came_back_for_its_type_is_read_once),
        HERE(no_memory_leaves_a_row_in_one_table),
        HERE(parked_messages_come_back_while_others_never_stop),
        HERE(many_that_are_resumed_at_once_stay_in_the_budget),
        HERE(what_waits_behind_a_hold_is_bounded_in_memory_and_takes_no_quota),
        HERE(a_type_that_is_not_registered_takes_no_memory),
        HERE(a_parked_row_that_is_missing_is_corruption),
        HERE(a_parked_row_too_many_is_corruption),
        HERE(a_counter_that_would_sink_below_zero_stops_the_engine),
        HERE(attempts_without_back_off_outlive_the_process),
        HERE(a_failed_message_may_wait_on_disk_too),
        HERE(a_row_of_held_that_is_cut_or_unknown_is_refused),
        HERE(any_schedule_keeps_order_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
