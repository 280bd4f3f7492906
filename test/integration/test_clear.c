/* test_clear.c - sf_clear(): an actor is forgotten whole, with its turn or not at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "support/support.h"

#define BOX "test/box"

static const sf_value A = SF_VALUE("a"), B = SF_VALUE("b");

struct box {
    uint64_t total;
};

static char absent_or(sf_bytes value)
{
    return value.data ? *(const char *)value.data : '-';
}

/* The kind says what to do, letter by letter: + adds one, a and b put those values, c clears, f
 * fails, l looks, A and B look at those values, e puts empty into a. */
static int play(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    struct box *box = NULL;
    for (const char *step = sf_msg(turn)->kind; *step; step++)
        switch (*step) {
        case '+':
            box = sf_state(turn);
            box->total++;
            break;
        case 'a': sf_value_put(turn, &A, sf_str("x")); break;
        case 'b': sf_value_put(turn, &B, sf_str("y")); break;
        case 'e': sf_value_put(turn, &A, sf_str("")); break;
        case 'c':
            sf_clear(turn);
            if (box && box->total) /* what was handed out before is the struct still */
                note(&place->notes, "not zeroed ");
            break;
        case 'f': sf_fail(turn, "as told"); break;
        case 'l':
            box = sf_state(turn);
            note(&place->notes, "%u", (unsigned)box->total);
            break;
        case 'A': note(&place->notes, "%c", absent_or(sf_value_get(turn, &A))); break;
        case 'B': note(&place->notes, "%c", absent_or(sf_value_get(turn, &B))); break;
        }
    return 0;
}

static const sf_type box_type = SF_TYPE(BOX, .handler = play, .state_size = sizeof(struct box),
                                        .values = {&A, &B}, .attempts_max = 1);

static sf_runtime *open_boxes(struct place *place, const sf_type *type)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, type, place));
    return rt;
}

static void tell(sf_runtime *rt, const char *id, const char *steps)
{
    OK(sf_send(rt, sf_addr(BOX, id), steps, SF_NONE));
}

/* What a turn sees, as noted by "lAB". */
static void expect(struct place *place, sf_runtime *rt, const char *seen)
{
    notes_clear(&place->notes);
    tell(rt, "x", "lAB");
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), seen);
}

static int listed(sf_runtime *rt)
{
    sf_view *view = NULL;
    int count = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, BOX);
    while (sf_next(cursor))
        count++;
    assert_int_equal(sf_cursor_error(cursor), 0);
    assert_null(sf_view_state(view, sf_addr(BOX, "x")).data);
    assert_int_equal(sf_view_error(view), 0);
    assert_null(sf_view_value(view, sf_addr(BOX, "x"), &A).data);
    assert_null(sf_view_value(view, sf_addr(BOX, "x"), &B).data);
    sf_view_close(view);
    return count;
}

static void a_cleared_actor_is_nowhere_and_begins_anew(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+ab");
    tell(rt, "y", "+ab");
    drive_until_quiet(rt);
    tell(rt, "x", "lc");
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "1");
    assert_int_equal(listed(rt), 1);
    expect(place, rt, "0--");
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    assert_int_equal(listed(rt), 1);
    expect(place, rt, "0--");
    tell(rt, "x", "+");
    expect(place, rt, "1--");
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    expect(place, rt, "1--");
    OK(sf_runtime_close(rt));
}

/* Neither the struct nor a value was read when it is cleared. */
static void what_is_not_in_memory_is_cleared_too(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+ab");
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    tell(rt, "x", "clAB");
    drive_until_quiet(rt);
    assert_string_equal(noted(&place->notes), "0--");
    assert_int_equal(listed(rt), 0);
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    expect(place, rt, "0--");
    OK(sf_runtime_close(rt));
}

static void a_value_that_the_type_lists_no_longer_goes_with_it(void **state)
{
    struct place *place = *state;
    sf_type later = box_type;
    later.values[1] = NULL;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+ab");
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &later);
    tell(rt, "x", "c");
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    assert_int_equal(listed(rt), 0);
    expect(place, rt, "0--");
    OK(sf_runtime_close(rt));
}

/* In memory, or not read before; with values put, looked for and put again afterwards. */
static void it_is_undone_with_its_turn(void **state)
{
    static const char *const turns[] = {"cf", "lABcf", "c+abf", "cABf", "ABc+ecABcf", "+acbclf"};
    struct place *place = *state;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+ab");
    drive_until_quiet(rt);
    for (size_t i = 0; i < 2 * sizeof turns / sizeof *turns; i++) {
        if (i % 2) {
            OK(sf_runtime_close(rt));
            rt = open_boxes(place, &box_type);
        }
        tell(rt, "x", turns[i / 2]);
        drive_until_quiet(rt);
        expect(place, rt, "1xy");
    }
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    expect(place, rt, "1xy");
    OK(sf_runtime_close(rt));
}

static void what_is_written_afterwards_is_a_new_actor(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+++ab");
    drive_until_quiet(rt);
    tell(rt, "x", "+c++b");
    expect(place, rt, "2-y");
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &box_type);
    expect(place, rt, "2-y");
    OK(sf_runtime_close(rt));
}

static int refuse(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version, (void)old, (void)fresh;
    return -1;
}

static void a_struct_that_cannot_be_read_can_be_cleared(void **state)
{
    struct place *place = *state;
    sf_type later = box_type;
    later.state_version = 1;
    later.state_migrate = refuse;
    sf_runtime *rt = open_boxes(place, &box_type);
    tell(rt, "x", "+");
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = open_boxes(place, &later);
    tell(rt, "x", "c");
    expect(place, rt, "0--");
    assert_int_equal(listed(rt), 0);
    OK(sf_runtime_close(rt));
}

static void what_was_cleared_leaves_its_space(void **state)
{
    enum { BYTES = 16384, ACTORS = 100 };
    static const sf_type large =
        SF_TYPE("test/large", .handler = play, .state_size = BYTES);
    struct place *place = *state;
    struct stat file;
    char path[400];
    long long early = 0;
    sf_options options = SF_OPTIONS(.log_bytes_max = 1 << 20, .cache_bytes_max = 1 << 20,
                                    .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &large, place));
    snprintf(path, sizeof path, "%.300s/data.mdb", place->db);
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < 2 * ACTORS; i++) {
            char id[32];
            snprintf(id, sizeof id, "%d-%d", round, i % ACTORS);
            OK(sf_send(rt, sf_addr("test/large", id), i < ACTORS ? "+" : "c", SF_NONE));
            if (i == ACTORS)
                drive_until_quiet(rt);
        }
        drive_until_quiet(rt);
        assert_int_equal(stat(path, &file), 0);
        if (round == 9)
            early = (long long)file.st_size;
    }
    print_message("%lld KiB early, %lld KiB late\n", early >> 10, (long long)file.st_size >> 10);
    assert_true((long long)file.st_size < early + early / 4);
    OK(sf_runtime_close(rt));
}

/* -- against a model --------------------------------------------------------------------------- */

enum { BOXES = 12, TURNS = 4000 };

struct model {
    uint32_t total;
    char a, b;
};

static void model_turn(struct model *model, const char *steps)
{
    struct model was = *model;
    for (; *steps; steps++)
        switch (*steps) {
        case '+': model->total++; break;
        case 'a': model->a = 'x'; break;
        case 'b': model->b = 'y'; break;
        case 'c': *model = (struct model){0, '-', '-'}; break;
        case 'f': *model = was; return;
        }
}

/* Epochs of a few turns, a cache for almost nobody, a restart now and then. */
static void any_turns_in_any_epochs_give_what_a_model_gives(void **state)
{
    static const char *const turns[] = {"+", "a", "b", "c", "+a", "c+", "cb", "+c", "+ac+b",
                                        "cf", "+abf", "c+abf", "AcBf", "lAB", "ca", "B", "l"};
    struct place *place = *state;
    struct model models[BOXES];
    sf_options options = SF_OPTIONS(.cache_bytes_max = 600, .store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt = NULL;
    srand(7);
    for (int i = 0; i < BOXES; i++)
        models[i] = (struct model){0, '-', '-'};
    for (int turn = 0; turn < TURNS; turn++) {
        if (turn % 500 == 0) {
            OK(sf_runtime_close(rt));
            options.epoch_turns_max = turn % 1000 ? 3 : 40;
            options.commit_inline = turn % 2000 < 1000;
            rt = place_open_with(place, &options);
            OK(sf_register(rt, &box_type, place));
        }
        int n = rand() % BOXES;
        char id[8], seen[32];
        snprintf(id, sizeof id, "%d", n);
        const char *steps = turns[(size_t)rand() % (sizeof turns / sizeof *turns)];
        tell(rt, id, steps);
        model_turn(&models[n], steps);
        tell(rt, id, "lAB");
        if (rand() % 4)
            OK(sf_step(rt, rand() % 5));
        if (turn % 7)
            continue;
        OK(sf_run_until_idle(rt));
        notes_clear(&place->notes);
        tell(rt, id, "lAB");
        OK(sf_run_until_idle(rt));
        snprintf(seen, sizeof seen, "%u%c%c", models[n].total, models[n].a, models[n].b);
        assert_string_equal(noted(&place->notes), seen);
    }
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_cleared_actor_is_nowhere_and_begins_anew),
        TEST(what_is_not_in_memory_is_cleared_too),
        TEST(a_value_that_the_type_lists_no_longer_goes_with_it),
        TEST(it_is_undone_with_its_turn),
        TEST(what_is_written_afterwards_is_a_new_actor),
        TEST(a_struct_that_cannot_be_read_can_be_cleared),
        TEST(what_was_cleared_leaves_its_space),
        TEST(any_turns_in_any_epochs_give_what_a_model_gives),
    };
    return cmocka_run_group_tests_name("clear", tests, NULL, NULL);
}
