/* test_reclaiming.c - what maps and lists leave behind goes, whoever dropped it and whatever happens meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "actor/collection.h"
#include "run/runtime.h"
#include "support/rig.h"
#include "support/support.h"

#define HOARD "test/hoard"

static const sf_map things = SF_MAP("things");
static const sf_list diary = SF_LIST("diary");

struct hoard {
    uint64_t turns;
};

/* "put" (first, count), "clear", "forget", "say" (count), "trim" (how many stay). */
struct order {
    uint64_t first, count;
};

static int put(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    for (uint64_t i = 0; i < order->count; i++)
        sf_map_put(turn, &things, SF_U64(order->first + i), sf_str("a thing that lies there for long"));
    ((struct hoard *)sf_state(turn))->turns++;
    return 0;
}

static int clear(sf_turn *turn)
{
    return sf_map_clear(turn, &things);
}

static int forget(sf_turn *turn)
{
    return sf_clear(turn);
}

static int add(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    for (uint64_t i = 0; i < order->count; i++)
        sf_list_append(turn, &diary, SF_OF(i));
    return 0;
}

static int trim(sf_turn *turn)
{
    const struct order *order = sf_body(turn, sizeof *order);
    return sf_list_trim(turn, &diary, order->count);
}

static int look(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    uint64_t things_seen = 0, words = 0;
    for (sf_cursor *c = sf_map_scan(turn, &things, NULL); sf_next(c);)
        things_seen++;
    for (sf_cursor *c = sf_list_scan(turn, &diary, 0); sf_next(c);)
        words++;
    note(&place->notes, "%u/%u things, %u/%u words", (unsigned)things_seen,
         (unsigned)sf_map_count(turn, &things), (unsigned)words,
         (unsigned)sf_list_count(turn, &diary));
    return 0;
}

static const sf_type hoard_type =
    SF_TYPE(HOARD,
            .on = {{"put", put}, {"clear", clear}, {"forget", forget}, {"say", add}, {"trim", trim},
                   {"look", look}},
            .state_size = sizeof(struct hoard), .maps = {&things}, .lists = {&diary});

static void order(sf_runtime *rt, const char *id, const char *kind, uint64_t first, uint64_t count)
{
    struct order order = {first, count};
    OK(sf_send(rt, sf_addr(HOARD, id), kind, SF_OF(order)));
}

/* Rows of table entry that are durable, promises among them. */
static uint64_t rows_of(sf_runtime *rt)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key at = {.size = 0};
    sf_bytes key, value;
    uint64_t count = 0;
    OK(sfi_snapshot_open(rt->store, &snapshot));
    while (sfi_snapshot_seek(snapshot, SFI_ENTRY, sfi_key_bytes(&at), 1, &key, &value) > 0) {
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
        count++;
    }
    sfi_snapshot_close(snapshot);
    return count;
}

static sf_runtime *open_hoard(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &hoard_type, place));
    return rt;
}

static void sees(struct place *place, sf_runtime *rt, const char *id, const char *text)
{
    notes_clear(&place->notes);
    OK(sf_send(rt, sf_addr(HOARD, id), "look", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(&place->notes), text);
}

static void nothing_is_left_of_a_map_that_was_cleared(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_hoard(place);
    order(rt, "a", "put", 0, 20000);
    order(rt, "b", "put", 0, 1000);
    OK(sf_run_until_idle(rt));
    assert_int_equal(rows_of(rt), 21000);
    order(rt, "a", "clear", 0, 0);
    OK(sf_run_until_idle(rt)); /* at once for who looks, */
    sees(place, rt, "a", "0/0 things, 0/0 words");
    assert_true(rows_of(rt) > 1000); /* and later on disk */
    order(rt, "a", "put", 5, 500);
    drive_until_quiet(rt);
    assert_int_equal(rows_of(rt), 1500);
    sees(place, rt, "a", "500/500 things, 0/0 words");
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
}

static void nothing_is_left_of_an_actor_that_was_forgotten_or_purged(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_hoard(place);
    for (int i = 0; i < 2; i++) {
        const char *id = i ? "b" : "a";
        order(rt, id, "put", 0, 3000);
        order(rt, id, "say", 0, 3000);
    }
    order(rt, "c", "put", 0, 100);
    OK(sf_run_until_idle(rt));
    assert_true(rows_of(rt) > 6100);
    OK(sf_runtime_close(rt)); /* the heads are not in memory */
    rt = open_hoard(place);
    order(rt, "a", "forget", 0, 0);
    OK(sf_purge(rt, sf_addr(HOARD, "b")));
    drive_until_quiet(rt);
    assert_int_equal(rows_of(rt), 100);
    sees(place, rt, "a", "0/0 things, 0/0 words");
    sees(place, rt, "b", "0/0 things, 0/0 words");
    sees(place, rt, "c", "100/100 things, 0/0 words");
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
}

static void a_list_that_was_trimmed_keeps_what_is_left(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_hoard(place);
    order(rt, "a", "say", 0, 30000);
    OK(sf_run_until_idle(rt));
    uint64_t rows = rows_of(rt);
    order(rt, "a", "trim", 0, 10000);
    sees(place, rt, "a", "0/0 things, 10000/10000 words");
    drive_until_quiet(rt);
    assert_true(rows_of(rt) <= rows / 3 + 2 && rows_of(rt) >= rows / 3 - 2);
    sees(place, rt, "a", "0/0 things, 10000/10000 words");
    order(rt, "a", "trim", 0, 7);
    drive_until_quiet(rt);
    assert_int_equal(rows_of(rt), 0);
    sees(place, rt, "a", "0/0 things, 7/7 words");
    OK(sf_runtime_close(rt));
}

/* What was undone dropped nothing. */
static int clear_and_fail(sf_turn *turn)
{
    sf_map_clear(turn, &things);
    sf_list_trim(turn, &diary, 1);
    return sf_reject(turn, "as told");
}

static void a_clear_that_was_undone_drops_nothing(void **state)
{
    struct place *place = *state;
    sf_type type = hoard_type;
    sf_runtime *rt = place_open(place);
    type.on[1].handler = clear_and_fail;
    OK(sf_register(rt, &type, place));
    order(rt, "a", "put", 0, 2000);
    order(rt, "a", "say", 0, 2000);
    OK(sf_run_until_idle(rt));
    uint64_t rows = rows_of(rt);
    order(rt, "a", "clear", 0, 0);
    drive_until_quiet(rt);
    assert_int_equal(rows_of(rt), rows);
    sees(place, rt, "a", "2000/2000 things, 2000/2000 words");
    OK(sf_runtime_close(rt));
}

/* A crash in the middle: the rest goes after the next open. */
static void reclaiming_goes_on_after_a_crash(void **state)
{
    struct place *place = *state;
    static struct rig rig;
    rig_open(&rig, place, *defaults());
    OK(sf_register(rig.rt, &hoard_type, place));
    order(rig.rt, "a", "put", 0, 30000);
    order(rig.rt, "b", "put", 0, 10);
    OK(sf_run_until_idle(rig.rt));
    order(rig.rt, "a", "clear", 0, 0);
    OK(sf_run_until_idle(rig.rt));
    machine_advance_ms(&rig.machine, 20);
    OK(sf_step(rig.rt, 0));
    OK(sf_run_until_idle(rig.rt));
    uint64_t rows = rows_of(rig.rt);
    assert_true(rows > 0 && rows < 30000);
    rig_crash(&rig);
    rig_start(&rig);
    OK(sf_register(rig.rt, &hoard_type, place));
    for (int i = 0; i < 20; i++) {
        OK(sf_run_until_idle(rig.rt));
        machine_advance_ms(&rig.machine, 20);
    }
    assert_int_equal(rows_of(rig.rt), 0); /* the ten lie in a head */
    rig_close(&rig);
}

/* While turns keep the engine busy it goes as fast as rows are put. */
static void garbage_goes_as_fast_as_it_is_made(void **state)
{
    struct place *place = *state;
    static struct rig rig;
    uint64_t most = 0;
    rig_open(&rig, place, *defaults());
    OK(sf_register(rig.rt, &hoard_type, place));
    for (int i = 0; i < 50; i++) {
        order(rig.rt, "a", "put", 0, 5000);
        order(rig.rt, "a", "clear", 0, 0);
        OK(sf_run_until_idle(rig.rt));
        most = rows_of(rig.rt) > most ? rows_of(rig.rt) : most;
    }
    assert_true(most < 4 * 5000);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_left_of_a_map_that_was_cleared),
        TEST(nothing_is_left_of_an_actor_that_was_forgotten_or_purged),
        TEST(a_list_that_was_trimmed_keeps_what_is_left),
        TEST(a_clear_that_was_undone_drops_nothing),
        TEST(reclaiming_goes_on_after_a_crash),
        TEST(garbage_goes_as_fast_as_it_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
