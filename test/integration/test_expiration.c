/* test_expiration.c - what expires is there up to the millisecond before, and absent from it on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "run/runtime.h"
#include "support/rig.h"
#include "support/support.h"

#define LAMP "test/lamp"

enum { LIFE = 1000 };

struct lamp {
    uint64_t level;
    char pad[40];
};

/* What expires: each test is made with each of these. */
struct subject {
    const sf_type *written, *looked_at, *longer, *eternal;
    uint64_t *(*find)(sf_turn *turn, const sf_type *type); /* NULL: absent */
    void (*write)(sf_turn *turn, const sf_type *type, uint64_t level);
    sf_bytes (*view)(sf_view *view, const sf_type *type);
    int keeps; /* it is an entry: what is over stays until somebody deletes it; a walk meets it */
};

struct stage {
    struct rig rig;
    const sf_type *type;
    int walked; /* the level that a walk met; -1: none */
};

static const struct subject *subject;

static int walk_list(sf_turn *turn, const sf_list *list)
{
    const sf_entry *entry;
    int walked = -1;
    uint64_t count = 0;
    sf_cursor *cursor = sf_list_scan(turn, list, 0);
    for (; (entry = sf_next(cursor)); count++)
        walked = (int)*(const uint64_t *)entry->value.data;
    if (sf_list_count(turn, list) != count)
        sf_reject(turn, "not as many elements as are counted");
    return walked;
}

static int walk_map(sf_turn *turn, const sf_map *map)
{
    const sf_entry *entry;
    int walked = -1, count = 0;
    sf_cursor *cursor = sf_map_scan(turn, map, NULL);
    for (; (entry = sf_next(cursor)); count++)
        if (entry->key.size == 5)
            walked = (int)*(const uint64_t *)entry->value.data;
    if ((int)sf_map_count(turn, map) < count)
        sf_reject(turn, "more entries than are counted");
    return walked;
}

/* Letter by letter: + brightens, l looks and notes it, z darkens, c clears, f fails, w walks. */
static int play(sf_turn *turn)
{
    struct stage *stage = sf_userdata(turn);
    for (const char *step = sf_msg(turn)->kind; *step; step++) {
        const uint64_t *level = *step == '+' || *step == 'l' ? subject->find(turn, stage->type) : NULL;
        switch (*step) {
        case '+': subject->write(turn, stage->type, level ? *level + 1 : 1); break;
        case 'l': note(stage->rig.notes, "%d", level ? (int)*level : 0); break;
        case 'z': subject->write(turn, stage->type, 0); break;
        case 'c': sf_clear(turn); break;
        case 'f': sf_fail(turn, "as told"); break;
        case 'w':
            stage->walked = stage->type->maps[0] ? walk_map(turn, stage->type->maps[0])
                                                 : walk_list(turn, stage->type->lists[0]);
            break;
        }
    }
    return 0;
}

#define LAMPS(...) SF_TYPE(LAMP, .handler = play, __VA_ARGS__)

/* -- a struct ---------------------------------------------------------------------------------- */

static uint64_t *find_state(sf_turn *turn, const sf_type *type)
{
    (void)type;
    struct lamp *lamp = sf_state(turn);
    return &lamp->level;
}

static void write_state(sf_turn *turn, const sf_type *type, uint64_t level)
{
    *find_state(turn, type) = level;
}

static sf_bytes view_entry(sf_view *view, const sf_type *type)
{
    const sf_entry *entry;
    sf_cursor *cursor = sf_view_map(view, sf_addr(LAMP, "x"), type->maps[0], NULL);
    while ((entry = sf_next(cursor)))
        if (entry->key.size == 5)
            return entry->value;
    OK(sf_cursor_error(cursor));
    return SF_NONE;
}

static sf_bytes view_state(sf_view *view, const sf_type *type)
{
    (void)type;
    return sf_view_state(view, sf_addr(LAMP, "x"));
}

#define WITH_STRUCT .attempts_max = 1, .state_size = sizeof(struct lamp)

static const sf_type state_written = LAMPS(WITH_STRUCT, .state_expire_after_write_ms = LIFE),
                     state_looked_at = LAMPS(WITH_STRUCT, .state_expire_after_access_ms = LIFE),
                     state_longer = LAMPS(WITH_STRUCT, .state_expire_after_write_ms = 3 * LIFE),
                     state_eternal = LAMPS(WITH_STRUCT),
                     state_changed = LAMPS(WITH_STRUCT, .state_expire_after_write_ms = LIFE,
                                           .state_version = 1);

static const struct subject a_struct = {&state_written, &state_looked_at, &state_longer,
                                        &state_eternal, find_state, write_state, view_state, 0};

/* -- a value ----------------------------------------------------------------------------------- */

static uint64_t *find_value(sf_turn *turn, const sf_type *type)
{
    return (uint64_t *)(uintptr_t)sf_value_get(turn, type->values[0]).data;
}

static void write_value(sf_turn *turn, const sf_type *type, uint64_t level)
{
    sf_value_put(turn, type->values[0], SF_OF(level));
}

static sf_bytes view_value(sf_view *view, const sf_type *type)
{
    return sf_view_value(view, sf_addr(LAMP, "x"), type->values[0]);
}

static const sf_value value_written = SF_VALUE("level", .expire_after_write_ms = LIFE),
                      value_looked_at = SF_VALUE("level", .expire_after_access_ms = LIFE),
                      value_longer = SF_VALUE("level", .expire_after_write_ms = 3 * LIFE),
                      value_eternal = SF_VALUE("level");

static const sf_type with_written = LAMPS(.values = {&value_written}, .attempts_max = 1),
                     with_looked_at = LAMPS(.values = {&value_looked_at}, .attempts_max = 1),
                     with_longer = LAMPS(.values = {&value_longer}, .attempts_max = 1),
                     with_eternal = LAMPS(.values = {&value_eternal}, .attempts_max = 1);

static const struct subject a_value = {&with_written, &with_looked_at, &with_longer, &with_eternal,
                                       find_value, write_value, view_value, 0};

/* -- an entry of a map ------------------------------------------------------------------------- */

static uint64_t *find_entry(sf_turn *turn, const sf_type *type)
{
    return (uint64_t *)(uintptr_t)sf_map_get(turn, type->maps[0], sf_str("level")).data;
}

static void write_entry(sf_turn *turn, const sf_type *type, uint64_t level)
{
    sf_map_put(turn, type->maps[0], sf_str("level"), SF_OF(level));
}

/* With others, and one that fits into no head. */
static void write_row(sf_turn *turn, const sf_type *type, uint64_t level)
{
    static const char big[1000];
    sf_map_put(turn, type->maps[0], sf_str("a"), SF_OF(big));
    write_entry(turn, type, level);
    sf_map_put(turn, type->maps[0], sf_str("z"), SF_OF(level));
}

static const sf_map map_written = SF_MAP("levels", .expire_after_write_ms = LIFE),
                    map_looked_at = SF_MAP("levels", .expire_after_access_ms = LIFE),
                    map_longer = SF_MAP("levels", .expire_after_write_ms = 3 * LIFE),
                    map_eternal = SF_MAP("levels");

static const sf_type maps_written = LAMPS(.maps = {&map_written}, .attempts_max = 1),
                     maps_looked_at = LAMPS(.maps = {&map_looked_at}, .attempts_max = 1),
                     maps_longer = LAMPS(.maps = {&map_longer}, .attempts_max = 1),
                     maps_eternal = LAMPS(.maps = {&map_eternal}, .attempts_max = 1);

static const struct subject an_entry = {&maps_written, &maps_looked_at, &maps_longer,
                                        &maps_eternal, find_entry, write_entry, view_entry, 1},
                            a_row = {&maps_written, &maps_looked_at, &maps_longer,
                                     &maps_eternal, find_entry, write_row, view_entry, 1};

/* The same lent as a struct. */
static uint64_t *find_lent(sf_turn *turn, const sf_type *type)
{
    return sf_map_find(turn, type->maps[0], sf_str("level"));
}

static void write_lent(sf_turn *turn, const sf_type *type, uint64_t level)
{
    *(uint64_t *)sf_map_entry(turn, type->maps[0], sf_str("level")) = level;
}

#define LENT(...) SF_MAP("lent", .struct_size = sizeof(uint64_t), __VA_ARGS__)

static const sf_map lent_written = LENT(.expire_after_write_ms = LIFE),
                    lent_looked_at = LENT(.expire_after_access_ms = LIFE),
                    lent_longer = LENT(.expire_after_write_ms = 3 * LIFE),
                    lent_eternal = LENT(.struct_version = 0);

static const sf_type lents_written = LAMPS(.maps = {&lent_written}, .attempts_max = 1),
                     lents_looked_at = LAMPS(.maps = {&lent_looked_at}, .attempts_max = 1),
                     lents_longer = LAMPS(.maps = {&lent_longer}, .attempts_max = 1),
                     lents_eternal = LAMPS(.maps = {&lent_eternal}, .attempts_max = 1);

static const struct subject a_lent = {&lents_written, &lents_looked_at, &lents_longer,
                                      &lents_eternal, find_lent, write_lent, view_entry, 1};

/* -- an element of a list ---------------------------------------------------------------------- */

/* The newest; what is written is another one. */
static uint64_t *find_element(sf_turn *turn, const sf_type *type)
{
    const sf_entry *entry = sf_next(sf_list_scan(turn, type->lists[0], 1));
    return entry ? (uint64_t *)(uintptr_t)entry->value.data : NULL;
}

static void write_element(sf_turn *turn, const sf_type *type, uint64_t level)
{
    sf_list_append(turn, type->lists[0], SF_OF(level));
}

static void write_elements(sf_turn *turn, const sf_type *type, uint64_t level)
{
    struct {
        uint64_t level;
        char rest[1000];
    } big = {.level = level};
    for (int i = 0; i < 3; i++)
        sf_list_append(turn, type->lists[0], SF_OF(big));
    write_element(turn, type, level);
}

static sf_bytes view_element(sf_view *view, const sf_type *type)
{
    sf_cursor *cursor = sf_view_list(view, sf_addr(LAMP, "x"), type->lists[0], 1);
    const sf_entry *entry = sf_next(cursor);
    OK(sf_cursor_error(cursor));
    return entry ? entry->value : SF_NONE;
}

static const sf_list list_written = SF_LIST("levels", .expire_after_write_ms = LIFE),
                     list_longer = SF_LIST("levels", .expire_after_write_ms = 3 * LIFE),
                     list_eternal = SF_LIST("levels");

static const sf_type lists_written = LAMPS(.lists = {&list_written}, .attempts_max = 1),
                     lists_longer = LAMPS(.lists = {&list_longer}, .attempts_max = 1),
                     lists_eternal = LAMPS(.lists = {&list_eternal}, .attempts_max = 1);

static const struct subject an_element = {&lists_written, NULL, &lists_longer, &lists_eternal,
                                          find_element, write_element, view_element, 1},
                            elements = {&lists_written, NULL, &lists_longer, &lists_eternal,
                                        find_element, write_elements, view_element, 1};

/* -- the stage --------------------------------------------------------------------------------- */

static void start(struct stage *stage, const sf_type *type)
{
    stage->type = type;
    OK(sf_register(stage->rig.rt, type, stage));
    OK(sf_run_until_idle(stage->rig.rt));
}

static void open_stage(struct stage *stage, struct place *place, const sf_type *type)
{
    rig_open(&stage->rig, place, (sf_options)SF_OPTIONS(.commit_inline = 1));
    start(stage, type);
}

/* What is durable survives, what is in memory does not. */
static void crash(struct stage *stage, const sf_type *type)
{
    rig_crash(&stage->rig);
    rig_start(&stage->rig);
    start(stage, type);
}

static void tell_lamp(struct stage *stage, const char *id, const char *steps)
{
    OK(sf_send(stage->rig.rt, sf_addr(LAMP, id), steps, SF_NONE));
    OK(sf_run_until_idle(stage->rig.rt));
}

static void play_steps(struct stage *stage, const char *steps)
{
    tell_lamp(stage, "x", steps);
}

static void advance(struct stage *stage, uint64_t ms)
{
    machine_advance_ms(&stage->rig.machine, ms);
}

/* The wall clock; the other one goes on. */
static void set_back(struct stage *stage, int64_t ms)
{
    stage->rig.machine.wall_ahead_us -= ms * 1000;
}

/* What turns have seen since the last time. */
static void saw(struct stage *stage, const char *text)
{
    came(&stage->rig, text);
}

/* The level that a view shows; -1: nothing. */
static int viewed(struct stage *stage)
{
    sf_view *view;
    if (subject->keeps)
        play_steps(stage, "w");
    OK(sf_view_open(stage->rig.rt, &view));
    sf_bytes shown = subject->view(view, stage->type);
    assert_int_equal(sf_view_error(view), 0);
    int level = shown.data ? (int)*(const uint64_t *)shown.data : -1;
    if (subject->keeps)
        assert_int_equal(stage->walked, level);
    sf_cursor *cursor = sf_view_actors(view, LAMP);
    int listed = 0;
    while (sf_next(cursor))
        listed++;
    OK(sf_cursor_error(cursor));
    assert_int_equal(listed, stage->type->state_size && level >= 0);
    sf_view_close(view);
    return level;
}

/* Rows of table state that are durable. */
static int rows(struct stage *stage)
{
    struct sfi_snapshot *snapshot;
    unsigned char at[SFI_KEY_MAX];
    sf_bytes from = SF_BYTES(at, 0), key, value;
    int count = 0;
    OK(sfi_snapshot_open(stage->rig.rt->store, &snapshot));
    while (OK(sfi_snapshot_seek(snapshot, SFI_STATE, from, count > 0, &key, &value)) > 0) {
        memcpy(at, key.data, key.size);
        from.size = key.size;
        count++;
    }
    sfi_snapshot_close(snapshot);
    return count;
}

/* -- to the millisecond ------------------------------------------------------------------------ */

static void a_struct_is_there_until_the_millisecond_before_its_end(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+l");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "l");
    assert_int_equal(viewed(&stage), 1);
    advance(&stage, 1);
    assert_int_equal(viewed(&stage), -1);
    play_steps(&stage, "l");
    saw(&stage, "110");
    rig_close(&stage.rig);
}

static void time_goes_on_while_the_process_is_down(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    crash(&stage, subject->written);
    advance(&stage, LIFE - 1);
    assert_int_equal(viewed(&stage), 1);
    play_steps(&stage, "l");
    crash(&stage, subject->written);
    advance(&stage, 1);
    assert_int_equal(viewed(&stage), -1);
    play_steps(&stage, "l");
    saw(&stage, "10");
    rig_close(&stage.rig);
}

static void writing_prolongs_a_struct_and_looking_at_it_does_not(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "+");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "l");
    advance(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "20");
    rig_close(&stage.rig);
}

static void looking_prolongs_a_struct_that_expires_after_access(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->looked_at);
    play_steps(&stage, "+");
    for (int i = 0; i < 5; i++) {
        advance(&stage, LIFE - 1);
        play_steps(&stage, "l");
        assert_int_equal(viewed(&stage), 1); /* which is no access */
        if (i == 2)
            crash(&stage, subject->looked_at);
    }
    advance(&stage, LIFE);
    play_steps(&stage, "l");
    saw(&stage, "111110");
    rig_close(&stage.rig);
}

static void one_that_ended_begins_with_zeroes_and_lives_as_long_again(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+++");
    advance(&stage, LIFE);
    play_steps(&stage, "+l"); /* one as before it was brightened twice: the bytes differ */
    advance(&stage, LIFE - 1);
    crash(&stage, subject->written);
    play_steps(&stage, "l");
    advance(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "110");
    rig_close(&stage.rig);
}

static void one_that_ended_may_be_written_as_it_was(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    advance(&stage, LIFE);
    play_steps(&stage, "+"); /* the same bytes as those that ended */
    crash(&stage, subject->written);
    assert_int_equal(viewed(&stage), 1);
    advance(&stage, LIFE - 1);
    play_steps(&stage, "l");
    saw(&stage, "1");
    rig_close(&stage.rig);
}

static void a_turn_that_meets_the_end_leaves_no_row(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    advance(&stage, SF_MINUTE); /* the clock is believed */
    play_steps(&stage, "+");
    assert_int_equal(rows(&stage), 1);
    advance(&stage, LIFE);
    play_steps(&stage, "l");
    if (subject->keeps) {
        rig_close(&stage.rig);
        return;
    }
    assert_int_equal(rows(&stage), 0);
    set_back(&stage, LIFE); /* it was seen to be over */
    play_steps(&stage, "l");
    crash(&stage, subject->longer);
    play_steps(&stage, "l");
    saw(&stage, "000");
    rig_close(&stage.rig);
}

static void what_is_over_by_a_clock_in_doubt_is_there_when_that_is_set_right(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    advance(&stage, LIFE);
    play_steps(&stage, "l");
    assert_int_equal(viewed(&stage), -1);
    set_back(&stage, LIFE);
    play_steps(&stage, "l"); /* the minute after opening */
    advance(&stage, SF_MINUTE);
    set_back(&stage, (int64_t)SF_MINUTE);
    advance(&stage, LIFE - 1);
    set_back(&stage, -2 * (int64_t)SF_HOUR);
    play_steps(&stage, "l");
    advance(&stage, SF_MINUTE - 1);
    play_steps(&stage, "l");
    set_back(&stage, (int64_t)(2 * SF_HOUR + SF_MINUTE - 1));
    play_steps(&stage, "l");
    saw(&stage, "01001");
    set_back(&stage, -2 * (int64_t)SF_HOUR);
    play_steps(&stage, "+l"); /* written anew, it is gone for good */
    set_back(&stage, 2 * (int64_t)SF_HOUR);
    play_steps(&stage, "l");
    saw(&stage, "11");
    rig_close(&stage.rig);
}

static void looking_at_what_never_was_makes_no_row(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->looked_at);
    play_steps(&stage, "l");
    assert_int_equal(rows(&stage), 0);
    assert_int_equal(viewed(&stage), -1);
    rig_close(&stage.rig);
}

static void zeroes_that_were_written_are_a_struct(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    play_steps(&stage, "z");
    assert_int_equal(viewed(&stage), 0);
    advance(&stage, LIFE);
    assert_int_equal(viewed(&stage), -1);
    rig_close(&stage.rig);
}

/* -- undone, cleared, evicted ------------------------------------------------------------------ */

static void an_undone_turn_prolongs_nothing(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->looked_at);
    play_steps(&stage, "+");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "+f");
    play_steps(&stage, "lf");
    advance(&stage, 1);
    play_steps(&stage, "lf"); /* it meets the end, in vain */
    set_back(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "101");
    rig_close(&stage.rig);
}

static void a_cleared_actor_begins_anew(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "+c");
    assert_int_equal(viewed(&stage), -1);
    play_steps(&stage, "+lc+");
    advance(&stage, LIFE - 1);
    play_steps(&stage, "lcl");
    assert_int_equal(rows(&stage), 0);
    saw(&stage, "110");
    rig_close(&stage.rig);
}

static void one_that_left_memory_comes_back_with_its_time(void **state)
{
    struct stage stage;
    rig_open(&stage.rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1, .cache_bytes_max = 4096));
    start(&stage, subject->written);
    play_steps(&stage, "+");
    advance(&stage, LIFE - 1);
    for (int i = 0; i < 200; i++) {
        char id[16];
        snprintf(id, sizeof id, "other%d", i);
        tell_lamp(&stage, id, "+");
    }
    assert_null(sfi_actors_find(&stage.rig.rt->actors, sfi_types_find(&stage.rig.rt->types, LAMP),
                                sfi_actors_hash(&stage.rig.rt->actors,
                                                sfi_types_find(&stage.rig.rt->types, LAMP), "x", 1),
                                "x", 1));
    play_steps(&stage, "l");
    advance(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "10");
    rig_close(&stage.rig);
}

/* -- the clock, and other times ---------------------------------------------------------------- */

static void a_clock_that_is_set_back_makes_nothing_end_sooner(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    advance(&stage, 50 * LIFE);
    play_steps(&stage, "+");
    set_back(&stage, 40 * LIFE);
    play_steps(&stage, "l");
    play_steps(&stage, "+"); /* written again, by a clock that is late */
    advance(&stage, 41 * LIFE - 1);
    play_steps(&stage, "l");
    advance(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "120");
    rig_close(&stage.rig);
}

static void changed_times_hold_for_what_is_there(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->longer);
    play_steps(&stage, "+");
    advance(&stage, LIFE);
    play_steps(&stage, "l");
    start(&stage, subject->written);
    assert_int_equal(viewed(&stage), -1);
    crash(&stage, subject->longer);
    play_steps(&stage, "l"); /* nobody has met the end meanwhile */
    crash(&stage, subject->written);
    play_steps(&stage, "l");
    saw(&stage, "110");
    rig_close(&stage.rig);
}

static void what_was_there_before_counts_from_when_a_time_was_declared(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->eternal);
    play_steps(&stage, "+");
    advance(&stage, 100 * LIFE);
    crash(&stage, subject->written);
    advance(&stage, LIFE - 1);
    crash(&stage, subject->written); /* the moment is that of the first time */
    assert_int_equal(viewed(&stage), 1);
    play_steps(&stage, "l");
    advance(&stage, 1);
    assert_int_equal(viewed(&stage), -1);
    play_steps(&stage, "l");
    saw(&stage, "10");
    rig_close(&stage.rig);
}

static void a_time_may_be_declared_while_actors_are_in_memory(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->eternal);
    for (int i = 0; i < 100; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        tell_lamp(&stage, id, "+");
    }
    struct tell *under_way = tell(&stage.rig, "mem.settle.under_way", ALWAYS);
    for (int i = 0; i < 2; i++) { /* the second time into the list of those to be saved */
        OK(sf_send(stage.rig.rt, sf_addr(LAMP, "x"), "+", SF_NONE));
        OK(sf_step(stage.rig.rt, 0));
    }
    assert_int_equal(stage.rig.rt->actors.dirty_count, subject != &a_row); /* its head is as it was */
    OK(sf_register(stage.rig.rt, subject->written, &stage));
    under_way->times = 0;
    start(&stage, subject->written);
    advance(&stage, LIFE - 1);
    play_steps(&stage, "l");
    tell_lamp(&stage, "7", "+l");
    advance(&stage, 1);
    tell_lamp(&stage, "7", "l");
    tell_lamp(&stage, "8", "l");
    start(&stage, subject->eternal);
    advance(&stage, 10 * LIFE);
    tell_lamp(&stage, "7", "l");
    saw(&stage, "22202");
    rig_close(&stage.rig);
}

static void times_that_were_taken_away_and_declared_again_count_anew(void **state)
{
    struct stage stage;
    open_stage(&stage, *state, subject->written);
    play_steps(&stage, "+");
    crash(&stage, subject->eternal);
    advance(&stage, 10 * LIFE);
    play_steps(&stage, "l");
    crash(&stage, subject->written);
    advance(&stage, LIFE - 1);
    play_steps(&stage, "l");
    advance(&stage, 1);
    play_steps(&stage, "l");
    saw(&stage, "110");
    rig_close(&stage.rig);
}

static int migrations;

static int migrate(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version;
    migrations++;
    memcpy(fresh, old.data, old.size);
    return 0;
}

static void what_is_over_is_not_migrated(void **state)
{
    struct stage stage;
    sf_type newer = state_changed;
    subject = &a_struct;
    newer.state_migrate = migrate;
    migrations = 0;
    open_stage(&stage, *state, &state_written);
    play_steps(&stage, "+");
    tell_lamp(&stage, "y", "+");
    crash(&stage, &newer);
    tell_lamp(&stage, "y", "l");
    assert_int_equal(migrations, 1);
    advance(&stage, LIFE);
    assert_int_equal(viewed(&stage), -1);
    play_steps(&stage, "lf"); /* in vain */
    set_back(&stage, 1);
    play_steps(&stage, "l");
    assert_int_equal(migrations, 2);
    advance(&stage, 1);
    play_steps(&stage, "+l");
    assert_int_equal(migrations, 2);
    saw(&stage, "1011");
    rig_close(&stage.rig);
}

/* -- bad input --------------------------------------------------------------------------------- */

static void times_that_make_no_sense_are_refused(void **state)
{
    struct stage stage;
    subject = &a_struct;
    open_stage(&stage, *state, &state_written);
    static const sf_type both = LAMPS(WITH_STRUCT, .state_expire_after_write_ms = 1,
                                      .state_expire_after_access_ms = 1),
                         negative = LAMPS(WITH_STRUCT, .state_expire_after_access_ms = (uint64_t)-1);
    static const sf_value twice = SF_VALUE("v", .expire_after_write_ms = 1,
                                           .expire_after_access_ms = 1);
    static const sf_type with_twice = LAMPS(.values = {&twice});
    REFUSED(sf_register(stage.rig.rt, &both, NULL), SF_EINVAL);
    SAYS("'test/lamp' expires after write and after access: set one of them");
    REFUSED(sf_register(stage.rig.rt, &negative, NULL), SF_EINVAL);
    SAYS("more than a thousand years");
    REFUSED(sf_register(stage.rig.rt, &with_twice, NULL), SF_EINVAL);
    SAYS("slot 'v' expires after write and after access: set one of them");
    play_steps(&stage, "+l"); /* as before */
    saw(&stage, "1");
    rig_close(&stage.rig);
}

/* -- what the machine refuses ------------------------------------------------------------------ */

/* Whatever fails on the way, at the end it is as if nothing had. */
static void expire_with_a_failure(struct place *place, uint64_t nth, int is_memory, uint64_t *count)
{
    struct stage stage;
    open_stage(&stage, place, subject->eternal);
    play_steps(&stage, "++");
    crash(&stage, subject->eternal);
    play_steps(&stage, "l");
    struct machine *machine = &stage.rig.machine;
    uint64_t before = is_memory ? machine->allocations : 0;
    if (is_memory && nth)
        machine->fail_allocation = before + nth;
    else if (nth)
        *tell(&stage.rig, "mem.read", 1) = (struct tell){"mem.read", SF_EDISK, (int)nth - 1, 1};
    while (sf_register(stage.rig.rt, subject->written, &stage) < 0)
        ;
    stage.type = subject->written;
    while (sf_send(stage.rig.rt, sf_addr(LAMP, "x"), "+", SF_NONE) < 0)
        ;
    while (sf_run_until_idle(stage.rig.rt) < 0)
        ;
    advance(&stage, LIFE);
    while (sf_send(stage.rig.rt, sf_addr(LAMP, "x"), "+l", SF_NONE) < 0)
        ;
    while (sf_run_until_idle(stage.rig.rt) < 0)
        ;
    *count = machine->allocations - before;
    machine->fail_allocation = 0;
    advance(&stage, LIFE - 1);
    crash(&stage, subject->written);
    assert_int_equal(viewed(&stage), 1);
    advance(&stage, 1);
    assert_int_equal(viewed(&stage), -1);
    rig_close(&stage.rig);
}

static void a_machine_that_refuses_changes_no_end(void **state)
{
    uint64_t count, unused;
    expire_with_a_failure(*state, 0, 1, &count);
    assert_true(count > 3);
    for (uint64_t nth = 1; nth <= count; nth++)
        expire_with_a_failure(*state, nth, 1, &unused);
    for (uint64_t nth = 1; nth <= 4; nth++)
        expire_with_a_failure(*state, nth, 0, &unused);
}

#define WITH(name, what)                                                                          \
    static void name##_##what(void **state)                                                        \
    {                                                                                              \
        subject = &what;                                                                           \
        name(state);                                                                               \
    }
#define EACH(name)                                                                                 \
    WITH(name, a_struct)                                                                           \
    WITH(name, a_value)                                                                            \
    WITH(name, an_entry)                                                                           \
    WITH(name, a_row)                                                                              \
    WITH(name, a_lent)
#define TESTS(name)                                                                                \
    TEST(name##_a_struct), TEST(name##_a_value), TEST(name##_an_entry), TEST(name##_a_row),        \
        TEST(name##_a_lent)
/* Elements of lists are not read in this sense. */
#define EACH_WRITTEN(name)                                                                         \
    EACH(name)                                                                                     \
    WITH(name, an_element)                                                                         \
    WITH(name, elements)
#define TESTS_WRITTEN(name)                                                                        \
    TESTS(name), TEST(name##_an_element), TEST(name##_elements)

EACH_WRITTEN(a_struct_is_there_until_the_millisecond_before_its_end)
EACH_WRITTEN(time_goes_on_while_the_process_is_down)
EACH_WRITTEN(writing_prolongs_a_struct_and_looking_at_it_does_not)
EACH(looking_prolongs_a_struct_that_expires_after_access)
EACH_WRITTEN(one_that_ended_begins_with_zeroes_and_lives_as_long_again)
EACH_WRITTEN(one_that_ended_may_be_written_as_it_was)
EACH_WRITTEN(a_turn_that_meets_the_end_leaves_no_row)
EACH_WRITTEN(what_is_over_by_a_clock_in_doubt_is_there_when_that_is_set_right)
EACH(looking_at_what_never_was_makes_no_row)
EACH_WRITTEN(zeroes_that_were_written_are_a_struct)
EACH(an_undone_turn_prolongs_nothing)
EACH_WRITTEN(a_cleared_actor_begins_anew)
EACH_WRITTEN(one_that_left_memory_comes_back_with_its_time)
EACH_WRITTEN(a_clock_that_is_set_back_makes_nothing_end_sooner)
EACH_WRITTEN(changed_times_hold_for_what_is_there)
EACH_WRITTEN(what_was_there_before_counts_from_when_a_time_was_declared)
EACH_WRITTEN(a_time_may_be_declared_while_actors_are_in_memory)
EACH_WRITTEN(times_that_were_taken_away_and_declared_again_count_anew)
EACH_WRITTEN(a_machine_that_refuses_changes_no_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TESTS_WRITTEN(a_struct_is_there_until_the_millisecond_before_its_end),
        TESTS_WRITTEN(time_goes_on_while_the_process_is_down),
        TESTS_WRITTEN(writing_prolongs_a_struct_and_looking_at_it_does_not),
        TESTS(looking_prolongs_a_struct_that_expires_after_access),
        TESTS_WRITTEN(one_that_ended_begins_with_zeroes_and_lives_as_long_again),
        TESTS_WRITTEN(one_that_ended_may_be_written_as_it_was),
        TESTS_WRITTEN(a_turn_that_meets_the_end_leaves_no_row),
        TESTS_WRITTEN(what_is_over_by_a_clock_in_doubt_is_there_when_that_is_set_right),
        TESTS(looking_at_what_never_was_makes_no_row),
        TESTS_WRITTEN(zeroes_that_were_written_are_a_struct),
        TESTS(an_undone_turn_prolongs_nothing),
        TESTS_WRITTEN(a_cleared_actor_begins_anew),
        TESTS_WRITTEN(one_that_left_memory_comes_back_with_its_time),
        TESTS_WRITTEN(a_clock_that_is_set_back_makes_nothing_end_sooner),
        TESTS_WRITTEN(changed_times_hold_for_what_is_there),
        TESTS_WRITTEN(what_was_there_before_counts_from_when_a_time_was_declared),
        TESTS_WRITTEN(a_time_may_be_declared_while_actors_are_in_memory),
        TESTS_WRITTEN(times_that_were_taken_away_and_declared_again_count_anew),
        TEST(what_is_over_is_not_migrated),
        TEST(times_that_make_no_sense_are_refused),
        TESTS_WRITTEN(a_machine_that_refuses_changes_no_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
