/* test_hold.c - lib/actor/hold: who is held, for which reasons, and what that means to others. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "support/mail_rig.h"



static void a_paused_actor_waits_and_others_go_on(void **state)
{
    struct mail *f = *state;
    mail_pause(f, mail_whom(f, 0));
    mail_push(f, 0, 0);
    mail_push(f, 1, 0);
    mail_push(f, 0, 1);
    mail_handle(f, 1, 0);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    mail_handle(f, 0, 0);
    mail_handle(f, 0, 1);
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

/* What senders ask from their threads, of what the engine changes under the lock. */

static void that_an_actor_or_its_type_is_held_is_known_to_those_who_send(void **state)
{
    struct mail *f = *state;
    struct sfi_whom x = mail_whom(f, 0), y = mail_whom(f, 1), other = mail_whom(f, MAIL_ACTORS);
    mail_pause(f, x);
    y.hash = x.hash; /* two ids may share one */
    assert_true(sfi_holds_stop(&f->mailbox.holds, &x));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &y));
    assert_true(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash));
    assert_false(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash + 1));
    mail_pause(f, mail_whole_type(f, 0));
    assert_true(sfi_holds_stop(&f->mailbox.holds, &y));
    assert_true(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash + 1));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &other));
    mail_resume(f, x);
    mail_resume(f, mail_whole_type(f, 0));
    assert_true(mail_nothing_now(f));
    assert_false(sfi_holds_stop(&f->mailbox.holds, &x));
    assert_false(sfi_holds_stop_hash(&f->mailbox.holds, x.type, x.hash));
}

static void a_pause_outlives_the_process(void **state)
{
    struct mail *f = *state;
    mail_pause(f, mail_whom(f, 0));
    mail_push(f, 0, 0);
    mail_push(f, 1, 0);
    mail_commit(f);
    mail_restart(f);
    mail_handle(f, 1, 0);
    assert_true(mail_nothing_now(f));
    struct sfi_whom who = mail_whom(f, 0);
    struct sfi_hold *hold = sfi_holds_find(&f->mailbox.holds, &who);
    assert_non_null(hold);
    assert_string_equal(hold->why->text, "why not");
    assert_int_equal(hold->why->since_ms, f->machine.now_ns / 1000000);
    mail_resume(f, mail_whom(f, 0));
    mail_commit(f);
    mail_restart(f);
    mail_handle(f, 0, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void a_paused_type_waits_with_all_its_actors(void **state)
{
    struct mail *f = *state;
    mail_pause(f, mail_whole_type(f, 0));
    mail_push(f, 0, 0);
    mail_push(f, 1, 0);
    mail_push(f, 3, 0);
    mail_push(f, 0, 1);
    mail_handle(f, 3, 0);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    assert_int_equal(f->mailbox.bytes, 0); /* all of it is parked */
    mail_restart(f);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whole_type(f, 0));
    mail_handle(f, 0, 0);
    mail_handle(f, 1, 0);
    mail_handle(f, 0, 1);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->stored.parked, 0);
}

/* What waits for the actor is older than what waits for its type. */

static void an_actor_held_before_its_type_keeps_the_order(void **state)
{
    struct mail *f = *state;
    mail_pause(f, mail_whom(f, 0));
    mail_push(f, 0, 0);
    assert_true(mail_nothing_now(f));
    mail_pause(f, mail_whole_type(f, 0));
    mail_push(f, 0, 1);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    mail_resume(f, mail_whole_type(f, 0));
    mail_handle(f, 0, 0);
    mail_handle(f, 0, 1);
    assert_int_equal(f->mailbox.count, 0);
}

static void two_reasons_must_both_go(void **state)
{
    struct mail *f = *state;
    int rc;
    mail_push(f, 0, 0);
    mail_push(f, 0, 1);
    assert_non_null(mail_head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, mail_batch(f), 100), 0);
    mail_pause(f, mail_whom(f, 0));
    machine_advance_ms(&f->machine, 100);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_true(mail_nothing_now(f));
    mail_resume(f, mail_whom(f, 0));
    mail_handle(f, 0, 0);
    mail_handle(f, 0, 1);
    mail_push(f, 0, 2);
    assert_non_null(mail_head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, mail_batch(f), 100), 0);
    mail_pause(f, mail_whom(f, 0));
    mail_resume(f, mail_whom(f, 0));
    assert_true(mail_nothing_now(f));
    machine_advance_ms(&f->machine, 99);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    assert_true(mail_nothing_now(f));
    machine_advance_ms(&f->machine, 1);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    mail_handle(f, 0, 2);
}

static void resuming_whoever_is_not_paused_does_nothing(void **state)
{
    struct mail *f = *state;
    int rc;
    mail_resume(f, mail_whom(f, 0));
    assert_int_equal(mail_batch(f)->op_count, 0);
    mail_push(f, 0, 0);
    assert_non_null(mail_head(f, &rc));
    assert_int_equal(sfi_mailbox_back_off(&f->mailbox, mail_batch(f), 100), 0);
    mail_resume(f, mail_whom(f, 0));
    assert_true(mail_nothing_now(f));
}

/* Nothing else moves: neither a later message nor a commit may be needed. */

/* What came back for its type and waits for its actor in memory is not read again with the type's rows. */

/* Put there and deleted here go together, whatever fails. */

/* What is let go from disk does not wait until all others are through. */

/* However many are resumed at once, their messages come back as memory allows. */

/* One row short of what was counted, or one too many. */

/* A message that failed and waits on disk comes back with its attempts, when its time has come. */

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(a_paused_actor_waits_and_others_go_on),
        MAIL_TEST(that_an_actor_or_its_type_is_held_is_known_to_those_who_send),
        MAIL_TEST(a_pause_outlives_the_process),
        MAIL_TEST(a_paused_type_waits_with_all_its_actors),
        MAIL_TEST(an_actor_held_before_its_type_keeps_the_order),
        MAIL_TEST(two_reasons_must_both_go),
        MAIL_TEST(resuming_whoever_is_not_paused_does_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
