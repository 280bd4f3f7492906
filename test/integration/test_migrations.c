/* test_migrations.c - a struct in a new version: when the database takes it up, and what happens
 * when the program cannot read the old one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "run/life.h"
#include "support/machine.h"
#include "support/support.h"

#define FORM "test/form"

struct old_form {
    uint32_t count;
};

struct new_form {
    uint64_t count, migrated;
};

static int calls;   /* of state_migrate */
static int refuses; /* it says no */
static int leaves;  /* it never returns */
static int checks;  /* it notes what it is lent */
static char lent[64];
static jmp_buf out;

static int count_old(sf_turn *turn)
{
    struct old_form *self = sf_state(turn);
    self->count++;
    return 0;
}

static int count_new(sf_turn *turn)
{
    struct new_form *self = sf_state(turn);
    if (!sf_is(sf_msg(turn), "look"))
        self->count++;
    return 0;
}

static int migrate(uint32_t version, sf_bytes old, void *fresh)
{
    struct new_form *self = fresh;
    calls++;
    if (checks)
        snprintf(lent, sizeof lent, "version %u, %zu bytes, then %d, fresh %d", version, old.size,
                 ((const char *)old.data)[old.size], self->count || self->migrated);
    memset(fresh, 0xff, sizeof *self); /* whatever it leaves there is not believed */
    if (leaves)
        longjmp(out, 1);
    if (refuses)
        return 1;
    *self = (struct new_form){((const struct old_form *)old.data)->count, 1};
    return 0;
}

static const sf_type old_type =
    SF_TYPE(FORM, .handler = count_old, .state_size = sizeof(struct old_form), .attempts_max = 1);
static const sf_type new_type =
    SF_TYPE(FORM, .handler = count_new, .state_size = sizeof(struct new_form), .state_version = 1,
            .state_migrate = migrate, .attempts_max = 1);

static sf_runtime *open_as(struct place *place, const sf_type *type)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, type, NULL));
    return rt;
}

static void run_as(struct place *place, const sf_type *type, const char *id, const char *kind)
{
    sf_runtime *rt = open_as(place, type);
    OK(sf_send(rt, sf_addr(FORM, id), kind, SF_NONE));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
}

static struct new_form form_of(sf_runtime *rt, const char *id)
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

static int setup(void **state)
{
    calls = refuses = leaves = checks = 0;
    return place_setup(state);
}

/* Rolled out and taken back before it did anything: as if it had never been. */
static void the_old_program_opens_until_something_is_stored_in_the_new_version(void **state)
{
    run_as(*state, &old_type, "a", "count");
    OK(sf_runtime_close(open_as(*state, &new_type)));
    run_as(*state, &old_type, "a", "count");
    run_as(*state, &new_type, "a", "look"); /* migrated in memory, and not changed */
    run_as(*state, &old_type, "a", "count");
    assert_int_equal(calls, 1);
    run_as(*state, &new_type, "a", "count");
    sf_runtime *rt = place_open(*state);
    REFUSED(sf_register(rt, &old_type, NULL), SF_ENEWER);
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(form_of(rt, "a").count, 4);
    OK(sf_runtime_close(rt));
}

static void a_new_actor_is_stored_in_the_new_version_too(void **state)
{
    run_as(*state, &old_type, "a", "count");
    run_as(*state, &new_type, "b", "count");
    sf_runtime *rt = place_open(*state);
    REFUSED(sf_register(rt, &old_type, NULL), SF_ENEWER);
    OK(sf_register(rt, &new_type, NULL));
    assert_int_equal(form_of(rt, "a").migrated, 1);
    assert_int_equal(form_of(rt, "b").migrated, 0);
    OK(sf_runtime_close(rt));
}

static void what_is_in_memory_keeps_its_layout_until_a_restart(void **state)
{
    static const sf_type again = SF_TYPE(FORM, .handler = count_new, .state_size = 8,
                                         .state_version = 1, .state_migrate = migrate);
    static const sf_type later =
        SF_TYPE(FORM, .handler = count_new, .state_size = sizeof(struct new_form),
                .state_version = 2, .state_migrate = migrate);
    run_as(*state, &old_type, "a", "count");
    sf_runtime *rt = open_as(*state, &new_type); /* version 0 is still what the database holds */
    REFUSED(sf_register(rt, &old_type, NULL), SF_EINVAL);
    SAYS("restart");
    REFUSED(sf_register(rt, &again, NULL), SF_EINVAL);
    SAYS("restart");
    REFUSED(sf_register(rt, &later, NULL), SF_EINVAL);
    SAYS("restart");
    OK(sf_register(rt, &new_type, NULL));
    OK(sf_runtime_close(rt));
}

/* attempts_max is 1: counted, the message would be dead at once. */
static void a_message_waits_for_a_program_that_can_read_its_actor(void **state)
{
    run_as(*state, &old_type, "a", "count");
    sf_runtime *rt = open_as(*state, &new_type);
    refuses = 1;
    OK(sf_send(rt, sf_addr(FORM, "a"), "count", SF_NONE));
    OK(sf_send(rt, sf_addr(FORM, "a"), "count", SF_NONE));
    OK(sf_send(rt, sf_addr(FORM, "b"), "count", SF_NONE)); /* never stored: nothing to migrate */
    OK(sf_run_until_idle(rt));
    sf_stats stats = stats_of(rt);
    assert_int_equal(calls, 1);
    assert_int_equal(stats.turns, 1);
    assert_int_equal(stats.turns_held, 1);
    assert_int_equal(stats.turns_failed, 1);
    assert_int_equal(stats.dead_letters, 0);
    assert_int_equal(stats.messages_waiting, 2);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    assert_null(sf_view_state(view, sf_addr(FORM, "a")).data);
    assert_int_equal(sf_view_error(view), SF_EFAILED);
    SAYS("state_migrate refused version 0");
    sf_view_close(view);
    struct place *place = *state;
    note_held(rt, FORM, &place->notes);
    HAS(noted(&place->notes), "a: type 'test/form': state_migrate refused version 0");
    OK(sf_runtime_close(rt));

    refuses = 0;
    rt = open_as(*state, &new_type);
    OK(sf_run_until_idle(rt)); /* at once: the pause was this program's */
    notes_clear(&place->notes);
    note_held(rt, FORM, &place->notes);
    assert_string_equal(noted(&place->notes), "");
    assert_int_equal(form_of(rt, "a").count, 3);
    assert_int_equal(form_of(rt, "a").migrated, 1);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

static void the_program_before_handles_what_the_new_one_could_not(void **state)
{
    run_as(*state, &old_type, "a", "count");
    sf_runtime *rt = open_as(*state, &new_type);
    refuses = 1;
    OK(sf_send(rt, sf_addr(FORM, "a"), "count", SF_NONE));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    run_as(*state, &old_type, "a", "count");
    refuses = 0;
    rt = open_as(*state, &new_type);
    assert_int_equal(form_of(rt, "a").count, 3);
    OK(sf_runtime_close(rt));
}

/* Runs what is due, and says how often state_migrate was called for it. */
static int calls_after(struct machine *machine, sf_runtime *rt, uint64_t ms)
{
    int before = calls;
    machine_advance_ms(machine, ms);
    OK(sf_run_until_idle(rt));
    return calls - before;
}

static void the_pauses_grow_from_a_second_to_a_minute(void **state)
{
    struct place *place = *state;
    struct machine machine;
    sf_options options = SF_OPTIONS(.store_bytes_max = UINT64_C(1) << 30);
    sf_runtime *rt;
    run_as(place, &old_type, "a", "count");
    run_as(place, &old_type, "b", "count");
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place->db, &options, &rt));
    OK(sf_register(rt, &new_type, NULL));
    refuses = 1;
    OK(sf_send(rt, sf_addr(FORM, "a"), "count", SF_NONE));
    assert_int_equal(calls_after(&machine, rt, 0), 1);
    for (uint64_t pause_ms = 1000; pause_ms < 60000; pause_ms *= 2) {
        assert_int_equal(calls_after(&machine, rt, pause_ms - 1), 0);
        assert_int_equal(calls_after(&machine, rt, 1), 1);
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(calls_after(&machine, rt, 59999), 0);
        assert_int_equal(calls_after(&machine, rt, 1), 1);
    }
    refuses = 0;
    assert_int_equal(calls_after(&machine, rt, 60000), 1);
    assert_int_equal(form_of(rt, "a").count, 2);
    refuses = 1; /* one succeeded: it begins anew */
    OK(sf_send(rt, sf_addr(FORM, "b"), "count", SF_NONE));
    assert_int_equal(calls_after(&machine, rt, 0), 1);
    assert_int_equal(calls_after(&machine, rt, 999), 0);
    assert_int_equal(calls_after(&machine, rt, 1), 1);
    OK(sf_runtime_close(rt));
}

static void what_migrate_is_lent_ends_with_a_zero_and_what_it_fills_is_zeroed(void **state)
{
    run_as(*state, &old_type, "a", "count");
    checks = 1;
    run_as(*state, &new_type, "a", "count");
    assert_string_equal(lent, "version 0, 4 bytes, then 0, fresh 0");
    checks = 0;
}

/* -- left by longjmp --------------------------------------------------------------------------- */

enum { FILLERS = 50, FILLER_BYTES = 8192 };

static int fill(sf_turn *turn)
{
    memset(sf_state(turn), (int)sf_random(turn), FILLER_BYTES);
    return 0;
}

static const sf_type filler = SF_TYPE("test/filler", .handler = fill, .state_size = FILLER_BYTES);

/* The file's size once the same rows were written again and again. */
static long long size_after_load(struct place *place, sf_runtime *rt)
{
    struct stat file;
    for (int round = 0; round < 30; round++) {
        for (int i = 0; i < FILLERS; i++) {
            char id[16];
            snprintf(id, sizeof id, "%d", i);
            OK(sf_send(rt, sf_addr("test/filler", id), "x", SF_NONE));
        }
        OK(sf_run_until_idle(rt));
    }
    char path[400];
    snprintf(path, sizeof path, "%.300s/data.mdb", place->db);
    assert_int_equal(stat(path, &file), 0);
    return (long long)file.st_size;
}

/* A snapshot left open would keep all that is written afterwards. */
static void one_that_never_returns_pins_nothing_and_counts_nothing(void **state)
{
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.log_bytes_max = 1 << 20, .store_bytes_max = UINT64_C(1) << 30);
    run_as(place, &old_type, "a", "count");
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &new_type, NULL));
    OK(sf_register(rt, &filler, NULL));
    long long before = size_after_load(place, rt);
    leaves = 1;
    OK(sf_send(rt, sf_addr(FORM, "a"), "count", SF_NONE));
    if (setjmp(out) == 0)
        fail_msg("%d", sf_run_until_idle(rt));
    leaves = 0;
    OK(sf_step(rt, 0));
    long long after = size_after_load(place, rt);
    print_message("%lld KiB before, %lld KiB after\n", before >> 10, after >> 10);
    assert_true(after < before + (2 << 20));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    drive_until_quiet(rt); /* a second later it is tried again */
    assert_int_equal(form_of(rt, "a").count, 2);
    OK(sf_runtime_close(rt));
}

/* -- fields, and no state_migrate ------------------------------------------------------------------- */

#define STOCK "test/stock"

SF_STRUCT(stock0, uint32_t count; char shelf[4];);
SF_STRUCT(stock1, char shelf[8]; uint64_t count; uint32_t reserved;);
SF_STRUCT(stock2, uint64_t count; uint32_t reserved, moved;);
SF_STRUCT(swapped1, uint64_t count; char shelf[8]; uint32_t reserved;);
SF_STRUCT(narrow2, uint32_t count; uint32_t reserved;);

static int fill_0(sf_turn *turn)
{
    struct stock0 *self = sf_state(turn);
    *self = (struct stock0){7, "A12"};
    return 0;
}

static int tell_1(sf_turn *turn)
{
    struct stock1 *self = sf_state(turn);
    struct place *place = sf_userdata(turn);
    note(&place->notes, "%d %.8s %u ", (int)self->count, self->shelf, self->reserved);
    self->reserved++;
    return 0;
}

static int tell_2(sf_turn *turn)
{
    struct stock2 *self = sf_state(turn);
    struct place *place = sf_userdata(turn);
    note(&place->notes, "%d %u %u ", (int)self->count, self->reserved, self->moved);
    self->moved++;
    return 0;
}

static const sf_type stock_0 = SF_TYPE(STOCK, .handler = fill_0, SF_STATE(stock0));
static const sf_type stock_1 =
    SF_TYPE(STOCK, .handler = tell_1, SF_STATE(stock1), .state_version = 1);
static const sf_type stock_2 =
    SF_TYPE(STOCK, .handler = tell_2, SF_STATE(stock2), .state_version = 2);

static void stock_run(struct place *place, const sf_type *type, const char *id)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, type, place));
    OK(sf_send(rt, sf_addr(STOCK, id), "", SF_NONE));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
}

static void a_struct_is_carried_over_by_the_names_of_its_fields(void **state)
{
    struct place *place = *state;
    stock_run(place, &stock_0, "a");
    stock_run(place, &stock_1, "a"); /* a longer shelf, a wider count, something new */
    stock_run(place, &stock_1, "a");
    assert_string_equal(noted(&place->notes), "7 A12 0 7 A12 1 ");
}

/* An actor that nobody asked for while the version before was in use has the fields of the first still. */
static void also_over_versions_that_it_never_had(void **state)
{
    struct place *place = *state;
    stock_run(place, &stock_0, "a");
    stock_run(place, &stock_0, "cold");
    stock_run(place, &stock_1, "a");
    stock_run(place, &stock_2, "a");
    stock_run(place, &stock_2, "cold");
    stock_run(place, &stock_2, "cold");
    assert_string_equal(noted(&place->notes), "7 A12 0 7 1 0 7 0 0 7 0 1 ");
}

static void a_view_shows_the_struct_in_todays_fields(void **state)
{
    struct place *place = *state;
    stock_run(place, &stock_0, "a");
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &stock_1, place));
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const struct stock1 *stock =
        sf_struct(sf_view_state(view, sf_addr(STOCK, "a")), sizeof(struct stock1));
    assert_non_null(stock);
    assert_true(stock->count == 7 && stock->reserved == 0);
    assert_string_equal(stock->shelf, "A12");
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void stock_is_refused(struct place *place, const sf_type *type, const char *says)
{
    sf_runtime *rt = place_open(place);
    REFUSED(sf_register(rt, type, place), SF_EINVAL);
    SAYS(says);
    OK(sf_runtime_close(rt));
}

static void what_cannot_be_carried_over_is_refused_when_it_is_registered(void **state)
{
    static const sf_type swapped =
        SF_TYPE(STOCK, .handler = tell_1, SF_STATE(swapped1), .state_version = 1);
    static const sf_type narrow =
        SF_TYPE(STOCK, .handler = tell_2, SF_STATE(narrow2), .state_version = 2);
    static const sf_type silent =
        SF_TYPE(STOCK, .handler = tell_2, .state_version = 2, .state_size = sizeof(struct stock2));
    static const sf_type wrong_size = SF_TYPE(STOCK, .handler = tell_2, .state_version = 2,
                                              .state_size = 99, .state_fields = stock2_fields);
    static const sf_type no_text = SF_TYPE(STOCK, .handler = tell_2, .state_version = 2,
                                           .state_size = 8, .state_fields = "void *pointer;");
    struct place *place = *state;
    stock_run(place, &stock_0, "a");
    stock_run(place, &stock_1, "a");
    stock_is_refused(place, &swapped, "version 1 of its struct has other fields in the database");
    stock_is_refused(place, &narrow, "'count' was uint64_t and is uint32_t");
    stock_is_refused(place, &silent, "needs a state_migrate from 1");
    stock_is_refused(place, &wrong_size, "they take 16 bytes, and the struct 99");
    stock_is_refused(place, &no_text, "'void *pointer;'");
    stock_run(place, &stock_1, "a"); /* none of them changed anything */
    assert_string_equal(noted(&place->notes), "7 A12 0 7 A12 1 ");
}

/* Whose fields were never told, while a program without a text was in use, waits; nothing is lost. */
static void a_struct_whose_fields_are_not_known_waits(void **state)
{
    static const sf_type mute_0 =
        SF_TYPE(STOCK, .handler = fill_0, .state_size = sizeof(struct stock0));
    static const sf_type both = SF_TYPE(STOCK, .handler = tell_1, SF_STATE(stock1),
                                        .state_version = 1, .state_migrate = migrate);
    struct place *place = *state;
    stock_run(place, &mute_0, "cold");
    stock_is_refused(place, &stock_1, "needs a state_migrate from 0");
    refuses = 1;
    stock_run(place, &both, "warm"); /* a new actor: the database takes up version 1 */
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &stock_2, place));
    OK(sf_send(rt, sf_addr(STOCK, "cold"), "", SF_NONE));
    OK(sf_send(rt, sf_addr(STOCK, "warm"), "", SF_NONE));
    OK(sf_run_until_idle(rt));
    /* "0 0 0" is a turn that was undone: what it was lent were zeroes */
    assert_string_equal(noted(&place->notes), "0  0 0 0 0 0 1 0 ");
    sf_stats stats = {.size = sizeof stats};
    OK(sf_stats_get(rt, &stats));
    assert_true(stats.turns_held >= 1 && stats.dead_letters == 0 && stats.messages_waiting == 1);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    assert_null(sf_view_state(view, sf_addr(STOCK, "cold")).data);
    assert_int_equal(sf_view_error(view), SF_EFAILED);
    SAYS("the fields of version 0 of its struct are not known");
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* Those of version 0 that have no text yet get one from the first program that tells it. */
static void fields_can_be_told_later(void **state)
{
    static const sf_type mute_0 =
        SF_TYPE(STOCK, .handler = fill_0, .state_size = sizeof(struct stock0));
    struct place *place = *state;
    stock_run(place, &mute_0, "a");
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &stock_0, place));
    OK(sf_runtime_close(rt));
    stock_run(place, &mute_0, "b"); /* and keep it */
    stock_run(place, &stock_1, "a");
    assert_string_equal(noted(&place->notes), "7 A12 0 ");
}

/* Rolled out and taken back: the older program opens until something is stored in the new version. */
static void the_program_before_goes_on_while_nothing_is_stored_in_the_new_fields(void **state)
{
    struct place *place = *state;
    stock_run(place, &stock_0, "a");
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &stock_1, place));
    OK(sf_runtime_close(rt));
    stock_run(place, &stock_0, "a");
    stock_run(place, &stock_1, "a");
    rt = place_open(place);
    REFUSED(sf_register(rt, &stock_0, place), SF_ENEWER);
    OK(sf_runtime_close(rt));
}

/* -- entries with fields ---------------------------------------------------------------------------- */

#define SHOP "test/shop"

SF_STRUCT(line0, uint32_t count;);
SF_STRUCT(line1, char colour[4]; uint64_t count;);
SF_STRUCT(narrow1, uint16_t count;);

static const sf_map lines_0 = SF_MAP("lines", SF_HOLDS(line0));
static const sf_list sold_0 = SF_LIST("sold", SF_HOLDS(line0));
static const sf_map lines_1 = SF_MAP("lines", SF_HOLDS(line1), .struct_version = 1);
static const sf_list sold_1 = SF_LIST("sold", SF_HOLDS(line1), .struct_version = 1);
static const sf_map lines_narrow = SF_MAP("lines", SF_HOLDS(narrow1), .struct_version = 1);

/* As many as the body says: few are a small map, many are rows. */
static int shop_fill(sf_turn *turn)
{
    uint64_t many = *(const uint64_t *)sf_body(turn, sizeof(uint64_t));
    for (uint64_t n = 1; n <= many; n++) {
        struct line0 *line = sf_map_entry(turn, &lines_0, SF_U64(n));
        line->count = (uint32_t)n;
        sf_list_append(turn, &sold_0, SF_OF(*line));
    }
    return 0;
}

/* Counts what is there, and changes one entry. */
static int shop_count(sf_turn *turn)
{
    struct place *place = sf_userdata(turn);
    uint64_t lines = 0, sold = 0, wrong = 0;
    sf_cursor *cursor = sf_map_scan(turn, &lines_1, NULL);
    for (const sf_entry *entry; (entry = sf_next(cursor));) {
        const struct line1 *line = sf_struct(entry->value, sizeof *line);
        lines++;
        wrong += !line || line->colour[0] || line->count != sf_u64_of(entry->key);
    }
    cursor = sf_list_scan(turn, &sold_1, 0);
    for (const sf_entry *entry; (entry = sf_next(cursor)); sold++) {
        const struct line1 *line = sf_struct(entry->value, sizeof *line);
        wrong += !line || line->count != sold + 1;
    }
    struct line1 *first = sf_map_entry(turn, &lines_1, SF_U64(1));
    wrong += first->count != 1 + sf_msg(turn)->body.size;
    note(&place->notes, "%d+%d-%d ", (int)lines, (int)sold, (int)wrong);
    return 0;
}

static const sf_type shop_0 =
    SF_TYPE(SHOP, .handler = shop_fill, .maps = {&lines_0}, .lists = {&sold_0});
static const sf_type shop_1 =
    SF_TYPE(SHOP, .handler = shop_count, .maps = {&lines_1}, .lists = {&sold_1});
static const sf_type shop_narrow =
    SF_TYPE(SHOP, .handler = shop_count, .maps = {&lines_narrow}, .lists = {&sold_0});

static void shop_run(struct place *place, const sf_type *type, const char *id, sf_bytes body)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, type, place));
    OK(sf_send(rt, sf_addr(SHOP, id), "", body));
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
}

static void entries_of_maps_and_lists_are_carried_over_too(void **state)
{
    struct place *place = *state;
    uint64_t few = 5, many = 3000;
    shop_run(place, &shop_0, "small", SF_OF(few));
    shop_run(place, &shop_0, "large", SF_OF(many));
    shop_run(place, &shop_1, "small", SF_NONE);
    shop_run(place, &shop_1, "large", SF_NONE);
    shop_run(place, &shop_1, "large", SF_NONE);
    assert_string_equal(noted(&place->notes), "5+5-0 3000+3000-0 3000+3000-0 ");
}

static void a_view_shows_entries_in_todays_fields(void **state)
{
    struct place *place = *state;
    uint64_t few = 5;
    shop_run(place, &shop_0, "small", SF_OF(few));
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &shop_1, place));
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_map(view, sf_addr(SHOP, "small"), &lines_1, NULL);
    uint64_t count = 0;
    for (const sf_entry *entry; (entry = sf_next(cursor));) {
        const struct line1 *line = sf_struct(entry->value, sizeof *line);
        assert_non_null(line);
        assert_true(line->count == ++count);
    }
    OK(sf_cursor_error(cursor));
    assert_true(count == 5);
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

static void entries_that_would_lose_something_are_refused(void **state)
{
    struct place *place = *state;
    uint64_t few = 5;
    shop_run(place, &shop_0, "small", SF_OF(few));
    sf_runtime *rt = place_open(place);
    REFUSED(sf_register(rt, &shop_narrow, place), SF_EINVAL);
    SAYS("slot 'lines' of 'test/shop'");
    SAYS("'count' was uint32_t and is uint16_t");
    OK(sf_runtime_close(rt));
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, place_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(the_old_program_opens_until_something_is_stored_in_the_new_version),
        HERE(a_new_actor_is_stored_in_the_new_version_too),
        HERE(what_is_in_memory_keeps_its_layout_until_a_restart),
        HERE(a_message_waits_for_a_program_that_can_read_its_actor),
        HERE(the_program_before_handles_what_the_new_one_could_not),
        HERE(the_pauses_grow_from_a_second_to_a_minute),
        HERE(what_migrate_is_lent_ends_with_a_zero_and_what_it_fills_is_zeroed),
        HERE(one_that_never_returns_pins_nothing_and_counts_nothing),
        HERE(a_struct_is_carried_over_by_the_names_of_its_fields),
        HERE(also_over_versions_that_it_never_had),
        HERE(a_view_shows_the_struct_in_todays_fields),
        HERE(what_cannot_be_carried_over_is_refused_when_it_is_registered),
        HERE(a_struct_whose_fields_are_not_known_waits),
        HERE(fields_can_be_told_later),
        HERE(the_program_before_goes_on_while_nothing_is_stored_in_the_new_fields),
        HERE(entries_of_maps_and_lists_are_carried_over_too),
        HERE(a_view_shows_entries_in_todays_fields),
        HERE(entries_that_would_lose_something_are_refused),
    };
    return cmocka_run_group_tests_name("migrations", tests, NULL, NULL);
}
