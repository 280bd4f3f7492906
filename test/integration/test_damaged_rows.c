/* test_damaged_rows.c - one row is damaged: whom it concerns waits or is passed over, all others go on, and so
 * after each restart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/support.h"

struct text {
    char text[32];
};

static const sf_value memo = SF_VALUE("memo");

/* "set" writes the actor's own name into its struct, "note" into its value; "see" tells that it ran. */
static int keep(sf_turn *turn)
{
    struct text *state = NULL;
    char text[32];
    snprintf(text, sizeof text, "MAGIC-%.12s-MAGIC", id_text(sf_self(turn)));
    if (sf_is(sf_msg(turn), "note"))
        return sf_value_put(turn, &memo, sf_str(text));
    if (sf_is(sf_msg(turn), "look"))
        return sf_value_get(turn, &memo).data ? 0 : sf_fail(turn, "no memo");
    if (sf_is(sf_msg(turn), "reject"))
        return sf_reject(turn, "as asked");
    state = sf_state(turn);
    if (sf_is(sf_msg(turn), "set"))
        memcpy(state->text, text, sizeof text);
    return sf_is(sf_msg(turn), "ask") ? sf_reply(turn, "", SF_NONE) : 0;
}

static const sf_type keeper =
    SF_TYPE("test/keeper", .handler = keep, .state_size = sizeof(struct text), .values = {&memo});

static sf_runtime *open_keepers(const struct place *place)
{
    sf_options options = SF_OPTIONS(.log_records_max = 20, .commit_inline = 1);
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &keeper, NULL));
    return rt;
}

static void tell_all(sf_runtime *rt, const char *kind, int from, int to)
{
    char id[16];
    for (int i = from; i < to; i++) {
        snprintf(id, sizeof id, "a%03d", i);
        OK(sf_send(rt, sf_addr("test/keeper", id), kind, SF_BYTES("body of it", 10)));
    }
}

/* The states are in the table, not in the log: it is full again and again. */
static void make(const struct place *place)
{
    sf_runtime *rt = open_keepers(place);
    tell_all(rt, "set", 0, 100);
    tell_all(rt, "note", 0, 100);
    OK(sf_run_until_idle(rt));
    for (int i = 200; i < 260; i++) {
        tell_all(rt, "set", i, i + 1);
        OK(sf_run_until_idle(rt));
    }
    OK(sf_runtime_close(rt));
}

/* Changes a byte wherever the text is in the file, in use or not. */
static void damage(const struct place *place, const char *text, size_t at)
{
    enum { FILE_MAX = 16 << 20 };
    const char *path = place_path(place, "db/data.mdb");
    unsigned char *bytes = malloc(FILE_MAX);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_non_null(bytes);
    size_t size = fread(bytes, 1, FILE_MAX, file);
    int found = 0;
    for (size_t i = 0; i + strlen(text) <= size; i++)
        if (memcmp(bytes + i, text, strlen(text)) == 0) {
            bytes[i + at] ^= 0x20;
            found++;
        }
    rewind(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    free(bytes);
    assert_true(found > 0);
}

static void asks_innocent(sf_runtime *rt)
{
    sf_message *answer = NULL;
    OK(sf_ask(rt, sf_addr("test/keeper", "a007"), "ask", SF_NONE, 5000, &answer));
    sf_message_free(answer);
}

static int64_t problems(const struct place *place)
{
    return OK(sf_verify(place->db, NULL, NULL));
}

static void a_damaged_actor_waits_and_the_others_go_on(void **state)
{
    struct place *place = *state;
    make(place);
    assert_int_equal(problems(place), 0);
    damage(place, "MAGIC-a042-MAGIC", 0); /* struct and value */
    assert_int_equal(problems(place), 2);
    for (uint64_t run = 0; run < 3; run++) {
        sf_runtime *rt = open_keepers(place);
        if (run == 0)
            tell_all(rt, "see", 42, 43);
        asks_innocent(rt);
        tell_all(rt, "set", 0, 42);
        OK(sf_run_for(rt, 20000));
        assert_int_equal(stats_of(rt).fenced, 1);
        assert_int_equal(stats_of(rt).messages_waiting, 1);
        assert_int_equal(stats_of(rt).dead_letters, 0);
        OK(sf_runtime_close(rt));
    }
}

/* While it waits, and until it is tried again after a restart; a repaired one no longer. */
static void a_damaged_actor_is_listed_with_what_is_wrong(void **state)
{
    struct place *place = *state;
    make(place);
    damage(place, "MAGIC-a042-MAGIC", 0);
    sf_runtime *rt = open_keepers(place);
    tell_all(rt, "see", 41, 44);
    OK(sf_run_for(rt, 20000));
    note_held(rt, "test/keeper", &place->notes);
    HAS(noted(&place->notes), "a042: ");
    HAS(noted(&place->notes), "checksum");
    assert_null(strstr(noted(&place->notes), "a041"));
    assert_null(strstr(noted(&place->notes), "a043"));
    OK(sf_runtime_close(rt));
    rt = open_keepers(place);
    notes_clear(&place->notes);
    note_held(rt, "test/keeper", &place->notes);
    HAS(noted(&place->notes), "a042: ");
    OK(sf_runtime_close(rt));
    assert_int_equal(problems(place), 2); /* that it is listed is none */

    damage(place, "mAGIC-a042-MAGIC", 0); /* as it was */
    rt = open_keepers(place);
    OK(sf_run_for(rt, 20000));
    notes_clear(&place->notes);
    note_held(rt, "test/keeper", &place->notes);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
    assert_int_equal(problems(place), 0);
}

static void a_damaged_actor_that_is_purged_is_not_listed_and_begins_anew(void **state)
{
    struct place *place = *state;
    make(place);
    damage(place, "MAGIC-a042-MAGIC", 0);
    sf_runtime *rt = open_keepers(place);
    tell_all(rt, "see", 42, 43);
    OK(sf_run_for(rt, 20000));
    OK(sf_purge(rt, sf_addr("test/keeper", "a042")));
    tell_all(rt, "set", 42, 43);
    OK(sf_run_for(rt, 20000));
    note_held(rt, "test/keeper", &place->notes);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

static void a_damaged_value_is_like_a_damaged_struct(void **state)
{
    struct place *place = *state;
    make(place);
    damage(place, "MAGIC-a042-MAGIC", 0);
    sf_runtime *rt = open_keepers(place);
    tell_all(rt, "look", 41, 44);
    asks_innocent(rt);
    OK(sf_run_for(rt, 20000));
    assert_int_equal(stats_of(rt).fenced, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 1);
    OK(sf_runtime_close(rt));
}

static int put_off(sf_turn *turn)
{
    return sf_fail(turn, "not now");
}

static const sf_type slow = SF_TYPE("test/slow", .handler = put_off, .backoff_ms = 3600000,
                                    .backoff_ms_max = 3600000);

/* Those that wait by a back-off, and those that were not met when it was closed. */
static void a_damaged_message_is_passed_over_and_stays(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_keepers(place);
    OK(sf_register(rt, &slow, NULL));
    for (int i = 0; i < 9; i++) {
        char body[16], id[16];
        snprintf(body, sizeof body, "slow body %d", i);
        snprintf(id, sizeof id, "s%d", i < 5 ? 0 : i);
        OK(sf_send(rt, sf_addr("test/slow", id), "", SF_BYTES(body, 11)));
    }
    OK(sf_run_for(rt, 20000));
    OK(sf_runtime_close(rt));
    damage(place, "slow body 3", 1);
    damage(place, "slow body 7", 1);
    assert_int_equal(problems(place), 2);
    for (int run = 0; run < 3; run++) {
        rt = open_keepers(place);
        OK(sf_register(rt, &slow, NULL));
        asks_innocent(rt);
        OK(sf_run_for(rt, 20000));
        assert_int_equal(stats_of(rt).messages_waiting, 9);
        assert_true(stats_of(rt).damaged >= 1);
        OK(sf_runtime_close(rt));
        assert_int_equal(problems(place), 2);
    }
}

static void a_damaged_dead_letter_is_passed_over_and_can_be_dropped(void **state)
{
    struct place *place = *state;
    sf_view *view;
    sf_runtime *rt = open_keepers(place);
    for (int i = 0; i < 3; i++) {
        char body[16];
        snprintf(body, sizeof body, "dead body %d", i);
        OK(sf_send(rt, sf_addr("test/keeper", "d"), "reject", SF_BYTES(body, 11)));
    }
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    damage(place, "dead body 1", 2);
    damage(place, "dead body 2", 2);
    rt = open_keepers(place);
    OK(sf_view_open(rt, &view));
    assert_int_equal(sf_view_dead(view, 0)->sequence, 1);
    assert_null(sf_view_dead(view, 1));
    assert_int_equal(sf_view_error(view), SF_ECORRUPT); /* not just none */
    sf_view_close(view);
    OK(sf_dead_drop(rt, 2));
    OK(sf_run_until_idle(rt));
    asks_innocent(rt);
    OK(sf_runtime_close(rt));
    assert_int_equal(problems(place), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_damaged_actor_waits_and_the_others_go_on),
        TEST(a_damaged_actor_is_listed_with_what_is_wrong),
        TEST(a_damaged_actor_that_is_purged_is_not_listed_and_begins_anew),
        TEST(a_damaged_value_is_like_a_damaged_struct),
        TEST(a_damaged_message_is_passed_over_and_stays),
        TEST(a_damaged_dead_letter_is_passed_over_and_can_be_dropped),
    };
    return cmocka_run_group_tests_name("damaged_rows", tests, NULL, NULL);
}
