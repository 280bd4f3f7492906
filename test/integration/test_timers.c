/* test_timers.c - an actor's own timers, and what is sent later: on a store in memory and with a
 * clock of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "run/runtime.h"
#include "statefun.h"
#include "support/rig.h"
#include "support/support.h"

#define CLOCK "test/clock"

/* What a message asks for, one command a word: "after:KIND:KEY:MS", "every:...",
 * "cron:KIND:KEY:TEXT" (_ for a blank), "cancel:KIND:KEY", "tell:TOKEN:MS:ID:KIND", "untell:TOKEN",
 * "self:TEXT" (a message to itself), "clear", "fail", "reject", "note". */
static sf_bytes part(char **at)
{
    char *from = *at;
    char *end = from ? strchr(from, ':') : NULL;
    *at = end ? end + 1 : NULL;
    if (end)
        *end = 0;
    return from && *from ? sf_str(from) : SF_NONE;
}

static const char *text_of(sf_bytes bytes)
{
    return bytes.data ? bytes.data : "";
}

static uint64_t number(sf_bytes bytes)
{
    unsigned long long n = 0;
    (void)sscanf(text_of(bytes), "%llu", &n);
    return n;
}

static int set_cron(sf_turn *turn, const char *kind, sf_bytes key, char *text)
{
    for (char *at = text; at && *at; at++)
        *at = *at == '_' ? ' ' : *at;
    return sf_timer_cron(turn, kind, key, text);
}

static int obey_timer(sf_turn *turn, const char *verb, char *rest)
{
    const char *kind = text_of(part(&rest));
    sf_bytes key = part(&rest);
    if (strcmp(verb, "after") == 0)
        return sf_timer_after(turn, kind, key, number(part(&rest)));
    if (strcmp(verb, "every") == 0)
        return sf_timer_every(turn, kind, key, number(part(&rest)));
    if (strcmp(verb, "cron") == 0)
        return set_cron(turn, kind, key, rest);
    return sf_timer_cancel(turn, kind, key);
}

static const char *to_type = CLOCK; /* of what is told; "to:TYPE", for one message */

static int obey_tell(sf_turn *turn, char *rest)
{
    sf_bytes token = part(&rest);
    uint64_t delay_ms = number(part(&rest));
    const char *id = text_of(part(&rest)), *kind = text_of(part(&rest));
    return sf_tell_after(turn, token, delay_ms, sf_addr(to_type, id), kind, token);
}

static int obey(sf_turn *turn, char *word)
{
    struct notes *notes = sf_userdata(turn);
    char *rest = word;
    const char *verb = text_of(part(&rest));
    if (strcmp(verb, "to") == 0) {
        to_type = "test/counted";
        return 0;
    }
    if (strcmp(verb, "tell") == 0)
        return obey_tell(turn, rest);
    if (strcmp(verb, "untell") == 0) {
        note(notes, "(%d)", sf_tell_cancel(turn, part(&rest)));
        return 0;
    }
    if (strcmp(verb, "self") == 0)
        return sf_tell(turn, sf_self(turn), "do", sf_str(rest));
    if (strcmp(verb, "call") == 0) {
        const char *id = text_of(part(&rest));
        (void)sf_call(turn, sf_addr(CLOCK, id), "do", sf_str(rest));
        return 0;
    }
    if (strcmp(verb, "clear") == 0)
        return sf_clear(turn);
    if (strcmp(verb, "fail") == 0)
        return sf_fail(turn, "told to");
    if (strcmp(verb, "reject") == 0)
        return sf_reject(turn, "told to");
    return obey_timer(turn, verb, rest);
}

static int do_all(sf_turn *turn)
{
    char text[4096], *at = text;
    sf_bytes body = sf_msg(turn)->body;
    to_type = CLOCK;
    snprintf(text, sizeof text, "%.*s", (int)body.size, text_of(body));
    while (*at) {
        char *end = at + strcspn(at, " ");
        int is_last = *end == 0;
        *end = 0;
        int rc = obey(turn, at);
        if (rc < 0)
            return rc;
        at = is_last ? end : end + 1;
    }
    return 0;
}

static uint64_t begun_ms; /* the clock of the test */

/* Whatever comes but commands: "kind(key)@ms", from when the test began; '!' if it came early;
 * "<id" if it is not from itself.  The kind "flaky" fails, "poison" is rejected, "again" sets
 * itself. */
static int say_it(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    sf_address self = sf_self(turn);
    int is_own = msg->from.type && msg->from.id.size == self.id.size &&
                 memcmp(msg->from.id.data, self.id.data, self.id.size) == 0;
    note(sf_userdata(turn), "%s(%.*s)@%llu%s%s ", msg->kind, (int)msg->body.size,
         text_of(msg->body), (unsigned long long)(msg->due_ms - begun_ms),
         sf_now_ms(turn) < msg->due_ms ? "!" : "", is_own ? "" : "<");
    if (sf_is(msg, "flaky"))
        return sf_fail(turn, "flaky");
    if (sf_is(msg, "again"))
        return sf_timer_after(turn, "again", msg->body, 10);
    if (sf_is(msg, "stop"))
        return sf_timer_cancel(turn, "stop", msg->body);
    return sf_is(msg, "poison") ? sf_reject(turn, "poison") : 0;
}

static const sf_type clock_type = SF_TYPE(CLOCK, .on = {{"do", do_all}}, .handler = say_it,
                                          .state_size = 8, .attempts_max = 2);

static int count_it(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    place->count++;
    return 0;
}

static const sf_type counted = SF_TYPE("test/counted", .handler = count_it);

/* -- the rig ----------------------------------------------------------------------------------- */

static struct rig *rig_new(struct place *place)
{
    static struct rig rig;
    rig_open(&rig, place, (sf_options)SF_OPTIONS());
    OK(sf_register(rig.rt, &clock_type, &place->notes));
    begun_ms = rig.machine.now_ns / 1000000;
    return &rig;
}

static void crash(struct rig *rig)
{
    rig_crash(rig);
    rig_start(rig);
    OK(sf_register(rig->rt, &clock_type, rig->notes));
}

static void ask(struct rig *rig, const char *id, const char *commands)
{
    OK(sf_send(rig->rt, sf_addr(CLOCK, id), "do", sf_str(commands)));
    OK(sf_run_until_idle(rig->rt));
}

static void pass(struct rig *rig, uint64_t ms)
{
    machine_advance_ms(&rig->machine, ms);
    OK(sf_run_until_idle(rig->rt));
}

#define BEGIN(rig)                                                                                 \
    struct place *place = *state;                                                                  \
    struct rig *rig = rig_new(place)

/* -- once -------------------------------------------------------------------------------------- */

static void a_timer_comes_with_its_kind_and_key_at_its_time_and_not_before(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:ring:door:100");
    pass(rig, 99);
    came(rig, "");
    pass(rig, 1);
    came(rig, "ring(door)@100 ");
    pass(rig, 100000);
    came(rig, "");
    rig_close(rig);
}

/* Ten milliseconds after a time in the middle of one are not over at the end of the tenth. */
static void a_timer_is_not_early_by_a_part_of_a_millisecond(void **state)
{
    BEGIN(rig);
    rig->machine.now_ns += 900000;
    ask(rig, "a", "after:ring::10");
    rig->machine.now_ns += 9900000; /* 9.9 ms later, and 10.8 on the clock */
    OK(sf_run_until_idle(rig->rt));
    came(rig, "");
    rig->machine.now_ns += 200000;
    OK(sf_run_until_idle(rig->rt));
    came(rig, "ring()@11 ");
    rig_close(rig);
}

static void timers_come_in_the_order_of_their_times_and_then_of_the_calls(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:30 after:x:2:10 after:x:3:20");
    ask(rig, "b", "after:x:4:10 after:x:5:20");
    pass(rig, 1000);
    came(rig, "x(2)@10 x(4)@10 x(3)@20 x(5)@20 x(1)@30 ");
    rig_close(rig);
}

static void a_timer_set_again_is_replaced_whether_sooner_or_later(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:later:10 after:x:sooner:100 after:x:other:50");
    ask(rig, "a", "after:x:later:60 after:x:sooner:20");
    pass(rig, 1000);
    came(rig, "x(sooner)@20 x(other)@50 x(later)@60 ");
    ask(rig, "a", "after:x:y:10 after:x:y:30 after:x:y:20 after:x:y:40");
    pass(rig, 1000);
    came(rig, "x(y)@1040 ");
    rig_close(rig);
}

/* Put off it takes the place of the call that put it off, not of the one before. */
static void a_timer_that_was_put_off_comes_in_the_order_of_the_new_call(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 after:x:2:30 after:x:1:30");
    pass(rig, 1000);
    came(rig, "x(2)@30 x(1)@30 ");
    rig_close(rig);
}

static void a_cancelled_timer_never_comes_and_cancelling_nothing_has_no_effect(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 after:x:2:10 cancel:x:3 cancel:y:1");
    ask(rig, "a", "cancel:x:1");
    ask(rig, "b", "cancel:x:2"); /* another actor's own */
    pass(rig, 1000);
    came(rig, "x(2)@10 ");
    assert_int_equal(stats_of(rig->rt).dead_letters, 0);
    rig_close(rig);
}

/* What is told comes before what is due at once, so the timer has fired, and waits, when its end is
 * handled. */
static void a_timer_that_is_due_already_can_still_be_cancelled_or_replaced(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:0 self:cancel:x:1");
    came(rig, "");
    ask(rig, "a", "after:x:2:0 self:after:x:2:50");
    came(rig, "");
    pass(rig, 50);
    came(rig, "x(2)@50 ");
    ask(rig, "a", "after:x:3:0 self:clear");
    came(rig, "");
    pass(rig, 1000);
    came(rig, "");
    rig_close(rig);
}

static void kind_and_key_both_name_a_timer(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:ab:c:10 after:a:bc:20 after:abc::30 after::abc:40 after:::50");
    pass(rig, 1000);
    came(rig, "ab(c)@10 a(bc)@20 abc()@30 (abc)@40 ()@50 ");
    rig_close(rig);
}

static void a_timer_can_set_itself_again_in_its_turn(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:again:x:10");
    for (int i = 0; i < 3; i++)
        pass(rig, 10);
    came(rig, "again(x)@10 again(x)@20 again(x)@30 ");
    rig_close(rig);
}

/* -- again and again --------------------------------------------------------------------------- */

static void a_period_keeps_its_beat_and_what_was_missed_counts_as_one(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:tick:x:10");
    pass(rig, 10);
    pass(rig, 13); /* late by three */
    pass(rig, 7);
    came(rig, "tick(x)@10 tick(x)@20 tick(x)@30 ");
    pass(rig, 1005);
    came(rig, "tick(x)@40 ");
    pass(rig, 5);
    came(rig, "tick(x)@1040 ");
    ask(rig, "a", "cancel:tick:x");
    pass(rig, 1000);
    came(rig, "");
    rig_close(rig);
}

static void a_recurring_timer_set_again_with_the_same_time_goes_on(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:tick:x:100");
    pass(rig, 60);
    ask(rig, "a", "every:tick:x:100");
    pass(rig, 40);
    came(rig, "tick(x)@100 ");
    ask(rig, "a", "every:tick:x:70"); /* another time: anew */
    pass(rig, 99);
    came(rig, "tick(x)@170 ");
    ask(rig, "a", "after:tick:x:200"); /* and no period any more */
    pass(rig, 1000);
    came(rig, "tick(x)@399 ");
    rig_close(rig);
}

static void a_recurring_timer_can_cancel_itself_in_its_turn(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:stop:x:10");
    pass(rig, 10);
    pass(rig, 1000);
    came(rig, "stop(x)@10 ");
    rig_close(rig);
}

/* The clock stands at 1 000 000 ms: 00:16:40 on 1 January 1970. */
static void a_cron_timer_comes_by_the_clock(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "cron:night:x:30_2_*_*_*");
    pass(rig, 2 * 3600000 + 13 * 60000 + 20000 - 1);
    came(rig, "");
    pass(rig, 1);
    came(rig, "night(x)@8000000 ");
    ask(rig, "a", "cron:night:x:30_2_*_*_*");
    pass(rig, 3 * 86400000);
    came(rig, "night(x)@94400000 "); /* one for those that were missed */
    pass(rig, 86400000);
    came(rig, "night(x)@353600000 ");
    rig_close(rig);
}

/* Set back past a tick that was handled, the clock comes to the same time once more. */
static void a_clock_that_is_set_back_brings_no_second_tick_and_loses_no_timer(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "cron:night:x:30_2_*_*_* after:x:y:8060000");
    pass(rig, 8000000);
    came(rig, "night(x)@8000000 ");
    rig->machine.wall_ahead_us = -3600 * INT64_C(1000000);
    pass(rig, 3600000);
    came(rig, "");
    pass(rig, 60000);
    came(rig, "x(y)@8060000 ");
    pass(rig, 86400000);
    came(rig, "night(x)@94400000 ");
    rig_close(rig);
}

static void a_clock_that_is_set_forward_is_seen_within_a_second(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:y:3600000");
    assert_in_range(sf_timeout_ms(rig->rt), 1, 1000);
    rig->machine.wall_ahead_us = 3600 * INT64_C(1000000);
    pass(rig, 999);
    came(rig, "");
    pass(rig, 1);
    came(rig, "x(y)@3600000 ");
    rig_close(rig);
}

/* -- turns that fail --------------------------------------------------------------------------- */

static void what_a_turn_set_or_cancelled_is_undone_with_it(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 tell:t:20:b:told");
    ask(rig, "a", "after:x:2:10 cancel:x:1 after:x:1:500 untell:t tell:u:5:b:told every:x:3:1 reject");
    notes_clear(&place->notes);
    ask(rig, "a", "clear reject");
    pass(rig, 1000);
    came(rig, "x(1)@10 told(t)@20< ");
    rig_close(rig);
}

static void a_tick_that_fails_is_tried_again_and_when_it_is_dead_the_next_one_comes(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:flaky:x:10 every:poison:y:10 after:flaky:z:10");
    pass(rig, 10);
    assert_int_equal(stats_of(rig->rt).dead_letters, 3);
    notes_clear(&place->notes);
    pass(rig, 10);
    came(rig, "flaky(x)@20 flaky(x)@20 poison(y)@20 ");
    assert_int_equal(stats_of(rig->rt).dead_letters, 5);
    rig_close(rig);
}

/* As a dead letter it is a message like any other, and no tick: it starts no second series. */
static void a_dead_tick_that_is_sent_again_is_no_tick(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:poison:x:10");
    pass(rig, 10);
    came(rig, "poison(x)@10 ");
    ask(rig, "a", "cancel:poison:x");
    OK(sf_dead_resend(rig->rt, 1));
    OK(sf_run_until_idle(rig->rt));
    notes_clear(&place->notes);
    assert_int_equal(stats_of(rig->rt).dead_letters, 2);
    pass(rig, 1000);
    came(rig, "");
    rig_close(rig);
}

/* -- delayed sends ----------------------------------------------------------------------------- */

static void a_delayed_send_comes_from_its_sender_unless_it_is_cancelled(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "tell:t:10:b:told tell:u:10:b:told tell::10:b:plain");
    ask(rig, "b", "untell:t"); /* not its own */
    ask(rig, "a", "untell:u untell:u untell:v");
    came(rig, "(0)(1)(0)(0)");
    pass(rig, 9);
    came(rig, "");
    pass(rig, 1);
    came(rig, "told(t)@10< plain()@10< ");
    ask(rig, "a", "untell:t");
    came(rig, "(0)");
    rig_close(rig);
}

static void a_pending_token_is_replaced(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "tell:t:10:b:first tell:t:5:c:second");
    ask(rig, "a", "tell:t:20:b:third");
    pass(rig, 1000);
    came(rig, "third(t)@20< ");
    rig_close(rig);
}

static void tokens_from_outside_are_a_space_of_their_own(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "tell:t:10:b:told");
    OK(sf_send_after(rig->rt, sf_str("t"), 10, sf_addr(CLOCK, "b"), "sent", sf_str("1")));
    OK(sf_send_after(rig->rt, sf_str("u"), 10, sf_addr(CLOCK, "b"), "sent", sf_str("2")));
    OK(sf_send_after(rig->rt, sf_str("u"), 20, sf_addr(CLOCK, "b"), "sent", sf_str("3")));
    OK(sf_send_after(rig->rt, SF_NONE, 15, sf_addr(CLOCK, "b"), "sent", sf_str("4")));
    OK(sf_send_cancel(rig->rt, sf_str("t")));
    OK(sf_wait(rig->rt, sf_send_cancel(rig->rt, sf_str("v")), 0));
    pass(rig, 1000);
    came(rig, "told(t)@10< sent(4)@15< sent(3)@20< ");
    rig_close(rig);
}

/* It begins with the call, not with the step that takes it in. */
static void a_delay_from_outside_begins_with_the_call(void **state)
{
    BEGIN(rig);
    OK(sf_send_after(rig->rt, SF_NONE, 10, sf_addr(CLOCK, "b"), "sent", SF_NONE));
    machine_advance_ms(&rig->machine, 7);
    OK(sf_run_until_idle(rig->rt));
    came(rig, "");
    pass(rig, 3);
    came(rig, "sent()@10< ");
    rig_close(rig);
}

static void an_actor_that_is_called_sets_its_own(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:y:10 call:b:after:x:y:20 call:c:tell:t:30:d:told call:c:cancel:x:y");
    ask(rig, "a", "untell:t");
    came(rig, "(0)");
    ask(rig, "b", "cancel:x:y");
    pass(rig, 1000);
    came(rig, "x(y)@10 told(t)@30< ");
    rig_close(rig);
}

/* -- actors that end --------------------------------------------------------------------------- */

static void clear_and_purge_end_timers_and_what_can_be_cancelled(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 every:x:2:10 tell:t:10:b:told tell::10:b:plain");
    ask(rig, "a", "clear");
    ask(rig, "c", "after:x:1:10 every:x:2:10 tell:t:10:b:told tell::10:b:plain");
    OK(sf_purge(rig->rt, sf_addr(CLOCK, "c")));
    OK(sf_run_until_idle(rig->rt));
    pass(rig, 1000);
    came(rig, "plain()@10< plain()@10< ");
    ask(rig, "a", "after:x:1:10 clear after:x:2:10 tell:t:20:b:told");
    pass(rig, 1000);
    came(rig, "x(2)@1010 told(t)@1020< ");
    rig_close(rig);
}

/* The tick waits behind the hold when the actor is forgotten, with what was on its way to it. */
static void a_purge_drops_a_tick_that_waits_and_the_next_one_does_not_come(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:x:1:10 after:x:2:10");
    OK(sf_pause(rig->rt, sf_addr(CLOCK, "a"), NULL));
    pass(rig, 10);
    OK(sf_purge(rig->rt, sf_addr(CLOCK, "a")));
    OK(sf_run_until_idle(rig->rt));
    pass(rig, 1000);
    came(rig, "");
    ask(rig, "a", "after:x:1:10");
    pass(rig, 1000);
    came(rig, "x(1)@1020 ");
    rig_close(rig);
}

static void a_paused_actor_wakes_to_one_tick_of_a_timer(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "every:x:1:10 after:x:2:15");
    OK(sf_pause(rig->rt, sf_addr(CLOCK, "a"), NULL));
    for (int i = 0; i < 100; i++)
        pass(rig, 10);
    came(rig, "");
    OK(sf_resume(rig->rt, sf_addr(CLOCK, "a")));
    OK(sf_run_until_idle(rig->rt));
    came(rig, "x(1)@10 x(2)@15 ");
    pass(rig, 10);
    came(rig, "x(1)@1010 ");
    rig_close(rig);
}

/* Beyond a kilobyte they are rows of their own. */
static void many_timers_of_an_actor_come_are_cancelled_and_end_like_few(void **state)
{
    enum { MANY = 300 };
    BEGIN(rig);
    char text[100];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "after:x:%d:%d tell:%d:%d:b:told", i, 1000 + i, i, 5000 + i);
        ask(rig, "a", text);
    }
    for (int i = 0; i < MANY; i++)
        if (i != 7 && i != 250) {
            snprintf(text, sizeof text, "cancel:x:%d untell:%d", i, i);
            ask(rig, "a", text);
        }
    notes_clear(&place->notes);
    crash(rig);
    ask(rig, "a", "untell:7 untell:8 after:x:250:20");
    came(rig, "(1)(0)");
    pass(rig, 10000);
    came(rig, "x(250)@20 x(7)@1007 told(250)@5250< ");
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "after:x:%d:10", i);
        ask(rig, "a", text);
    }
    ask(rig, "a", "clear after:x:new:10");
    pass(rig, 10000);
    came(rig, "x(new)@10010 ");
    rig_close(rig);
}

static uint64_t rows_in(struct rig *rig, enum sfi_table table)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key at = {.bytes = {0}, .size = 1};
    sf_bytes key, value;
    uint64_t rows = 0;
    OK(sfi_snapshot_open(rig->rt->store, &snapshot));
    for (; OK(sfi_snapshot_seek(snapshot, table, sfi_key_bytes(&at), 1, &key, &value)) > 0; rows++) {
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
    }
    sfi_snapshot_close(snapshot);
    return rows;
}

/* At once they are nobody's; their rows go when they are met. */
static void a_purge_ends_many_timers_and_leaves_no_row(void **state)
{
    enum { MANY = 300 };
    BEGIN(rig);
    char text[100];
    for (int i = 0; i < MANY; i++) {
        snprintf(text, sizeof text, "after:x:%d:%d tell:%d:%d:b:told", i, 1000 + i, i, 5000 + i);
        ask(rig, "a", text);
    }
    assert_int_equal(rows_in(rig, SFI_TIMER), 2 * MANY);
    assert_int_equal(rows_in(rig, SFI_ENTRY), 2 * MANY);
    OK(sf_purge(rig->rt, sf_addr(CLOCK, "a")));
    OK(sf_run_until_idle(rig->rt));
    ask(rig, "a", "after:x:7:10 untell:7");
    came(rig, "(0)");
    for (int i = 0; i < 20; i++)
        pass(rig, 1000);
    came(rig, "x(7)@10 ");
    assert_int_equal(rows_in(rig, SFI_TIMER), 0);
    assert_int_equal(rows_in(rig, SFI_ENTRY), 0);
    rig_close(rig);
}

static void a_damaged_row_is_passed_over_and_counted_and_others_come(void **state)
{
    BEGIN(rig);
    struct sfi_key key;
    ask(rig, "a", "after:x:1:10 after:x:2:30");
    sfi_key_timer(&key, begun_ms + 20, 1000);
    void *row = sfi_batch_put(sfi_epoch_batch(&rig->rt->epoch), SFI_TIMER, sfi_key_bytes(&key), 40);
    assert_non_null(row);
    memset(row, 7, 40);
    pass(rig, 1000);
    came(rig, "x(1)@10 x(2)@30 ");
    assert_int_equal(stats_of(rig->rt).damaged, 1);
    assert_int_equal(rows_in(rig, SFI_TIMER), 1);
    rig_close(rig);
}

static void when_the_database_is_full_nothing_is_sent_later_but_it_can_be_cancelled(void **state)
{
    BEGIN(rig);
    sf_runtime *rt = rig->rt;
    OK(sf_send_after(rt, sf_str("t"), 10, sf_addr(CLOCK, "b"), "sent", SF_NONE));
    pass(rig, 0);
    uint64_t room = rt->ceiling.room;
    rt->ceiling.room = 0;
    REFUSED(sf_send_after(rt, sf_str("u"), 10, sf_addr(CLOCK, "b"), "sent", SF_NONE), SF_EDISK);
    OK(sf_send_cancel(rt, sf_str("t")));
    rt->ceiling.room = room;
    pass(rig, 0);
    pass(rig, 1000);
    came(rig, "");
    rig_close(rig);
}

/* -- crashes and downtime ---------------------------------------------------------------------- */

static void what_was_set_comes_after_a_crash_and_what_became_due_meanwhile_at_once(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 after:x:2:1000000 every:x:3:7 tell:t:5:b:told after:x:4:20 cancel:x:4");
    crash(rig);
    machine_advance_ms(&rig->machine, 5000);
    OK(sf_run_until_idle(rig->rt));
    came(rig, "told(t)@5< x(3)@7 x(1)@10 ");
    ask(rig, "a", "cancel:x:3");
    pass(rig, 1000000);
    came(rig, "x(2)@1000000 ");
    rig_close(rig);
}

static void a_timer_that_comes_before_its_type_is_registered_waits_for_it(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 every:x:2:10");
    rig_crash(rig);
    rig_start(rig);
    pass(rig, 1000);
    crash(rig);
    OK(sf_run_until_idle(rig->rt));
    came(rig, "x(1)@10 x(2)@10 ");
    rig_close(rig);
}

/* The sender's own schedule cannot be asked then; what it knew of the token it finds to be over. */
static void a_delayed_send_of_a_sender_whose_type_is_not_registered_is_sent(void **state)
{
    BEGIN(rig);
    OK(sf_register(rig->rt, &counted, place));
    OK(sf_send(rig->rt, sf_addr(CLOCK, "a"), "count", SF_NONE));
    pass(rig, 0);
    notes_clear(&place->notes);
    ask(rig, "a", "to:test/counted tell:t:10:b:told tell:u:5000:b:told");
    rig_crash(rig);
    rig_start(rig);
    OK(sf_register(rig->rt, &counted, place));
    pass(rig, 1000);
    assert_int_equal(place->count, 1);
    OK(sf_register(rig->rt, &clock_type, rig->notes));
    ask(rig, "a", "untell:t untell:t untell:u");
    came(rig, "(0)(0)(1)");
    rig_close(rig);
}

/* After a downtime too: a timer that was put off comes between those of its new time. */
static void timers_that_were_put_off_come_in_order_however_late(void **state)
{
    BEGIN(rig);
    ask(rig, "a", "after:x:1:10 after:x:2:15 after:x:3:25");
    ask(rig, "a", "after:x:1:20");
    crash(rig);
    pass(rig, 5000);
    came(rig, "x(2)@15 x(1)@20 x(3)@25 ");
    rig_close(rig);
}

/* -- the step ---------------------------------------------------------------------------------- */

static void the_time_until_the_next_one_is_known_before_it_is_on_disk_and_after_a_restart(void **state)
{
    BEGIN(rig);
    pass(rig, 0);
    assert_int_equal(sf_timeout_ms(rig->rt), -1);
    ask(rig, "a", "after:x:1:700 after:x:2:300");
    assert_int_equal(sf_timeout_ms(rig->rt), 300);
    crash(rig);
    OK(sf_run_until_idle(rig->rt));
    assert_int_equal(sf_timeout_ms(rig->rt), 300);
    pass(rig, 299);
    assert_int_equal(sf_timeout_ms(rig->rt), 1);
    pass(rig, 1);
    assert_int_equal(sf_timeout_ms(rig->rt), 400);
    ask(rig, "a", "after:x:3:600");
    ask(rig, "a", "cancel:x:1");
    assert_int_equal(sf_timeout_ms(rig->rt), 600);
    ask(rig, "a", "clear");
    assert_int_equal(sf_timeout_ms(rig->rt), -1);
    came(rig, "x(2)@300 ");
    rig_close(rig);
}

/* Many that are due at once come in slices, and what is sent meanwhile is handled among them. */
static void what_is_due_after_a_downtime_comes_in_slices_and_keeps_nobody_out(void **state)
{
    enum { MANY = 20000 };
    BEGIN(rig);
    OK(sf_register(rig->rt, &counted, place));
    for (int i = 0; i < MANY; i++) {
        OK(sf_send_after(rig->rt, SF_NONE, 10, sf_addr("test/counted", "a"), "due", SF_NONE));
        if (i % 1000 == 0)
            OK(sf_run_until_idle(rig->rt));
    }
    OK(sf_run_until_idle(rig->rt));
    machine_advance_ms(&rig->machine, 1000);
    OK(sf_step(rig->rt, 100));
    assert_in_range(stats_of(rig->rt).messages_waiting, 1, 3000);
    OK(sf_send(rig->rt, sf_addr(CLOCK, "b"), "sent", SF_NONE));
    for (int i = 0; i < 40; i++)
        OK(sf_step(rig->rt, 100));
    HAS(noted(&place->notes), "sent()");
    assert_true(place->count < MANY);
    OK(sf_run_until_idle(rig->rt));
    assert_int_equal(place->count, MANY);
    rig_close(rig);
}

/* -- what is refused --------------------------------------------------------------------------- */

static char sentence[300];

static int try_all(sf_turn *turn)
{
    static char big[402];
    memset(big, 'k', sizeof big - 1);
    int rc = 0;
    switch (*(const char *)sf_msg(turn)->body.data) {
    case 'a': rc = sf_timer_every(turn, "k", SF_NONE, 0); break;
    case 'b': rc = sf_timer_after(turn, "k", SF_NONE, UINT64_MAX); break;
    case 'c': rc = sf_timer_after(turn, NULL, SF_NONE, 1); break;
    case 'd': rc = sf_timer_after(turn, "k", SF_BYTES(big, 400), 1); break;
    case 'e': rc = sf_timer_after(turn, big, SF_NONE, 1); break;
    case 'f': rc = sf_timer_cron(turn, "k", SF_NONE, "0 0 30 2 *"); break;
    case 'g': rc = sf_timer_cron(turn, "k", SF_NONE, NULL); break;
    case 'h': rc = sf_tell_after(turn, sf_str(""), 1, sf_self(turn), "k", SF_NONE); break;
    case 'i': rc = sf_tell_after(turn, SF_BYTES(big, 256), 1, sf_self(turn), "k", SF_NONE); break;
    case 'j': rc = sf_tell_cancel(turn, SF_NONE); break;
    case 'k': rc = sf_tell_after(turn, SF_NONE, 1, (sf_address){0}, "k", SF_NONE); break;
    case 'l': rc = sf_tell_after(turn, SF_NONE, 1, sf_addr("test/nobody", "x"), "k", SF_NONE); break;
    case 'm': rc = sf_tell_after(turn, SF_NONE, UINT64_MAX, sf_self(turn), "k", SF_NONE); break;
    case 'n': rc = sf_timer_every(turn, "k", SF_NONE, UINT64_MAX); break;
    case 'o': rc = sf_timer_after(turn, "k", SF_BYTES(NULL, 3), 1); break;
    case 'y': rc = sf_timer_after(turn, "k", SF_BYTES(big, 399), 1); break;
    case 'z': rc = sf_tell_after(turn, SF_BYTES(big, 255), 1, sf_self(turn), "k", SF_NONE); break;
    }
    snprintf(sentence, sizeof sentence, "%s: %s", sf_errname(rc), rc ? sf_errmsg() : "");
    return 0;
}

static const sf_type tries = SF_TYPE("test/tries", .on = {{"try", try_all}}, .handler = count_it,
                                     .attempts_max = 1);

static void what_cannot_be_is_refused_with_a_sentence(void **state)
{
    static const char *const wanted[] = {
        "SF_EINVAL: a period of 0 ms", "SF_EINVAL: a delay of 18446744073709551615 ms ends past",
        "SF_EINVAL: a timer without a kind", "SF_EINVAL: kind and key of a timer have at most 400",
        "SF_EINVAL: a kind has at most 255", "SF_EINVAL: cron: '0 0 30 2 *' never comes",
        "SF_EINVAL: cron: the text is NULL", "SF_EINVAL: a token has 1 to 255 bytes, this one 0",
        "SF_EINVAL: a token has 1 to 255 bytes, this one 256", "SF_EINVAL: a token has 1 to 255",
        "SF_EINVAL: nothing is sent to the outside later",
        "SF_ENOTFOUND: type 'test/nobody' is not registered", "SF_EINVAL: a delay of",
        "SF_EINVAL: a delay of", "SF_EINVAL: a body of 3 bytes without data"};
    BEGIN(rig);
    OK(sf_register(rig->rt, &tries, place));
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        char which = (char)('a' + i);
        OK(sf_send(rig->rt, sf_addr("test/tries", "a"), "try", SF_OF(which)));
        OK(sf_run_until_idle(rig->rt));
        HAS(sentence, wanted[i]);
        assert_int_equal(stats_of(rig->rt).dead_letters, i + 1);
    }
    OK(sf_send(rig->rt, sf_addr("test/tries", "a"), "try", sf_str("y")));
    OK(sf_send(rig->rt, sf_addr("test/tries", "a"), "try", sf_str("z")));
    pass(rig, 0);
    pass(rig, 1);
    assert_int_equal(place->count, 2);
    rig_close(rig);
}

static void what_cannot_be_sent_later_from_outside_is_refused(void **state)
{
    static char big[256];
    BEGIN(rig);
    sf_runtime *rt = rig->rt;
    sf_address a = sf_addr(CLOCK, "a");
    REFUSED(sf_send_after(rt, SF_BYTES(big, 256), 1, a, "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_after(rt, sf_str(""), 1, a, "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_after(rt, SF_NONE, UINT64_MAX, a, "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_after(rt, SF_NONE, 1, sf_addr("test/nobody", "a"), "k", SF_NONE), SF_ENOTFOUND);
    REFUSED(sf_send_after(rt, SF_NONE, 1, sf_addr(CLOCK, ""), "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_after(rt, SF_NONE, 1, (sf_address){0}, "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_after(NULL, SF_NONE, 1, a, "k", SF_NONE), SF_EINVAL);
    REFUSED(sf_send_cancel(rt, SF_NONE), SF_EINVAL);
    REFUSED(sf_send_cancel(NULL, sf_str("t")), SF_EINVAL);
    OK(sf_send_after(rt, SF_BYTES(big, 255), 1, a, "k", SF_NONE));
    pass(rig, 1);
    came(rig, "k()@1< ");
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_comes_with_its_kind_and_key_at_its_time_and_not_before),
        TEST(a_timer_is_not_early_by_a_part_of_a_millisecond),
        TEST(timers_come_in_the_order_of_their_times_and_then_of_the_calls),
        TEST(a_timer_set_again_is_replaced_whether_sooner_or_later),
        TEST(a_timer_that_was_put_off_comes_in_the_order_of_the_new_call),
        TEST(a_cancelled_timer_never_comes_and_cancelling_nothing_has_no_effect),
        TEST(a_timer_that_is_due_already_can_still_be_cancelled_or_replaced),
        TEST(kind_and_key_both_name_a_timer),
        TEST(a_timer_can_set_itself_again_in_its_turn),
        TEST(a_period_keeps_its_beat_and_what_was_missed_counts_as_one),
        TEST(a_recurring_timer_set_again_with_the_same_time_goes_on),
        TEST(a_recurring_timer_can_cancel_itself_in_its_turn),
        TEST(a_cron_timer_comes_by_the_clock),
        TEST(a_clock_that_is_set_back_brings_no_second_tick_and_loses_no_timer),
        TEST(a_clock_that_is_set_forward_is_seen_within_a_second),
        TEST(what_a_turn_set_or_cancelled_is_undone_with_it),
        TEST(a_tick_that_fails_is_tried_again_and_when_it_is_dead_the_next_one_comes),
        TEST(a_dead_tick_that_is_sent_again_is_no_tick),
        TEST(a_delayed_send_comes_from_its_sender_unless_it_is_cancelled),
        TEST(a_pending_token_is_replaced),
        TEST(tokens_from_outside_are_a_space_of_their_own),
        TEST(a_delay_from_outside_begins_with_the_call),
        TEST(an_actor_that_is_called_sets_its_own),
        TEST(clear_and_purge_end_timers_and_what_can_be_cancelled),
        TEST(a_purge_drops_a_tick_that_waits_and_the_next_one_does_not_come),
        TEST(a_paused_actor_wakes_to_one_tick_of_a_timer),
        TEST(many_timers_of_an_actor_come_are_cancelled_and_end_like_few),
        TEST(a_purge_ends_many_timers_and_leaves_no_row),
        TEST(a_damaged_row_is_passed_over_and_counted_and_others_come),
        TEST(when_the_database_is_full_nothing_is_sent_later_but_it_can_be_cancelled),
        TEST(what_was_set_comes_after_a_crash_and_what_became_due_meanwhile_at_once),
        TEST(a_timer_that_comes_before_its_type_is_registered_waits_for_it),
        TEST(a_delayed_send_of_a_sender_whose_type_is_not_registered_is_sent),
        TEST(timers_that_were_put_off_come_in_order_however_late),
        TEST(the_time_until_the_next_one_is_known_before_it_is_on_disk_and_after_a_restart),
        TEST(what_is_due_after_a_downtime_comes_in_slices_and_keeps_nobody_out),
        TEST(what_cannot_be_is_refused_with_a_sentence),
        TEST(what_cannot_be_sent_later_from_outside_is_refused)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
