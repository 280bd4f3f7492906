/* test_asks.c - who waits for an answer or a ticket: numbers, deadlines, order, and what is left of those who go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "run/part.h"
#include "run/runtime.h"
#include "run/step.h"
#include "support/rig.h"

static int keep_still(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type silent = SF_TYPE("test/silent", .handler = keep_still);

static void open_rig(struct rig *rig, void **state)
{
    rig_open(rig, *state, (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS));
    OK(sf_register(rig->rt, &silent, NULL));
    OK(sf_run_until_idle(rig->rt));
}

static void ask_silent(struct rig *rig, int timeout_ms)
{
    OK(sf_ask_then(rig->rt, sf_addr("test/silent", "a"), "", SF_NONE, timeout_ms, note_answer,
                   rig->notes));
}

/* -- replies ------------------------------------------------------------------------------------- */

static void the_body_of_a_reply_is_aligned_and_zero_ended_whatever_stands_around_it(void **state)
{
    (void)state;
    struct machine machine;
    machine_init(&machine);
    for (size_t size = 0; size < 40; size++) {
        char kind[64] = "";
        memset(kind, 'k', size);
        struct sfi_reply *reply = sfi_reply_new(&machine.sys, 1, 0, NULL, kind,
                                                SF_BYTES("0123456789012345678901234567890123456789", size), "why");
        const sf_message *message = &reply->message;
        assert_int_equal((uintptr_t)message->body.data % 16, 0);
        assert_int_equal(((const char *)message->body.data)[size], 0);
        assert_string_equal(message->kind, kind);
        assert_string_equal(message->reason, "why");
        assert_true(reply->effect.bytes >= sizeof *reply + size);
        sfi_reply_free(reply);
    }
    assert_int_equal(machine.live, 0);
}

static void no_ask_has_the_number_that_means_nobody(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    rig.rt->asks.next_number = UINT64_MAX;
    ask_silent(&rig, -1);
    assert_int_equal(rig.rt->asks.next_number, 1);
    OK(sf_ask_then(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){7}), -1, note_answer,
                   rig.notes));
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "answer 7 egress 1=7 ");
    OK(sf_then_cancel(rig.rt, rig.notes));
    rig_close(&rig);
}

static void numbers_begin_anywhere(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    assert_true(rig.rt->asks.next_number > UINT32_MAX);
    rig_close(&rig);
}

/* -- deadlines ----------------------------------------------------------------------------------- */

static void an_ask_ends_exactly_when_its_time_is_over(void **state)
{
    char expected[40];
    struct rig rig;
    open_rig(&rig, state);
    snprintf(expected, sizeof expected, "answer %d ", SF_ETIMEOUT);
    ask_silent(&rig, 5);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sf_timeout_ms(rig.rt), 5);
    machine_advance_ms(&rig.machine, 4);
    OK(sf_step(rig.rt, 0));
    came(&rig, "");
    machine_advance_ms(&rig.machine, 1);
    OK(sf_step(rig.rt, 0));
    came(&rig, expected);
    assert_int_equal(rig.rt->asks.count, 0);
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    rig_close(&rig);
}

static void an_ask_that_was_answered_has_no_deadline_any_more(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    OK(sf_ask_then(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){7}), 5, note_answer,
                   rig.notes));
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "answer 7 egress 1=7 ");
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    machine_advance_ms(&rig.machine, 5);
    OK(sf_step(rig.rt, 0));
    came(&rig, "");
    rig_close(&rig);
}

static void many_who_wait_are_found_in_a_table_that_grows(void **state)
{
    enum { MANY = 1000 };
    struct rig rig;
    open_rig(&rig, state);
    for (int i = 0; i < MANY; i++)
        ask_silent(&rig, 100 + i);
    assert_true(rig.rt->asks.capacity >= MANY);
    assert_int_equal(rig.rt->asks.count, MANY);
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, 100 + MANY / 2 - 1);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(rig.rt->asks.count, MANY / 2);
    OK(sf_then_cancel(rig.rt, rig.notes));
    assert_int_equal(rig.rt->asks.count, 0);
    rig_close(&rig);
}

/* -- callbacks ----------------------------------------------------------------------------------- */

/* Else nobody would come for it, when a callback before it was left. */
static void a_callback_that_is_to_be_made_is_work(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    ask_silent(&rig, 5);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sfi_has_work(rig.rt), 0);
    sfi_part_asks.wake(rig.rt, rig.machine.now_ns + 5000000);
    assert_int_equal(sfi_has_work(rig.rt), 1);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sfi_has_work(rig.rt), 0);
    OK(sf_then(rig.rt, 1, note_done, rig.notes));
    sfi_poll_clear(rig.rt);
    assert_int_equal(sfi_has_work(rig.rt), 1);
    OK(sf_run_until_idle(rig.rt));
    notes_clear(rig.notes);
    rig_close(&rig);
}

static void callbacks_of_one_ticket_come_in_the_order_they_were_asked_for(void **state)
{
    struct rig rig;
    struct notes first = {0}, second = {0};
    open_rig(&rig, state);
    int64_t ticket = say(rig.rt, 1), next = say(rig.rt, 2);
    OK(sf_then(rig.rt, next, note_done, rig.notes));
    OK(sf_then(rig.rt, ticket, note_done, &first));
    OK(sf_then(rig.rt, ticket, note_done, &second));
    assert_ptr_equal(rig.rt->tickets.first->userdata, &first);
    assert_ptr_equal(rig.rt->tickets.first->next->userdata, &second);
    assert_ptr_equal(rig.rt->tickets.last->userdata, rig.notes);
    OK(sf_then_cancel(rig.rt, &first));
    OK(sf_then_cancel(rig.rt, &second));
    OK(sf_run_until_idle(rig.rt));
    HAS(noted(rig.notes), "done 2=0 ");
    rig_close(&rig);
}

static void what_is_refused_leaves_nothing_in_memory(void **state)
{
    sf_message *answer;
    struct rig rig;
    open_rig(&rig, state);
    REFUSED(sf_then(rig.rt, 99, note_done, rig.notes), SF_EINVAL);
    SAYS("no ticket 99");
    REFUSED(sf_ask_then(rig.rt, sf_addr("test/nobody", "a"), "", SF_NONE, 5, note_answer, rig.notes),
            SF_ENOTFOUND);
    REFUSED(sf_ask(rig.rt, sf_addr("test/nobody", "a"), "", SF_NONE, 5, &answer), SF_ENOTFOUND);
    assert_int_equal(rig.rt->asks.count, 0);
    OK(sf_ask(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){7}), -1, &answer));
    sf_message_free(answer);
    REFUSED(sf_ask(rig.rt, sf_addr("test/silent", "a"), "", SF_NONE, 0, &answer), SF_ETIMEOUT);
    assert_int_equal(rig.rt->asks.count, 0);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig); /* counts the blocks */
}

/* -- those who go -------------------------------------------------------------------------------- */

static void note_sentence(int result, const sf_message *reply, void *notes)
{
    (void)reply;
    note(notes, "%d %s ", result, sf_errmsg());
}

static void note_ticket_sentence(int result, int64_t ticket, void *notes)
{
    (void)ticket;
    note(notes, "%d %s ", result, sf_errmsg());
}

static void a_callback_finds_the_sentence_of_what_went_wrong(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    sf_address to = sf_addr("test/silent", "a");
    OK(sf_ask_then(rig.rt, to, "", SF_NONE, 5, note_sentence, rig.notes));
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, 5);
    OK(sf_step(rig.rt, 0));
    HAS(noted(rig.notes), "no answer in time");
    OK(sf_ask_then(rig.rt, to, "", SF_NONE, -1, note_sentence, rig.notes));
    OK(sf_then(rig.rt, say(rig.rt, 1), note_ticket_sentence, rig.notes));
    tell(&rig, "mem.settle.before", ALWAYS);
    sf_source_close(rig.source);
    REFUSED(sf_runtime_close(rig.rt), SF_EDISK);
    HAS(noted(rig.notes), "closed before the answer came");
    HAS(noted(rig.notes), "closed before the ticket was durable");
    sfi_mem_disk_free(rig.disk);
    assert_int_equal(rig.machine.live, 0);
}

static void an_answer_to_whoever_went_is_dropped(void **state)
{
    struct rig rig;
    open_rig(&rig, state);
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    OK(sf_ask_then(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){7}), -1, note_answer,
                   rig.notes));
    OK(sf_step(rig.rt, 0));
    OK(sf_then_cancel(rig.rt, rig.notes));
    under_way->times = 0;
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "egress 1=7 ");
    rig_close(&rig); /* counts the blocks */
}

static void whoever_goes_between_the_answer_and_its_callback_is_not_called(void **state)
{
    char expected[40];
    struct rig rig;
    struct notes gone = {0};
    open_rig(&rig, state);
    snprintf(expected, sizeof expected, "answer %d ", SF_ETIMEOUT);
    sf_address to = sf_addr("test/silent", "a");
    OK(sf_ask_then(rig.rt, to, "", SF_NONE, 5, note_answer, &gone));
    OK(sf_run_until_idle(rig.rt));
    sfi_part_asks.wake(rig.rt, rig.machine.now_ns + 5000000);
    assert_int_equal(sfi_asks_answered(rig.rt), 1);
    OK(sf_then_cancel(rig.rt, &gone));
    assert_int_equal(sfi_asks_answered(rig.rt), 0);
    ask_silent(&rig, 5);
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, 5);
    OK(sf_run_until_idle(rig.rt));
    came(&rig, expected); /* the list is whole */
    assert_int_equal(gone.used, 0);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_body_of_a_reply_is_aligned_and_zero_ended_whatever_stands_around_it),
        TEST(no_ask_has_the_number_that_means_nobody),
        TEST(numbers_begin_anywhere),
        TEST(an_ask_ends_exactly_when_its_time_is_over),
        TEST(an_ask_that_was_answered_has_no_deadline_any_more),
        TEST(many_who_wait_are_found_in_a_table_that_grows),
        TEST(a_callback_that_is_to_be_made_is_work),
        TEST(callbacks_of_one_ticket_come_in_the_order_they_were_asked_for),
        TEST(what_is_refused_leaves_nothing_in_memory),
        TEST(a_callback_finds_the_sentence_of_what_went_wrong),
        TEST(an_answer_to_whoever_went_is_dropped),
        TEST(whoever_goes_between_the_answer_and_its_callback_is_not_called),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
