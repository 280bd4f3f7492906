/* test_sinks.c - records come in order, without holes, after the commit, until acknowledged. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support/support.h"

/* Emits the body to the egress named by the kind; a body of "fail" emits and fails. */
static int emit(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    sf_emit(turn, msg->kind, "record", msg->body);
    if (msg->body.size == 4 && !memcmp(msg->body.data, "fail", 4))
        return sf_fail(turn, "as told");
    return 0;
}

static const sf_type emitter = SF_TYPE("test/emitter", .handler = emit);

static void emit_text(sf_runtime *rt, const char *egress, const char *text)
{
    OK(sf_send(rt, sf_addr("test/emitter", "e"), egress, sf_str(text)));
}

enum { NONE = 99 };

/* What a sink saw, and what it answers: the next of `answers`, NONE for 0, then all. */
struct sink {
    struct notes notes;
    uint64_t last; /* sequence */
    int calls, holes, wrong;
    int answers[8];
    sf_runtime *rt;
    struct counter *seen_total;
};

static int sink_take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    int call = sink->calls++;
    for (size_t i = 0; i < count; i++) {
        note(&sink->notes, "%" PRIu64 "=%.*s ", records[i]->sequence, (int)records[i]->body.size,
             (const char *)records[i]->body.data);
        if (i && records[i]->sequence != records[i - 1]->sequence + 1)
            sink->holes++;
        if (!records[i]->from.type || strcmp(records[i]->from.type, "test/emitter") ||
            strcmp(records[i]->kind, "record") || strcmp(records[i]->reason, ""))
            sink->wrong++;
        sink->last = records[i]->sequence;
    }
    int answer = call < 8 ? sink->answers[call] : 0;
    return answer == 0 ? (int)count : answer == NONE ? 0 : answer;
}

static sf_runtime *open_sink(const struct place *place, struct sink *sink)
{
    sf_runtime *rt = place_open(place);
    OK(sf_egress_register(rt, "out", sink_take, sink));
    OK(sf_register(rt, &emitter, NULL));
    return rt;
}

static void sink_clear(struct sink *sink)
{
    free(sink->notes.text);
    memset(sink, 0, sizeof *sink);
}

/* -- order ------------------------------------------------------------------------------------- */

static void records_come_once_in_order_and_without_holes_over_restarts(void **state)
{
    struct sink sink = {0};
    char text[32];
    uint64_t k = 0;
    for (int run = 0; run < 4; run++) {
        sf_runtime *rt = open_sink(*state, &sink);
        for (int i = 0; i < 50; i++) {
            snprintf(text, sizeof text, "%" PRIu64, ++k);
            emit_text(rt, "out", text);
            emit_text(rt, "out", "fail"); /* leaves no hole */
        }
        drive_until_quiet(rt);
        OK(sf_runtime_close(rt));
    }
    struct notes expected = {0};
    for (uint64_t i = 1; i <= k; i++)
        note(&expected, "%" PRIu64 "=%" PRIu64 " ", i, i);
    assert_string_equal(noted(&sink.notes), noted(&expected));
    assert_int_equal(sink.holes, 0);
    assert_int_equal(sink.wrong, 0);
    free(expected.text);
    sink_clear(&sink);
}

static void each_egress_counts_for_itself(void **state)
{
    struct sink one = {0}, two = {0};
    sf_runtime *rt = open_sink(*state, &one);
    OK(sf_egress_register(rt, "second", sink_take, &two));
    emit_text(rt, "out", "a");
    emit_text(rt, "second", "b");
    emit_text(rt, "out", "c");
    emit_text(rt, "second", "d");
    drive_until_quiet(rt);
    assert_string_equal(noted(&one.notes), "1=a 2=c ");
    assert_string_equal(noted(&two.notes), "1=b 2=d ");
    OK(sf_runtime_close(rt));
    sink_clear(&one);
    sink_clear(&two);
}

/* The gate: at the callback the turn that emitted is on disk. */
static int look_behind(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    sf_view *view;
    (void)records;
    if (sf_view_open(sink->rt, &view) == 0) {
        sf_bytes bytes = sf_view_state(view, sf_addr("test/both", "b"));
        if (bytes.size == sizeof(struct counter))
            note(&sink->notes, "%" PRIu64 " ", ((const struct counter *)bytes.data)->messages);
        sf_view_close(view);
    }
    return (int)count;
}

static int count_and_emit(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->messages++;
    return sf_emit(turn, "gate", "record", SF_OF(*self));
}

static void a_record_comes_after_its_turn_is_on_disk(void **state)
{
    static const sf_type both = SF_TYPE("test/both", .handler = count_and_emit,
                                        .state_size = sizeof(struct counter));
    struct sink sink = {.rt = place_open(*state)};
    OK(sf_register(sink.rt, &both, NULL));
    OK(sf_egress_register(sink.rt, "gate", look_behind, &sink));
    for (int i = 0; i < 3; i++) {
        OK(sf_send(sink.rt, sf_addr("test/both", "b"), "x", SF_NONE));
        drive_until_quiet(sink.rt);
    }
    assert_string_equal(noted(&sink.notes), "1 2 3 ");
    OK(sf_runtime_close(sink.rt));
    sink_clear(&sink);
}

static void emitting_to_an_egress_that_nobody_registered_loses_nothing(void **state)
{
    struct sink sink = {0};
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &emitter, NULL));
    emit_text(rt, "out", "early");
    drive_until_quiet(rt);
    uint64_t kept = stats_of(rt).turns, dead = stats_of(rt).dead_letters;
    assert_int_equal(kept + dead, 1); /* held until there is a sink, or refused with a reason */
    OK(sf_egress_register(rt, "out", sink_take, &sink));
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), kept ? "1=early " : "");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

/* -- acknowledgement --------------------------------------------------------------------------- */

static void what_a_sink_did_not_take_comes_again(void **state)
{
    struct sink sink = {.answers = {1, 2}};
    sf_runtime *rt = open_sink(*state, &sink);
    for (const char *text = "a\0b\0c\0d\0e\0"; *text; text += 2)
        emit_text(rt, "out", text);
    drive_until_quiet(rt);
    /* one of five, two of four, two of two */
    assert_string_equal(noted(&sink.notes), "1=a 2=b 3=c 4=d 5=e 2=b 3=c 4=d 5=e 4=d 5=e ");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

static void a_sink_that_refuses_gets_the_same_again_after_a_pause(void **state)
{
    struct sink sink = {.answers = {-1, -7}};
    sf_runtime *rt = open_sink(*state, &sink);
    emit_text(rt, "out", "a");
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&sink.notes), "1=a ");
    assert_true(sf_timeout_ms(rt) >= 0);
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "1=a 1=a 1=a ");
    OK(sf_runtime_close(rt));

    rt = open_sink(*state, &sink);
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "1=a 1=a 1=a "); /* acknowledged for good */
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

static void a_sink_that_did_none_gets_the_same_again_after_a_pause(void **state)
{
    struct sink sink = {.answers = {NONE, NONE, 1}};
    sf_runtime *rt = open_sink(*state, &sink);
    emit_text(rt, "out", "a");
    emit_text(rt, "out", "b");
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&sink.notes), "1=a 2=b ");
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "1=a 2=b 1=a 2=b 1=a 2=b 2=b ");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

/* Absent is not empty. */
static int note_bodies(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    for (size_t i = 0; i < count; i++)
        note(&sink->notes, "%s%zu ", records[i]->body.data ? "" : "absent ", records[i]->body.size);
    return sink->calls++ ? (int)count : SF_LATER;
}

static void a_record_without_a_body_comes_without_one_again_and_again(void **state)
{
    struct sink sink = {0};
    for (int run = 0; run < 2; run++) {
        sf_runtime *rt = open_sink(*state, &sink);
        OK(sf_egress_register(rt, "out", note_bodies, &sink));
        if (run == 0) {
            OK(sf_send(rt, sf_addr("test/emitter", "e"), "out", SF_NONE));
            emit_text(rt, "out", "");
            emit_text(rt, "out", "x");
        }
        drive_until_quiet(rt);
        assert_string_equal(noted(&sink.notes), "absent 0 0 1 ");
        notes_clear(&sink.notes);
        OK(sf_runtime_close(rt));
    }
    sink_clear(&sink);
}

/* What is passed is copied: two egresses are two, though their names were in the same place. */
static void names_may_be_built_in_one_buffer(void **state)
{
    struct sink one = {0}, two = {0};
    char name[8] = "one";
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &emitter, NULL));
    OK(sf_egress_register(rt, name, sink_take, &one));
    strcpy(name, "two");
    OK(sf_egress_register(rt, name, sink_take, &two));
    emit_text(rt, "one", "a");
    emit_text(rt, "two", "b");
    drive_until_quiet(rt);
    assert_string_equal(noted(&one.notes), "1=a ");
    assert_string_equal(noted(&two.notes), "1=b ");
    OK(sf_runtime_close(rt));
    sink_clear(&one);
    sink_clear(&two);
}

static void a_sink_that_claims_more_than_it_got_is_not_believed(void **state)
{
    struct sink sink = {.answers = {1000000}};
    sf_runtime *rt = open_sink(*state, &sink);
    emit_text(rt, "out", "a");
    (void)sf_run_until_idle(rt);
    emit_text(rt, "out", "b");
    drive_until_quiet(rt);
    HAS(noted(&sink.notes), "2=b ");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

struct acker {
    sf_runtime *rt;
    uint64_t upto;
    int rc;
};

static void *ack_elsewhere(void *arg)
{
    struct acker *acker = arg;
    acker->rc = sf_egress_ack(acker->rt, "out", acker->upto);
    return NULL;
}

static void a_sink_may_acknowledge_later_from_another_thread(void **state)
{
    struct sink sink = {.answers = {SF_LATER, SF_LATER, SF_LATER, SF_LATER}};
    sf_runtime *rt = open_sink(*state, &sink);
    pthread_t thread;
    for (int i = 0; i < 5; i++)
        emit_text(rt, "out", "x");
    drive_until_quiet(rt);
    assert_int_equal(sink.last, 5);
    assert_int_equal(sink.calls, 1); /* not again while they are out */
    struct acker acker = {rt, 3, 1};
    assert_int_equal(pthread_create(&thread, NULL, ack_elsewhere, &acker), 0);
    pthread_join(thread, NULL);
    assert_int_equal(acker.rc, 0);
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));

    notes_clear(&sink.notes);
    rt = open_sink(*state, &sink);
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "4=x 5=x ");
    OK(sf_egress_ack(rt, "out", 5));
    OK(sf_runtime_close(rt)); /* also at close, without a step */

    notes_clear(&sink.notes);
    rt = open_sink(*state, &sink);
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

static void no_one_can_acknowledge_what_was_never_emitted(void **state)
{
    struct sink sink = {0};
    sf_runtime *rt = open_sink(*state, &sink);
    REFUSED(sf_egress_ack(rt, "out", 1), SF_EINVAL);
    OK(sf_egress_ack(rt, "out", 0));
    emit_text(rt, "out", "a");
    drive_until_quiet(rt);
    REFUSED(sf_egress_ack(rt, "out", 2), SF_EINVAL);
    OK(sf_egress_ack(rt, "out", 1));
    OK(sf_egress_ack(rt, "out", 1)); /* cumulative: again, or less, is fine */
    OK(sf_egress_ack(rt, "out", 0));
    assert_true(sf_egress_ack(rt, "never heard of", 1) < 0);
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

static int emit_and_die(void *arg)
{
    struct place *place = arg;
    struct sink sink = {.answers = {SF_LATER, SF_LATER, SF_LATER, SF_LATER}};
    sf_runtime *rt = NULL;
    if (sf_runtime_open(place->db, defaults(), &rt) < 0 || sf_register(rt, &emitter, NULL) < 0 ||
        sf_egress_register(rt, "out", sink_take, &sink) < 0)
        return 2;
    for (const char *text = "a\0b\0c\0d\0"; *text; text += 2)
        if (sf_send(rt, sf_addr("test/emitter", "e"), "out", sf_str(text)) < 0)
            return 3;
    if (sf_run_until_idle(rt) < 0 || sink.last != 4)
        return 4;
    return 0; /* delivered, never acknowledged */
}

static void after_a_crash_the_same_records_come_again(void **state)
{
    assert_int_equal(in_child(emit_and_die, *state), 0);
    for (int run = 0; run < 2; run++) {
        struct sink sink = {.answers = {SF_LATER, SF_LATER, SF_LATER, SF_LATER}};
        sf_runtime *rt = open_sink(*state, &sink);
        emit_text(rt, "out", run ? "f" : "e");
        drive_until_quiet(rt);
        HAS(noted(&sink.notes), run ? "1=a 2=b 3=c 4=d 5=e " : "1=a 2=b 3=c 4=d ");
        HAS(noted(&sink.notes), run ? "6=f " : "5=e ");
        assert_int_equal(sink.last, run ? 6 : 5);
        OK(sf_runtime_close(rt));
        sink_clear(&sink);
    }
}

/* At start a sink says what it holds, and gets nothing twice. */
static void acknowledging_at_start_what_the_sink_holds_brings_only_the_rest(void **state)
{
    struct sink sink = {0};
    assert_int_equal(in_child(emit_and_die, *state), 0);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &emitter, NULL));
    OK(sf_egress_register(rt, "out", sink_take, &sink));
    OK(sf_egress_ack(rt, "out", 3));
    drive_until_quiet(rt);
    assert_string_equal(noted(&sink.notes), "4=d ");
    OK(sf_runtime_close(rt));
    sink_clear(&sink);
}

/* The largest record, and so many that they cannot all be handed out at once. */
static void many_and_large_records_all_come(void **state)
{
    struct sink sink = {0};
    sf_runtime *rt = open_sink(*state, &sink);
    char *body = malloc(1u << 20);
    assert_non_null(body);
    memset(body, 'y', 1u << 20);
    for (int i = 0; i < 5; i++)
        OK(sf_send(rt, sf_addr("test/emitter", "e"), "out", SF_BYTES(body, 1u << 20)));
    drive_until_quiet(rt);
    for (int i = 0; i < 20000; i++)
        emit_text(rt, "out", "small");
    drive_until_quiet(rt);
    assert_int_equal(sink.last, 20005);
    assert_int_equal(sink.holes, 0);
    OK(sf_runtime_close(rt));
    free(body);
    sink_clear(&sink);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(records_come_once_in_order_and_without_holes_over_restarts),
        TEST(each_egress_counts_for_itself),
        TEST(a_record_comes_after_its_turn_is_on_disk),
        TEST(emitting_to_an_egress_that_nobody_registered_loses_nothing),
        TEST(what_a_sink_did_not_take_comes_again),
        TEST(a_sink_that_refuses_gets_the_same_again_after_a_pause),
        TEST(a_sink_that_did_none_gets_the_same_again_after_a_pause),
        TEST(a_record_without_a_body_comes_without_one_again_and_again),
        TEST(names_may_be_built_in_one_buffer),
        TEST(a_sink_that_claims_more_than_it_got_is_not_believed),
        TEST(a_sink_may_acknowledge_later_from_another_thread),
        TEST(no_one_can_acknowledge_what_was_never_emitted),
        TEST(after_a_crash_the_same_records_come_again),
        TEST(acknowledging_at_start_what_the_sink_holds_brings_only_the_rest),
        TEST(many_and_large_records_all_come),
    };
    return cmocka_run_group_tests_name("sinks", tests, NULL, NULL);
}
