/* test_maps.c - maps and lists as handlers use them: what they promise, and what they refuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

#define CART "test/cart"

struct line {
    uint32_t count;
    uint32_t price;
};

static const sf_map lines = SF_MAP("lines", .struct_size = sizeof(struct line));
static const sf_map notes = SF_MAP("notes");
static const sf_list history = SF_LIST("history");
static const sf_list sizes = SF_LIST("sizes", .struct_size = sizeof(struct line));
static const sf_map unlisted = SF_MAP("unlisted");

/* What the next turn does, and what it left for the test to look at. */
static sf_handler *act;
static sf_turn *kept_turn;
static sf_cursor *kept_cursor;
static uint64_t seen;
static char said[256];

static int run(sf_turn *turn)
{
    return act(turn);
}

static const sf_type cart_type = SF_TYPE(CART, .handler = run, .state_size = 8,
                                         .maps = {&lines, &notes}, .lists = {&history, &sizes},
                                         .attempts_max = 1);

static sf_runtime *open_cart(struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &cart_type, place));
    seen = 0;
    return rt;
}

/* One turn; the reason of the dead letter that became of it, "" if it was kept. */
static const char *turn_of(sf_runtime *rt, const char *id, sf_handler *handler)
{
    sf_view *view;
    uint64_t dead = stats_of(rt).dead_letters;
    act = handler;
    said[0] = 0;
    OK(sf_send(rt, sf_addr(CART, id), "go", SF_NONE));
    OK(sf_run_until_idle(rt));
    if (stats_of(rt).dead_letters == dead)
        return said;
    OK(sf_view_open(rt, &view));
    for (const sf_message *msg, *last = NULL; (msg = sf_view_dead(view, last ? last->sequence : 0));) {
        snprintf(said, sizeof said, "%s", msg->reason);
        last = msg;
    }
    sf_view_close(view);
    return said;
}

#define KEPT(handler) assert_string_equal(turn_of(rt, "a", handler), "")
#define DIES(handler, why) says_at(turn_of(rt, "a", handler), why, __FILE__, __LINE__)

/* -- what is refused ----------------------------------------------------------------------------- */

static int use_unlisted(sf_turn *turn)
{
    seen = (uint64_t)-sf_map_put(turn, &unlisted, sf_str("k"), sf_str("v"));
    return 0;
}

static int use_list_as_map(sf_turn *turn)
{
    return sf_map_clear(turn, (const sf_map *)&history);
}

static int use_null(sf_turn *turn)
{
    sf_map_count(turn, NULL);
    return 0;
}

static int put_wrong_size(sf_turn *turn)
{
    return sf_map_put(turn, &lines, sf_str("k"), sf_str("seven.."));
}

static int append_wrong_size(sf_turn *turn)
{
    return sf_list_append(turn, &sizes, sf_str("seven.."));
}

static int put_nothing(sf_turn *turn)
{
    return sf_map_put(turn, &notes, sf_str("k"), SF_NONE);
}

static int put_long_key(sf_turn *turn)
{
    static const char key[SF_KEY_MAX + 1];
    return sf_map_put(turn, &notes, SF_BYTES(key, sizeof key), sf_str("v"));
}

static int lend_bytes(sf_turn *turn)
{
    seen = sf_map_find(turn, &notes, sf_str("k")) == NULL;
    return 0;
}

static int put_too_large(sf_turn *turn)
{
    static const char bytes[(1 << 20) + 1];
    return sf_map_put(turn, &notes, sf_str("k"), SF_BYTES(bytes, sizeof bytes));
}

static int put_too_many(sf_turn *turn)
{
    static const char value[300];
    for (uint64_t i = 0; i < 65537; i++)
        sf_map_put(turn, &notes, SF_U64(i), SF_BYTES(value, i ? 1 : sizeof value));
    return 0;
}

static int scan_from_long_key(sf_turn *turn)
{
    static const char key[SF_KEY_MAX + 1];
    sf_range range = {.from = SF_BYTES(key, sizeof key)};
    seen = sf_next(sf_map_scan(turn, &notes, &range)) == NULL;
    return 0;
}

static void what_breaks_a_rule_is_rejected_with_a_sentence(void **state)
{
    sf_runtime *rt = open_cart(*state);
    DIES(use_unlisted, "type 'test/cart' does not list that map");
    assert_int_equal(seen, -SF_EINVAL);
    DIES(use_list_as_map, "does not list that map");
    DIES(use_null, "does not list that map");
    DIES(put_wrong_size, "slot 'lines' holds structs of 8 bytes, not 7");
    DIES(append_wrong_size, "slot 'sizes' holds structs of 8 bytes, not 7");
    DIES(put_nothing, "an entry without data");
    DIES(put_long_key, "a key has at most 400 bytes, this one 401");
    DIES(scan_from_long_key, "a key has at most 400 bytes");
    DIES(lend_bytes, "slot 'notes' holds bytes");
    assert_int_equal(seen, 1);
    DIES(put_too_large, "more than payload_max");
    DIES(put_too_many, "one turn changed more than 65536 rows");
    OK(sf_runtime_close(rt));
}

static int fail_then_use(sf_turn *turn)
{
    sf_reject(turn, "first");
    struct line *line = sf_map_entry(turn, &lines, sf_str("k"));
    sf_cursor *cursor = sf_list_scan(turn, &history, 0);
    seen = line && line->count == 0 && line->price == 0 && !sf_map_find(turn, &lines, sf_str("k")) &&
           !sf_map_get(turn, &notes, sf_str("k")).data && sf_map_count(turn, &lines) == 0 &&
           sf_map_put(turn, &notes, sf_str("k"), sf_str("v")) < 0 && !sf_next(cursor) &&
           sf_cursor_error(cursor) < 0 && sf_list_append(turn, &history, sf_str("v")) < 0;
    line->count = 7;
    return 0;
}

static void once_a_turn_has_failed_calls_do_nothing(void **state)
{
    sf_runtime *rt = open_cart(*state);
    DIES(fail_then_use, "first");
    assert_int_equal(seen, 1);
    OK(sf_runtime_close(rt));
}

/* -- what is kept too long ----------------------------------------------------------------------- */

static int fill(sf_turn *turn)
{
    for (uint64_t i = 0; i < 5; i++)
        sf_map_put(turn, &notes, SF_U64(i), SF_OF(i));
    return 0;
}

static int keep_cursor(sf_turn *turn)
{
    kept_turn = turn;
    kept_cursor = sf_map_scan(turn, &notes, NULL);
    return sf_next(kept_cursor) ? 0 : -1;
}

static int use_cursor(sf_turn *turn)
{
    (void)turn;
    seen = sf_next(kept_cursor) == NULL;
    return 0;
}

static int use_cursor_beside_another(sf_turn *turn)
{
    sf_cursor *cursor = sf_map_scan(turn, &notes, NULL);
    (void)cursor;
    return use_cursor(turn);
}

static void a_cursor_that_outlives_its_turn_dooms_who_uses_it(void **state)
{
    sf_runtime *rt = open_cart(*state);
    KEPT(fill);
    KEPT(keep_cursor);
    assert_null(sf_next(kept_cursor)); /* outside of turns it harms nobody */
    assert_true(sf_cursor_error(kept_cursor) < 0);
    DIES(use_cursor, "a cursor was used after its turn");
    assert_int_equal(seen, 1);
    KEPT(keep_cursor);
    DIES(use_cursor_beside_another, "a cursor was used after its turn");
    assert_false(sf_map_get(kept_turn, &notes, SF_U64(1)).data);
    REFUSED(sf_map_put(kept_turn, &notes, sf_str("k"), sf_str("v")), SF_EINVAL);
    assert_null(sf_map_entry(kept_turn, &lines, sf_str("k")));
    OK(sf_runtime_close(rt));
}

static int call_other(sf_turn *turn)
{
    keep_cursor(turn);
    act = use_cursor;
    sf_call(turn, sf_addr(CART, "other"), "go", SF_NONE);
    return 0;
}

static int call_and_go_on(sf_turn *turn)
{
    keep_cursor(turn);
    act = fill;
    sf_call(turn, sf_addr(CART, "other"), "go", SF_NONE);
    for (seen = 1; sf_next(kept_cursor);)
        seen++;
    return 0;
}

static void a_cursor_waits_while_a_turn_that_was_called_runs(void **state)
{
    sf_runtime *rt = open_cart(*state);
    KEPT(fill);
    DIES(call_other, "a cursor was used after its turn, or while a turn that it called runs");
    KEPT(call_and_go_on);
    assert_int_equal(seen, 5);
    OK(sf_runtime_close(rt));
}

static int clear_while_walking(sf_turn *turn)
{
    sf_cursor *cursor = sf_map_scan(turn, &notes, NULL);
    seen = sf_next(cursor) != NULL;
    sf_map_clear(turn, &notes);
    fill(turn);
    seen += sf_next(cursor) ? 100 : 0;
    return 0;
}

static void a_clear_ends_the_walk(void **state)
{
    sf_runtime *rt = open_cart(*state);
    KEPT(fill);
    KEPT(clear_while_walking);
    assert_int_equal(seen, 1);
    OK(sf_runtime_close(rt));
}

static jmp_buf away;

static int walk_away(sf_turn *turn)
{
    sf_next(sf_map_scan(turn, &notes, NULL));
    sf_map_put(turn, &notes, sf_str("lost"), sf_str("x"));
    longjmp(away, 1);
}

static int has_lost(sf_turn *turn)
{
    seen = sf_map_get(turn, &notes, sf_str("lost")).data != NULL;
    return 0;
}

/* No snapshot is open between two steps, and what was done is undone. */
static void a_handler_may_be_left_in_the_middle_of_a_walk(void **state)
{
    sf_runtime *rt = open_cart(*state);
    KEPT(fill);
    act = walk_away;
    OK(sf_send(rt, sf_addr(CART, "a"), "go", SF_NONE));
    if (!setjmp(away))
        (void)sf_run_until_idle(rt);
    drive_until_quiet(rt);
    KEPT(has_lost);
    assert_int_equal(seen, 0);
    OK(sf_runtime_close(rt));
}

/* -- keys and entries at their bounds -------------------------------------------------------------- */

static char longest[SF_KEY_MAX];

static int put_edges(sf_turn *turn)
{
    sf_map_put(turn, &notes, SF_BYTES("", 0), SF_BYTES("", 0));
    sf_map_put(turn, &notes, SF_BYTES(longest, sizeof longest), sf_str("long"));
    return 0;
}

static int make_large(sf_turn *turn)
{
    static char page[5000];
    return sf_map_put(turn, &notes, sf_str("page"), SF_BYTES(page, sizeof page));
}

static int get_edges(sf_turn *turn)
{
    sf_bytes empty = sf_map_get(turn, &notes, SF_NONE);
    sf_bytes edge = sf_map_get(turn, &notes, SF_BYTES(longest, sizeof longest));
    seen = empty.data && empty.size == 0 && edge.size == 4 &&
           !sf_map_get(turn, &notes, SF_BYTES(longest, sizeof longest - 1)).data;
    sf_cursor *cursor = sf_map_scan(turn, &notes, NULL);
    const sf_entry *first = sf_next(cursor);
    seen += first && first->key.size == 0 && first->key.data ? 1 : 0;
    return 0;
}

static void the_shortest_and_the_longest_keys_are_keys(void **state)
{
    sf_runtime *rt = open_cart(*state);
    memset(longest, 0xFF, sizeof longest);
    KEPT(put_edges);
    KEPT(get_edges);
    assert_int_equal(seen, 2);
    KEPT(make_large);
    KEPT(get_edges);
    assert_int_equal(seen, 2);
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(((struct place *)*state)->db, NULL, NULL), 0);
}

static int lend_twice(sf_turn *turn)
{
    struct line *line = sf_map_entry(turn, &lines, sf_str("k"));
    line->count = 3;
    fill(turn);
    make_large(turn);
    seen = line == sf_map_find(turn, &lines, sf_str("k")) &&
           ((const struct line *)sf_map_get(turn, &lines, sf_str("k")).data)->count == 3;
    sf_map_del(turn, &lines, sf_str("k"));
    line->count = 4; /* in vain */
    struct line fresh = {.price = 9};
    sf_map_put(turn, &lines, sf_str("k"), SF_OF(fresh));
    return 0;
}

static int look_at_line(sf_turn *turn)
{
    const struct line *line = sf_map_find(turn, &lines, sf_str("k"));
    seen = line && line->count == 0 && line->price == 9;
    return 0;
}

static void what_is_lent_stays_and_what_was_deleted_does_not_come_back(void **state)
{
    sf_runtime *rt = open_cart(*state);
    KEPT(lend_twice);
    assert_int_equal(seen, 1);
    KEPT(look_at_line);
    assert_int_equal(seen, 1);
    OK(sf_runtime_close(rt));
}

/* -- structs of other versions ---------------------------------------------------------------------- */

struct line_2 {
    uint64_t count, price, tax;
};

static int can_migrate;

static int migrate(uint32_t version, sf_bytes old, void *fresh)
{
    const struct line *line = old.data;
    if (!can_migrate || version != 0 || old.size != sizeof *line)
        return -1;
    *(struct line_2 *)fresh = (struct line_2){line->count, line->price, 19};
    return 0;
}

static const sf_map lines_2 = SF_MAP("lines", .struct_size = sizeof(struct line_2),
                                     .struct_version = 1, .struct_migrate = migrate);

static int add_lines(sf_turn *turn)
{
    for (uint64_t i = 0; i < 40; i++)
        *(struct line *)sf_map_entry(turn, &lines, SF_U64(i)) = (struct line){(uint32_t)i, 5};
    return 0;
}

static int read_lines_2(sf_turn *turn)
{
    uint64_t good = 0;
    const struct line_2 *third = sf_map_find(turn, &lines_2, SF_U64(3));
    for (sf_cursor *c = sf_map_scan(turn, &lines_2, NULL);;) {
        const sf_entry *entry = sf_next(c);
        if (!entry)
            break;
        const struct line_2 *line = entry->value.data;
        good += entry->value.size == sizeof *line && line->count == sf_u64_of(entry->key) &&
                line->tax == 19;
    }
    seen = third && third->count == 3 ? good : 0;
    return 0;
}

static int change_line_2(sf_turn *turn)
{
    ((struct line_2 *)sf_map_entry(turn, &lines_2, SF_U64(3)))->price = 6;
    return 0;
}

static uint64_t view_lines(sf_runtime *rt, const sf_map *map)
{
    sf_view *view;
    uint64_t count = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_map(view, sf_addr(CART, "a"), map, NULL);
    while (sf_next(cursor))
        count++;
    assert_int_equal(sf_cursor_error(cursor), 0);
    sf_view_close(view);
    return count;
}

static void entries_are_migrated_when_they_are_read(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_cart(place);
    KEPT(add_lines);
    OK(sf_runtime_close(rt));
    sf_type type = cart_type;
    type.maps[0] = &lines_2;
    rt = place_open(place);
    OK(sf_register(rt, &type, NULL));
    can_migrate = 1;
    KEPT(read_lines_2);
    assert_int_equal(seen, 40);
    assert_int_equal(view_lines(rt, &lines_2), 40);
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &cart_type, NULL)); /* nothing was stored in the new version */
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    OK(sf_register(rt, &type, NULL));
    KEPT(change_line_2);
    OK(sf_runtime_close(rt));
    rt = place_open(place);
    REFUSED(sf_register(rt, &cart_type, NULL), SF_ENEWER);
    OK(sf_runtime_close(rt));
}

static void who_cannot_migrate_waits_and_loses_nothing(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = open_cart(place);
    KEPT(add_lines);
    OK(sf_runtime_close(rt));
    sf_type type = cart_type;
    type.maps[0] = &lines_2;
    rt = place_open(place);
    OK(sf_register(rt, &type, NULL));
    can_migrate = 0;
    act = read_lines_2;
    OK(sf_send(rt, sf_addr(CART, "a"), "go", SF_NONE));
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).dead_letters, 0);
    assert_int_equal(stats_of(rt).turns_held, 1);
    OK(sf_runtime_close(rt));
    can_migrate = 1;
    rt = place_open(place);
    OK(sf_register(rt, &type, NULL));
    drive_until_quiet(rt);
    assert_int_equal(seen, 40);
    OK(sf_runtime_close(rt));
}

/* -- a map as a queue -------------------------------------------------------------------------------- */

static uint64_t next_in, next_out;

static int queue_in(sf_turn *turn)
{
    for (int i = 0; i < 1000; i++, next_in++)
        sf_map_put(turn, &notes, SF_U64(next_in), SF_OF(next_in));
    return 0;
}

static int queue_out(sf_turn *turn)
{
    const sf_entry *entry = sf_next(sf_map_scan(turn, &notes, NULL));
    if (!entry || sf_u64_of(entry->key) != next_out)
        return sf_reject(turn, "not the first");
    next_out++;
    return sf_map_del(turn, &notes, entry->key);
}

/* An undone turn brings its entry back to the front. */
static int queue_out_in_vain(sf_turn *turn)
{
    queue_out(turn);
    next_out--;
    return sf_reject(turn, "as told");
}

static int queue_in_front(sf_turn *turn)
{
    next_out = 0;
    return sf_map_put(turn, &notes, SF_U64(0), SF_OF(next_out));
}

static void a_queue_goes_out_as_it_came_in(void **state)
{
    sf_runtime *rt = open_cart(*state);
    next_in = next_out = 1;
    KEPT(queue_in);
    for (int i = 0; i < 300; i++) {
        KEPT(queue_out);
        if (i % 50 == 0)
            DIES(queue_out_in_vain, "as told");
    }
    uint64_t middle = next_out;
    KEPT(queue_in_front);
    KEPT(queue_out);
    next_out = middle;
    for (int i = 0; i < 10; i++)
        KEPT(queue_out);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_breaks_a_rule_is_rejected_with_a_sentence),
        TEST(once_a_turn_has_failed_calls_do_nothing),
        TEST(a_cursor_that_outlives_its_turn_dooms_who_uses_it),
        TEST(a_cursor_waits_while_a_turn_that_was_called_runs),
        TEST(a_clear_ends_the_walk),
        TEST(a_handler_may_be_left_in_the_middle_of_a_walk),
        TEST(the_shortest_and_the_longest_keys_are_keys),
        TEST(what_is_lent_stays_and_what_was_deleted_does_not_come_back),
        TEST(entries_are_migrated_when_they_are_read),
        TEST(who_cannot_migrate_waits_and_loses_nothing),
        TEST(a_queue_goes_out_as_it_came_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
