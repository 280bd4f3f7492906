/* test_values.c - what an actor keeps: its struct through versions and restarts, its named
 * values. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

/* -- named values ------------------------------------------------------------------------------ */

static const sf_value FIRST = SF_VALUE("first");
static const sf_value SECOND = SF_VALUE("second");
static const sf_value STRANGER = SF_VALUE("stranger"); /* listed in no type */

static void note_value(struct place *place, sf_turn *turn, const sf_value *value)
{
    sf_bytes bytes = sf_value_get(turn, value);
    if (!bytes.data)
        note(&place->notes, "%s:absent ", value->slot.name);
    else
        note(&place->notes, "%s:'%.*s' ", value->slot.name, (int)bytes.size, (const char *)bytes.data);
}

/* The kind says what to do, letter by letter: p put the body, e put empty, n put absent, d delete,
 * g get, G get the second, P put the second, f fail. */
static int play(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    const sf_message *msg = sf_msg(turn);
    for (const char *step = msg->kind; *step; step++)
        switch (*step) {
        case 'p': sf_value_put(turn, &FIRST, msg->body); break;
        case 'P': sf_value_put(turn, &SECOND, msg->body); break;
        case 'e': sf_value_put(turn, &FIRST, sf_str("")); break;
        case 'd': sf_value_del(turn, &FIRST); break;
        case 'g': note_value(place, turn, &FIRST); break;
        case 'G': note_value(place, turn, &SECOND); break;
        case 's': sf_value_put(turn, &STRANGER, msg->body); break;
        case 'f': sf_fail(turn, "as told"); break;
        }
    return 0;
}

static const sf_type player = SF_TYPE("test/player", .handler = play, .values = {&FIRST, &SECOND},
                                      .attempts_max = 1);

static void tell(sf_runtime *rt, const char *id, const char *steps, const char *body)
{
    OK(sf_send(rt, sf_addr("test/player", id), steps, sf_str(body)));
    drive_until_quiet(rt);
}

static sf_runtime *open_player(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &player, place));
    return rt;
}

static void a_value_is_absent_then_there_then_empty_then_absent(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_player(place);
    tell(rt, "a", "gpgegdgdgpg", "x");
    assert_string_equal(noted(&place->notes), "first:absent first:'x' first:'' first:absent "
                                              "first:absent first:'x' ");
    OK(sf_runtime_close(rt));
}

static void each_of_these_survives_a_restart(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_player(place);
    tell(rt, "there", "p", "kept");
    tell(rt, "empty", "pe", "x");
    tell(rt, "deleted", "p", "x");
    tell(rt, "deleted", "d", "x");
    tell(rt, "both", "pP", "2");
    OK(sf_runtime_close(rt));
    for (int run = 0; run < 2; run++) {
        notes_clear(&place->notes);
        rt = open_player(place);
        tell(rt, "there", "gG", "");
        tell(rt, "empty", "gG", "");
        tell(rt, "deleted", "gG", "");
        tell(rt, "both", "gG", "");
        tell(rt, "never", "gG", "");
        assert_string_equal(noted(&place->notes),
                            "first:'kept' second:absent first:'' second:absent first:absent "
                            "second:absent first:'2' second:'2' first:absent second:absent ");
        OK(sf_runtime_close(rt));
    }
}

static void a_failed_turn_puts_values_back(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_player(place);
    tell(rt, "a", "p", "old");
    tell(rt, "a", "pgf", "new");
    tell(rt, "a", "g", "");
    tell(rt, "a", "dgf", "");
    tell(rt, "a", "g", "");
    tell(rt, "a", "ef", "");
    tell(rt, "a", "g", "");
    tell(rt, "b", "pf", "never");
    tell(rt, "b", "g", "");
    /* and with several turns in one epoch */
    OK(sf_send(rt, sf_addr("test/player", "a"), "p", sf_str("1")));
    OK(sf_send(rt, sf_addr("test/player", "a"), "dpPf", sf_str("2")));
    OK(sf_send(rt, sf_addr("test/player", "a"), "gG", SF_NONE));
    drive_until_quiet(rt);
    const char *expected =
        "first:'new' first:'old' first:absent first:'old' first:'old' first:absent "
        "first:'1' second:absent ";
    assert_string_equal(noted(&place->notes), expected);
    OK(sf_runtime_close(rt));
    notes_clear(&place->notes);
    rt = open_player(place);
    tell(rt, "a", "gG", "");
    tell(rt, "b", "gG", "");
    assert_string_equal(noted(&place->notes),
                        "first:'1' second:absent first:absent second:absent ");
    OK(sf_runtime_close(rt));
}

static void a_value_that_the_type_does_not_list_fails_the_turn(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_player(place);
    tell(rt, "a", "ps", "x");
    tell(rt, "a", "g", "");
    assert_string_equal(noted(&place->notes), "first:absent ");
    assert_int_equal(stats_of(rt).dead_letters, 1);
    OK(sf_runtime_close(rt));
}

static void a_value_may_be_as_large_as_the_limit(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_player(place);
    size_t size = 1u << 20;
    char *body = calloc(1, size);
    assert_non_null(body);
    memset(body, 'z', size);
    OK(sf_send(rt, sf_addr("test/player", "a"), "p", SF_BYTES(body, size)));
    OK(sf_runtime_close(rt));
    rt = open_player(place);
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes bytes = sf_view_value(view, sf_addr("test/player", "a"), &FIRST);
    assert_int_equal(bytes.size, size);
    assert_memory_equal(bytes.data, body, size);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
    free(body);
}

/* -- the struct -------------------------------------------------------------------------------- */

static void state_lives_through_many_restarts(void **state)
{
    for (uint64_t run = 1; run <= 10; run++) {
        sf_runtime *rt = place_open(*state);
        OK(sf_register(rt, &counter_type, NULL));
        assert_int_equal(counter_stored(rt, "a").total, run * (run - 1) / 2);
        counter_add(rt, "a", run);
        if (run % 2)
            drive_until_quiet(rt);
        OK(sf_runtime_close(rt));
        if (run % 2 == 0) { /* what close left over */
            rt = place_open(*state);
            OK(sf_register(rt, &counter_type, NULL));
            drive_until_quiet(rt);
            OK(sf_runtime_close(rt));
        }
    }
}

/* The place of a value that was added is kept for it, though nothing else about the type changed. */
static void a_value_added_in_one_run_is_not_anothers_in_the_next(void **state)
{
    static const sf_value third = SF_VALUE("third");
    sf_type with_first = player, with_second = player;
    struct place *place = *state;
    with_first.values[1] = NULL;
    with_second.values[0] = &third;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &with_first, place));
    tell(rt, "x", "p", "one");
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &player, place)); /* the second is new */
    tell(rt, "x", "P", "two");
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &with_second, place)); /* and now the third */
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    assert_null(sf_view_value(view, sf_addr("test/player", "x"), &third).data);
    sf_bytes two = sf_view_value(view, sf_addr("test/player", "x"), &SECOND);
    assert_int_equal(two.size, 3);
    assert_memory_equal(two.data, "two", 3);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

struct old_form { uint32_t count; };
struct new_form { uint64_t count, migrated_from; };

static int old_turn(sf_turn *turn)
{
    struct old_form *self = sf_state(turn);
    self->count++;
    return 0;
}

static int new_turn(sf_turn *turn)
{
    struct new_form *self = sf_state(turn);
    self->count++;
    return 0;
}

static int migrate(uint32_t version, sf_bytes old, void *fresh)
{
    struct new_form *self = fresh;
    if (version != 0 || old.size != sizeof(struct old_form) || self->count || self->migrated_from)
        return -1;
    if (((const char *)old.data)[old.size] != 0) /* as after everything that is lent */
        return -1;
    self->count = ((const struct old_form *)old.data)->count;
    self->migrated_from = 1;
    return 0;
}

static int cannot_migrate(uint32_t version, sf_bytes old, void *fresh)
{
    (void)version, (void)old, (void)fresh;
    return -1;
}

#define FORM "test/form"
static const sf_type old_type =
    SF_TYPE(FORM, .handler = old_turn, .state_size = sizeof(struct old_form));
static const sf_type new_type =
    SF_TYPE(FORM, .handler = new_turn, .state_size = sizeof(struct new_form), .state_version = 1,
            .state_migrate = migrate);
static const sf_type resized =
    SF_TYPE(FORM, .handler = new_turn, .state_size = sizeof(struct new_form));
static const sf_type no_migrate =
    SF_TYPE(FORM, .handler = new_turn, .attempts_max = 1, .state_size = sizeof(struct new_form),
            .state_version = 1);
static const sf_type bad_migrate =
    SF_TYPE(FORM, .handler = new_turn, .attempts_max = 1, .state_size = sizeof(struct new_form),
            .state_version = 1, .state_migrate = cannot_migrate);

static void write_old_forms(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &old_type, NULL));
    for (int i = 0; i < 6; i++)
        OK(sf_send(rt, sf_addr(FORM, i % 2 ? "a" : "b"), "x", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
}

static struct new_form stored_form(sf_runtime *rt, const char *id)
{
    struct new_form form = {0};
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes bytes = sf_view_state(view, sf_addr(FORM, id));
    assert_int_equal(bytes.size, sizeof form);
    memcpy(&form, bytes.data, sizeof form);
    sf_view_close(view);
    return form;
}

static void a_struct_of_an_older_version_is_migrated_when_used_and_when_viewed(void **state)
{
    write_old_forms(*state);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(stored_form(rt, "a").count, 3); /* a view shows today's version */
    assert_int_equal(stored_form(rt, "a").migrated_from, 1);
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stored_form(rt, "a").count, 4);
    assert_int_equal(stored_form(rt, "b").count, 3);
    OK(sf_runtime_close(rt));
    rt = place_open(*state); /* one of them is in the new version now, and the other is not */
    OK(sf_register(rt, &new_type, NULL));
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    OK(sf_send(rt, sf_addr(FORM, "b"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stored_form(rt, "a").count, 5);
    assert_int_equal(stored_form(rt, "b").count, 4);
    OK(sf_runtime_close(rt));
}

/* The structs are in memory then, in the old version. */
static void a_new_version_waits_for_a_restart(void **state)
{
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &old_type, NULL));
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    REFUSED(sf_register(rt, &resized, NULL), SF_EINVAL);
    REFUSED(sf_register(rt, &new_type, NULL), SF_EINVAL);
    SAYS("restart");
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE)); /* the old one goes on */
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = place_open(*state);
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(stored_form(rt, "a").count, 2);
    OK(sf_runtime_close(rt));
}

static void another_size_at_the_same_version_is_refused(void **state)
{
    write_old_forms(*state);
    sf_runtime *rt = place_open(*state);
    REFUSED(sf_register(rt, &resized, NULL), SF_EINVAL);
    SAYS(FORM);
    OK(sf_register(rt, &old_type, NULL)); /* nothing changed */
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(stats_of(rt).turns, 1);
    OK(sf_runtime_close(rt));
}

static void a_version_newer_than_the_programs_is_refused(void **state)
{
    write_old_forms(*state);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &new_type, NULL));
    OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    rt = place_open(*state);
    REFUSED(sf_register(rt, &old_type, NULL), SF_ENEWER);
    SAYS(FORM);
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(stored_form(rt, "a").count, 4);
    OK(sf_runtime_close(rt));
}

/* Old structs and nothing that can read them: refused at once or when used, never read as they
 * are. */
static void expect_not_migrated(struct place *place, const sf_type *type)
{
    write_old_forms(place);
    sf_runtime *rt = place_open(place);
    if (sf_register(rt, type, NULL) == 0) {
        OK(sf_send(rt, sf_addr(FORM, "a"), "x", SF_NONE));
        OK(sf_run_until_idle(rt));
        assert_int_equal(stats_of(rt).turns, 0);
        assert_int_equal(stats_of(rt).messages_waiting, 1); /* see test_migrations.c */
    } else {
        SAYS(FORM);
    }
    OK(sf_runtime_close(rt));
    rt = place_open(place); /* the old structs are still what they were */
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(stored_form(rt, "a").count, 3);
    assert_int_equal(stored_form(rt, "b").count, 3);
    OK(sf_runtime_close(rt));
}

static void a_version_without_a_migration_leaves_the_old_structs_alone(void **state)
{
    expect_not_migrated(*state, &no_migrate);
}

static void a_migration_that_cannot_leaves_the_old_structs_alone(void **state)
{
    expect_not_migrated(*state, &bad_migrate);
}

enum { LARGE = 1 << 20 };

static int write_large(sf_turn *turn)
{
    unsigned char *self = sf_state(turn);
    self[0]++;
    self[LARGE - 1]++;
    return sf_is(sf_msg(turn), "fail") ? sf_fail(turn, "as told") : 0;
}

static void a_struct_may_have_a_mebibyte_and_no_more(void **state)
{
    static const sf_type large = SF_TYPE("test/large", .handler = write_large, .state_size = LARGE);
    static const sf_type larger =
        SF_TYPE("test/larger", .handler = write_large, .state_size = LARGE + 1);
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &large, NULL));
    REFUSED(sf_register(rt, &larger, NULL), SF_EINVAL);
    OK(sf_send(rt, sf_addr("test/large", "l"), "x", SF_NONE));
    OK(sf_send(rt, sf_addr("test/large", "l"), "fail", SF_NONE));
    OK(sf_send(rt, sf_addr("test/large", "l"), "x", SF_NONE));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const unsigned char *bytes = sf_view_state(view, sf_addr("test/large", "l")).data;
    assert_non_null(bytes);
    assert_int_equal(bytes[0], 2);
    assert_int_equal(bytes[1], 0);
    assert_int_equal(bytes[LARGE - 1], 2);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void bad_types_are_refused_with_a_sentence(void **state)
{
    static const sf_value nameless = SF_VALUE(""), unsized = {.slot = {.name = "x"}};
    static const sf_value twin = SF_VALUE("first");
    static const sf_type good = SF_TYPE("test/good", .handler = play);
    sf_runtime *rt = place_open(*state);
    sf_type type = good;
    type.size = 0;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    SAYS("SF_TYPE");
    REFUSED(sf_register(rt, NULL, NULL), SF_EINVAL);
    type = good;
    type.name = NULL;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    type = good;
    type.values[0] = &nameless;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    type.values[0] = &unsized;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    type.values[0] = &FIRST;
    type.values[1] = &twin;
    REFUSED(sf_register(rt, &type, NULL), SF_EINVAL);
    OK(sf_register(rt, &good, *state));
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_value_is_absent_then_there_then_empty_then_absent),
        TEST(each_of_these_survives_a_restart),
        TEST(a_failed_turn_puts_values_back),
        TEST(a_value_that_the_type_does_not_list_fails_the_turn),
        TEST(a_value_may_be_as_large_as_the_limit),
        TEST(state_lives_through_many_restarts),
        TEST(a_value_added_in_one_run_is_not_anothers_in_the_next),
        TEST(a_struct_of_an_older_version_is_migrated_when_used_and_when_viewed),
        TEST(a_new_version_waits_for_a_restart),
        TEST(another_size_at_the_same_version_is_refused),
        TEST(a_version_newer_than_the_programs_is_refused),
        TEST(a_version_without_a_migration_leaves_the_old_structs_alone),
        TEST(a_migration_that_cannot_leaves_the_old_structs_alone),
        TEST(a_struct_may_have_a_mebibyte_and_no_more),
        TEST(bad_types_are_refused_with_a_sentence),
    };
    return cmocka_run_group_tests_name("values", tests, NULL, NULL);
}
