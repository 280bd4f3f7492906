/* test_expiring_maps.c - entries of maps that expire, small and large: each by its own time, and all space comes back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "actor/collection.h"
#include "actor/key.h"
#include "run/runtime.h"
#include "store/record.h"
#include "support/rig.h"
#include "support/storm.h"
#include "support/support.h"

#define DEN "test/den"

enum { LIFE = 1000, KEYS = 40, BIG = 300 /* such an entry fits into no head */ };

/* What there must be. */
struct model {
    uint64_t touched[KEYS]; /* 0: absent */
    uint8_t value[KEYS];
};

struct act {
    char what; /* p: puts small, b: big, d: deletes, g: gets, c: clears, f: fails */
    uint8_t key, value;
};

struct stage {
    struct rig rig;
    const sf_type *type;
    struct model model;
    uint64_t count; /* as the map counts */
    uint8_t seen[KEYS];
    int is_wrong;
};

static sf_bytes key_of(uint8_t key, char text[8])
{
    snprintf(text, 8, "key%02u", key);
    return SF_BYTES(text, 5);
}

static void put(sf_turn *turn, const sf_map *map, const struct act *act)
{
    char text[8];
    unsigned char bytes[BIG];
    memset(bytes, act->value, sizeof bytes);
    sf_map_put(turn, map, key_of(act->key, text), SF_BYTES(bytes, act->what == 'b' ? BIG : 10));
}

static int play(sf_turn *turn)
{
    struct stage *stage = sf_userdata(turn);
    const sf_map *map = stage->type->maps[0];
    const struct act *acts = sf_msg(turn)->body.data;
    char text[8];
    for (size_t i = 0; i < sf_msg(turn)->body.size / sizeof *acts; i++)
        switch (acts[i].what) {
        case 'p':
        case 'b': put(turn, map, &acts[i]); break;
        case 'd': sf_map_del(turn, map, key_of(acts[i].key, text)); break;
        case 'g': sf_map_get(turn, map, key_of(acts[i].key, text)); break;
        case 'c': sf_map_clear(turn, map); break;
        case 'f': sf_fail(turn, "as told"); break;
        }
    return 0;
}

/* All that is there, either way. */
static int look(sf_turn *turn)
{
    struct stage *stage = sf_userdata(turn);
    const sf_map *map = stage->type->maps[0];
    const sf_range back = {.backwards = 1};
    int counts[2] = {0, 0};
    memset(stage->seen, 0, sizeof stage->seen);
    for (int way = 0; way < 2; way++) {
        const sf_entry *entry;
        sf_cursor *cursor = sf_map_scan(turn, map, way ? &back : NULL);
        while ((entry = sf_next(cursor))) {
            const char *key = entry->key.data;
            stage->seen[(key[3] - '0') * 10 + key[4] - '0'] = *(const uint8_t *)entry->value.data;
            counts[way]++;
        }
    }
    stage->is_wrong |= counts[0] != counts[1];
    stage->count = sf_map_count(turn, map);
    stage->is_wrong |= stage->count < (uint64_t)counts[0];
    return 0;
}

#define DENS(...) SF_TYPE(DEN, .on = {{"look", look}}, .handler = play, .attempts_max = 1, __VA_ARGS__)

static const sf_map write_map = SF_MAP("den", .expire_after_write_ms = LIFE),
                    access_map = SF_MAP("den", .expire_after_access_ms = LIFE),
                    eternal_map = SF_MAP("den");
static const sf_type by_write = DENS(.maps = {&write_map}), by_access = DENS(.maps = {&access_map}),
                     eternal = DENS(.maps = {&eternal_map});

static void start(struct stage *stage, const sf_type *type)
{
    stage->type = type;
    OK(sf_register(stage->rig.rt, type, stage));
    OK(sf_run_until_idle(stage->rig.rt));
}

/* The clock is believed. */
static void open_stage(struct stage *stage, struct place *place, const sf_type *type)
{
    memset(stage, 0, sizeof *stage);
    rig_open(&stage->rig, place, (sf_options)SF_OPTIONS(.commit_inline = 1));
    start(stage, type);
    machine_advance_ms(&stage->rig.machine, SF_MINUTE);
}

static void crash(struct stage *stage, const sf_type *type)
{
    rig_crash(&stage->rig);
    rig_start(&stage->rig);
    start(stage, type);
}

static void send_acts(struct stage *stage, const struct act *acts, size_t count)
{
    OK(sf_send(stage->rig.rt, sf_addr(DEN, "x"), "play", SF_BYTES(acts, count * sizeof *acts)));
}

static void play_one(struct stage *stage, char what, uint8_t key, uint8_t value)
{
    struct act act = {what, key, value};
    send_acts(stage, &act, 1);
    OK(sf_run_until_idle(stage->rig.rt));
}

static void look_at(struct stage *stage)
{
    OK(sf_send(stage->rig.rt, sf_addr(DEN, "x"), "look", SF_NONE));
    OK(sf_run_until_idle(stage->rig.rt));
    assert_false(stage->is_wrong);
}

static int seen(struct stage *stage)
{
    int count = 0;
    look_at(stage);
    for (int i = 0; i < KEYS; i++)
        count += stage->seen[i] != 0;
    return count;
}

/* -- rows ---------------------------------------------------------------------------------------- */

struct rows {
    int entries, timed, times, promises;
};

static int has_time(struct sfi_snapshot *snapshot, sf_bytes row, uint64_t touched)
{
    struct sfi_key key;
    sf_bytes value;
    const unsigned char *bytes = row.data;
    sfi_key_entry_time(&key, sfi_be64_get(bytes), touched, SF_BYTES(bytes + 9, row.size - 9));
    return OK(sfi_snapshot_get(snapshot, SFI_ENTRY, sfi_key_bytes(&key), &value)) > 0;
}

/* What is durable in table entry: as many times as entries that have one, each its own. */
static struct rows rows_of(struct stage *stage)
{
    struct sfi_snapshot *snapshot;
    unsigned char at[SFI_KEY_MAX];
    sf_bytes from = SF_BYTES(at, 0), key, value;
    struct rows rows = {0, 0, 0, 0};
    OK(sfi_snapshot_open(stage->rig.rt->store, &snapshot));
    while (OK(sfi_snapshot_seek(snapshot, SFI_ENTRY, from, from.size > 0, &key, &value)) > 0) {
        struct sfi_entry entry;
        memcpy(at, key.data, key.size);
        from.size = key.size;
        if (sfi_be64_get(at) == 0) {
            rows.promises++;
        } else if (at[8] == SFI_ENTRY_BY_TIME) {
            rows.times++;
        } else {
            rows.entries++;
            OK(sfi_entry_open(from, value, &entry));
            if (entry.form & SFI_ENTRY_TOUCHED) {
                rows.timed++;
                assert_true(has_time(snapshot, from, entry.touched));
            }
        }
    }
    sfi_snapshot_close(snapshot);
    if (rows.promises == 0)
        assert_int_equal(rows.times, rows.timed);
    return rows;
}

static int heads(struct stage *stage)
{
    struct sfi_snapshot *snapshot;
    sf_bytes key, value;
    OK(sfi_snapshot_open(stage->rig.rt->store, &snapshot));
    int found = (int)OK(sfi_snapshot_seek(snapshot, SFI_STATE, sf_str(""), 0, &key, &value));
    sfi_snapshot_close(snapshot);
    return found;
}

static void live(struct stage *stage, int steps)
{
    while (steps--) {
        machine_advance_ms(&stage->rig.machine, 1);
        OK(sf_step(stage->rig.rt, 0));
    }
}

/* -- against a model ----------------------------------------------------------------------------- */

static uint64_t now_of(struct stage *stage)
{
    return stage->rig.machine.now_ns / 1000000;
}

static int is_there(struct stage *stage, const struct model *model, uint8_t key)
{
    return model->touched[key] && now_of(stage) < model->touched[key] + LIFE;
}

static void act_in_model(struct stage *stage, struct model *model, const struct act *act)
{
    uint64_t now = now_of(stage);
    switch (act->what) {
    case 'p':
    case 'b':
        model->touched[act->key] = now;
        model->value[act->key] = act->value;
        break;
    case 'd': model->touched[act->key] = 0; break;
    case 'g':
        if (stage->type == &by_access && is_there(stage, model, act->key))
            model->touched[act->key] = now;
        break;
    case 'c': memset(model, 0, sizeof *model); break;
    }
}

static void compare(struct stage *stage)
{
    look_at(stage);
    for (uint8_t key = 0; key < KEYS; key++) {
        uint8_t expected = is_there(stage, &stage->model, key) ? stage->model.value[key] : 0;
        assert_int_equal(stage->seen[key], expected);
    }
}

static char throw_act(struct dice *dice, int big)
{
    static const char acts[] = "pppppppppddggggg";
    if (dice_below(dice, 100) == 0)
        return 'c';
    char what = acts[dice_below(dice, sizeof acts - 1)];
    return what == 'p' && big && dice_below(dice, 3) == 0 ? 'b' : what;
}

static void throw_turn(struct stage *stage, struct dice *dice, int big)
{
    struct act acts[8];
    struct model model = stage->model;
    size_t count = 1 + dice_below(dice, 7);
    for (size_t i = 0; i < count; i++) {
        acts[i] = (struct act){throw_act(dice, big), (uint8_t)dice_below(dice, KEYS),
                               (uint8_t)(1 + dice_below(dice, 200))};
        act_in_model(stage, &model, &acts[i]);
    }
    if (dice_below(dice, 5) == 0)
        acts[count++] = (struct act){'f', 0, 0};
    else
        stage->model = model;
    send_acts(stage, acts, count);
    OK(sf_run_until_idle(stage->rig.rt));
}

static void play_against_model(struct place *place, const sf_type *type, uint64_t seed)
{
    struct stage stage;
    struct dice dice = {seed};
    open_stage(&stage, place, type);
    for (int i = 0; i < 600; i++) {
        throw_turn(&stage, &dice, seed % 2);
        machine_advance_ms(&stage.rig.machine, dice_below(&dice, 60));
        if (dice_below(&dice, 50) == 0)
            crash(&stage, type);
        if (dice_below(&dice, 3) == 0)
            compare(&stage);
        if (dice_below(&dice, 10) == 0)
            rows_of(&stage);
    }
    machine_advance_ms(&stage.rig.machine, SF_MINUTE);
    live(&stage, 3 * LIFE);
    assert_int_equal(heads(&stage), 0);
    struct rows rows = rows_of(&stage);
    assert_int_equal(rows.promises + rows.entries + rows.times, 0);
    rig_close(&stage.rig);
}

static void a_map_behaves_as_an_array_with_times(void **state)
{
    for (uint64_t seed = 1; seed <= 8; seed++) {
        play_against_model(*state, &by_write, seed);
        play_against_model(*state, &by_access, seed + 100);
    }
}

/* -- one by one ---------------------------------------------------------------------------------- */

static void each_entry_ends_by_its_own_time(void **state)
{
    for (int big = 0; big < 2; big++) {
        struct stage stage;
        open_stage(&stage, *state, &by_write);
        for (uint8_t key = 0; key < KEYS; key++) {
            play_one(&stage, big ? 'b' : 'p', key, 1);
            machine_advance_ms(&stage.rig.machine, 10);
        }
        machine_advance_ms(&stage.rig.machine, LIFE - 10 * KEYS - 1);
        for (int left = KEYS; left > 0; left--) {
            assert_int_equal(seen(&stage), left);
            machine_advance_ms(&stage.rig.machine, 1);
            assert_int_equal(seen(&stage), left - 1);
            machine_advance_ms(&stage.rig.machine, 9);
        }
        rig_close(&stage.rig);
    }
}

static void a_small_map_counts_exactly(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, &by_write);
    play_one(&stage, 'p', 1, 1);
    machine_advance_ms(&stage.rig.machine, LIFE - 1);
    play_one(&stage, 'p', 2, 1);
    look_at(&stage);
    assert_int_equal(stage.count, 2);
    machine_advance_ms(&stage.rig.machine, 1);
    stage.rig.rt->gleaner.due_ns = UINT64_MAX; /* nobody deletes it */
    look_at(&stage);
    assert_int_equal(stage.count, 1);
    rig_close(&stage.rig);
}

static void who_puts_into_a_large_map_deletes_some_that_are_over(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, &by_write);
    for (uint8_t key = 0; key < 30; key++)
        play_one(&stage, 'b', key, 1);
    machine_advance_ms(&stage.rig.machine, LIFE);
    assert_int_equal(rows_of(&stage).entries, 30);
    for (int put = 1; put <= 3; put++) {
        stage.rig.rt->gleaner.due_ns = UINT64_MAX;
        stage.rig.rt->gleaner.owed = 0;
        play_one(&stage, 'b', 35, 1);
        assert_int_equal(rows_of(&stage).entries, 31 - 8 * put);
    }
    rig_close(&stage.rig);
}

static void entries_from_before_a_time_was_declared_end_together(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, &eternal);
    for (uint8_t key = 0; key < 30; key++)
        play_one(&stage, 'b', key, 1);
    crash(&stage, &by_write);
    assert_int_equal(rows_of(&stage).timed, 0);
    machine_advance_ms(&stage.rig.machine, LIFE / 2);
    play_one(&stage, 'b', 3, 2);
    play_one(&stage, 'b', 35, 2);
    assert_int_equal(rows_of(&stage).timed, 2);
    machine_advance_ms(&stage.rig.machine, LIFE / 2 - 1);
    assert_int_equal(seen(&stage), 31);
    machine_advance_ms(&stage.rig.machine, 1);
    assert_int_equal(seen(&stage), 2);
    machine_advance_ms(&stage.rig.machine, LIFE / 2 - 1);
    assert_int_equal(seen(&stage), 2);
    machine_advance_ms(&stage.rig.machine, 1);
    assert_int_equal(seen(&stage), 0);
    machine_advance_ms(&stage.rig.machine, SF_MINUTE);
    live(&stage, 3 * LIFE);
    assert_int_equal(rows_of(&stage).entries, 0);
    assert_int_equal(heads(&stage), 0);
    rig_close(&stage.rig);
}

static void times_that_were_taken_away_go_with_the_next_put(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, &by_write);
    for (uint8_t key = 0; key < 5; key++)
        play_one(&stage, 'b', key, 1);
    crash(&stage, &eternal);
    machine_advance_ms(&stage.rig.machine, 10 * LIFE);
    assert_int_equal(seen(&stage), 5);
    play_one(&stage, 'b', 0, 2);
    play_one(&stage, 'd', 1, 0);
    assert_int_equal(rows_of(&stage).timed, 3);
    crash(&stage, &by_write);
    machine_advance_ms(&stage.rig.machine, LIFE - 1);
    assert_int_equal(seen(&stage), 4);
    machine_advance_ms(&stage.rig.machine, 1);
    assert_int_equal(seen(&stage), 0);
    rig_close(&stage.rig);
}

/* By the machine's own clock, over several lives. */
static void on_a_disk_entries_and_their_order_of_time_are_the_same(void **state)
{
    static struct stage stage; /* only the type, and what was seen */
    struct place *place = *state;
    const sf_type *types[] = {&by_write, &eternal, &by_access};
    struct dice dice = {77};
    for (int life = 0; life < 6; life++) {
        sf_options options = *defaults();
        options.log_records_max = 64;
        sf_runtime *rt = place_open_with(place, &options);
        stage.type = types[life % 3];
        OK(sf_register(rt, stage.type, &stage));
        for (int i = 0; i < 150; i++) {
            struct act acts[8];
            size_t count = 1 + dice_below(&dice, 7);
            for (size_t at = 0; at < count; at++)
                acts[at] = (struct act){throw_act(&dice, 1), (uint8_t)dice_below(&dice, KEYS), 1};
            OK(sf_send(rt, sf_addr(DEN, "x"), "play", SF_BYTES(acts, count * sizeof *acts)));
            if (i % 10 == 0)
                OK(sf_run_until_idle(rt));
        }
        OK(sf_send(rt, sf_addr(DEN, "x"), "look", SF_NONE));
        OK(sf_run_until_idle(rt));
        assert_false(stage.is_wrong);
        OK(sf_runtime_close(rt));
        assert_int_equal(OK(sf_verify(place->db, NULL, NULL)), 0);
    }
}

/* -- what the machine refuses -------------------------------------------------------------------- */

static void glean_with_a_failure(struct place *place, uint64_t nth, int is_memory, uint64_t *count)
{
    struct stage stage;
    open_stage(&stage, place, &eternal);
    for (uint8_t key = 0; key < 3; key++)
        play_one(&stage, 'b', key, 1);
    crash(&stage, &by_write);
    for (uint8_t key = 3; key < 6; key++)
        play_one(&stage, 'b', key, 1);
    crash(&stage, &by_write);
    machine_advance_ms(&stage.rig.machine, SF_MINUTE);
    play_one(&stage, 'b', 9, 1);
    struct machine *machine = &stage.rig.machine;
    uint64_t before = machine->allocations;
    if (is_memory && nth)
        machine->fail_allocation = before + nth;
    else if (nth)
        *tell(&stage.rig, "mem.read", 1) = (struct tell){"mem.read", SF_EDISK, (int)nth - 1, 1};
    for (int i = 0; i < 5 * LIFE; i++) {
        machine_advance_ms(machine, 1);
        (void)sf_step(stage.rig.rt, 0);
    }
    *count = machine->allocations - before;
    machine->fail_allocation = 0;
    memset(stage.rig.tells, 0, sizeof stage.rig.tells);
    assert_int_equal(rows_of(&stage).entries, 0);
    assert_int_equal(heads(&stage), 0);
    rig_close(&stage.rig);
}

static void a_machine_that_refuses_delays_it_and_loses_nothing(void **state)
{
    uint64_t count, unused;
    glean_with_a_failure(*state, 0, 1, &count);
    for (uint64_t nth = 1; nth <= count && nth < 60; nth++)
        glean_with_a_failure(*state, nth, 1, &unused);
    for (uint64_t nth = 1; nth <= 60; nth++)
        glean_with_a_failure(*state, nth, 0, &unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_map_behaves_as_an_array_with_times),
        TEST(each_entry_ends_by_its_own_time),
        TEST(a_small_map_counts_exactly),
        TEST(who_puts_into_a_large_map_deletes_some_that_are_over),
        TEST(entries_from_before_a_time_was_declared_end_together),
        TEST(times_that_were_taken_away_go_with_the_next_put),
        TEST(on_a_disk_entries_and_their_order_of_time_are_the_same),
        TEST(a_machine_that_refuses_delays_it_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
