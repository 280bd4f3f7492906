/* test_waiting.c - lib/actor/waiting: what waits behind holds, in memory and on disk, and, against a model in
 * random schedules with tiny budgets, crashes and failing memory, that nobody held is handled,
 * nothing is lost, handled twice or out of order, and memory stays in its bound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/waiting.h"
#include "support/mail_rig.h"

static void a_purge_drops_what_is_older_wherever_it_waits(void **state)
{
    struct mail *f = *state;
    int rc = 0;
    f->mailbox.bytes_max = 64 * 8; /* two in memory behind the hold, the others parked */
    mail_pause(f, mail_whom(f, 0));
    for (uint64_t n = 0; n < 6; n++)
        mail_push(f, 0, n);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    assert_int_equal(f->mailbox.parking.unread, 4);
    mail_push(f, 0, 6);
    struct sfi_whom who = mail_whom(f, 0);
    assert_int_equal(sfi_hold_purge(&f->mailbox.holds, mail_batch(f), &who, f->mailbox.next_sequence),
                     0);
    mail_push(f, 0, 7);
    for (uint64_t n = 0; n < 7; n++) {
        if (n == 3)
            mail_commit(f);
        struct sfi_message *message = mail_head(f, &rc);
        if (!message) {
            mail_commit(f);
            message = mail_head(f, &rc);
        }
        assert_non_null(message);
        assert_int_equal(mail_number_of(message), n);
        assert_true(message->purged);
        sfi_mailbox_done(&f->mailbox);
    }
    if (!mail_head(f, &rc))
        mail_commit(f);
    mail_handle(f, 0, 7);
    assert_true(mail_nothing_now(f));
    mail_commit(f);
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
    mail_commit(f);
    mail_restart(f);
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void push_to(struct mail *f, unsigned char id)
{
    struct sfi_letter letter = {.to_type = &f->type[0],
                                .hash = sfi_actors_hash(&f->actors, &f->type[0], &id, 1),
                                .to_id = (const char *)&id,
                                .to_size = 1,
                                .kind = ""};
    sfi_mailbox_push(&f->mailbox, sfi_message_new(&f->mailbox.pool, &letter));
}

static void many_that_are_resumed_at_once_stay_in_the_budget(void **state)
{
    enum { MANY = 100, EACH = 20 };
    struct mail *f = *state;
    int rc;
    f->mailbox.bytes_max = 64 * 64;
    for (int reason = 1; reason >= 0; reason--) {
        for (int i = 0; i < MANY; i++) {
            unsigned char id = (unsigned char)i;
            struct sfi_whom who = {&f->type[0], sfi_actors_hash(&f->actors, &f->type[0], &id, 1),
                                   (const char *)&id, 1};
            reason ? mail_pause(f, who) : mail_resume(f, who);
            for (int n = 0; reason && n < EACH; n++)
                push_to(f, id);
        }
        mail_head(f, &rc);
        mail_commit(f);
    }
    for (uint64_t n = 0; n < MANY * EACH; n++) {
        if (!mail_head(f, &rc))
            mail_commit(f);
        assert_non_null(mail_head(f, &rc));
        sfi_mailbox_done(&f->mailbox);
        assert_true(f->mailbox.bytes - f->mailbox.handled_bytes <= 64 * 64 * 2);
        if (n % 16 == 15)
            mail_commit(f);
    }
    assert_int_equal(f->mailbox.count, 0);
}

static void what_waits_behind_a_hold_is_bounded_in_memory_and_takes_no_quota(void **state)
{
    struct mail *f = *state;
    f->mailbox.bytes_max = 64 * 64;
    uint64_t sent = 0;
    mail_pause(f, mail_whom(f, 0));
    for (uint64_t n = 0; n < 5000; n++) {
        mail_push(f, 0, n);
        if (n % 50 == 49) {
            sent += f->mailbox.counted_bytes;
            assert_true(mail_nothing_now(f));
            mail_commit(f);
            assert_int_equal(f->mailbox.bytes, 64 * 16);
            assert_int_equal(f->mailbox.counted_bytes, 0);
        }
    }
    assert_int_equal(f->mailbox.parking.rows, 5000 - 16);
    assert_in_range(f->mailbox.parking.bytes, 2 * (sent - UINT64_C(64) * 16), 2 * sent - 1);
    assert_int_equal(f->mailbox.aside_bytes, sent);
    assert_int_equal(f->mailbox.count, 5000);
    mail_resume(f, mail_whom(f, 0));
    mail_push(f, 0, 5000);
    for (uint64_t n = 0; n <= 5000; n++) {
        int rc;
        if (!mail_head(f, &rc))
            mail_commit(f);
        assert_true(f->mailbox.bytes <= 64 * 64 * 2);
        mail_handle(f, 0, n);
        if (n % 50 == 49)
            mail_commit(f);
    }
    mail_commit(f);
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.counted_bytes, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->mailbox.parking.rows, 0);
}

static void a_type_that_is_not_registered_takes_no_memory(void **state)
{
    struct mail *f = *state;
    for (uint64_t n = 0; n < 3000; n++)
        mail_push(f, (int)(n % 3), n / 3);
    mail_commit(f);
    f->type[0].registered = 0;
    f->bytes_max = 64 * 32;
    mail_restart(f);
    int rc = 0, calls = 0;
    while (!sfi_mailbox_head(&f->mailbox, mail_batch(f), &rc) && rc > 0) {
        assert_in_range(rc, 1, 257); /* so many at a time, */
        assert_true(f->mailbox.bytes <= (64 << 10) + 64 * 1024);
        calls++;
    }
    assert_true(calls > 10);
    mail_commit(f);
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.queued, 0);
    assert_int_equal(f->mailbox.parking.rows, 3000);
    uint64_t allocations = f->machine.allocations;
    f->type[0].registered = 1;
    sfi_mailbox_admit(&f->mailbox, &f->type[0]);
    assert_int_equal(f->machine.allocations, allocations);
    for (uint64_t n = 0; n < 3000; n++)
        mail_handle(f, (int)(n % 3), n / 3);
    assert_true(mail_nothing_now(f));
}

static void attempts_without_back_off_outlive_the_process(void **state)
{
    struct mail *f = *state;
    int rc;
    mail_push(f, 0, 0);
    mail_commit(f);
    mail_head(f, &rc)->attempts++;
    assert_int_equal(sfi_mailbox_again(&f->mailbox, mail_batch(f)), 0);
    mail_commit(f);
    mail_restart(f);
    assert_int_equal(mail_head(f, &rc)->attempts, 1);
}

static void a_failed_message_may_wait_on_disk_too(void **state)
{
    struct mail *f = *state;
    int rc;
    f->bytes_max = f->mailbox.bytes_max = 1;
    for (int restarts = 0; restarts < 2; restarts++) {
        mail_push(f, 0, 0);
        mail_push(f, 0, 1);
        mail_head(f, &rc)->attempts++;
        assert_int_equal(sfi_mailbox_back_off(&f->mailbox, mail_batch(f), 100), 0);
        assert_true(mail_nothing_now(f));
        mail_commit(f);
        assert_int_equal(f->mailbox.bytes, 0);
        if (restarts)
            mail_restart(f);
        assert_true(mail_nothing_now(f));
        machine_advance_ms(&f->machine, 99);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        assert_true(mail_nothing_now(f));
        mail_commit(f);
        machine_advance_ms(&f->machine, 1);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        if (!mail_head(f, &rc))
            mail_commit(f);
        assert_int_equal(mail_head(f, &rc)->attempts, 1);
        mail_handle(f, 0, 0);
        if (!mail_head(f, &rc))
            mail_commit(f);
        mail_handle(f, 0, 1);
        mail_commit(f);
    }
}

/* It is handled all the same: then nobody is held for a reason any more. */
static void what_could_not_be_put_off_leaves_no_reason(void **state)
{
    struct mail *f = *state;
    int rc = SF_ENOMEM, refused = 0, none;
    for (uint64_t i = 1; rc; i++) {
        mail_push(f, 0, i);
        assert_non_null(mail_head(f, &none));
        f->machine.fail_allocation = f->machine.allocations + i;
        rc = sfi_mailbox_put_off(&f->mailbox, mail_batch(f), 10, sf_str("it cannot be read"));
        f->machine.fail_allocation = 0;
        if (rc == 0)
            break;
        refused++;
        mail_handle(f, 0, i);
        assert_true(mail_nothing_now(f));
        assert_int_equal(f->mailbox.holds.count, 0);
        mail_commit(f);
        mail_restart(f);
        assert_int_equal(f->mailbox.holds.count, 0);
    }
    assert_true(refused > 3);
    assert_int_equal(f->mailbox.holds.count, 1);
}

enum { STEPS = 6000, NUMBERS = 1 << 13 };

struct model {
    uint64_t sent[MAIL_ALL], waiting;
    uint64_t next[MAIL_ALL],
        purged[MAIL_ALL]; /* to be handled; dropped, in any order, is what is below `purged` */
    uint64_t due_ns[MAIL_ALL];
    uint32_t failed[MAIL_ALL]; /* attempts of the next one */
    uint8_t done[MAIL_ALL][NUMBERS];
    int paused[MAIL_ALL], type_paused[MAIL_TYPES];
};

struct run {
    struct mail *f;
    struct model now, sealed, durable;
    uint64_t refused; /* calls that met no memory */
};

/* One of the next allocations may fail, or one of the next touches of the store. */

static void arm(struct mail *f)
{
    if (mail_draw(f, 4) == 0)
        f->machine.fail_allocation = f->machine.allocations + 1 + mail_draw(f, 3);
    if (mail_draw(f, 8) == 0)
        f->machine.fail_fault = f->machine.faults + 1 + mail_draw(f, 3);
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
    for (uint64_t i = mail_draw(r->f, 20); i > 0; i--) {
        int actor = (int)mail_draw(r->f, MAIL_ALL);
        if (r->f->type[actor / MAIL_ACTORS].registered)
            mail_push(r->f, actor, r->now.sent[actor]++), r->now.waiting++;
    }
}

/* Backs off, is tried again at once, or cannot be handled by this program. */

static void model_failure(struct run *r, struct sfi_message *message, int actor)
{
    struct mail *f = r->f;
    uint64_t what = mail_draw(f, 3), pause_ms = mail_draw(f, 20);
    arm(f);
    message->attempts += what < 2;
    int rc = what == 0   ? sfi_mailbox_back_off(&f->mailbox, mail_batch(f), pause_ms)
             : what == 1 ? sfi_mailbox_again(&f->mailbox, mail_batch(f))
                         : sfi_mailbox_put_off(&f->mailbox, mail_batch(f), pause_ms,
                                               message->sequence % 2 ? SF_NONE : sf_str("why"));
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
    struct mail *f = r->f;
    int actor = mail_actor_of(f, message);
    uint64_t number = mail_number_of(message);
    assert_false(r->now.done[actor][number]);
    assert_int_equal(message->purged, number < r->now.purged[actor]);
    if (!message->purged) {
        assert_int_equal(number, r->now.next[actor]);
        assert_int_equal(message->attempts, r->now.failed[actor]);
        assert_false(r->now.paused[actor]);
        assert_false(r->now.type_paused[actor / MAIL_ACTORS]);
        assert_true(f->type[actor / MAIL_ACTORS].registered);
        assert_true(r->now.due_ns[actor] <= f->machine.now_ns);
    }
    if (message->purged || mail_draw(f, 4)) {
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
    for (uint64_t i = mail_draw(r->f, 30); i > 0; i--) {
        int rc = 0;
        arm(r->f);
        struct sfi_message *message = mail_head(r->f, &rc);
        disarmed(r, rc);
        if (message)
            model_turn(r, message);
        else if (rc == 0)
            return;
    }
}

static void model_command(struct run *r)
{
    struct mail *f = r->f;
    struct sfi_holds *holds = &f->mailbox.holds;
    int actor = (int)mail_draw(f, MAIL_ALL), type = actor / MAIL_ACTORS;
    struct sfi_whom one = mail_whom(f, actor), all = mail_whole_type(f, type);
    uint64_t what = mail_draw(f, 20);
    arm(f);
    if (what < 4) {
        if (!disarmed(r, sfi_holds_pause(holds, mail_batch(f), &one, SFI_HELD_PAUSED, sf_str("x"))))
            r->now.paused[actor] = 1;
    } else if (what < 13) {
        if (!disarmed(r, sfi_holds_resume(holds, mail_batch(f), &one, SFI_HELD_PAUSED)))
            r->now.paused[actor] = 0;
    } else if (what < 14) {
        if (!disarmed(r, sfi_holds_pause(holds, mail_batch(f), &all, SFI_HELD_PAUSED, SF_NONE)))
            r->now.type_paused[type] = 1;
    } else if (what < 19) {
        if (!disarmed(r, sfi_holds_resume(holds, mail_batch(f), &all, SFI_HELD_PAUSED)))
            r->now.type_paused[type] = 0;
    } else if (!disarmed(r, sfi_hold_purge(holds, mail_batch(f), &one, f->mailbox.next_sequence))) {
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
    if (disarmed(r, mail_seal(r->f)) == 0)
        r->sealed = r->now;
}

static void model_settle(struct run *r)
{
    if (!r->f->is_sealed)
        return;
    mail_settle(r->f);
    r->durable = r->sealed;
}

static void model_crash(struct run *r)
{
    for (int i = 0; i < MAIL_TYPES; i++)
        r->f->type[i].registered = mail_draw(r->f, 3) != 0;
    mail_restart(r->f);
    r->now = r->durable;
}

static void model_register(struct run *r)
{
    for (int i = 0; i < MAIL_TYPES; i++)
        if (!r->f->type[i].registered && mail_draw(r->f, 10) == 0) {
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
    for (int i = 0; i < MAIL_ALL; i++) {
        struct sfi_whom who = mail_whom(r->f, i);
        struct sfi_hold *hold = sfi_holds_find(&mailbox->holds, &who);
        if (!hold)
            continue;
        out += hold->out;
        held += length(&hold->waiting, &none);
        held_bytes += hold->waiting_bytes;
    }
    for (int i = 0; i < MAIL_TYPES; i++)
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
    struct mail *f = r->f;
    uint64_t what = mail_draw(f, 200);
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
        machine_advance_ms(&f->machine, mail_draw(f, 15));
    else if (what == 198)
        model_crash(r);
    sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
    model_register(r);
    model_check(r);
}

/* Nothing stops anybody any more: all that waits is handled. */

static void model_drain(struct run *r)
{
    struct mail *f = r->f;
    for (int i = 0; i < MAIL_TYPES; i++) {
        f->type[i].registered = 1;
        sfi_mailbox_admit(&f->mailbox, &f->type[i]);
        mail_resume(f, mail_whole_type(f, i));
        r->now.type_paused[i] = 0;
    }
    for (int i = 0; i < MAIL_ALL; i++) {
        mail_resume(f, mail_whom(f, i));
        r->now.paused[i] = 0;
    }
    for (int round = 0; f->mailbox.count; round++) {
        assert_true(round < 100000);
        model_handle(r);
        mail_commit(f);
        machine_advance_ms(&f->machine, 20);
        sfi_mailbox_wake(&f->mailbox, f->machine.now_ns);
        model_check(r);
    }
    mail_commit(f);
    assert_true(mail_nothing_now(f));
    mail_commit(f); /* ended purges */
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.bytes, 0);
    assert_int_equal(f->mailbox.holds.count, 0);
    assert_int_equal(f->mailbox.parking.rows, 0);
    assert_int_equal(f->mailbox.parking.bytes, 0);
    mail_restart(f);
    assert_true(mail_nothing_now(f));
    assert_int_equal(f->mailbox.holds.count, 0);
}

static void any_schedule_keeps_order_and_loses_nothing(void **state)
{
    struct mail *f = *state;
    uint64_t refused = 0;
    for (uint64_t bytes_max = 1; bytes_max <= 64 * 256; bytes_max *= 4) {
        static struct run r;
        memset(&r, 0, sizeof r);
        r.f = f;
        f->bytes_max = bytes_max;
        mail_restart(f);
        for (int step = 0; step < STEPS; step++)
            model_step(&r);
        model_drain(&r);
        refused += r.refused;
    }
    assert_true(refused > STEPS / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        MAIL_TEST(a_purge_drops_what_is_older_wherever_it_waits),
        MAIL_TEST(many_that_are_resumed_at_once_stay_in_the_budget),
        MAIL_TEST(what_waits_behind_a_hold_is_bounded_in_memory_and_takes_no_quota),
        MAIL_TEST(a_type_that_is_not_registered_takes_no_memory),
        MAIL_TEST(attempts_without_back_off_outlive_the_process),
        MAIL_TEST(a_failed_message_may_wait_on_disk_too),
        MAIL_TEST(what_could_not_be_put_off_leaves_no_reason),
        MAIL_TEST(any_schedule_keeps_order_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
