/* test_gleaner.c - what has expired gives its space back: bit by bit, beside everything else, and nothing else goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "run/runtime.h"
#include "run/step.h"
#include "support/rig.h"
#include "support/support.h"

#define GUEST "test/guest"

enum { LIFE = 1000, GUESTS = 2000 };

static const sf_value BRIEF = SF_VALUE("brief", .expire_after_write_ms = LIFE),
                      READ = SF_VALUE("read", .expire_after_access_ms = LIFE),
                      KEPT = SF_VALUE("kept");

static const sf_list TRAIL = SF_LIST("trail", .expire_after_write_ms = LIFE);

struct guest {
    uint64_t visits;
};

/* Letter by letter: s writes the struct, b, r and k values; e appends an element, E one that becomes a row; R reads a
 * value; t tells itself to do this again. */
static int play(sf_turn *turn)
{
    static const char big[1000];
    for (const char *step = sf_msg(turn)->kind; *step; step++)
        switch (*step) {
        case 's': ((struct guest *)sf_state(turn))->visits++; break;
        case 'b': sf_value_put(turn, &BRIEF, sf_str("a value that takes some room")); break;
        case 'r': sf_value_put(turn, &READ, sf_str("read")); break;
        case 'e': sf_list_append(turn, &TRAIL, sf_str("a step")); break;
        case 'E': sf_list_append(turn, &TRAIL, SF_OF(big)); break;
        case 'R': sf_value_get(turn, &READ); break;
        case 'k': sf_value_put(turn, &KEPT, sf_str("kept")); break;
        case 't': sf_tell(turn, sf_self(turn), sf_msg(turn)->kind, SF_NONE); break;
        }
    return 0;
}

static const sf_type guest = SF_TYPE(GUEST, .handler = play, .state_size = sizeof(struct guest),
                                     .state_expire_after_write_ms = LIFE,
                                     .values = {&BRIEF, &READ, &KEPT}, .lists = {&TRAIL});

static void start(struct rig *rig)
{
    OK(sf_register(rig->rt, &guest, NULL));
    OK(sf_run_until_idle(rig->rt));
}

/* The clock is believed. */
static void open_house(struct rig *rig, struct place *place)
{
    rig_open(rig, place, (sf_options)SF_OPTIONS(.commit_inline = 1));
    start(rig);
    machine_advance_ms(&rig->machine, SF_MINUTE);
}

static void reopen(struct rig *rig)
{
    rig_crash(rig);
    rig_start(rig);
    start(rig);
    machine_advance_ms(&rig->machine, SF_MINUTE);
}

static void visit(struct rig *rig, int first, int count, const char *steps)
{
    for (int i = first; i < first + count; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        OK(sf_send(rig->rt, sf_addr(GUEST, id), steps, SF_NONE));
    }
}

struct room {
    int rows;
    uint64_t bytes;
};

/* Rows of table entry that are durable. */
static int elements(sf_runtime *rt)
{
    struct sfi_snapshot *snapshot;
    unsigned char at[SFI_KEY_MAX];
    sf_bytes from = SF_BYTES(at, 0), key, value;
    int count = 0;
    OK(sfi_snapshot_open(rt->store, &snapshot));
    while (OK(sfi_snapshot_seek(snapshot, SFI_ENTRY, from, count > 0, &key, &value)) > 0) {
        memcpy(at, key.data, key.size);
        from.size = key.size;
        count++;
    }
    sfi_snapshot_close(snapshot);
    return count;
}

/* What table state takes, as far as it is durable. */
static struct room room_of(sf_runtime *rt)
{
    struct sfi_snapshot *snapshot;
    unsigned char at[SFI_KEY_MAX];
    sf_bytes from = SF_BYTES(at, 0), key, value;
    struct room room = {0, 0};
    OK(sfi_snapshot_open(rt->store, &snapshot));
    while (OK(sfi_snapshot_seek(snapshot, SFI_STATE, from, room.rows > 0, &key, &value)) > 0) {
        memcpy(at, key.data, key.size);
        from.size = key.size;
        room.rows++;
        room.bytes += key.size + value.size;
    }
    sfi_snapshot_close(snapshot);
    return room;
}

/* Steps, a millisecond each. */
static void live(struct rig *rig, int steps)
{
    while (steps--) {
        machine_advance_ms(&rig->machine, 1);
        OK(sf_step(rig->rt, 1));
    }
}

static void what_has_expired_gives_its_space_back(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, GUESTS, "sbrk");
    OK(sf_run_until_idle(rig.rt));
    struct room full = room_of(rig.rt);
    assert_int_equal(full.rows, 4 * GUESTS);
    machine_advance_ms(&rig.machine, 2 * LIFE);
    OK(sf_run_until_idle(rig.rt)); /* which does not wait for it */
    assert_true(room_of(rig.rt).rows > 3 * GUESTS);
    live(&rig, 4000);
    struct room left = room_of(rig.rt);
    assert_int_equal(left.rows, GUESTS); /* what is kept */
    assert_true(left.bytes < full.bytes / 2);
    assert_true(sfi_is_idle(rig.rt));
    rig_close(&rig);
}

static void lists_give_their_space_back_from_the_front(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, 20, "eeEEEeeEe");
    OK(sf_run_until_idle(rig.rt));
    assert_true(elements(rig.rt) >= 20 * 4);
    machine_advance_ms(&rig.machine, LIFE / 2);
    visit(&rig, 0, 10, "Ee"); /* these live longer */
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, LIFE / 2);
    rig.rt->gleaner.due_ns = rig.machine.now_ns;
    for (int i = 0; i < 100; i++) {
        OK(sf_step(rig.rt, 0));
        rig.rt->gleaner.due_ns = rig.rt->reclaim.due_ns = rig.machine.now_ns;
    }
    assert_int_equal(room_of(rig.rt).rows, 10);
    live(&rig, 3000);
    assert_int_equal(room_of(rig.rt).rows, 0);
    assert_int_equal(elements(rig.rt), 0);
    rig_close(&rig);
}

static void space_comes_back_while_a_queue_is_not_empty(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, GUESTS, "sb");
    OK(sf_run_until_idle(rig.rt));
    visit(&rig, GUESTS, 4, "t"); /* for ever */
    live(&rig, 1);
    machine_advance_ms(&rig.machine, LIFE);
    int before = room_of(rig.rt).rows;
    assert_int_equal(before, 2 * GUESTS);
    for (int i = 0; i < 20; i++) { /* bit by bit */
        live(&rig, 100);
        assert_true(rig.rt->mailbox.queued > 0);
        int after = room_of(rig.rt).rows;
        assert_true(before - after <= 100 * 1024);
        before = after;
    }
    for (int i = 0; i < 50; i++)
        live(&rig, 100);
    assert_int_equal(room_of(rig.rt).rows, 0);
    assert_true(rig.rt->mailbox.queued > 0);
    rig_close(&rig);
}

/* The clock goes on only a little, so that no slice is due by time: only for what is put. */
static void garbage_goes_as_fast_as_it_is_made(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    int most = 0;
    for (int epoch = 0; epoch < 200; epoch++) {
        visit(&rig, epoch * 100, 100, "b");
        OK(sf_step(rig.rt, 0));
        rig.rt->gleaner.due_ns = UINT64_MAX;
        machine_advance_ms(&rig.machine, LIFE / 10);
        int rows = room_of(rig.rt).rows;
        most = rows > most ? rows : most;
    }
    assert_true(most >= 1000); /* so many live */
    assert_true(most <= 1000 + 1000 / 3 + 300);
    rig_close(&rig);
}

static void what_was_refreshed_in_memory_stays(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, 50, "sr");
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, LIFE - 1);
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    visit(&rig, 0, 25, "sR"); /* one epoch of it is on its way, */
    OK(sf_step(rig.rt, 0));
    visit(&rig, 25, 25, "sR"); /* one is open: the table has the old times */
    OK(sf_step(rig.rt, 0));
    machine_advance_ms(&rig.machine, LIFE - 1);
    rig.rt->gleaner.due_ns = 0; /* a round begins with the step after the next */
    OK(sf_step(rig.rt, 0));
    rig.rt->gleaner.due_ns = rig.machine.now_ns;
    OK(sf_step(rig.rt, 0));
    under_way->times = 0;
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(room_of(rig.rt).rows, 100);
    live(&rig, 5000);
    assert_int_equal(room_of(rig.rt).rows, 0);
    rig_close(&rig);
}

static void it_begins_again_after_a_crash(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, GUESTS, "sbk");
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, LIFE);
    for (int rows = 3 * GUESTS, crashes = 0; rows > GUESTS; crashes++) {
        assert_true(crashes < 1000);
        reopen(&rig);
        live(&rig, 20);
        int left = room_of(rig.rt).rows;
        assert_true(left <= rows);
        rows = left;
    }
    live(&rig, 3000);
    assert_int_equal(room_of(rig.rt).rows, GUESTS);
    rig_close(&rig);
}

static void nothing_goes_while_the_clock_is_in_doubt(void **state)
{
    struct rig rig;
    open_house(&rig, *state);
    visit(&rig, 0, 100, "b");
    OK(sf_run_until_idle(rig.rt));
    rig.machine.wall_ahead_us += 3600 * INT64_C(1000000) + 60 * INT64_C(1000000); /* too far */
    machine_advance_ms(&rig.machine, LIFE);
    for (int i = 0; i < 58; i++) {
        live(&rig, 1);
        machine_advance_ms(&rig.machine, 999);
    }
    assert_int_equal(room_of(rig.rt).rows, 100);
    rig.machine.wall_ahead_us = 0; /* set right, 59 s later: they have expired all the same */
    live(&rig, 1);
    assert_int_equal(room_of(rig.rt).rows, 100);
    machine_advance_ms(&rig.machine, SF_MINUTE);
    live(&rig, 1); /* that was a jump too */
    assert_int_equal(room_of(rig.rt).rows, 100);
    machine_advance_ms(&rig.machine, SF_MINUTE);
    live(&rig, 3000);
    assert_int_equal(room_of(rig.rt).rows, 0);
    rig_close(&rig);
}

/* -- what the machine refuses -------------------------------------------------------------------- */

static void glean_with_a_failure(struct place *place, uint64_t nth, int is_memory, uint64_t *count)
{
    struct rig rig;
    open_house(&rig, place);
    visit(&rig, 0, 20, "sbekEE");
    OK(sf_run_until_idle(rig.rt));
    reopen(&rig); /* nothing is in memory */
    machine_advance_ms(&rig.machine, LIFE);
    visit(&rig, 5, 1, "k");
    uint64_t before = rig.machine.allocations;
    if (is_memory && nth)
        rig.machine.fail_allocation = before + nth;
    else if (nth)
        *tell(&rig, "mem.read", 1) = (struct tell){"mem.read", SF_EDISK, (int)nth - 1, 1};
    for (int i = 0; i < 5000; i++) {
        machine_advance_ms(&rig.machine, 1);
        (void)sf_step(rig.rt, 1);
    }
    *count = rig.machine.allocations - before;
    rig.machine.fail_allocation = 0;
    memset(rig.tells, 0, sizeof rig.tells);
    assert_int_equal(room_of(rig.rt).rows, 20);
    assert_int_equal(elements(rig.rt), 0);
    reopen(&rig);
    assert_int_equal(room_of(rig.rt).rows, 20);
    rig_close(&rig);
}

static void a_machine_that_refuses_delays_it_and_loses_nothing(void **state)
{
    uint64_t count, unused;
    glean_with_a_failure(*state, 0, 1, &count);
    for (uint64_t nth = 1; nth <= count && nth < 200; nth++)
        glean_with_a_failure(*state, nth, 1, &unused);
    for (uint64_t nth = 1; nth <= 100; nth++)
        glean_with_a_failure(*state, nth, 0, &unused);
}

/* -- on a disk ----------------------------------------------------------------------------------- */

static const sf_type brief = SF_TYPE(GUEST, .handler = play, .state_size = sizeof(struct guest),
                                     .state_expire_after_write_ms = 1, .values = {&BRIEF, &READ, &KEPT});

/* With a changelog so small that rows come into the table; in real time. */
static void on_a_disk_the_table_becomes_empty_again(void **state)
{
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.log_records_max = 256, .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &brief, NULL));
    for (int i = 0; i < 3000; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        OK(sf_send(rt, sf_addr(GUEST, id), "s", SF_NONE));
        if (i % 200 == 0)
            OK(sf_run_until_idle(rt));
    }
    OK(sf_run_until_idle(rt));
    rt->doubt.until_ns = 0; /* a minute is long */
    int before = room_of(rt).rows;
    assert_true(before > 2000);
    rt->gleaner.due_ns = 1;
    uint64_t until = mono_ms() + 30000;
    for (int i = 0; room_of(rt).rows > 300 && mono_ms() < until; i++) {
        OK(sf_send(rt, sf_addr(GUEST, "other"), "k", SF_NONE)); /* so that the log moves on */
        OK(sf_run_until_idle(rt));
    }
    assert_true(room_of(rt).rows <= 300);
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_has_expired_gives_its_space_back),
        TEST(lists_give_their_space_back_from_the_front),
        TEST(space_comes_back_while_a_queue_is_not_empty),
        TEST(garbage_goes_as_fast_as_it_is_made),
        TEST(what_was_refreshed_in_memory_stays),
        TEST(it_begins_again_after_a_crash),
        TEST(nothing_goes_while_the_clock_is_in_doubt),
        TEST(a_machine_that_refuses_delays_it_and_loses_nothing),
        TEST(on_a_disk_the_table_becomes_empty_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
