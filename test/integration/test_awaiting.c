/* test_awaiting.c - what sf_await() promises: nothing overtakes, nobody stays held, what was handled is used up once,
 * also when answers fail, actors are paused, purged, cleared or called meanwhile, and after restarts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static struct notes *notes;

enum { CALLS_MAX = 64 };
static sf_async calls[CALLS_MAX];
static int call_count;

static void remember(sf_async op, sf_bytes request, void *userdata)
{
    (void)userdata;
    note(notes, "start %.*s;", (int)request.size, (const char *)request.data);
    if (call_count < CALLS_MAX)
        calls[call_count++] = op;
}

/* What the next turns are told to do: with answers, and with attempts of all others. */
static int answer_fails, answer_awaits, answer_clears, takes, failures_left;

static void tell(const sf_message *msg)
{
    note(notes, "%s%s%.*s", msg->kind, msg->result ? "!" : "", (int)msg->body.size,
         (const char *)msg->body.data);
    if (msg->attempt > 1)
        note(notes, " again");
    note(notes, ";");
}

static void take_all(sf_turn *turn)
{
    const sf_message *msg;
    for (int i = 0; i < takes && (msg = sf_take(turn)); i++)
        note(notes, "took %s%.*s;", msg->kind, (int)msg->body.size, (const char *)msg->body.data);
}

static int answered(sf_turn *turn)
{
    take_all(turn);
    if (answer_clears)
        sf_clear(turn);
    if (answer_awaits) {
        answer_awaits--;
        sf_async_start(turn, remember, ".a", sf_str("more"));
        sf_await(turn);
    }
    return answer_fails ? sf_reject(turn, "unwanted") : 0;
}

/* "m": awaits an operation; "two": two of them; all else is only told. */
static int handle(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    tell(msg);
    if (sf_is(msg, ".a"))
        return answered(turn);
    if (failures_left) {
        failures_left--;
        return sf_fail(turn, "not yet");
    }
    if (sf_is(msg, "m") || sf_is(msg, "two"))
        sf_async_start(turn, remember, ".a", msg->body);
    if (sf_is(msg, "two"))
        sf_async_start(turn, remember, ".a", sf_str("second"));
    return sf_is(msg, "m") || sf_is(msg, "two") ? sf_await(turn) : 0;
}

static sf_type type = SF_TYPE("test/awaits", .handler = handle, .attempts_max = 2);

static sf_runtime *open_in(struct place *place)
{
    sf_runtime *rt = place_open(place);
    notes = &place->notes;
    OK(sf_register(rt, &type, NULL));
    return rt;
}

static sf_address address(const char *id)
{
    return sf_addr("test/awaits", id);
}

static void send(sf_runtime *rt, const char *kind, const char *body)
{
    OK(sf_send(rt, address("a"), kind, sf_str(body)));
}

static void came(sf_runtime *rt, const char *text)
{
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(notes), text);
    notes_clear(notes);
}

static void newest_is_done(sf_runtime *rt, const char *text)
{
    OK(sf_async_done(calls[call_count - 1], sf_str("")));
    came(rt, text);
}

static sf_runtime *again(sf_runtime *rt, struct place *place)
{
    OK(sf_runtime_close(rt));
    assert_int_equal(OK(sf_verify(place->db, NULL, NULL)), 0);
    return open_in(place);
}

static void ends_empty(sf_runtime *rt, struct place *place)
{
    sf_stats stats = stats_of(rt);
    assert_int_equal(stats.held, 0);
    assert_int_equal(stats.operations, 0);
    assert_int_equal(stats.messages_waiting, 0);
    OK(sf_runtime_close(rt));
    assert_int_equal(OK(sf_verify(place->db, NULL, NULL)), 0);
}

static int setup(void **state)
{
    call_count = answer_fails = answer_awaits = answer_clears = takes = failures_left = 0;
    type.after_last_attempt = SF_DEAD_LETTER;
    type.backoff_ms = 0;
    return place_setup(state);
}

/* -- taken ------------------------------------------------------------------------------------- */

static void an_answer_takes_what_waited_in_order(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    send(rt, "p", "2");
    send(rt, "p", "3");
    came(rt, "mx;start x;");
    takes = 2;
    newest_is_done(rt, ".a;took p1;took p2;p3;");
    ends_empty(rt, *state);
}

/* Who kills the process is to do so alone: the page says that the one before died in a turn. */
static void in_a_process_that_is_careful_nothing_is_taken(void **state)
{
    const uint64_t died_in = 1;
    char path[400];
    sf_runtime *rt = open_in(*state);
    OK(sf_runtime_close(rt));
    snprintf(path, sizeof path, "%s/turn", ((struct place *)*state)->db);
    FILE *file = fopen(path, "r+e");
    assert_non_null(file);
    assert_int_equal(fseek(file, 64, SEEK_SET), 0);
    assert_int_equal(fwrite(&died_in, sizeof died_in, 1, file), 1);
    assert_int_equal(fclose(file), 0);
    rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    send(rt, "p", "2");
    came(rt, "mx;start x;");
    takes = 9;
    newest_is_done(rt, ".a;p1;p2;");
    ends_empty(rt, *state);
}

static void what_a_failed_turn_took_is_back_and_the_next_attempt_is_alone(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    send(rt, "p", "2");
    came(rt, "mx;start x;");
    takes = 9;
    answer_fails = 1;
    newest_is_done(rt, ".a;took p1;took p2;mx again;start x;");
    answer_fails = 0;
    takes = 0;
    newest_is_done(rt, ".a;p1;p2;");
    ends_empty(rt, *state);
}

/* The protocol of batches: one request under way, what piles up goes with the next. */
static void batches_follow_one_another(void **state)
{
    sf_runtime *rt = open_in(*state);
    takes = 9;
    send(rt, "m", "x");
    send(rt, "p", "1");
    came(rt, "mx;start x;");
    answer_awaits = 1;
    send(rt, "p", "2");
    newest_is_done(rt, ".a;took p1;took p2;start more;");
    send(rt, "p", "3");
    came(rt, "");
    rt = again(rt, *state);
    came(rt, ".a!;took p3;");
    ends_empty(rt, *state);
}

/* -- answers that fail ------------------------------------------------------------------------- */

static void an_answer_that_dies_fails_its_message_as_itself(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    came(rt, "mx;start x;");
    answer_fails = 1;
    newest_is_done(rt, ".a;mx again;start x;");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    newest_is_done(rt, ".a;p1;"); /* its last attempt too: both are dead letters now */
    assert_int_equal(stats_of(rt).dead_letters, 3);
    ends_empty(rt, *state);
}

static void what_a_batch_stood_for_fails_one_by_one(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    send(rt, "p", "2");
    came(rt, "mx;start x;");
    takes = 9;
    answer_awaits = 1;
    newest_is_done(rt, ".a;took p1;took p2;start more;");
    send(rt, "p", "3");
    came(rt, "");
    answer_fails = 1;
    rt = again(rt, *state); /* the answer that took them is one of them, and younger */
    came(rt, ".a!;took p3;p1 again;p2 again;.a again;p3;");
    ends_empty(rt, *state);
}

static void only_the_last_answer_decides(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "two", "x");
    send(rt, "p", "1");
    came(rt, "twox;start x;start second;");
    answer_fails = 1;
    OK(sf_async_done(calls[0], SF_NONE));
    came(rt, ".a;");
    answer_fails = 0;
    newest_is_done(rt, ".a;p1;");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    ends_empty(rt, *state);
}

static void what_comes_back_waits_as_its_type_says(void **state)
{
    type.backoff_ms = 30;
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    came(rt, "mx;start x;");
    answer_fails = 1;
    newest_is_done(rt, ".a;");
    assert_in_range(sf_timeout_ms(rt), 0, 60);
    drive_until_quiet(rt);
    answer_fails = 0;
    came(rt, "mx again;start x;");
    newest_is_done(rt, ".a;p1;");
    ends_empty(rt, *state);
}

static void a_policy_that_pauses_holds_the_actor_with_its_answer_in_front(void **state)
{
    type.after_last_attempt = SF_PAUSE_ACTOR;
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    came(rt, "mx;start x;");
    answer_fails = 1;
    newest_is_done(rt, ".a;");
    answer_fails = 0;
    came(rt, "");
    rt = again(rt, *state);
    came(rt, "");
    OK(sf_resume(rt, address("a")));
    came(rt, ".a;p1;");
    ends_empty(rt, *state);
}

/* -- paused, purged, cleared, called --------------------------------------------------------------- */

static void an_answer_waits_for_who_is_paused_too(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "two", "x");
    send(rt, "p", "1");
    came(rt, "twox;start x;start second;");
    OK(sf_pause(rt, address("a"), "a look"));
    OK(sf_async_done(calls[1], sf_str("2")));
    OK(sf_async_done(calls[0], sf_str("1")));
    came(rt, "");
    rt = again(rt, *state);
    came(rt, "");
    OK(sf_resume(rt, address("a")));
    came(rt, ".a2;.a1;p1;");
    ends_empty(rt, *state);
}

static void an_answer_waits_for_a_type_that_is_paused(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "m", "x");
    send(rt, "p", "1");
    came(rt, "mx;start x;");
    OK(sf_pause(rt, (sf_address){"test/awaits", SF_NONE}, "all"));
    newest_is_done(rt, "");
    rt = again(rt, *state);
    came(rt, "");
    OK(sf_resume(rt, (sf_address){"test/awaits", SF_NONE}));
    came(rt, ".a;p1;");
    ends_empty(rt, *state);
}

static void a_purge_ends_operations_and_what_stands_behind_them(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "two", "x");
    send(rt, "p", "1");
    came(rt, "twox;start x;start second;");
    OK(sf_async_done(calls[0], SF_NONE)); /* on its way when the purge comes */
    OK(sf_pause(rt, address("a"), "so that it stays there"));
    OK(sf_purge(rt, address("a")));
    send(rt, "p", "2");
    came(rt, ".a;p2;" + 3); /* nothing of before */
    REFUSED(sf_async_done(calls[1], SF_NONE), SF_ENOTFOUND);
    rt = again(rt, *state);
    came(rt, "");
    ends_empty(rt, *state);
}

static void a_cleared_actor_has_nothing_under_way(void **state)
{
    sf_runtime *rt = open_in(*state);
    send(rt, "two", "x");
    send(rt, "p", "1");
    came(rt, "twox;start x;start second;");
    answer_clears = 1;
    OK(sf_async_done(calls[0], SF_NONE));
    came(rt, ".a;p1;"); /* the second one is gone, and with it the wait */
    REFUSED(sf_async_done(calls[1], SF_NONE), SF_ENOTFOUND);
    ends_empty(rt, *state);
}

static int call_it(sf_turn *turn)
{
    note(notes, "call %u;", sf_msg(turn)->attempt);
    sf_call(turn, address("a"), sf_msg(turn)->kind, sf_str("c"));
    if (sf_is(sf_msg(turn), "m"))
        sf_call(turn, address("a"), "p", SF_NONE);
    return 0;
}

static const sf_type caller = SF_TYPE("test/caller", .handler = call_it, .attempts_max = 1);

static void who_calls_one_that_awaits_is_tried_again_without_counting(void **state)
{
    sf_runtime *rt = open_in(*state);
    OK(sf_register(rt, &caller, NULL));
    send(rt, "m", "x");
    came(rt, "mx;start x;");
    OK(sf_send(rt, sf_addr("test/caller", "c"), "p", SF_NONE));
    OK(sf_run_until_idle(rt));
    HAS(noted(notes), "call 1;");
    assert_null(strstr(noted(notes), "pc;"));
    OK(sf_async_done(calls[call_count - 1], SF_NONE));
    drive_until_quiet(rt);
    HAS(noted(notes), "call 1;pc;");
    assert_null(strstr(noted(notes), "call 2;"));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    ends_empty(rt, *state);
}

static void who_is_called_may_await_once_in_a_turn(void **state)
{
    sf_runtime *rt = open_in(*state);
    OK(sf_register(rt, &caller, NULL));
    OK(sf_send(rt, sf_addr("test/caller", "c"), "two", SF_NONE)); /* and no second call */
    came(rt, "call 1;twoc;start c;start second;");
    OK(sf_async_done(calls[0], SF_NONE));
    OK(sf_async_done(calls[1], SF_NONE));
    came(rt, ".a;.a;");
    OK(sf_send(rt, sf_addr("test/caller", "c"), "m", SF_NONE));
    came(rt, "call 1;mc;");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    ends_empty(rt, *state);
}

/* -- promises and limits ----------------------------------------------------------------------------- */

static char saved[SF_ASYNC_MAX];
static size_t saved_size;
static uint64_t limit_ms;

static int promise(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, ".a")) {
        note(notes, "%d %.*s;", msg->result, (int)msg->body.size, (const char *)msg->body.data);
        return 0;
    }
    if (sf_is(msg, "p")) {
        tell(msg);
        return 0;
    }
    sf_async op = sf_async_open(turn, ".a", msg->body);
    if (limit_ms)
        sf_async_limit(turn, limit_ms);
    sf_bytes bytes = sf_async_save(turn, op);
    saved_size = bytes.size;
    if (bytes.size)
        memcpy(saved, bytes.data, bytes.size);
    return sf_await(turn);
}

static const sf_type promises = SF_TYPE("test/awaits", .handler = promise);

static sf_runtime *open_promises(struct place *place)
{
    sf_runtime *rt = open_in(place);
    OK(sf_register(rt, &promises, NULL));
    return rt;
}

static void a_promise_is_answered_after_a_restart(void **state)
{
    sf_async op;
    limit_ms = 0;
    sf_runtime *rt = open_promises(*state);
    send(rt, "open", "x");
    send(rt, "p", "1");
    came(rt, "");
    OK(sf_runtime_close(rt));
    rt = open_promises(*state);
    came(rt, "");
    assert_int_equal(stats_of(rt).operations, 1);
    OK(sf_async_load(rt, SF_BYTES(saved, saved_size), &op));
    OK(sf_async_done(op, sf_str("kept")));
    came(rt, "0 kept;p1;");
    OK(sf_async_load(rt, SF_BYTES(saved, saved_size), &op));
    REFUSED(sf_async_done(op, SF_NONE), SF_ENOTFOUND);
    ends_empty(rt, *state);
}

static void bytes_that_name_no_operation_here_are_refused(void **state)
{
    struct place *place = *state;
    sf_async op;
    limit_ms = 0;
    sf_runtime *rt = open_promises(place);
    send(rt, "open", "x");
    came(rt, "");
    REFUSED(sf_async_load(rt, SF_NONE, &op), SF_EINVAL);
    REFUSED(sf_async_load(rt, sf_str("what is this"), &op), SF_EINVAL);
    REFUSED(sf_async_load(rt, SF_BYTES(saved, saved_size), NULL), SF_EINVAL);
    for (size_t i = 0; i < saved_size; i++) {
        saved[i] ^= 1;
        assert_true(sf_async_load(rt, SF_BYTES(saved, saved_size), &op) < 0);
        saved[i] ^= 1;
    }
    OK(sf_runtime_close(rt));
    OK(sf_runtime_open(place_path(place, "other"), defaults(), &rt));
    REFUSED(sf_async_load(rt, SF_BYTES(saved, saved_size), &op), SF_EINVAL);
    SAYS("another database");
    OK(sf_runtime_close(rt));
}

static void nobody_answers_after_the_limit(void **state)
{
    sf_async op;
    limit_ms = 20;
    sf_runtime *rt = open_promises(*state);
    send(rt, "open", "x");
    send(rt, "p", "1");
    drive_until_quiet(rt);
    char expected[40];
    snprintf(expected, sizeof expected, "%d ;p1;", SF_ETIMEOUT);
    came(rt, expected);
    OK(sf_async_load(rt, SF_BYTES(saved, saved_size), &op));
    REFUSED(sf_async_done(op, SF_NONE), SF_ENOTFOUND);
    ends_empty(rt, *state);
}

static void a_limit_counts_while_the_process_is_down(void **state)
{
    char expected[40];
    limit_ms = 300;
    sf_runtime *rt = open_promises(*state);
    send(rt, "open", "x");
    came(rt, "");
    OK(sf_runtime_close(rt));
    usleep(320 * 1000);
    rt = open_promises(*state);
    snprintf(expected, sizeof expected, "%d ;", SF_ETIMEOUT);
    came(rt, expected);
    ends_empty(rt, *state);
}

/* -- bounds ------------------------------------------------------------------------------------------ */

static void more_operations_than_there_may_be_wait(void **state)
{
    sf_options options = *defaults();
    options.operations_max = 2;
    sf_runtime *rt = place_open_with(*state, &options);
    notes = &((struct place *)*state)->notes;
    OK(sf_register(rt, &type, NULL));
    OK(sf_send(rt, address("a"), "two", sf_str("x")));
    came(rt, "twox;start x;start second;");
    OK(sf_send(rt, address("b"), "m", sf_str("y")));
    came(rt, "my;");
    OK(sf_async_done(calls[0], SF_NONE));
    drive_until_quiet(rt);
    HAS(noted(notes), "my;start y;"); /* a first attempt still */
    notes_clear(notes);
    OK(sf_async_done(calls[1], SF_NONE));
    newest_is_done(rt, ".a;.a;");
    ends_empty(rt, *state);
}

int main(void)
{
#define AWAITING_TEST(function) cmocka_unit_test_setup_teardown(function, setup, place_teardown)
    const struct CMUnitTest tests[] = {
        AWAITING_TEST(an_answer_takes_what_waited_in_order),
        AWAITING_TEST(in_a_process_that_is_careful_nothing_is_taken),
        AWAITING_TEST(what_a_failed_turn_took_is_back_and_the_next_attempt_is_alone),
        AWAITING_TEST(batches_follow_one_another),
        AWAITING_TEST(an_answer_that_dies_fails_its_message_as_itself),
        AWAITING_TEST(what_a_batch_stood_for_fails_one_by_one),
        AWAITING_TEST(only_the_last_answer_decides),
        AWAITING_TEST(what_comes_back_waits_as_its_type_says),
        AWAITING_TEST(a_policy_that_pauses_holds_the_actor_with_its_answer_in_front),
        AWAITING_TEST(an_answer_waits_for_who_is_paused_too),
        AWAITING_TEST(an_answer_waits_for_a_type_that_is_paused),
        AWAITING_TEST(a_purge_ends_operations_and_what_stands_behind_them),
        AWAITING_TEST(a_cleared_actor_has_nothing_under_way),
        AWAITING_TEST(who_calls_one_that_awaits_is_tried_again_without_counting),
        AWAITING_TEST(who_is_called_may_await_once_in_a_turn),
        AWAITING_TEST(a_promise_is_answered_after_a_restart),
        AWAITING_TEST(bytes_that_name_no_operation_here_are_refused),
        AWAITING_TEST(nobody_answers_after_the_limit),
        AWAITING_TEST(a_limit_counts_while_the_process_is_down),
        AWAITING_TEST(more_operations_than_there_may_be_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
