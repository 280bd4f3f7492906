/* test_delivery.c - lib/run/delivery: how much a step brings to whom, and what a full egress does
 * to those who emit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "run/life.h"
#include "run/runtime.h"
#include "store/batch.h"
#include "store/mem_store.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

static const char EMITTER[] = "test/emitter";

/* Emits as many records as the body says, to the egress that is named by the kind. */
static int emit(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    const uint32_t *count = sf_body(turn, sizeof *count);
    for (uint32_t i = 0; i < *count; i++)
        if (sf_emit(turn, msg->kind, "record", SF_BYTES("0123456789", 10)) < 0)
            return 0;
    return 0;
}

static const sf_type emitter_type = SF_TYPE(EMITTER, .handler = emit, .attempts_max = 2);

struct sink {
    uint64_t taken, last, wrong, refuses_from;
    uint32_t calls, most;
    int is_down, answers_later, jumps;
    jmp_buf *out;
    const struct sink *before; /* how often was that one called before this one was? */
    uint32_t calls_before;
    char ids[64]; /* of who emitted the first records, a character each */
};

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    if (sink->calls++ == 0 && sink->before)
        sink->calls_before = sink->before->calls;
    if (sink->jumps-- > 0)
        longjmp(*sink->out, 1);
    if (sink->is_down || (sink->refuses_from && records[0]->sequence >= sink->refuses_from))
        return 0;
    for (size_t i = 0; i < count; i++) {
        sink->wrong += records[i]->sequence != sink->last + 1;
        sink->last = records[i]->sequence;
        if (sink->last < sizeof sink->ids)
            sink->ids[sink->last - 1] = *(const char *)records[i]->from.id.data;
    }
    sink->taken += count;
    sink->most = count > sink->most ? (uint32_t)count : sink->most;
    return sink->answers_later ? SF_LATER : (int)count;
}

static sf_runtime *open_sink(const struct place *place, struct sink *sink, sf_options options)
{
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_egress_register(rt, "out", take, sink));
    return rt;
}

/* The same on a machine whose clock stands still, so that no time cuts an epoch short, and nobody
 * who waits for a time goes on. */
static sf_runtime *open_still_with(struct machine *machine, const struct place *place,
                                   struct sink *sink, uint64_t records_max)
{
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = 1 << 28);
    sf_runtime *rt;
    options.egress_records_max = records_max;
    machine_init(machine);
    OK(sfi_runtime_open(&machine->sys, place->db, &options, &rt));
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_egress_register(rt, "out", take, sink));
    return rt;
}

static sf_runtime *open_still(struct machine *machine, const struct place *place, struct sink *sink)
{
    return open_still_with(machine, place, sink, 0);
}

static int64_t order(sf_runtime *rt, const char *id, const char *egress, uint32_t count)
{
    return sf_send(rt, sf_addr(EMITTER, id), egress, SF_OF(count));
}

/* -- how much ---------------------------------------------------------------------------------- */

/* Full epochs, one after another: what waits is never more than a few of them, and rows neither. */
static void a_sink_that_answers_at_once_keeps_up_with_those_who_emit(void **state)
{
    struct sink sink = {0};
    uint64_t most_lag = 0, most_rows = 0, emitted = 0;
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &sink);
    for (int step = 0; step < 12; step++) {
        for (int i = 0; i < 250; i++)
            OK(order(rt, "e", "out", 200));
        emitted += 50000;
        OK(sf_step(rt, 0));
        sf_stats stats = stats_of(rt);
        most_lag = stats.egress_lag > most_lag ? stats.egress_lag : most_lag;
        most_rows = rt->egresses.untrimmed > most_rows ? rt->egresses.untrimmed : most_rows;
    }
    assert_in_range(most_lag, 1, 2 * 65536);
    assert_in_range(most_rows, 1, 4 * 65536);
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.taken, emitted);
    assert_int_equal(sink.wrong, 0);
    assert_in_range(sink.most, 256, 256); /* in one call */
    assert_int_equal(stats_of(rt).egress_lag, 0);
    assert_int_equal(rt->egresses.undelivered, 0);
    OK(sf_runtime_close(rt));
}

/* What an earlier run left is worked off beside what comes in. */
static void a_backlog_shrinks_while_others_emit(void **state)
{
    struct sink down = {.is_down = 1}, sink = {0};
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &down);
    for (int i = 0; i < 500; i++)
        OK(order(rt, "e", "out", 200));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    rt = open_still(&machine, *state, &sink);
    for (int step = 0; step < 200 && stats_of(rt).egress_lag != 2000; step++) {
        for (int i = 0; i < 10; i++)
            OK(order(rt, "e", "out", 200));
        OK(sf_step(rt, 0));
    }
    assert_in_range(stats_of(rt).egress_lag, 0, 4000);
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.last, down.last + sink.taken);
    assert_int_equal(sink.wrong, 0);
    OK(sf_runtime_close(rt));
}

static void one_egress_with_a_backlog_does_not_hold_up_another(void **state)
{
    struct sink large = {0}, small = {0};
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &large);
    OK(sf_egress_register(rt, "small", take, &small));
    for (int i = 0; i < 300; i++)
        OK(order(rt, "e", "out", 200));
    OK(order(rt, "e", "small", 1));
    small.before = &large;
    OK(sf_run_until_idle(rt));
    assert_int_equal(large.taken, 60000);
    assert_int_equal(small.taken, 1);
    assert_in_range(small.calls_before, 0, 1); /* a call each in turn */
    OK(sf_runtime_close(rt));
}

static int emit_large(sf_turn *turn)
{
    static const char body[600 << 10];
    sf_emit(turn, "out", "record", SF_OF(body));
    sf_emit(turn, "out", "record", SF_OF(body));
    return sf_emit(turn, "out", "record", SF_OF(body));
}

static void one_call_brings_a_mebibyte_and_the_record_that_crosses_it(void **state)
{
    static const sf_type large_type = SF_TYPE("test/large", .handler = emit_large);
    struct sink sink = {0};
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &sink);
    OK(sf_register(rt, &large_type, NULL));
    OK(sf_send(rt, sf_addr("test/large", "l"), "", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.taken, 3);
    assert_int_equal(sink.calls, 2);
    assert_int_equal(sink.most, 2);
    OK(sf_runtime_close(rt));
}

/* -- many of them ------------------------------------------------------------------------------ */

enum { MANY = 20000, IDLE_STEPS = 2000 };

static void register_many(sf_runtime *rt, int from, int to, struct sink *sink)
{
    char name[16];
    for (int i = from; i < to; i++) {
        snprintf(name, sizeof name, "%d", i);
        OK(sf_egress_register(rt, name, take, sink));
    }
    OK(sf_run_until_idle(rt));
}

static uint64_t time_steps(sf_runtime *rt)
{
    uint64_t start = mono_ms();
    for (int i = 0; i < IDLE_STEPS; i++)
        OK(sf_step(rt, 1));
    return mono_ms() - start;
}

static void a_step_takes_no_longer_for_many_egresses(void **state)
{
    struct sink sink = {0};
    char name[16];
    sf_options options = SF_OPTIONS(.commit_inline = 1, .inbox_ms_max = UINT32_MAX);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &emitter_type, NULL));
    register_many(rt, 0, 10, &sink);
    uint64_t few_ms = time_steps(rt);
    register_many(rt, 10, MANY, &sink);
    assert_in_range(time_steps(rt), 0, 500 + 20 * few_ms); /* 2000 times as many */
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "%d", i * 7 % MANY);
        OK(order(rt, "e", name, 5));
    }
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.taken, 5 * MANY);
    assert_int_equal(stats_of(rt).egress_lag, 0);
    OK(sf_runtime_close(rt));
}

/* -- full -------------------------------------------------------------------------------------- */

static void who_emits_to_a_full_egress_waits_and_others_go_on(void **state)
{
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        struct place *place = *state;
        struct sink sink = {.is_down = 1}, other = {0};
        sf_options options = by_bytes ? (sf_options)SF_OPTIONS(.egress_bytes_max = 74 * 100)
                                      : (sf_options)SF_OPTIONS(.egress_records_max = 100);
        snprintf(place->db, sizeof place->db, "%.200s/%d", place->dir, by_bytes);
        sf_runtime *rt = open_sink(place, &sink, options);
        OK(sf_egress_register(rt, "other", take, &other));
        for (int i = 0; i < 30; i++)
            OK(order(rt, "e", "out", 10));
        OK(order(rt, "f", "other", 10));
        counter_add(rt, "a", 1);
        OK(sf_run_until_idle(rt));
        assert_int_equal(stats_of(rt).egress_lag, 100);
        assert_int_equal(other.taken, 10);
        assert_int_equal(counter_stored(rt, "a").total, 1);
        for (uint64_t end = mono_ms() + 300;
             mono_ms() < end;) /* far more tries than attempts_max */
            OK(sf_step(rt, 0));
        assert_true(stats_of(rt).turns_failed > 2);
        assert_int_equal(stats_of(rt).dead_letters, 0);
        assert_in_range(stats_of(rt).egress_stalled_ms, 200, 60000);
        sink.is_down = 0;
        drive_until_quiet(rt);
        assert_int_equal(sink.taken, 300);
        assert_int_equal(sink.wrong, 0);
        assert_int_equal(stats_of(rt).egress_stalled_ms, 0);
        OK(sf_runtime_close(rt));
    }
}

static int emit_and_say_why(sf_turn *turn)
{
    struct notes *notes = sf_userdata(turn);
    int rc = sf_emit(turn, "out", "record", SF_NONE);
    if (rc < 0)
        note(notes, "%d %s", rc, sf_errmsg());
    return 0;
}

/* By the acknowledgement, in the order in which they came, as many as have room, and nobody tries
 * in vain; the clock stands still. */
static void an_acknowledgement_lets_in_who_waits_for_room(void **state)
{
    static const char *const ids[] = {"a", "b", "c", "d", "e", "f"};
    struct sink sink = {.answers_later = 1};
    struct machine machine;
    sf_runtime *rt = open_still_with(&machine, *state, &sink, 2);
    for (int i = 0; i < 6; i++)
        OK(order(rt, ids[i], "out", 1));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "ab");
    assert_int_equal(stats_of(rt).turns_failed, 4);
    OK(sf_egress_ack(rt, "out", 1));
    assert_int_equal(sf_timeout_ms(rt), 0);
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "abc");
    OK(sf_egress_ack(rt, "out", 3));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "abcde");
    sink.answers_later = 0;
    OK(sf_egress_ack(rt, "out", 4));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "abcdef");
    assert_int_equal(stats_of(rt).turns_failed, 4);
    OK(sf_runtime_close(rt));
}

/* What the callback itself did counts too, and so do all that it did at once. */
static void a_sink_that_takes_records_lets_in_who_waits_for_room(void **state)
{
    struct sink sink = {0};
    struct machine machine;
    char id[2] = "a";
    sf_runtime *rt = open_still_with(&machine, *state, &sink, 3);
    for (; id[0] <= 'z'; id[0]++)
        OK(order(rt, id, "out", 1));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "abcdefghijklmnopqrstuvwxyz");
    OK(sf_runtime_close(rt));
}

/* Who waits for room may be purged or paused meanwhile: the room is another's. */
static void who_is_purged_or_paused_waits_for_no_room(void **state)
{
    struct sink sink = {.answers_later = 1};
    struct machine machine;
    sf_runtime *rt = open_still_with(&machine, *state, &sink, 1);
    OK(order(rt, "a", "out", 1));
    for (char id[2] = "b"; id[0] <= 'e'; id[0]++)
        OK(order(rt, id, "out", 1));
    OK(sf_run_until_idle(rt));
    OK(sf_purge(rt, sf_addr(EMITTER, "b")));
    OK(sf_purge(rt, sf_addr(EMITTER, "e")));
    OK(sf_pause(rt, sf_addr(EMITTER, "c"), "not now"));
    OK(sf_run_until_idle(rt));
    OK(sf_egress_ack(rt, "out", 1)); /* for c, which may not */
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "a");
    OK(sf_resume(rt, sf_addr(EMITTER, "c")));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "ac");
    OK(sf_egress_ack(rt, "out", 2));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "acd");
    OK(sf_egress_ack(rt, "out", 3));
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "acd");
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

/* Who was let in and emits nothing leaves room that nobody hears of: time tells. */
static void room_that_was_not_taken_is_found_by_time(void **state)
{
    struct sink sink = {.answers_later = 1};
    struct machine machine;
    sf_runtime *rt = open_still_with(&machine, *state, &sink, 1);
    OK(order(rt, "a", "out", 1));
    OK(order(rt, "b", "out", 1));
    OK(order(rt, "c", "out", 1));
    OK(sf_run_until_idle(rt));
    OK(sf_purge(rt, sf_addr(EMITTER, "b")));
    OK(sf_egress_ack(rt, "out", 1)); /* for b, which is gone by the time */
    OK(sf_run_until_idle(rt));
    machine_advance_ms(&machine, 2000);
    OK(sf_run_until_idle(rt));
    assert_string_equal(sink.ids, "ac");
    OK(sf_runtime_close(rt));
}

static void the_bounds_follow_from_the_ceiling(void **state)
{
    struct sink sink = {0};
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &sink); /* of 256 MiB */
    assert_int_equal(rt->egresses.records_max, 4 << 20);
    assert_int_equal(rt->egresses.bytes_max, 32 << 20);
    assert_int_equal(rt->dead.count_max, 65536);
    assert_int_equal(rt->dead.bytes_max, 16 << 20);
    OK(sf_runtime_close(rt));
}

static void the_handler_hears_which_egress_is_full(void **state)
{
    static const sf_type type = SF_TYPE("test/curious", .handler = emit_and_say_why);
    struct place *place = *state;
    struct sink sink = {.answers_later = 1};
    sf_runtime *rt = open_sink(place, &sink, (sf_options)SF_OPTIONS(.egress_records_max = 1));
    OK(sf_register(rt, &type, &place->notes));
    OK(sf_send(rt, sf_addr("test/curious", "c"), "", SF_NONE));
    OK(sf_send(rt, sf_addr("test/curious", "c"), "", SF_NONE));
    OK(sf_run_until_idle(rt));
    HAS(noted(&place->notes), "-3 egress 'out' is full: 1 records");
    OK(sf_egress_ack(rt, "out", 1));
    while (sink.taken < 2)
        OK(sf_step(rt, 0));
    OK(sf_runtime_close(rt));
}

/* The bytes are known again, as far as what was acknowledged one by one. */
static void a_bound_in_bytes_holds_over_a_restart(void **state)
{
    struct sink sink = {.answers_later = 1};
    sf_options options = SF_OPTIONS(.egress_bytes_max = 74 * 100);
    for (int run = 0; run < 3; run++) {
        sf_runtime *rt = open_sink(*state, &sink, options);
        sink.last = run == 0 ? 0 : 40;
        if (run == 0)
            for (int i = 0; i < 20; i++)
                OK(order(rt, "e", "out", 10));
        OK(sf_run_until_idle(rt));
        if (run == 0)
            OK(sf_egress_ack(rt, "out", 40));
        struct sfi_egress *egress = sfi_egresses_find(&rt->egresses, "out");
        for (uint64_t end = mono_ms() + 10000; egress->acked < 40 || rt->egresses.lag < 100;) {
            assert_true(mono_ms() < end);
            OK(sf_step(rt, 0));
        }
        assert_int_equal(egress->kept_bytes - egress->acked_bytes, 7400);
        OK(sf_runtime_close(rt));
    }
}

/* -- when -------------------------------------------------------------------------------------- */

/* Calls that were made when so many milliseconds more have passed. */
static uint32_t calls_after(sf_runtime *rt, struct machine *machine, struct sink *sink, uint64_t ms)
{
    machine_advance_ms(machine, ms);
    OK(sf_run_until_idle(rt));
    return sink->calls;
}

static void a_sink_that_refuses_is_asked_again_after_100_ms_and_ever_later_up_to_13_s(void **state)
{
    struct sink sink = {.is_down = 1};
    struct machine machine;
    sf_runtime *rt = open_still(&machine, *state, &sink);
    OK(order(rt, "e", "out", 300));
    OK(sf_run_until_idle(rt));
    uint32_t calls = 1;
    assert_int_equal(sink.calls, calls);
    for (int i = 0; i < 10; i++) {
        uint64_t pause_ms = UINT64_C(100) << (i < 7 ? i : 7);
        assert_in_range(sf_timeout_ms(rt), 1, pause_ms);
        assert_int_equal(calls_after(rt, &machine, &sink, pause_ms - 1), calls);
        assert_int_equal(calls_after(rt, &machine, &sink, 1), ++calls);
    }
    sink.is_down = 0;
    sink.refuses_from = 257; /* it takes a part, and is not so patient any more */
    assert_int_equal(calls_after(rt, &machine, &sink, 12800), calls + 2);
    assert_int_equal(sink.taken, 256);
    assert_in_range(sf_timeout_ms(rt), 1, 100);
    sink.refuses_from = 0;
    assert_int_equal(calls_after(rt, &machine, &sink, 99), calls + 2);
    assert_int_equal(calls_after(rt, &machine, &sink, 1), calls + 3);
    assert_int_equal(sink.taken, 300);
    OK(sf_runtime_close(rt));
}

static void an_acknowledgement_and_a_new_sink_wake_who_drives(void **state)
{
    struct sink sink = {.answers_later = 1}, next = {.last = 1};
    sf_runtime *rt = open_sink(*state, &sink, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(order(rt, "e", "out", 2));
    drive_until_quiet(rt);
    assert_int_equal(sf_timeout_ms(rt), -1);
    OK(sf_egress_ack(rt, "out", 1));
    assert_int_equal(sf_timeout_ms(rt), 0);
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));

    rt = place_open(*state);
    drive_until_quiet(rt);
    assert_int_equal(sf_timeout_ms(rt), -1);
    OK(sf_egress_register(rt, "out", take, &next));
    assert_int_equal(sf_timeout_ms(rt), 0);
    drive_until_quiet(rt);
    assert_int_equal(next.last, 2);
    OK(sf_runtime_close(rt));
}

/* -- what goes wrong --------------------------------------------------------------------------- */

static void a_callback_left_by_longjmp_is_called_again(void **state)
{
    jmp_buf out;
    struct sink sink = {.jumps = 3, .out = &out};
    sf_runtime *volatile rt = open_sink(*state, &sink, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(order(rt, "e", "out", 5));
    for (volatile int step = 0; step < 20; step++)
        if (setjmp(out) == 0)
            OK(sf_step(rt, 0));
    assert_int_equal(sink.calls, 4);
    assert_int_equal(sink.taken, 5);
    OK(sf_runtime_close(rt));
}

/* Whichever allocation fails: every record comes, in order, and what was accepted is handled. */
static void without_memory_no_record_is_lost(void **state)
{
    (void)state;
    for (uint64_t fail = 1, failed = 1; failed; fail++) {
        struct machine machine;
        struct sfi_store *store;
        struct sink sink = {0}, later = {.answers_later = 1};
        struct sfi_mem_disk *disk = sfi_mem_disk_new(sfi_sys_default());
        sf_options options = SF_OPTIONS(.commit_inline = 1, .egress_records_max = 8);
        sf_runtime *rt;
        machine_init(&machine);
        OK(sfi_mem_open(&machine.sys, disk, &store));
        OK(sfi_runtime_open_with(&machine.sys, store, &options, &rt));
        OK(sf_register(rt, &emitter_type, NULL));
        OK(sf_egress_register(rt, "out", take, &sink));
        OK(sf_egress_register(rt, "later", take, &later));
        uint64_t at = machine.allocations + fail;
        machine.fail_allocation = at;
        for (int i = 0; i < 12;)
            i += order(rt, "e", i % 2 ? "out" : "later", 3) > 0;
        for (int step = 0; step < 300 && (stats_of(rt).egress_lag || later.taken < 18); step++) {
            int rc = sf_step(rt, 0);
            assert_true(rc >= 0 || rc == SF_ENOMEM);
            OK(sf_egress_ack(rt, "later", later.last));
            machine_advance_ms(&machine, 50);
        }
        failed = machine.allocations >= at;
        assert_int_equal(sink.taken, 18);
        assert_int_equal(later.taken, 18);
        assert_int_equal(sink.wrong + later.wrong, 0);
        assert_int_equal(stats_of(rt).dead_letters, 0);
        OK(sf_runtime_close(rt));
        assert_int_equal(machine.live, 0);
        sfi_mem_disk_free(disk);
    }
}

/* Who cannot be brought its next record waits for somebody to look; the others go on. */
static void a_missing_record_stops_its_egress_until_it_is_acknowledged(void **state)
{
    struct sink sink = {0}, other = {0};
    sf_runtime *rt = open_sink(*state, &sink, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(sf_egress_register(rt, "other", take, &other));
    struct sfi_egress *egress = sfi_egresses_find(&rt->egresses, "out");
    OK(order(rt, "e", "out", 3));
    OK(sf_run_until_idle(rt));
    egress->next = 10; /* 4 to 9 are not there */
    sfi_egress_keep(&rt->egresses, egress);
    OK(order(rt, "e", "out", 2));
    OK(order(rt, "e", "other", 2));
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.last, 3);
    assert_int_equal(other.last, 2);
    OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).egresses_damaged, 1);
    OK(sf_egress_ack(rt, "out", 5)); /* not enough */
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.last, 3);
    OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).egresses_damaged, 1);
    OK(sf_egress_ack(rt, "out", 9));
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.last, 11);
    assert_int_equal(sink.wrong, 1); /* the hole */
    OK(sf_step(rt, 0));
    assert_int_equal(stats_of(rt).egresses_damaged, 0);
    assert_int_equal(stats_of(rt).egress_lag, 0);
    OK(sf_runtime_close(rt));
}

/* What the counters say with a checksum that is right: next, acknowledged, deleted. */
static void write_counters(struct sfi_mem_disk *disk, const uint64_t counters[3])
{
    struct sfi_store *store;
    struct sfi_batch batch;
    struct sfi_key key;
    enum { SIZE = SFI_RECORD_HEADER + 4 + 5 * 8 };
    OK(sfi_mem_open(sfi_sys_default(), disk, &store));
    sfi_batch_init(&batch, sfi_sys_default());
    sfi_key_meta(&key, SFI_META_EGRESS, "out");
    unsigned char *record = sfi_batch_put(&batch, SFI_META, sfi_key_bytes(&key), SIZE);
    assert_non_null(record);
    memset(record, 0, SIZE);
    sfi_le32_put(record + SFI_RECORD_HEADER, 1);
    for (int i = 0; i < 3; i++)
        sfi_le64_put(record + SFI_RECORD_HEADER + 4 + 8 * i, counters[i]);
    sfi_record_finish(record, SIZE, SFI_RECORD_EGRESS, sfi_key_bytes(&key));
    sfi_batch_seal(&batch, store->durable + 1);
    OK(sfi_store_submit(store, &batch));
    assert_int_equal(sfi_store_settle(store, 1), SFI_DURABLE);
    sfi_batch_fini(&batch);
    sfi_store_close(store);
}

static sf_runtime *open_memory(struct sfi_mem_disk *disk, int *rc)
{
    struct sfi_store *store;
    sf_options options = SF_OPTIONS(.commit_inline = 1);
    sf_runtime *rt = NULL;
    OK(sfi_mem_open(sfi_sys_default(), disk, &store));
    *rc = sfi_runtime_open_with(sfi_sys_default(), store, &options, &rt);
    return rt;
}

/* Five records, none acknowledged.  Counters that believe in others would be worked through for
 * ever. */
static void counters_without_their_rows_are_damage_at_open(void **state)
{
    static const uint64_t tries[][4] = {{6, 0, 0, 0},
                                        {7, 0, 0, 1},
                                        {5, 0, 0, 1},
                                        {1, 0, 0, 1},
                                        {6, 1, 1, 0}, /* one row too many does no harm */
                                        {UINT64_C(1) << 62, 0, 0, 1},
                                        {UINT64_C(1) << 62, (UINT64_C(1) << 62) - 1, 0, 1},
                                        {UINT64_C(1) << 62, (UINT64_C(1) << 62) - 1, 5, 1}};
    struct sfi_mem_disk *disk = sfi_mem_disk_new(sfi_sys_default());
    struct sink sink = {.is_down = 1};
    int rc;
    (void)state;
    sf_runtime *rt = open_memory(disk, &rc);
    OK(rc);
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_egress_register(rt, "out", take, &sink));
    OK(order(rt, "e", "out", 5));
    OK(sf_run_for(rt, 20000));
    OK(sf_runtime_close(rt));
    for (size_t i = 0; i < sizeof tries / sizeof *tries; i++) {
        write_counters(disk, tries[i]);
        rt = open_memory(disk, &rc);
        assert_int_equal(rc, tries[i][3] ? SF_ECORRUPT : 0);
        if (rt)
            OK(sf_runtime_close(rt));
    }
    sfi_mem_disk_free(disk);
}

/* -- how much a step brings ---------------------------------------------------------------------- */

/* Records that one step brings, when so many wait. */
static uint64_t share_of(void **state, uint32_t waiting)
{
    struct machine machine;
    struct sfi_store *store;
    struct sink sink = {.is_down = 1};
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS);
    sf_runtime *rt;
    (void)state;
    machine_init(&machine);
    struct sfi_mem_disk *disk = sfi_mem_disk_new(&machine.sys);
    OK(sfi_mem_open(&machine.sys, disk, &store));
    OK(sfi_runtime_open_with(&machine.sys, store, &options, &rt));
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_egress_register(rt, "out", take, &sink));
    for (uint32_t left = waiting; left; left -= left < 1000 ? left : 1000)
        OK(sf_send(rt, sf_addr(EMITTER, "a"), "out", SF_OF((uint32_t){left < 1000 ? left : 1000})));
    OK(sf_run_until_idle(rt));
    sink.is_down = 0;
    machine_advance_ms(&machine, HOUR_MS);
    OK(sf_step(rt, 0));
    uint64_t taken = sink.taken;
    assert_int_equal(sink.most, taken < 256 ? taken : 256);
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.taken, waiting);
    OK(sf_runtime_close(rt));
    sfi_mem_disk_free(disk);
    return taken;
}

static void a_step_brings_an_eighth_of_what_waits_within_bounds(void **state)
{
    assert_int_equal(share_of(state, 100), 100);
    assert_int_equal(share_of(state, 2000), 1024);
    assert_int_equal(share_of(state, 40960), 5120);
    assert_int_equal(share_of(state, 150000), 1 << 14);
}

static void a_sink_that_refuses_is_left_alone_longer_each_time(void **state)
{
    static const int pauses_ms[] = {100, 200, 400, 800, 1600, 3200, 6400, 12800, 12800, 12800};
    struct machine machine;
    struct sfi_store *store;
    struct sink sink = {.is_down = 1};
    sf_runtime *rt;
    (void)state;
    machine_init(&machine);
    struct sfi_mem_disk *disk = sfi_mem_disk_new(&machine.sys);
    OK(sfi_mem_open(&machine.sys, disk, &store));
    OK(sfi_runtime_open_with(&machine.sys, store, NULL, &rt));
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_egress_register(rt, "out", take, &sink));
    OK(sf_send(rt, sf_addr(EMITTER, "a"), "out", SF_OF((uint32_t){2})));
    for (size_t i = 0; i < sizeof pauses_ms / sizeof *pauses_ms; i++) {
        OK(sf_run_until_idle(rt));
        assert_int_equal(sink.calls, i + 1);
        assert_int_equal(sf_timeout_ms(rt), pauses_ms[i]);
        machine_advance_ms(&machine, (uint64_t)pauses_ms[i]);
    }
    sink.is_down = 0;
    OK(sf_run_until_idle(rt));
    assert_int_equal(sink.taken, 2);
    sink.is_down = 1;
    OK(sf_send(rt, sf_addr(EMITTER, "a"), "out", SF_OF((uint32_t){2})));
    OK(sf_run_until_idle(rt));
    assert_int_equal(sf_timeout_ms(rt), 100); /* from the beginning */
    OK(sf_egress_register(rt, "out", take, &sink));
    OK(sf_run_until_idle(rt));
    assert_int_equal(sf_timeout_ms(rt), 100); /* a new sink is tried at once, and knows of no failure */
    OK(sf_runtime_close(rt));
    sfi_mem_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_sink_that_answers_at_once_keeps_up_with_those_who_emit),
        TEST(a_backlog_shrinks_while_others_emit),
        TEST(one_egress_with_a_backlog_does_not_hold_up_another),
        TEST(a_step_takes_no_longer_for_many_egresses),
        TEST(who_emits_to_a_full_egress_waits_and_others_go_on),
        TEST(an_acknowledgement_lets_in_who_waits_for_room),
        TEST(a_sink_that_takes_records_lets_in_who_waits_for_room),
        TEST(who_is_purged_or_paused_waits_for_no_room),
        TEST(room_that_was_not_taken_is_found_by_time),
        TEST(the_handler_hears_which_egress_is_full),
        TEST(a_bound_in_bytes_holds_over_a_restart),
        TEST(the_bounds_follow_from_the_ceiling),
        TEST(one_call_brings_a_mebibyte_and_the_record_that_crosses_it),
        TEST(a_sink_that_refuses_is_asked_again_after_100_ms_and_ever_later_up_to_13_s),
        TEST(an_acknowledgement_and_a_new_sink_wake_who_drives),
        TEST(a_callback_left_by_longjmp_is_called_again),
        TEST(without_memory_no_record_is_lost),
        TEST(a_missing_record_stops_its_egress_until_it_is_acknowledged),
        TEST(counters_without_their_rows_are_damage_at_open),
        TEST(a_step_brings_an_eighth_of_what_waits_within_bounds),
        TEST(a_sink_that_refuses_is_left_alone_longer_each_time),
    };
    return cmocka_run_group_tests_name("delivery", tests, NULL, NULL);
}
