/* test_relaxed.c - relaxed mode: durable is not safe yet, and what is not safe stays inside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "run/life.h"
#include "support/rig.h"

static void what_is_durable_and_not_safe_stays_inside(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 1));
    for (uint64_t n = 1; n <= 3; n++) {
        tell(&rig, "mem.safe", ALWAYS);
        char text[100];
        int64_t ticket = one_of_each(&rig, n);
        OK(sf_step(rig.rt, 0));
        snprintf(text, sizeof text, "done %d=0 answer %d ", (int)ticket, (int)n * 10 + 2);
        came(&rig, text);
        assert_int_equal(sf_durable(rig.rt), ticket);
        assert_int_equal(sf_source_position(rig.source), n - 1);
        REFUSED(sf_egress_ack(rig.rt, "said", 3 * n - 2), SF_EINVAL);
        tell(&rig, "mem.safe", 0);
        OK(sf_step(rig.rt, 0)); /* nothing to commit, so the store is left in peace */
        snprintf(text, sizeof text, "egress %d=%d egress %d=%d egress %d=%d ", (int)n * 3 - 2,
                 (int)n * 10 + 1, (int)n * 3 - 1, (int)n * 10 + 2, (int)n * 3, (int)n * 10 + 3);
        came(&rig, text);
        assert_int_equal(sf_source_position(rig.source), n);
        OK(sf_run_until_idle(rig.rt));
    }
    rig_close(&rig);
}

/* -- relaxed, on a disk ------------------------------------------------------------------------ */

struct sink {
    uint64_t next, wrong;
};

/* Records come in order; the same ones may come again after a restart. */
static int sink_take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    for (size_t i = 0; i < count; i++) {
        sink->wrong += records[i]->sequence > sink->next + 1;
        if (records[i]->sequence == sink->next + 1)
            sink->next++;
    }
    return (int)count;
}

static void say_from(sf_runtime *rt, sf_source *source, uint64_t until)
{
    for (uint64_t at = sf_source_position(source) + 1; at <= until; at++) {
        (void)sf_source_send(source, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){1}));
        assert_in_range(sf_source_advance(source, at), 0, 1);
        if (at % 3 == 0)
            OK(sf_step(rt, 0));
    }
}

static void relaxed_lets_all_of_it_out_in_the_end(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        struct sink sink = {0};
        sf_source *source;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        OK(sf_source_open(rt, "input", 0, &source));
        say_from(rt, source, 100);
        until_quiet(rt);
        assert_int_equal(sf_source_position(source), 100);
        assert_int_equal(sink.next, 100);
        assert_int_equal(sink.wrong, 0);
        sf_source_close(source);
        OK(sf_runtime_close(rt));
    }
}

/* A loop without descriptors steps as long as something is due. */
static void relaxed_lets_all_of_it_out_without_a_descriptor(void **state)
{
    for (int is_inline = 1; is_inline >= 0; is_inline--) {
        sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        struct sink sink = {0};
        uint64_t end = mono_ms() + 5000;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        say(rt, 1);
        for (int due_ms; (due_ms = sf_timeout_ms(rt)) >= 0 && mono_ms() < end;) {
            usleep((useconds_t)due_ms * 1000);
            OK(sf_step(rt, 0));
        }
        assert_int_equal(sink.next, 1);
        OK(sf_runtime_close(rt));
    }
}

static void relaxed_and_full_take_turns_on_one_database(void **state)
{
    struct sink sink = {0};
    for (int i = 0; i < 16; i++) {
        sf_options options = SF_OPTIONS(.relaxed = i % 2, .commit_inline = i / 2 % 2);
        sf_runtime *rt = open_in(*state, "db", &options);
        sf_source *source;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        OK(sf_source_open(rt, "input", 0, &source));
        assert_int_equal(sf_source_position(source), i * 20);
        say_from(rt, source, (uint64_t)(i + 1) * 20);
        if (i % 3 == 0)
            OK(sf_run_until_idle(rt));
        sf_source_close(source);
        OK(sf_runtime_close(rt));
    }
    sf_runtime *rt = open_in(*state, "db", NULL);
    OK(sf_egress_register(rt, "said", sink_take, &sink));
    until_quiet(rt);
    assert_int_equal(sink.next, 16 * 20);
    assert_int_equal(sink.wrong, 0);
    assert_int_equal(stored_counter_of(rt, sf_addr(SPEAKER, "a")).messages, 16 * 20);
    OK(sf_runtime_close(rt));
}

/* Time stands still, so nothing is done in peace: an epoch makes the one before it safe, and no
 * other. */
static void a_relaxed_epoch_makes_the_one_before_it_safe(void **state)
{
    struct place *place = *state;
    struct machine machine;
    sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = 1, .store_bytes_max = 1 << 28);
    sf_runtime *rt;
    sf_source *source;
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place->db, &options, &rt));
    OK(sf_register(rt, &speaker_type, NULL));
    OK(sf_source_open(rt, "input", 0, &source));
    OK(sf_run_until_idle(rt));
    for (uint64_t n = 1; n <= 9; n++) {
        (void)sf_source_send(source, sf_addr(SPEAKER, "a"), "say", SF_OF(n));
        OK(sf_source_advance(source, n));
        OK(sf_run_until_idle(rt));
        assert_int_equal(sf_source_position(source), n - 1);
    }
    machine_advance_ms(&machine, 20);
    OK(sf_run_until_idle(rt));
    assert_int_equal(sf_source_position(source), 9);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    assert_int_equal(machine.live, 0);
}

struct watched {
    struct machine machine; /* first */
    _Atomic int unsynced;   /* commits since the newest sync */
    _Atomic int refuses;    /* to sync */
};

static int watch(void *ctx, const char *point)
{
    struct watched *watched = ctx;
    if (strcmp(point, "lmdb.sync") == 0 && watched->refuses)
        return SF_EDISK;
    if (strcmp(point, "lmdb.sync") == 0)
        atomic_store(&watched->unsynced, 0);
    if (strcmp(point, "lmdb.commit.before") == 0)
        atomic_fetch_add(&watched->unsynced, 1);
    return 0;
}

static sf_runtime *open_watched(struct place *place, struct watched *watched, int is_inline)
{
    sf_options options =
        SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline, .store_bytes_max = 1 << 28);
    sf_runtime *rt;
    *watched = (struct watched){.unsynced = 0};
    machine_init(&watched->machine);
    watched->machine.sys.fault = watch;
    OK(sfi_runtime_open(&watched->machine.sys, place_path(place, how(is_inline)), &options, &rt));
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static void closing_makes_a_relaxed_database_safe(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct watched watched;
        sf_runtime *rt = open_watched(*state, &watched, is_inline);
        counter_add(rt, "a", 1);
        OK(sf_run_until_idle(rt));
        counter_add(rt, "a", 1);
        OK(sf_runtime_close(rt));
        assert_int_equal(watched.unsynced, 0);
    }
}

static void a_close_that_cannot_make_it_safe_says_so(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct watched watched;
        sf_runtime *rt = open_watched(*state, &watched, is_inline);
        counter_add(rt, "a", 1);
        atomic_store(&watched.refuses, 1);
        REFUSED(sf_runtime_close(rt), SF_EDISK);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_durable_and_not_safe_stays_inside),
        TEST(relaxed_lets_all_of_it_out_in_the_end),
        TEST(relaxed_lets_all_of_it_out_without_a_descriptor),
        TEST(relaxed_and_full_take_turns_on_one_database),
        TEST(a_relaxed_epoch_makes_the_one_before_it_safe),
        TEST(closing_makes_a_relaxed_database_safe),
        TEST(a_close_that_cannot_make_it_safe_says_so),
    };
    return cmocka_run_group_tests_name("relaxed", tests, NULL, NULL);
}
