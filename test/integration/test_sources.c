/* test_sources.c - an input that can be replayed counts each record once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "run/life.h"
#include "run/runtime.h"
#include "support/machine.h"
#include "support/support.h"

static sf_runtime *open_counters(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static sf_source *open_source(sf_runtime *rt, const char *name, uint32_t partition)
{
    sf_source *source = NULL;
    OK(sf_source_open(rt, name, partition, &source));
    assert_non_null(source);
    return source;
}

/* One record: adds `amount` to counter `id`, then advances. */
static int feed(sf_source *source, const char *id, uint64_t amount, uint64_t position)
{
    OK(sf_source_send(source, sf_addr("test/counter", id), "add", SF_OF(amount)));
    return sf_source_advance(source, position);
}

static void a_new_source_starts_at_0_and_its_position_is_the_durable_one(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(sf_source_position(source), 0);
    assert_int_equal(feed(source, "a", 1, 10), 0);
    assert_int_equal(sf_source_position(source), 0); /* taken in, not on disk */
    drive_until_quiet(rt);
    assert_int_equal(sf_source_position(source), 10);
    sf_source_close(source);
    sf_source_close(NULL);
    OK(sf_runtime_close(rt));
}

static void what_an_earlier_run_had_is_skipped(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(feed(source, "a", i, i * 100), 0);
    drive_until_quiet(rt);
    sf_source_close(source);
    OK(sf_runtime_close(rt));

    rt = open_counters(*state);
    source = open_source(rt, "input", 0);
    assert_int_equal(sf_source_position(source), 1000);
    for (uint64_t i = 1; i <= 20; i++) /* the whole file again */
        assert_int_equal(feed(source, "a", i, i * 100), i <= 10);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 210);
    assert_int_equal(counter_stored(rt, "a").messages, 20);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void a_position_that_does_not_rise_is_refused_and_its_messages_dropped(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(feed(source, "a", 1, 50), 0);
    REFUSED(feed(source, "a", 1000, 50), SF_EINVAL);
    REFUSED(feed(source, "a", 1000, 49), SF_EINVAL);
    assert_int_equal(feed(source, "a", 2, 51), 0);
    REFUSED(feed(source, "a", 1000, 0), SF_EINVAL);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 3);
    assert_int_equal(sf_source_position(source), 51);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* Positions up to the durable one at open are skipped; those of this run must rise. */
static void backwards_within_a_run_is_an_error_even_below_the_durable_position(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(feed(source, "a", 1, 100), 0);
    drive_until_quiet(rt);
    assert_int_equal(sf_source_position(source), 100);
    /* durable at open was 0: not an earlier run's */
    REFUSED(feed(source, "a", 1000, 100), SF_EINVAL);
    SAYS("position 100 is not after 100");
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void a_record_may_send_nothing_or_many(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(sf_source_advance(source, 1), 0);
    for (int i = 0; i < 1000; i++)
        OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1})));
    assert_int_equal(sf_source_advance(source, 2), 0);
    assert_int_equal(sf_source_advance(source, 3), 0);
    drive_until_quiet(rt);
    assert_int_equal(sf_source_position(source), 3);
    assert_int_equal(counter_stored(rt, "a").total, 1000);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void a_failed_send_sticks_until_the_advance_which_takes_in_nothing(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1})));
    REFUSED(sf_source_send(source, sf_addr("test/nobody", "a"), "add", SF_NONE), SF_ENOTFOUND);
    (void)sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}));
    REFUSED(sf_source_advance(source, 10), SF_ENOTFOUND);
    /* the same position again: it was not taken in */
    assert_int_equal(feed(source, "a", 5, 10), 0);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 5);
    assert_int_equal(counter_stored(rt, "a").messages, 1);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void what_was_sent_and_never_advanced_is_dropped(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(feed(source, "a", 1, 1), 0);
    OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1000})));
    sf_source_close(source);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

static void partitions_and_names_are_apart(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *sources[] = {open_source(rt, "input", 0), open_source(rt, "input", 1),
                            open_source(rt, "input", UINT32_MAX), open_source(rt, "other", 0)};
    sf_source *again = NULL;
    for (uint64_t i = 0; i < 4; i++)
        assert_int_equal(feed(sources[i], "a", 1, 10 + i), 0);
    REFUSED(sf_source_open(rt, "input", 1, &again), SF_EBUSY);
    assert_null(again);
    drive_until_quiet(rt);
    for (int i = 0; i < 4; i++)
        sf_source_close(sources[i]);
    OK(sf_runtime_close(rt));

    rt = open_counters(*state);
    const char *names[] = {"input", "input", "input", "other"};
    const uint32_t partitions[] = {0, 1, UINT32_MAX, 0};
    for (uint64_t i = 0; i < 4; i++) {
        sf_source *source = open_source(rt, names[i], partitions[i]);
        assert_int_equal(sf_source_position(source), 10 + i);
        sf_source_close(source);
    }
    again = open_source(rt, "input", 1); /* free again once closed */
    sf_source_close(again);
    assert_int_equal(counter_stored(rt, "a").total, 4);
    OK(sf_runtime_close(rt));
}

static void a_source_opened_again_in_the_same_run_goes_on_where_it_was(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    assert_int_equal(feed(source, "a", 1, 10), 0);
    sf_source_close(source);
    source = open_source(rt, "input", 0); /* 10 was taken in, and may not be durable yet */
    int again = sf_source_position(source) < 10 ? feed(source, "a", 1000, 10) : 1;
    assert_true(again == 1 || again == SF_EINVAL);
    assert_int_equal(feed(source, "a", 2, 20), 0);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 3);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void bad_names_are_refused(void **state)
{
    static char long_name[257];
    sf_runtime *rt = open_counters(*state);
    sf_source *source = NULL;
    memset(long_name, 'x', 256);
    REFUSED(sf_source_open(rt, "", 0, &source), SF_EINVAL);
    REFUSED(sf_source_open(rt, NULL, 0, &source), SF_EINVAL);
    REFUSED(sf_source_open(rt, long_name, 0, &source), SF_EINVAL);
    assert_null(source);
    long_name[255] = 0;
    source = open_source(rt, long_name, 0);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* What a record sent before "no room" must not be sent a second time by the caller. */
static void no_room_keeps_what_was_sent_for_the_next_advance(void **state)
{
    static char body[1000];
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 50000);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &counter_type, NULL));
    sf_source *source = open_source(rt, "input", 0);
    uint64_t full = 0;
    memset(body, 0, sizeof body);
    for (uint64_t i = 1; i <= 500; i++) {
        int rc;
        OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){i})));
        OK(sf_source_send(source, sf_addr("test/counter", "b"), "reject", SF_BYTES(body, 999)));
        while ((rc = sf_source_advance(source, i)) == SF_EAGAIN) {
            full++;
            if (full % 2)
                OK(sf_step(rt, 0));
            else
                OK(sf_wait_room(rt, 5000));
        }
        assert_int_equal(rc, 0);
    }
    drive_until_quiet(rt);
    assert_true(full > 0);
    assert_int_equal(counter_stored(rt, "a").total, 500 * 501 / 2);
    assert_int_equal(counter_stored(rt, "a").messages, 500);
    assert_int_equal(stats_of(rt).dead_letters, 500);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

static void a_group_beyond_its_bound_is_refused_whole(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    sf_address a = sf_addr("test/counter", "a");
    uint64_t one = 1;
    for (int i = 0; i < SF_ADVANCE_MESSAGES_MAX; i++)
        OK(sf_source_send(source, a, "add", SF_OF(one)));
    REFUSED(sf_source_send(source, a, "add", SF_OF(one)), SF_EINVAL);
    SAYS("65536 messages");
    REFUSED(sf_source_advance(source, 1), SF_EINVAL);
    SAYS("65536 messages");
    for (int i = 0; i < SF_ADVANCE_MESSAGES_MAX; i++)
        OK(sf_source_send(source, a, "add", SF_OF(one)));
    assert_int_equal(sf_source_advance(source, 1), 0);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").messages, SF_ADVANCE_MESSAGES_MAX);
    assert_int_equal(sf_source_position(source), 1);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* The largest message fits alone, and more than one only within the bound on bytes. */
static void a_group_is_bounded_in_bytes_too(void **state)
{
    sf_options options = SF_OPTIONS(.payload_max = 16 << 20, .store_bytes_max = 1 << 30);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &counter_type, NULL));
    sf_source *source = open_source(rt, "input", 0);
    sf_address a = sf_addr("test/counter", "a");
    char *body = calloc(1, 16 << 20);
    uint64_t sent = 0;
    OK(sf_source_send(source, a, "reject", SF_BYTES(body, 16 << 20)));
    REFUSED(sf_source_send(source, a, "reject", SF_NONE), SF_EINVAL);
    SAYS("16777216 bytes");
    REFUSED(sf_source_advance(source, 1), SF_EINVAL);
    OK(sf_source_send(source, a, "reject", SF_BYTES(body, 16 << 20)));
    assert_int_equal(sf_source_advance(source, 1), 0);
    while (sf_source_send(source, a, "reject", SF_BYTES(body, 100000)) == 0)
        sent++;
    assert_true(sent > 160 && sent <= (16 << 20) / 100000);
    REFUSED(sf_source_advance(source, 2), SF_EINVAL);
    free(body);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* However many came in with one advance: a look into the inbox brings in about a thousand messages,
 * so that most are handled in the epoch that took them in. */
static void intake_is_bounded_by_messages_not_by_groups(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    uint64_t one = 1;
    for (uint64_t i = 1; i <= 100; i++) {
        for (int n = 0; n < 1000; n++)
            OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF(one)));
        assert_int_equal(sf_source_advance(source, i), 0);
    }
    assert_int_equal(sf_step(rt, 1), 1);
    assert_true(stats_of(rt).messages_waiting < 2100);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").messages, 100000);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* The same when it is the database that has no room. */
static void no_room_in_the_database_keeps_what_was_sent_too(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    for (uint64_t i = 1; i <= 3; i++) {
        uint64_t room = rt->ceiling.room;
        OK(sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF(i)));
        OK(sf_source_send(source, sf_addr("test/counter", "b"), "add", SF_OF(i)));
        rt->ceiling.room = 0; /* nobody else uses it now */
        REFUSED(sf_source_advance(source, i), SF_EDISK);
        REFUSED(sf_source_advance(source, i), SF_EDISK);
        rt->ceiling.room = room;
        assert_int_equal(sf_source_advance(source, i), 0);
        drive_until_quiet(rt);
        assert_int_equal(counter_stored(rt, "a").messages, i);
        assert_int_equal(counter_stored(rt, "b").messages, i);
        assert_int_equal(sf_source_position(source), i);
    }
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* -- memory that fails
 * ----------------------------------------------------------------------------- */

struct tally {
    uint64_t messages;
};

static int count_message(sf_turn *turn)
{
    struct tally *self = sf_state(turn);
    self->messages++;
    return 0;
}

/* Bodies so large that each message is asked of the system. */
static const sf_type tally_type =
    SF_TYPE("test/tally", .handler = count_message, .state_size = sizeof(struct tally));

static uint64_t tallied(sf_runtime *rt)
{
    struct tally tally = {0};
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes bytes = sf_view_state(view, sf_addr("test/tally", "t"));
    if (bytes.data)
        memcpy(&tally, bytes.data, sizeof tally);
    sf_view_close(view);
    return tally.messages;
}

/* 1: there is no such allocation any more. */
static int take_in_without_memory(struct place *place, uint64_t nth)
{
    static char body[5000];
    struct machine machine;
    char name[32];
    sf_runtime *rt;
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = UINT64_C(1) << 30);
    snprintf(name, sizeof name, "%d", (int)nth);
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place_path(place, name), &options, &rt));
    OK(sf_register(rt, &tally_type, NULL));
    sf_source *source = open_source(rt, "input", 0);
    for (int i = 0; i < 3; i++)
        OK(sf_source_send(source, sf_addr("test/tally", "t"), "", SF_BYTES(body, sizeof body)));
    assert_int_equal(sf_source_advance(source, 7), 0);
    machine.fail_allocation = machine.allocations + nth;
    int rc = sf_step(rt, 0), over = machine.allocations < machine.fail_allocation;
    assert_true(rc >= 0 || (rc == SF_ENOMEM && !over));
    machine.fail_allocation = 0;
    OK(sf_run_until_idle(rt));
    assert_int_equal(tallied(rt), 3);
    assert_int_equal(sf_source_position(source), 7);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    assert_int_equal(machine.live, 0);
    return over;
}

/* Neither half taken in, nor twice, nor leaked, whichever allocation fails. */
static void a_group_without_memory_is_taken_in_whole_later(void **state)
{
    uint64_t nth = 1;
    while (!take_in_without_memory(*state, nth))
        assert_true(++nth < 500);
    print_message("%d allocations\n", (int)nth - 1);
    assert_true(nth > 4);
}

static int stage_without_memory(struct place *place, uint64_t nth)
{
    static char body[3000];
    struct machine machine;
    char name[32];
    sf_runtime *rt;
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = UINT64_C(1) << 30);
    snprintf(name, sizeof name, "s%d", (int)nth);
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place_path(place, name), &options, &rt));
    OK(sf_register(rt, &tally_type, NULL));
    sf_source *source = open_source(rt, "input", 0);
    machine.fail_allocation = machine.allocations + nth;
    int sent = 0, rc = 0;
    while (sent < 5 && sf_source_send(source, sf_addr("test/tally", "t"), "",
                                      SF_BYTES(body, sizeof body)) == 0)
        sent++;
    rc = sf_source_advance(source, 1);
    int over = machine.allocations < machine.fail_allocation;
    machine.fail_allocation = 0;
    assert_int_equal(rc, over ? 0 : SF_ENOMEM);
    if (!over) { /* dropped, as the header says: send it again */
        for (int i = 0; i < 5; i++)
            OK(sf_source_send(source, sf_addr("test/tally", "t"), "", SF_BYTES(body, sizeof body)));
        assert_int_equal(sf_source_advance(source, 1), 0);
    }
    OK(sf_run_until_idle(rt));
    assert_int_equal(tallied(rt), 5);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    assert_int_equal(machine.live, 0);
    return over;
}

static void without_memory_a_record_is_dropped_whole_and_can_be_sent_again(void **state)
{
    uint64_t nth = 1;
    while (!stage_without_memory(*state, nth))
        assert_true(++nth < 500);
    assert_true(nth > 2);
}

/* -- positions and what they promise
 * ----------------------------------------------------------------- */

/* Taken in but not on disk: who opens it again goes on after it, and reads on disk where it
 * really is. */
static void opened_again_before_its_records_are_durable_nothing_counts_twice(void **state)
{
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(feed(source, "a", 1, i), 0);
    sf_source_close(source);
    source = open_source(rt, "input", 0);
    assert_int_equal(sf_source_position(source), 0);
    for (uint64_t i = 1; i <= 10; i++)
        assert_int_equal(feed(source, "a", 1000, i), 1); /* the inbox has them */
    assert_int_equal(feed(source, "a", 1, 11), 0);
    REFUSED(feed(source, "a", 1000, 11), SF_EINVAL);
    drive_until_quiet(rt);
    assert_int_equal(sf_source_position(source), 11);
    assert_int_equal(counter_stored(rt, "a").total, 11);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

struct promise {
    struct place *place;
    _Atomic uint64_t position; /* that sf_source_position() has shown */
};

/* More than one look takes in, and one step: what the position promises then must be there. */
static int feed_much_step_once_and_die(void *arg)
{
    struct promise *promise = arg;
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .commit_inline = 1,
                                    .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt;
    sf_source *source;
    if (sf_runtime_open(promise->place->db, &options, &rt) < 0 ||
        sf_register(rt, &counter_type, NULL) < 0 || sf_source_open(rt, "input", 0, &source) < 0)
        return 2;
    for (uint64_t i = 1; i <= 5000; i++) {
        uint64_t one = 1;
        if (sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF(one)) < 0 ||
            sf_source_advance(source, i) != 0)
            return 3;
    }
    for (int i = 0; i < 3; i++) {
        if (sf_step(rt, 10) < 0)
            return 4;
        promise->position = sf_source_position(source);
    }
    return 0;
}

static void everything_up_to_the_position_is_there_after_a_death(void **state)
{
    struct promise *promise = mmap(NULL, sizeof *promise, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(promise != MAP_FAILED);
    promise->place = *state;
    assert_int_equal(in_child(feed_much_step_once_and_die, promise), 0);
    assert_true(promise->position > 0 && promise->position < 5000);
    sf_runtime *rt = open_counters(*state);
    sf_source *source = open_source(rt, "input", 0);
    uint64_t position = sf_source_position(source);
    assert_true(position >= promise->position);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").messages, position);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    munmap(promise, sizeof *promise);
}

/* Reads on where the position says, and dies after some records and a commit now and then. */
static int feed_and_die(void *arg)
{
    struct place *place = arg;
    sf_runtime *rt;
    sf_source *source;
    if (sf_runtime_open(place->db, defaults(), &rt) < 0 ||
        sf_register(rt, &counter_type, NULL) < 0 || sf_source_open(rt, "input", 0, &source) < 0)
        return 2;
    uint64_t position = sf_source_position(source);
    for (uint64_t i = position + 1; i <= 1000; i++) {
        (void)sf_source_send(source, sf_addr("test/counter", "a"), "add", SF_OF(i));
        if (sf_source_advance(source, i) != 0)
            return 3;
        if (i % 7 == 0 && sf_step(rt, 3) < 0)
            return 4;
        if (i % 40 == 0 && sf_wait(rt, 0, 10000) < 0)
            return 6;
        if (i > position + 83)
            return 1; /* the end: neither committed nor closed */
    }
    sf_source_close(source);
    return sf_runtime_close(rt) < 0 ? 5 : 0;
}

static void each_record_counts_once_through_any_number_of_deaths(void **state)
{
    int status, runs = 0;
    while ((status = in_child(feed_and_die, *state)) == 1)
        assert_true(++runs < 100);
    assert_int_equal(status, 0);
    assert_true(runs > 5);
    sf_runtime *rt = open_counters(*state);
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 500500);
    assert_int_equal(counter_stored(rt, "a").messages, 1000);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_new_source_starts_at_0_and_its_position_is_the_durable_one),
        TEST(what_an_earlier_run_had_is_skipped),
        TEST(a_position_that_does_not_rise_is_refused_and_its_messages_dropped),
        TEST(backwards_within_a_run_is_an_error_even_below_the_durable_position),
        TEST(a_record_may_send_nothing_or_many),
        TEST(a_failed_send_sticks_until_the_advance_which_takes_in_nothing),
        TEST(what_was_sent_and_never_advanced_is_dropped),
        TEST(partitions_and_names_are_apart),
        TEST(a_source_opened_again_in_the_same_run_goes_on_where_it_was),
        TEST(bad_names_are_refused),
        TEST(no_room_keeps_what_was_sent_for_the_next_advance),
        TEST(a_group_beyond_its_bound_is_refused_whole),
        TEST(a_group_is_bounded_in_bytes_too),
        TEST(intake_is_bounded_by_messages_not_by_groups),
        TEST(no_room_in_the_database_keeps_what_was_sent_too),
        TEST(a_group_without_memory_is_taken_in_whole_later),
        TEST(without_memory_a_record_is_dropped_whole_and_can_be_sent_again),
        TEST(opened_again_before_its_records_are_durable_nothing_counts_twice),
        TEST(everything_up_to_the_position_is_there_after_a_death),
        TEST(each_record_counts_once_through_any_number_of_deaths),
    };
    return cmocka_run_group_tests_name("sources", tests, NULL, NULL);
}
