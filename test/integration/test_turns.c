/* test_turns.c - a turn happens whole or not at all, is tried again as its type says, and never
 * stands in the way of anybody else.
 *
 * Handlers write notes; the tests read them after the engine came to rest.  Notes are not undone
 * with a turn, which is what makes them useful here. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

static const sf_value NAME = SF_VALUE("name");

static int run_note(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    note(&place->notes, "%s/%s/%u ", id_text(sf_self(turn)), msg->kind, msg->attempt);
    place->count++;
    return 0;
}

/* -- all or nothing ---------------------------------------------------------------------------- */

/* Does one of everything; the body says how the turn ends. */
static int busy_turn(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const char *ending = sf_msg(turn)->body.data;
    self->total += 7;
    self->messages++;
    sf_value_put(turn, &NAME, sf_str("ada"));
    sf_tell(turn, sf_addr("test/witness", "w"), "told", SF_NONE);
    sf_emit(turn, "out", "emitted", sf_str("record"));
    sf_reply(turn, "replied", SF_NONE);
    if (!strcmp(ending, "fail"))
        return sf_fail(turn, "asked to %s", ending);
    if (!strcmp(ending, "reject"))
        return sf_reject(turn, "asked to %s", ending);
    if (!strcmp(ending, "fail, and return 0")) {
        sf_fail(turn, "asked to %s", ending);
        return 0;
    }
    return !strcmp(ending, "42") ? 42 : !strcmp(ending, "-1") ? -1 : 0;
}

static int note_records(const sf_message *const *records, size_t count, void *userdata)
{
    struct place *place = userdata;
    for (size_t i = 0; i < count; i++)
        note(&place->notes, "#%" PRIu64 ":%s ", records[i]->sequence,
             (const char *)records[i]->body.data);
    return (int)count;
}

static const sf_type busy = SF_TYPE("test/busy", .handler = busy_turn,
                                    .state_size = sizeof(struct counter), .values = {&NAME});
static const sf_type witness = SF_TYPE("test/witness", .handler = run_note);

static sf_runtime *busy_open(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &busy, place));
    OK(sf_register(rt, &witness, place));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_egress_register(rt, "out", note_records, place));
    return rt;
}

static void expect_traces(sf_runtime *rt, int there)
{
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes state = sf_view_state(view, sf_addr("test/busy", "b"));
    if (there) {
        assert_int_equal(state.size, sizeof(struct counter));
        assert_int_equal(((const struct counter *)state.data)->total, 7);
        sf_bytes name = sf_view_value(view, sf_addr("test/busy", "b"), &NAME);
        assert_int_equal(name.size, 3);
        assert_memory_equal(name.data, "ada", 3);
    } else {
        assert_null(state.data);
        assert_null(sf_view_value(view, sf_addr("test/busy", "b"), &NAME).data);
    }
    sf_view_close(view);
}

static void a_turn_that_is_kept_leaves_state_values_messages_egress_and_reply(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    sf_message *reply = NULL;
    OK(sf_ask(rt, sf_addr("test/busy", "b"), "do", sf_str("keep"), 5000, &reply));
    assert_true(sf_is(reply, "replied"));
    assert_string_equal(reply->from.type, "test/busy");
    assert_string_equal(id_text(reply->from), "b");
    sf_message_free(reply);
    drive_until_quiet(rt);
    HAS(noted(&place->notes), "w/told/1 ");
    HAS(noted(&place->notes), "#1:record ");
    expect_traces(rt, 1);
    OK(sf_runtime_close(rt));
}

static void expect_no_trace(struct place *place, const char *ending, const char *reason)
{
    sf_runtime *rt = busy_open(place);
    sf_message *reply = NULL;
    REFUSED(sf_ask(rt, sf_addr("test/busy", "b"), "do", sf_str(ending), 5000, &reply), SF_EFAILED);
    SAYS(reason);
    assert_null(reply);
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "");
    expect_traces(rt, 0);
    assert_int_equal(stats_of(rt).dead_letters, 1);
    assert_int_equal(stats_of(rt).turns, 0);
    OK(sf_runtime_close(rt));

    rt = busy_open(place);
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "");
    expect_traces(rt, 0);
    OK(sf_runtime_close(rt));
}

static void a_turn_that_fails_leaves_no_trace(void **state)
{
    expect_no_trace(*state, "fail", "asked to fail");
}

static void a_turn_that_is_rejected_leaves_no_trace(void **state)
{
    expect_no_trace(*state, "reject", "asked to reject");
}

/* The first failure sticks: what the handler returns then does not matter. */
/* Of a database that is closed. */
static size_t rows_of(const struct place *place, const char *name)
{
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi table;
    MDB_stat stat;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 16);
    assert_int_equal(mdb_env_open(env, place->db, MDB_RDONLY, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, name, 0, &table), 0);
    assert_int_equal(mdb_stat(txn, table, &stat), 0);
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return stat.ms_entries;
}

static int emit_or_not(sf_turn *turn)
{
    sf_emit(turn, "out", "emitted", sf_str("a record"));
    return sf_is(sf_msg(turn), "undo") ? sf_reject(turn, "no") : 0;
}

static int never(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)count, (void)userdata;
    return SF_LATER;
}

/* Not even one that a record emitted later would cover: who reads the table alone sees none. */
static void a_turn_that_is_undone_leaves_no_row_of_an_egress(void **state)
{
    static const sf_type emitter = SF_TYPE("test/emitter", .handler = emit_or_not);
    const struct place *place = *state;
    for (int life = 0; life < 3; life++) {
        sf_runtime *rt = place_open(place);
        OK(sf_register(rt, &emitter, NULL));
        OK(sf_egress_register(rt, "out", never, NULL));
        if (life == 1)
            OK(sf_send(rt, sf_addr("test/emitter", "e"), "keep", SF_NONE));
        else
            OK(sf_send(rt, sf_addr("test/emitter", "e"), "undo", SF_NONE));
        OK(sf_run_until_idle(rt));
        OK(sf_runtime_close(rt));
        assert_int_equal(rows_of(place, "outbox"), life > 0);
    }
}

static void a_turn_that_fails_and_returns_0_is_undone_all_the_same(void **state)
{
    expect_no_trace(*state, "fail, and return 0", "asked to fail, and return 0");
}

static void any_nonzero_result_undoes_the_turn(void **state)
{
    struct place *place = *state;
    expect_no_trace(place, "42", "");
}

static void a_negative_result_undoes_the_turn(void **state)
{
    struct place *place = *state;
    expect_no_trace(place, "-1", "");
}

/* Undo goes back to what the turn before left, not to zero, although both are in one epoch. */
static void undo_goes_back_to_the_turn_before(void **state)
{
    sf_runtime *rt = busy_open(*state);
    counter_add(rt, "a", 1);
    OK(sf_send(rt, sf_addr("test/counter", "a"), "fail", sf_str("no")));
    counter_add(rt, "a", 2);
    OK(sf_send(rt, sf_addr("test/counter", "a"), "reject", sf_str("no")));
    counter_add(rt, "a", 4);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 7);
    assert_int_equal(counter_stored(rt, "a").messages, 3);
    OK(sf_runtime_close(rt));
}

/* -- attempts ---------------------------------------------------------------------------------- */

static int always_fail(sf_turn *turn)
{
    run_note(turn);
    return sf_fail(turn, "attempt %u", sf_msg(turn)->attempt);
}

static int fail_twice(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    run_note(turn);
    self->total++;
    return sf_msg(turn)->attempt <= 2 ? sf_fail(turn, "not yet") : 0;
}

static void a_message_fails_three_times_unless_its_type_says_otherwise(void **state)
{
    static const sf_type three = SF_TYPE("test/three", .handler = always_fail);
    static const sf_type five = SF_TYPE("test/five", .handler = always_fail, .attempts_max = 5);
    static const sf_type one = SF_TYPE("test/one", .handler = always_fail, .attempts_max = 1);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    const sf_type *types[] = {&three, &five, &one};
    const char *expected[] = {"a/x/1 a/x/2 a/x/3 ", "a/x/1 a/x/2 a/x/3 a/x/4 a/x/5 ", "a/x/1 "};
    for (int i = 0; i < 3; i++) {
        notes_clear(&place->notes);
        OK(sf_register(rt, types[i], place));
        OK(sf_send(rt, sf_addr(types[i]->name, "a"), "x", SF_NONE));
        drive_until_quiet(rt);
        assert_string_equal(noted(&place->notes), expected[i]);
        assert_int_equal(stats_of(rt).dead_letters, i + 1);
    }
    assert_int_equal(stats_of(rt).turns_failed, 9);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

static void a_message_that_succeeds_at_last_counts_once(void **state)
{
    static const sf_type type = SF_TYPE("test/third", .handler = fail_twice,
                                        .state_size = sizeof(struct counter));
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/third", "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "a/x/1 a/x/2 a/x/3 ");
    assert_int_equal(stored_counter_of(rt, sf_addr("test/third", "a")).total, 1);
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_runtime_close(rt));
}

static int always_reject(sf_turn *turn)
{
    run_note(turn);
    return sf_reject(turn, "never");
}

static void a_rejected_message_is_not_tried_again(void **state)
{
    static const sf_type type = SF_TYPE("test/strict", .handler = always_reject, .attempts_max = 9);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/strict", "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "a/x/1 ");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    OK(sf_runtime_close(rt));
}

/* One poison message stops neither the others nor its own actor for good. */
static void other_actors_and_later_messages_go_on(void **state)
{
    sf_runtime *rt = busy_open(*state);
    for (int i = 0; i < 100; i++) {
        OK(sf_send(rt, sf_addr("test/counter", "sick"), "fail", sf_str("poison")));
        counter_add(rt, "sick", 1);
        counter_add(rt, "well", 1);
    }
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "sick").total, 100);
    assert_int_equal(counter_stored(rt, "well").total, 100);
    assert_int_equal(stats_of(rt).dead_letters, 100);
    OK(sf_runtime_close(rt));
}

/* -- pauses ------------------------------------------------------------------------------------ */

static const sf_type paused =
    SF_TYPE("test/paused", .on = {{"bad", always_fail}}, .handler = run_note, .attempts_max = 3,
            .backoff_ms = 200, .backoff_ms_max = 300);

/* G4 holds through the pauses: what comes after the failed message waits for it. */
static void messages_wait_after_one_that_pauses_and_others_pass(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    uint64_t start = mono_ms();
    OK(sf_register(rt, &paused, place));
    OK(sf_send(rt, sf_addr("test/paused", "a"), "bad", SF_NONE));
    OK(sf_send(rt, sf_addr("test/paused", "a"), "good", SF_NONE));
    OK(sf_send(rt, sf_addr("test/paused", "b"), "good", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), "a/bad/1 b/good/1 ");
    int due_ms = sf_timeout_ms(rt);
    assert_in_range(due_ms, 0, 226);
    assert_int_equal(stats_of(rt).messages_waiting, 2);
    drive_until_quiet(rt);
    assert_true(mono_ms() - start >= 435); /* 200 and then 300, the ceiling, less an eighth; the clock is rounded */
    assert_string_equal(noted(&place->notes), "a/bad/1 b/good/1 a/bad/2 a/bad/3 a/good/1 ");
    OK(sf_runtime_close(rt));
}

static void a_pausing_message_keeps_its_place_and_attempts_over_a_restart(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &paused, place));
    OK(sf_send(rt, sf_addr("test/paused", "a"), "bad", SF_NONE));
    OK(sf_send(rt, sf_addr("test/paused", "a"), "good", SF_NONE));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &paused, place));
    OK(sf_send(rt, sf_addr("test/paused", "a"), "later", SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "a/bad/1 a/bad/2 a/bad/3 a/good/1 a/later/1 ");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    OK(sf_runtime_close(rt));
}

/* 49 days: more milliseconds than an int has. */
static void the_longest_pause_is_not_cut_short(void **state)
{
    static const sf_type type = SF_TYPE("test/patient", .handler = always_fail,
                                        .backoff_ms = UINT32_MAX, .backoff_ms_max = UINT32_MAX);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/patient", "p"), "x", SF_NONE));
    for (int i = 0; i < 10; i++)
        OK(sf_run_until_idle(rt));
    assert_true(sf_timeout_ms(rt) > 1000000000);
    assert_string_equal(noted(&place->notes), "p/x/1 ");
    assert_int_equal(stats_of(rt).messages_waiting, 1);
    OK(sf_runtime_close(rt));
}

/* -- what sticks ------------------------------------------------------------------------------- */

static int tell_the_unknown(sf_turn *turn)
{
    int first = sf_tell(turn, sf_addr("test/nobody", "x"), "hello", SF_NONE);
    int second = sf_tell(turn, sf_addr("test/witness", "w"), "told", SF_NONE);
    struct place *place = sf_userdata(turn);
    note(&place->notes, "%s%s ", first < 0 ? "refused " : "", second < 0 ? "stuck" : "");
    return 0;
}

static void a_turn_that_tells_an_unregistered_type_fails_with_a_reason(void **state)
{
    static const sf_type type =
        SF_TYPE("test/teller", .handler = tell_the_unknown, .attempts_max = 1);
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    sf_message *reply = NULL;
    OK(sf_register(rt, &type, place));
    REFUSED(sf_ask(rt, sf_addr("test/teller", "t"), "go", SF_NONE, 5000, &reply), SF_EFAILED);
    SAYS("test/nobody");
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "refused stuck ");
    OK(sf_runtime_close(rt));
}

static int fail_in_two_ways(sf_turn *turn)
{
    sf_reject(turn, "the first");
    return sf_fail(turn, "the second");
}

static void the_first_failure_of_a_turn_is_the_one_that_counts(void **state)
{
    static const sf_type type = SF_TYPE("test/twice", .handler = fail_in_two_ways);
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    sf_message *reply = NULL;
    OK(sf_register(rt, &type, place));
    REFUSED(sf_ask(rt, sf_addr("test/twice", "t"), "go", SF_NONE, 5000, &reply), SF_EFAILED);
    SAYS("the first");
    assert_int_equal(stats_of(rt).turns_failed, 1);
    OK(sf_runtime_close(rt));
}

static int read_a_wrong_body(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const uint64_t *amount = sf_body(turn, sizeof *amount);
    note(&place->notes, "%s ", amount && *amount == 0 ? "zeroes" : "not zeroes");
    return 0;
}

struct shelf {
    uint64_t total, slots[4];
};

/* Checks, then writes to its struct, which is nobody's since the body was wrong. */
static int write_after_a_wrong_body(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const uint64_t *slot = sf_body(turn, sizeof *slot);
    struct shelf *self = sf_state(turn);
    memset(self, 0xFF, sizeof *self);
    note(&place->notes, "%s ", *slot == 0 ? "zeroes" : "not zeroes");
    return 0;
}

static void what_is_written_to_a_lost_struct_is_not_read_in_the_body(void **state)
{
    static const sf_type type = SF_TYPE("test/shelf", .handler = write_after_a_wrong_body,
                                        .state_size = sizeof(struct shelf));
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/shelf", "s"), "go", sf_str("not eight bytes")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(place->notes.text, "zeroes ");
    OK(sf_runtime_close(rt));
}

static void a_body_of_the_wrong_size_reads_as_zeroes_and_is_rejected(void **state)
{
    static const sf_type type = SF_TYPE("test/reader", .handler = read_a_wrong_body);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    sf_bytes bodies[] = {sf_str("seven c"), sf_str("nine char"), SF_NONE, sf_str("")};
    sf_message *reply = NULL;
    OK(sf_register(rt, &type, place));
    for (int i = 0; i < 4; i++) {
        notes_clear(&place->notes);
        REFUSED(sf_ask(rt, sf_addr("test/reader", "r"), "go", bodies[i], 5000, &reply), SF_EFAILED);
        assert_string_equal(noted(&place->notes), "zeroes "); /* once: rejected, not tried again */
    }
    OK(sf_runtime_close(rt));
}

/* -- what a handler sees ----------------------------------------------------------------------- */

static void kinds_go_to_their_handlers_and_the_rest_to_the_default(void **state)
{
    static const sf_type listed =
        SF_TYPE("test/listed", .on = {{"one", run_note}, {"two", run_note}});
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    sf_message *reply = NULL;
    OK(sf_register(rt, &listed, place));
    OK(sf_send(rt, sf_addr("test/listed", "a"), "two", SF_NONE));
    OK(sf_send(rt, sf_addr("test/listed", "a"), "one", SF_NONE));
    OK(sf_send(rt, sf_addr("test/witness", "w"), NULL, SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "a/two/1 a/one/1 w//1 ");
    REFUSED(sf_ask(rt, sf_addr("test/listed", "a"), "three", SF_NONE, 5000, &reply), SF_EFAILED);
    SAYS("three");
    OK(sf_runtime_close(rt));
}

static int inspect(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    const char *bytes = msg->body.data;
    if (self->total++ == 0 && self->messages)
        note(&place->notes, "not zeroed ");
    if ((uintptr_t)bytes % _Alignof(max_align_t) || (uintptr_t)self % _Alignof(max_align_t))
        note(&place->notes, "not aligned ");
    if (bytes && bytes[msg->body.size])
        note(&place->notes, "no zero byte ");
    if (sf_now_ms(turn) != sf_now_ms(turn) || sf_now_ms(turn) < UINT64_C(1577836800000))
        note(&place->notes, "clock ");
    if (sf_random(turn) == sf_random(turn))
        note(&place->notes, "not random ");
    sf_value_put(turn, &NAME, msg->body);
    sf_tell(turn, sf_addr("test/witness", "w"), "told", msg->body);
    if (self != sf_state(turn) || msg != sf_msg(turn) || bytes != msg->body.data)
        note(&place->notes, "moved ");
    return 0;
}

static void what_a_handler_is_lent_is_aligned_zero_ended_and_stays_where_it_is(void **state)
{
    static const sf_type type = SF_TYPE("test/inspector", .handler = inspect, .values = {&NAME},
                                        .state_size = sizeof(struct counter));
    static char body[5000];
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    memset(body, 'x', sizeof body);
    OK(sf_register(rt, &type, place));
    for (size_t size = 0; size < sizeof body; size = size * 2 + 1)
        OK(sf_send(rt, sf_addr("test/inspector", "i"), "look", SF_BYTES(body, size)));
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).dead_letters, 0);
    assert_null(strstr(noted(&place->notes), "no"));
    assert_null(strstr(noted(&place->notes), "moved"));
    assert_null(strstr(noted(&place->notes), "clock"));
    OK(sf_runtime_close(rt));
}

static int who_is_there(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    note(&place->notes, "%s>%s/%s%s ", msg->from.type ? id_text(msg->from) : "outside",
         id_text(msg->to), msg->kind, sf_state(turn) ? " has a state" : "");
    if (sf_is(msg, "start"))
        sf_tell(turn, sf_addr("test/peer", "second"), "next", SF_NONE);
    if (sf_is(msg, "next"))
        sf_reply(turn, "back", SF_NONE);
    return 0;
}

static void a_message_knows_who_sent_it_and_a_reply_finds_the_way_back(void **state)
{
    static const sf_type type = SF_TYPE("test/peer", .handler = who_is_there);
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &type, place));
    OK(sf_send(rt, sf_addr("test/peer", "first"), "start", SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes),
                        "outside>first/start first>second/next second>first/back ");
    OK(sf_runtime_close(rt));
}

/* -- cycles, storms, replacement --------------------------------------------------------------- */

static int pass_on(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    uint64_t left = *(const uint64_t *)sf_body(turn, sizeof left);
    self->total++;
    if (left == 0)
        return 0;
    left--;
    if (sf_is(sf_msg(turn), "self"))
        return sf_tell(turn, sf_self(turn), "self", SF_OF(left));
    return sf_tell(turn, sf_addr("test/ball", *id_text(sf_self(turn)) == 'a' ? "b" : "a"), "pass",
                   SF_OF(left));
}

static int spread(sf_turn *turn)
{
    char id[32];
    for (int i = 0; i < 20000; i++) {
        snprintf(id, sizeof id, "%d", i % 1000);
        sf_tell(turn, sf_addr("test/counter", id), "add", SF_OF((uint64_t){1}));
    }
    return 0;
}

static const sf_type ball = SF_TYPE("test/ball", .on = {{"pass", pass_on}, {"self", pass_on}},
                                    .state_size = sizeof(struct counter));

static void actors_may_message_each_other_in_a_circle_and_themselves(void **state)
{
    uint64_t hops = 99999;
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &ball, NULL));
    OK(sf_send(rt, sf_addr("test/ball", "a"), "pass", SF_OF(hops)));
    OK(sf_send(rt, sf_addr("test/ball", "c"), "self", SF_OF(hops)));
    drive_until_quiet(rt);
    assert_int_equal(stored_counter_of(rt, sf_addr("test/ball", "a")).total, 50000);
    assert_int_equal(stored_counter_of(rt, sf_addr("test/ball", "b")).total, 50000);
    assert_int_equal(stored_counter_of(rt, sf_addr("test/ball", "c")).total, 100000);
    assert_int_equal(stats_of(rt).turns, 200000);
    OK(sf_runtime_close(rt));
}

/* A circle that never ends must not keep sf_step() from returning: an epoch is bounded. */
static void an_endless_circle_is_cut_into_steps(void **state)
{
    uint64_t hops = UINT64_MAX;
    sf_options options = SF_OPTIONS(.epoch_turns_max = 1000);
    struct place *place = *state;
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &ball, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_send(rt, sf_addr("test/ball", "c"), "self", SF_OF(hops)));
    for (int i = 0; i < 20; i++) {
        counter_add(rt, "a", 1);
        int turns = sf_step(rt, 0);
        assert_in_range(OK(turns), 1, 1000);
    }
    assert_in_range(OK(sf_step(rt, 10)), 1, 10);
    assert_true(counter_stored(rt, "a").total >= 18);
    OK(sf_runtime_close(rt));
}

static void one_turn_may_send_twenty_thousand_messages(void **state)
{
    static const sf_type type = SF_TYPE("test/spreader", .handler = spread);
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.epoch_turns_max = 100);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &type, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_send(rt, sf_addr("test/spreader", "s"), "go", SF_NONE));
    OK(sf_step(rt, 0));
    OK(sf_runtime_close(rt));
    rt = place_open(place); /* most of them come from disk now */
    OK(sf_register(rt, &type, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "0").total, 20);
    assert_int_equal(counter_stored(rt, "999").total, 20);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

static int run_other_note(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    note(&place->notes, "new ");
    return 0;
}

static void registering_again_replaces_the_handlers_from_the_next_turn_on(void **state)
{
    static const sf_type newer = SF_TYPE("test/witness", .handler = run_other_note);
    struct place *place = *state;
    sf_runtime *rt = busy_open(place);
    OK(sf_send(rt, sf_addr("test/witness", "w"), "x", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_register(rt, &newer, place));
    OK(sf_send(rt, sf_addr("test/witness", "w"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "w/x/1 new ");
    OK(sf_runtime_close(rt));
}

/* -- G4 ---------------------------------------------------------------------------------------- */

enum { MESH = 6, ROUNDS = 300 };

struct mesh {
    uint64_t next[MESH], last[MESH], wrong, failed;
};

/* Each actor tells every other a number that rises by one per pair, and expects the same of
 * them. */
static int mesh_run(sf_turn *turn)
{
    struct mesh *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    int me = *id_text(sf_self(turn)) - 'a';
    if (sf_is(msg, "number")) {
        const uint64_t *k = sf_body(turn, sizeof *k);
        uint64_t *last = &self->last[*id_text(msg->from) - 'a'];
        if (*k != *last + 1)
            self->wrong++;
        *last = *k;
        /* now and then: the retry must not let a later number overtake */
        return *k % 37 == 0 && msg->attempt < 3 ? sf_fail(turn, "not now") : 0;
    }
    for (int other = 0; other < MESH; other++) {
        char id[2] = {(char)('a' + other), 0};
        self->next[other]++;
        sf_tell(turn, sf_addr("test/mesh", id), "number", SF_OF(self->next[other]));
    }
    return me == 2 && msg->attempt == 1 && self->next[0] % 10 == 3 ? sf_fail(turn, "again") : 0;
}

static void expect_order(struct place *place, const sf_type *type)
{
    sf_options options = SF_OPTIONS(.epoch_turns_max = 64, .inbox_ms_max = 60000);
    sf_runtime *rt = NULL;
    for (int round = 0; round < ROUNDS; round++) {
        if (round % 100 == 0) { /* some of it through the disk */
            OK(sf_runtime_close(rt));
            rt = place_open_with(place, &options);
            OK(sf_register(rt, type, place));
        }
        for (int i = 0; i < MESH; i++) {
            char id[2] = {(char)('a' + i), 0};
            OK(sf_send(rt, sf_addr(type->name, id), "go", SF_NONE));
        }
        if (round % 5 == 0)
            OK(sf_step(rt, 0));
    }
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    for (int i = 0; i < MESH; i++) {
        char id[2] = {(char)('a' + i), 0};
        const struct mesh *mesh = sf_view_state(view, sf_addr(type->name, id)).data;
        assert_non_null(mesh);
        assert_int_equal(mesh->wrong, 0);
        for (int j = 0; j < MESH; j++)
            assert_int_equal(mesh->last[j], ROUNDS);
    }
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void messages_between_two_actors_arrive_in_order_through_retries_and_restarts(void **state)
{
    static const sf_type type = SF_TYPE("test/mesh", .handler = mesh_run,
                                        .state_size = sizeof(struct mesh));
    expect_order(*state, &type);
}

static void messages_between_two_actors_arrive_in_order_through_pauses(void **state)
{
    static const sf_type type = SF_TYPE("test/mesh", .handler = mesh_run, .backoff_ms = 1,
                                        .backoff_ms_max = 2, .state_size = sizeof(struct mesh));
    expect_order(*state, &type);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_turn_that_is_kept_leaves_state_values_messages_egress_and_reply),
        TEST(a_turn_that_fails_leaves_no_trace),
        TEST(a_turn_that_is_rejected_leaves_no_trace),
        TEST(a_turn_that_is_undone_leaves_no_row_of_an_egress),
        TEST(a_turn_that_fails_and_returns_0_is_undone_all_the_same),
        TEST(any_nonzero_result_undoes_the_turn),
        TEST(a_negative_result_undoes_the_turn),
        TEST(undo_goes_back_to_the_turn_before),
        TEST(a_message_fails_three_times_unless_its_type_says_otherwise),
        TEST(a_message_that_succeeds_at_last_counts_once),
        TEST(a_rejected_message_is_not_tried_again),
        TEST(other_actors_and_later_messages_go_on),
        TEST(messages_wait_after_one_that_pauses_and_others_pass),
        TEST(a_pausing_message_keeps_its_place_and_attempts_over_a_restart),
        TEST(the_longest_pause_is_not_cut_short),
        TEST(a_turn_that_tells_an_unregistered_type_fails_with_a_reason),
        TEST(the_first_failure_of_a_turn_is_the_one_that_counts),
        TEST(a_body_of_the_wrong_size_reads_as_zeroes_and_is_rejected),
        TEST(what_is_written_to_a_lost_struct_is_not_read_in_the_body),
        TEST(kinds_go_to_their_handlers_and_the_rest_to_the_default),
        TEST(what_a_handler_is_lent_is_aligned_zero_ended_and_stays_where_it_is),
        TEST(a_message_knows_who_sent_it_and_a_reply_finds_the_way_back),
        TEST(actors_may_message_each_other_in_a_circle_and_themselves),
        TEST(an_endless_circle_is_cut_into_steps),
        TEST(one_turn_may_send_twenty_thousand_messages),
        TEST(registering_again_replaces_the_handlers_from_the_next_turn_on),
        TEST(messages_between_two_actors_arrive_in_order_through_retries_and_restarts),
        TEST(messages_between_two_actors_arrive_in_order_through_pauses),
    };
    return cmocka_run_group_tests_name("turns", tests, NULL, NULL);
}
