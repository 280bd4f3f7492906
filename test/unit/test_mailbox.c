/* test_mailbox.c - order, pauses, rows and the backlog of waiting messages: the mailbox alone, on a disk
 * in memory, and against a model in random schedules with small budgets and crashes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/mailbox.h"
#include "store/mem_store.h"
#include "support/machine.h"

struct fixture {
    struct machine machine;
    struct sfi_mailbox mailbox;
    struct sfi_actors actors;
    struct sfi_types types;
    struct sfi_mem_disk *disk;
    struct sfi_store *store;
    struct sfi_batch batch;
    struct sfi_type type, *all[1];
};

/* A process: everything in memory, on the disk that the fixture keeps. */
static void live(struct fixture *f, uint64_t bytes_max)
{
    sfi_actors_init(&f->actors, &f->machine.sys, 1 << 20);
    sfi_mailbox_init(&f->mailbox, &f->machine.sys, &f->actors, &f->types, bytes_max);
    sfi_batch_init(&f->batch, &f->machine.sys);
    assert_int_equal(sfi_mem_open(&f->machine.sys, f->disk, &f->store), 0);
    sfi_mailbox_recover(&f->mailbox, f->store, 1, 0, 0);
}

static void die(struct fixture *f)
{
    sfi_mailbox_fini(&f->mailbox);
    sfi_actors_fini(&f->actors);
    sfi_batch_fini(&f->batch);
    sfi_store_close(f->store);
}

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    f.disk = sfi_mem_disk_new(&f.machine.sys);
    f.all[0] = &f.type;
    f.types = (struct sfi_types){.sys = &f.machine.sys, .all = f.all, .count = 1, .capacity = 1};
    f.type.name = "test/type";
    f.type.number = 1;
    f.type.registered = 1;
    f.type.desc.name = "test/type";
    f.type.backoff_ms_max = 1000;
    live(&f, 1 << 20);
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

static struct sfi_message *message(struct fixture *f, const char *id, const char *kind)
{
    struct sfi_letter letter = {.to_type = &f->type,
                                .hash = sfi_actors_hash(&f->actors, &f->type, id, strlen(id)),
                                .to_id = id,
                                .to_size = strlen(id),
                                .kind = kind,
                                .kind_size = strlen(kind)};
    return sfi_message_new(&f->mailbox.pool, &letter);
}

/* Seals, and the epoch becomes durable.  What the counters' record would say is remembered. */
static struct {
    uint64_t next_sequence, waiting, parked;
} stored;

static void commit(struct fixture *f)
{
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    sfi_mailbox_saved(&f->mailbox);
    sfi_actors_cleaned(&f->actors, f->store->durable + 1);
    sfi_batch_seal(&f->batch, f->store->durable + 1);
    assert_int_equal(sfi_store_submit(f->store, &f->batch), 0);
    assert_int_equal(sfi_store_settle(f->store, 1), SFI_DURABLE);
    sfi_batch_reset(&f->batch);
    stored.next_sequence = f->mailbox.next_sequence;
    stored.waiting = f->mailbox.count - f->mailbox.parking.rows;
    stored.parked = f->mailbox.parking.rows;
    sfi_mailbox_published(&f->mailbox);
}

/* A crash: what was not committed is gone. */
static void restart(struct fixture *f, uint64_t bytes_max)
{
    die(f);
    live(f, bytes_max);
    sfi_mailbox_recover(&f->mailbox, f->store, stored.next_sequence, stored.waiting,
                        stored.parked);
    assert_int_equal(sfi_mailbox_load_holds(&f->mailbox), 0);
}

static void push(struct fixture *f, const char *id, const char *kind)
{
    sfi_mailbox_push(&f->mailbox, message(f, id, kind));
}

/* The head, however many messages are moved before. */
static struct sfi_message *head_of(struct fixture *f, int *rc)
{
    struct sfi_message *head;
    do
        head = sfi_mailbox_head(&f->mailbox, &f->batch, rc);
    while (!head && *rc > 0);
    return head;
}

static void expect_head(struct fixture *f, const char *id, const char *kind)
{
    int rc = 0;
    struct sfi_message *head = head_of(f, &rc);
    assert_non_null(head);
    assert_string_equal(sfi_message_to(head), id);
    assert_string_equal(sfi_message_kind(head), kind);
}

/* The head fails, and backs off. */
static int fails(struct fixture *f, uint64_t pause_ms)
{
    return sfi_mailbox_back_off(&f->mailbox, &f->batch, pause_ms);
}

static void handle(struct fixture *f, const char *id, const char *kind)
{
    expect_head(f, id, kind);
    sfi_mailbox_done(&f->mailbox);
}

static int nothing_now(struct fixture *f)
{
    int rc = 0;
    return head_of(f, &rc) == NULL && rc == 0;
}

static void messages_are_handled_in_the_order_they_came(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    push(f, "b", "2");
    push(f, "a", "3");
    handle(f, "a", "1");
    handle(f, "b", "2");
    push(f, "b", "4");
    handle(f, "a", "3");
    handle(f, "b", "4");
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.count, 0);
}

static void a_message_handled_before_the_seal_leaves_no_row(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    handle(f, "a", "1");
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    assert_int_equal(f->batch.op_count, 0);
    assert_false(sfi_mailbox_dirty(&f->mailbox));
}

static void a_message_that_waits_is_saved_once_and_deleted_when_handled(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    push(f, "b", "2");
    handle(f, "a", "1");
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    sfi_mailbox_saved(&f->mailbox);
    assert_int_equal(f->batch.op_count, 1);
    assert_false(sfi_mailbox_dirty(&f->mailbox));
    handle(f, "b", "2");
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    assert_int_equal(f->batch.op_count, 2);
    assert_int_equal(f->batch.tables[SFI_MAILBOX].count, 2);
    assert_true(f->batch.tables[SFI_MAILBOX].ops[1].is_delete);
    sfi_mailbox_saved(&f->mailbox);
}

static void later_messages_wait_behind_a_pause_and_others_go_on(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "fails");
    push(f, "a", "second");
    push(f, "b", "other");
    expect_head(f, "a", "fails");
    assert_int_equal(fails(f, 100), 0);
    handle(f, "b", "other");
    assert_true(nothing_now(f));
    push(f, "a", "third");
    assert_true(nothing_now(f));
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns + 100 * 1000000 - 1);
    assert_true(nothing_now(f));
    push(f, "a", "fourth");
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns + 100 * 1000000);
    handle(f, "a", "fails");
    handle(f, "a", "second");
    handle(f, "a", "third");
    handle(f, "a", "fourth");
    assert_int_equal(f->mailbox.queued, 0);
}

static void a_second_pause_keeps_the_order(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    push(f, "a", "2");
    for (int i = 0; i < 3; i++) {
        expect_head(f, "a", "1");
        assert_int_equal(fails(f, 0), 0);
        assert_true(nothing_now(f));
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    }
    handle(f, "a", "1");
    handle(f, "a", "2");
}

static void saved_messages_stay_in_front_of_unsaved_ones(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    assert_int_equal(fails(f, 0), 0);
    push(f, "b", "2");
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_string_equal(sfi_message_kind(f->mailbox.unsaved), "2");
    uint32_t rows = f->batch.op_count;
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    assert_int_equal(f->batch.op_count, rows + 1);
}

static void messages_wait_for_their_type(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    push(f, "a", "2");
    commit(f);
    f->type.registered = 0;
    restart(f, 1 << 20);
    assert_int_equal(f->mailbox.count, 2);
    assert_int_equal(f->mailbox.queued, 2);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.count, 2);
    assert_int_equal(f->mailbox.queued, 0);
    assert_int_equal(f->mailbox.bytes, 0);
    commit(f);
    f->type.registered = 1;
    push(f, "b", "3");
    sfi_mailbox_admit(&f->mailbox, &f->type);
    handle(f, "a", "1");
    handle(f, "a", "2");
    handle(f, "b", "3");
}

/* a failed and waits 400 ms, c until a time that the clock will never show. */
static void leave_pauses(struct fixture *f)
{
    push(f, "a", "1");
    push(f, "a", "2");
    push(f, "c", "4");
    expect_head(f, "a", "1");
    assert_int_equal(fails(f, 400), 0);
    assert_int_equal(head_of(f, &(int){0})->sequence, 3);
    assert_int_equal(fails(f, UINT64_C(1) << 40), 0);
    push(f, "b", "3");
    commit(f);
}

static void expect_pauses(struct fixture *f)
{
    handle(f, "b", "3");
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 400);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    handle(f, "a", "1");
    handle(f, "a", "2");
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 600 + 125); /* with the eighth that it may have been longer */
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    handle(f, "c", "4");
    assert_int_equal(f->mailbox.count, 0);
}

/* R15, R12: the pause outlives the process; a clock set back makes it no longer than a pause can be. */
static void a_pause_goes_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    leave_pauses(f);
    restart(f, 1 << 20);
    expect_pauses(f);
}

static void a_pause_goes_on_when_its_type_comes_late(void **state)
{
    struct fixture *f = *state;
    leave_pauses(f);
    f->type.registered = 0;
    restart(f, 1 << 20);
    assert_true(nothing_now(f));
    commit(f);
    f->type.registered = 1;
    sfi_mailbox_admit(&f->mailbox, &f->type);
    expect_pauses(f);
}

static void no_memory_for_a_pause_leaves_the_message_at_the_head(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    for (int i = 1; i < 4; i++) {
        f->machine.fail_allocation = f->machine.allocations + (uint64_t)i;
        int rc = fails(f, 0);
        f->machine.fail_allocation = 0;
        if (rc == 0) {
            assert_true(i > 1);
            sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        }
        expect_head(f, "a", "1");
    }
}

static void a_message_tried_again_at_once_keeps_its_attempts_in_memory(void **state)
{
    struct fixture *f = *state;
    commit(f);
    restart(f, 4096);
    push(f, "a", "fails");
    for (int i = 0; i < 16; i++)
        push(f, "a", "behind it");
    push(f, "b", "poison");
    commit(f);
    expect_head(f, "a", "fails");
    assert_int_equal(fails(f, 10), 0);
    expect_head(f, "b", "poison");
    f->mailbox.queue.first->attempts++;
    assert_int_equal(sfi_mailbox_again(&f->mailbox, &f->batch), 0);
    for (int i = 0; i < 100; i++)
        push(f, "c", "much");
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns + 10 * 1000000);
    commit(f);
    assert_true(sfi_backlog_is_open(&f->mailbox.backlog));
    handle(f, "a", "fails");
    for (int i = 0; i < 16; i++)
        handle(f, "a", "behind it");
    expect_head(f, "b", "poison");
    assert_int_equal(f->mailbox.queue.first->attempts, 1);
}

/* -- the backlog ------------------------------------------------------------------------------------- */

static void push_number(struct fixture *f, const char *id, uint64_t number)
{
    char kind[24];
    snprintf(kind, sizeof kind, "%" PRIu64, number);
    push(f, id, kind);
}

static void handle_number(struct fixture *f, const char *id, uint64_t number)
{
    char kind[24];
    snprintf(kind, sizeof kind, "%" PRIu64, number);
    handle(f, id, kind);
}

static void what_is_over_budget_waits_on_disk_and_comes_back_in_order(void **state)
{
    struct fixture *f = *state;
    f->mailbox.bytes_max = 64 * 100;
    for (uint64_t n = 0; n < 5000; n++) {
        push_number(f, "a", n);
        if (n % 50 == 49)
            commit(f);
        assert_true(f->mailbox.bytes <= f->mailbox.bytes_max + 64 * 50);
    }
    assert_true(f->mailbox.backlog.count > 4000);
    assert_int_equal(f->mailbox.count, 5000);
    assert_int_equal(f->mailbox.queued, 5000);
    assert_int_equal(sfi_mailbox_waiting_bytes(&f->mailbox), 5000 * 64); /* wherever they are */
    for (uint64_t n = 0; n < 5000; n++)
        handle_number(f, "a", n);
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.backlog_bytes, 0);
    assert_int_equal(f->mailbox.bytes, f->mailbox.handled_count * 64);
    commit(f);
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.counted_bytes, 0);
    assert_int_equal(f->mailbox.unsaved_bytes, 0);
}

static void what_is_not_durable_stays_in_memory(void **state)
{
    struct fixture *f = *state;
    f->mailbox.bytes_max = 64;
    for (uint64_t n = 0; n < 100; n++)
        push_number(f, "a", n);
    sfi_mailbox_published(&f->mailbox);
    assert_false(sfi_backlog_is_open(&f->mailbox.backlog));
    assert_true(sfi_mailbox_is_full(&f->mailbox));
    commit(f);
    assert_int_equal(f->mailbox.backlog.count, 99);
    for (uint64_t n = 0; n < 100; n++)
        handle_number(f, "a", n);
}

static void a_failure_to_read_loses_nothing(void **state)
{
    struct fixture *f = *state;
    f->mailbox.bytes_max = 64;
    for (uint64_t n = 0; n < 50; n++)
        push_number(f, "a", n);
    commit(f);
    handle_number(f, "a", 0);
    uint64_t failures = 0, number = 1;
    for (uint64_t nth = 1; number < 50; nth++) {
        int rc = 0;
        f->machine.fail_fault = f->machine.faults + nth;
        f->machine.fail_allocation = f->machine.allocations + nth;
        struct sfi_message *head = head_of(f, &rc);
        f->machine.fail_fault = f->machine.fail_allocation = 0;
        failures += rc < 0;
        assert_true((head == NULL) == (rc < 0));
        if (head)
            handle_number(f, "a", number++);
    }
    assert_true(failures > 0);
    assert_true(nothing_now(f));
}

static void expect_corruption(struct fixture *f, uint64_t counted)
{
    int rc = 0;
    push(f, "a", "1");
    push(f, "a", "2");
    commit(f);
    stored.waiting = counted;
    restart(f, 1 << 20);
    assert_null(head_of(f, &rc));
    assert_int_equal(rc, SF_ECORRUPT);
}

static void a_row_that_is_missing_is_corruption(void **state)
{
    expect_corruption(*state, 3);
}

static void a_row_too_many_is_corruption(void **state)
{
    expect_corruption(*state, 1);
}

/* A model: per actor the numbers that must come, in order.  Handled ones may come again after a crash if
 * their deletion was not committed, and never otherwise. */
enum { MODEL_ACTORS = 5, MODEL_STEPS = 4000 };

struct model {
    uint64_t sent[MODEL_ACTORS], handled[MODEL_ACTORS];
};

static uint64_t draw(struct fixture *f, uint64_t below)
{
    return f->machine.sys.random(f->machine.sys.ctx) % below;
}

static void model_send(struct fixture *f, struct model *m)
{
    for (uint64_t i = draw(f, 30); i > 0; i--) {
        uint64_t actor = draw(f, MODEL_ACTORS);
        push_number(f, (char[]){(char)('a' + actor), 0}, m->sent[actor]++);
    }
}

static void model_handle(struct fixture *f, struct model *m)
{
    int rc = 0;
    for (uint64_t i = draw(f, 35); i > 0; i--) {
        struct sfi_message *head = head_of(f, &rc);
        assert_int_equal(rc, 0);
        if (!head)
            return;
        uint64_t actor = (uint64_t)(*sfi_message_to(head) - 'a');
        assert_int_equal(strtoull(sfi_message_kind(head), NULL, 10), m->handled[actor]);
        if (draw(f, 8) == 0) {
            assert_int_equal(fails(f, draw(f, 20)), 0);
        } else {
            m->handled[actor]++;
            sfi_mailbox_done(&f->mailbox);
        }
    }
}

static uint64_t model_waiting(const struct model *m)
{
    uint64_t waiting = 0;
    for (int i = 0; i < MODEL_ACTORS; i++)
        waiting += m->sent[i] - m->handled[i];
    return waiting;
}

static void model_run(struct fixture *f, uint64_t bytes_max)
{
    struct model now = {{0}, {0}}, durable = now;
    uint64_t spilled = 0;
    stored.next_sequence = f->mailbox.next_sequence;
    f->mailbox.bytes_max = bytes_max;
    for (int step = 0; step < MODEL_STEPS; step++) {
        uint64_t what = draw(f, 100);
        if (what < 40 && f->type.registered) { /* nobody can send to others */
            model_send(f, &now);
        } else if (what < 70) {
            model_handle(f, &now);
        } else if (what < 90) {
            commit(f);
            durable = now;
        } else if (what < 97) {
            machine_advance_ms(&f->machine, draw(f, 15));
            sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        } else if (what == 97) {
            f->type.registered = draw(f, 2) != 0;
            restart(f, bytes_max);
            now = durable;
        }
        if (!f->type.registered && draw(f, 3) == 0) {
            f->type.registered = 1;
            sfi_mailbox_admit(&f->mailbox, &f->type);
        }
        spilled += f->mailbox.backlog.count > 0;
        assert_int_equal(f->mailbox.count, model_waiting(&now));
    }
    f->type.registered = 1;
    sfi_mailbox_admit(&f->mailbox, &f->type);
    while (model_waiting(&now)) {
        model_handle(f, &now);
        commit(f);
        machine_advance_ms(&f->machine, 20);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    }
    commit(f);
    assert_int_equal(f->mailbox.count, 0);
    assert_int_equal(f->mailbox.queued, 0);
    assert_int_equal(f->mailbox.bytes, 0);
    assert_true(spilled > MODEL_STEPS / 100);
    restart(f, bytes_max);
    assert_true(nothing_now(f));
}

static void any_budget_keeps_order_and_loses_nothing(void **state)
{
    for (uint64_t bytes_max = 1; bytes_max <= 64 * 512; bytes_max *= 2)
        model_run(*state, bytes_max);
}

/* One test with the usual fixture. */
#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(messages_are_handled_in_the_order_they_came),
        HERE(a_message_handled_before_the_seal_leaves_no_row),
        HERE(a_message_that_waits_is_saved_once_and_deleted_when_handled),
        HERE(later_messages_wait_behind_a_pause_and_others_go_on),
        HERE(a_second_pause_keeps_the_order),
        HERE(saved_messages_stay_in_front_of_unsaved_ones),
        HERE(messages_wait_for_their_type),
        HERE(a_pause_goes_on_after_a_restart),
        HERE(a_pause_goes_on_when_its_type_comes_late),
        HERE(no_memory_for_a_pause_leaves_the_message_at_the_head),
        HERE(a_message_tried_again_at_once_keeps_its_attempts_in_memory),
        HERE(what_is_over_budget_waits_on_disk_and_comes_back_in_order),
        HERE(what_is_not_durable_stays_in_memory),
        HERE(a_failure_to_read_loses_nothing),
        HERE(a_row_that_is_missing_is_corruption),
        HERE(a_row_too_many_is_corruption),
        HERE(any_budget_keeps_order_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
