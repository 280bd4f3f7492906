/* test_named_values.c - values that no type lists, made by their name at run time. */
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

#define JAR "test/jar"

enum { LIFE = 1000 };

static const sf_value LISTED = SF_VALUE("listed");
static const sf_map SHELF = SF_MAP("shelf");

/* The body names a value: "name" or "name:tag".  The kind says what is done with it, letter by letter: p puts, g
 * gets and notes, d deletes; b says that it expires, a that it does after access, both before the others; f fails. */
struct stage {
    struct rig rig;
    const sf_value *last;
};

static void split(sf_bytes body, char name[600], char tag[600])
{
    memset(name, 0, 600);
    memset(tag, 0, 600);
    memcpy(name, body.data, body.size < 599 ? body.size : 599);
    char *colon = strchr(name, ':');
    if (colon) {
        snprintf(tag, 600, "%s", colon + 1);
        *colon = 0;
    }
}

static int play(sf_turn *turn)
{
    struct stage *stage = sf_userdata(turn);
    const char *kind = sf_msg(turn)->kind;
    char name[600], tag[600];
    split(sf_msg(turn)->body, name, tag);
    const sf_value *value = sf_value_named(turn, name, tag[0] ? tag : NULL,
                                           strchr(kind, 'b') ? LIFE : 0, strchr(kind, 'a') ? LIFE : 0);
    if (!value)
        return 0;
    stage->last = value;
    for (; *kind; kind++)
        switch (*kind) {
        case 'p': sf_value_put(turn, value, sf_str("x")); break;
        case 'g': note(stage->rig.notes, "%c", sf_value_get(turn, value).data ? 'x' : '-'); break;
        case 'd': sf_value_del(turn, value); break;
        case 'f': sf_fail(turn, "as told"); break;
        }
    return 0;
}

static const sf_type jar = SF_TYPE(JAR, .handler = play, .values = {&LISTED}, .maps = {&SHELF},
                                   .attempts_max = 1);
static const sf_type lists_it = SF_TYPE(JAR, .handler = play, .values = {&LISTED},
                                        .maps = {&SHELF}, .attempts_max = 2);

static void start(struct stage *stage)
{
    OK(sf_register(stage->rig.rt, &jar, stage));
    OK(sf_run_until_idle(stage->rig.rt));
}

static void open_stage(struct stage *stage, struct place *place)
{
    rig_open(&stage->rig, place, (sf_options)SF_OPTIONS(.commit_inline = 1));
    start(stage);
    machine_advance_ms(&stage->rig.machine, SF_MINUTE);
}

static void reopen(struct stage *stage)
{
    rig_crash(&stage->rig);
    rig_start(&stage->rig);
    start(stage);
}

static void play_steps(struct stage *stage, const char *steps, const char *name)
{
    OK(sf_send(stage->rig.rt, sf_addr(JAR, "x"), steps, sf_str(name)));
    OK(sf_run_until_idle(stage->rig.rt));
}

/* The newest dead letter says so. */
static void refused(struct stage *stage, const char *steps, const char *name, const char *why)
{
    sf_view *view;
    uint64_t before = stats_of(stage->rig.rt).dead_letters;
    play_steps(stage, steps, name);
    assert_int_equal(stats_of(stage->rig.rt).dead_letters, before + 1);
    OK(sf_view_open(stage->rig.rt, &view));
    const sf_message *dead = NULL, *next;
    char reason[300] = "";
    for (uint64_t at = 0; (next = sf_view_dead(view, at)); at = dead->sequence) {
        dead = next;
        snprintf(reason, sizeof reason, "%s", dead->reason);
    }
    sf_view_close(view);
    HAS(reason, why);
}

static void a_name_is_the_same_value_in_every_run(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    play_steps(&stage, "gpg", "one");
    const sf_value *one = stage.last;
    play_steps(&stage, "g", "two");
    assert_ptr_not_equal(stage.last, one);
    play_steps(&stage, "g", "one");
    assert_ptr_equal(stage.last, one);
    reopen(&stage);
    play_steps(&stage, "pg", "three");
    play_steps(&stage, "g", "two");
    play_steps(&stage, "gd", "one");
    reopen(&stage);
    play_steps(&stage, "g", "one");
    play_steps(&stage, "g", "three");
    came(&stage.rig, "-x-xx-x-x");
    rig_close(&stage.rig);
}

static void a_view_shows_it_by_its_handle(void **state)
{
    struct stage stage;
    sf_view *view;
    open_stage(&stage, *state);
    play_steps(&stage, "bp", "one");
    OK(sf_view_open(stage.rig.rt, &view));
    assert_int_equal(sf_view_value(view, sf_addr(JAR, "x"), stage.last).size, 1);
    sf_view_close(view);
    machine_advance_ms(&stage.rig.machine, LIFE);
    OK(sf_view_open(stage.rig.rt, &view));
    assert_null(sf_view_value(view, sf_addr(JAR, "x"), stage.last).data);
    assert_int_equal(sf_view_error(view), 0);
    sf_view_close(view);
    rig_close(&stage.rig);
}

static void the_times_are_those_of_the_newest_call(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    play_steps(&stage, "p", "one");
    machine_advance_ms(&stage.rig.machine, 10 * LIFE);
    play_steps(&stage, "bg", "one"); /* from now on */
    machine_advance_ms(&stage.rig.machine, LIFE - 1);
    play_steps(&stage, "bg", "one");
    play_steps(&stage, "g", "one"); /* it never ends any more */
    machine_advance_ms(&stage.rig.machine, 10 * LIFE);
    play_steps(&stage, "ag", "one");
    machine_advance_ms(&stage.rig.machine, LIFE - 1);
    play_steps(&stage, "ag", "one");
    reopen(&stage);
    machine_advance_ms(&stage.rig.machine, LIFE - 1);
    play_steps(&stage, "ag", "one");
    machine_advance_ms(&stage.rig.machine, LIFE);
    play_steps(&stage, "ag", "one");
    came(&stage.rig, "xxxxxx-");
    rig_close(&stage.rig);
}

static void its_space_comes_back(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    play_steps(&stage, "bp", "one");
    for (int i = 0; i < 3000; i++) {
        machine_advance_ms(&stage.rig.machine, 1);
        OK(sf_step(stage.rig.rt, 0));
    }
    struct sfi_snapshot *snapshot;
    sf_bytes key, value;
    OK(sfi_snapshot_open(stage.rig.rt->store, &snapshot));
    assert_int_equal(sfi_snapshot_seek(snapshot, SFI_STATE, sf_str(""), 0, &key, &value), 0);
    sfi_snapshot_close(snapshot);
    rig_close(&stage.rig);
}

static void an_undone_turn_leaves_the_name_and_no_value(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    play_steps(&stage, "pf", "one:text");
    refused(&stage, "g", "one:number", "value 'one' of 'test/jar' holds 'text' in the database and 'number'");
    play_steps(&stage, "g", "one:text");
    came(&stage.rig, "-");
    rig_close(&stage.rig);
}

static void what_it_holds_may_not_change(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    play_steps(&stage, "pg", "one:text");
    refused(&stage, "g", "one", "holds 'text' in the database and '' here: give it another name");
    reopen(&stage);
    refused(&stage, "g", "one:number", "holds 'text' in the database and 'number' here");
    play_steps(&stage, "g", "one:text");
    came(&stage.rig, "xx");
    rig_close(&stage.rig);
}

static void names_and_times_that_break_a_rule_are_refused(void **state)
{
    struct stage stage;
    char name[600];
    open_stage(&stage, *state);
    memset(name, 'n', sizeof name);
    name[SF_NAME_MAX + 1] = 0;
    refused(&stage, "p", "", "a value's name is 1 to 255 bytes");
    refused(&stage, "p", name, "a value's name is 1 to 255 bytes");
    name[1] = ':';
    name[SF_NAME_MAX + 1] = 'n';
    name[SF_NAME_MAX + 3] = 0;
    refused(&stage, "p", name, "a tag has at most 255 bytes");
    refused(&stage, "abp", "one", "expires after write and after access");
    refused(&stage, "p", "listed", "lists slot 'listed': use its handle");
    refused(&stage, "p", "shelf", "lists slot 'shelf': use its handle");
    name[1] = 'n';
    name[SF_NAME_MAX] = 0;
    play_steps(&stage, "pg", name);
    came(&stage.rig, "x");
    rig_close(&stage.rig);
}

static const sf_type unlisting = SF_TYPE(JAR, .handler = play, .attempts_max = 1);

static void a_slot_that_was_listed_may_be_named_if_it_is_a_value(void **state)
{
    struct stage stage;
    open_stage(&stage, *state);
    rig_crash(&stage.rig);
    rig_start(&stage.rig);
    OK(sf_register(stage.rig.rt, &unlisting, &stage));
    play_steps(&stage, "pg", "listed:text");
    refused(&stage, "p", "shelf", "slot 'shelf' of 'test/jar' is a map in the database and a value here");
    OK(sf_register(stage.rig.rt, &lists_it, &stage)); /* and listed again */
    sf_view *view;
    OK(sf_view_open(stage.rig.rt, &view));
    assert_int_equal(sf_view_value(view, sf_addr(JAR, "x"), &LISTED).size, 1);
    sf_view_close(view);
    came(&stage.rig, "x");
    rig_close(&stage.rig);
}

static void a_type_has_so_many_at_most(void **state)
{
    struct stage stage;
    char name[16];
    open_stage(&stage, *state);
    for (int i = 0; i < SF_NAMED_MAX; i++) {
        snprintf(name, sizeof name, "value %d", i);
        play_steps(&stage, "p", name);
        if (i == SF_NAMED_MAX / 2)
            reopen(&stage);
    }
    refused(&stage, "p", "one more", "more than 256 values were named at run time");
    reopen(&stage);
    refused(&stage, "p", "one more", "more than 256 values were named at run time");
    play_steps(&stage, "g", "value 0");
    play_steps(&stage, "g", name);
    came(&stage.rig, "xx");
    rig_close(&stage.rig);
}

static void name_with_a_failure(struct place *place, uint64_t nth, uint64_t *count)
{
    struct stage stage;
    open_stage(&stage, place);
    uint64_t before = stage.rig.machine.allocations;
    if (nth)
        stage.rig.machine.fail_allocation = before + nth;
    while (sf_send(stage.rig.rt, sf_addr(JAR, "x"), "bp", sf_str("one:text")) < 0)
        ;
    while (sf_run_until_idle(stage.rig.rt) < 0)
        ;
    *count = stage.rig.machine.allocations - before;
    stage.rig.machine.fail_allocation = 0;
    assert_int_equal(stats_of(stage.rig.rt).dead_letters, 0);
    reopen(&stage);
    play_steps(&stage, "bg", "one:text");
    refused(&stage, "bg", "one:number", "holds 'text'");
    came(&stage.rig, "x");
    rig_close(&stage.rig);
}

static void a_machine_without_memory_delays_it_and_loses_nothing(void **state)
{
    uint64_t count, unused;
    name_with_a_failure(*state, 0, &count);
    for (uint64_t nth = 1; nth <= count; nth++)
        name_with_a_failure(*state, nth, &unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_name_is_the_same_value_in_every_run),
        TEST(a_view_shows_it_by_its_handle),
        TEST(the_times_are_those_of_the_newest_call),
        TEST(its_space_comes_back),
        TEST(an_undone_turn_leaves_the_name_and_no_value),
        TEST(what_it_holds_may_not_change),
        TEST(names_and_times_that_break_a_rule_are_refused),
        TEST(a_slot_that_was_listed_may_be_named_if_it_is_a_value),
        TEST(a_type_has_so_many_at_most),
        TEST(a_machine_without_memory_delays_it_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
