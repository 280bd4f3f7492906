/* test_mailbox.c - order, pauses and rows of waiting messages, on a batch without a store. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/mailbox.h"
#include "support/machine.h"

struct fixture {
    struct machine machine;
    struct sfi_mailbox mailbox;
    struct sfi_actors actors;
    struct sfi_batch batch;
    struct sfi_type type;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_mailbox_init(&f.mailbox, &f.machine.sys);
    sfi_actors_init(&f.actors, &f.machine.sys);
    sfi_batch_init(&f.batch, &f.machine.sys);
    f.type.name = "test/type";
    f.type.number = 1;
    f.type.registered = 1;
    f.type.desc.name = "test/type";
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_message_list_free(&f->mailbox.pool, &f->type.waiting);
    sfi_mailbox_fini(&f->mailbox);
    sfi_actors_fini(&f->actors);
    sfi_batch_fini(&f->batch);
    return f->machine.live == 0 ? 0 : -1;
}

static struct sfi_message *message(struct fixture *f, const char *id, const char *kind)
{
    struct sfi_message *m = sfi_message_new(&f->mailbox.pool, kind, strlen(kind), SF_NONE);
    m->to = sfi_actors_get(&f->actors, &f->type, id, strlen(id));
    return m;
}

static void push(struct fixture *f, const char *id, const char *kind)
{
    sfi_mailbox_push(&f->mailbox, message(f, id, kind));
}

static void expect_head(struct fixture *f, const char *id, const char *kind)
{
    int rc = 0;
    struct sfi_message *head = sfi_mailbox_head(&f->mailbox, &f->batch, &rc);
    assert_non_null(head);
    assert_string_equal(head->to->id, id);
    assert_string_equal(head->text, kind);
}

static void handle(struct fixture *f, const char *id, const char *kind)
{
    expect_head(f, id, kind);
    sfi_mailbox_done(&f->mailbox);
}

static int nothing_now(struct fixture *f)
{
    int rc = 0;
    return sfi_mailbox_head(&f->mailbox, &f->batch, &rc) == NULL && rc == 0;
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
    assert_true(f->batch.ops[1].is_delete);
    sfi_mailbox_saved(&f->mailbox);
}

static void later_messages_wait_behind_a_pause_and_others_go_on(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "fails");
    push(f, "a", "second");
    push(f, "b", "other");
    expect_head(f, "a", "fails");
    assert_int_equal(sfi_mailbox_pause(&f->mailbox, &f->batch, 100), 0);
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
        assert_int_equal(sfi_mailbox_pause(&f->mailbox, &f->batch, 0), 0);
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
    assert_int_equal(sfi_mailbox_pause(&f->mailbox, &f->batch, 0), 0);
    push(f, "b", "2");
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_string_equal(f->mailbox.unsaved->text, "2");
    uint32_t rows = f->batch.op_count;
    assert_int_equal(sfi_mailbox_save(&f->mailbox, &f->batch), 0);
    assert_int_equal(f->batch.op_count, rows + 1);
}

static void messages_wait_for_their_type(void **state)
{
    struct fixture *f = *state;
    f->type.registered = 0;
    sfi_mailbox_restore(&f->mailbox, message(f, "a", "1"));
    sfi_mailbox_restore(&f->mailbox, message(f, "a", "2"));
    assert_true(nothing_now(f));
    assert_int_equal(f->mailbox.count, 2);
    f->type.registered = 1;
    push(f, "b", "3");
    sfi_mailbox_admit(&f->mailbox, &f->type);
    handle(f, "a", "1");
    handle(f, "a", "2");
    handle(f, "b", "3");
}

/* R15, R12: the pause outlives the process; a clock set back makes it no longer than a pause can be. */
static void a_pause_goes_on_after_a_restart(void **state)
{
    struct fixture *f = *state;
    f->type.registered = 0;
    f->type.backoff_ms_max = 1000;
    struct sfi_message *failed = message(f, "a", "1");
    failed->retry_ms = f->machine.now_ns / 1000000 + 400;
    sfi_mailbox_restore(&f->mailbox, failed);
    sfi_mailbox_restore(&f->mailbox, message(f, "a", "2"));
    sfi_mailbox_restore(&f->mailbox, message(f, "b", "3"));
    struct sfi_message *far = message(f, "c", "4");
    far->retry_ms = UINT64_MAX;
    sfi_mailbox_restore(&f->mailbox, far);
    f->type.registered = 1;
    sfi_mailbox_admit(&f->mailbox, &f->type);
    handle(f, "b", "3");
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 400);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    handle(f, "a", "1");
    handle(f, "a", "2");
    assert_true(nothing_now(f));
    machine_advance_ms(&f->machine, 600);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    handle(f, "c", "4");
}

static void no_memory_for_a_pause_leaves_the_message_at_the_head(void **state)
{
    struct fixture *f = *state;
    push(f, "a", "1");
    for (int i = 1; i < 4; i++) {
        f->machine.fail_allocation = f->machine.allocations + (uint64_t)i;
        int rc = sfi_mailbox_pause(&f->mailbox, &f->batch, 0);
        f->machine.fail_allocation = 0;
        if (rc == 0) {
            assert_true(i > 1);
            sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        }
        expect_head(f, "a", "1");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_are_handled_in_the_order_they_came, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_handled_before_the_seal_leaves_no_row, setup, teardown),
        cmocka_unit_test_setup_teardown(a_message_that_waits_is_saved_once_and_deleted_when_handled, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(later_messages_wait_behind_a_pause_and_others_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_second_pause_keeps_the_order, setup, teardown),
        cmocka_unit_test_setup_teardown(saved_messages_stay_in_front_of_unsaved_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(messages_wait_for_their_type, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pause_goes_on_after_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(no_memory_for_a_pause_leaves_the_message_at_the_head, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
