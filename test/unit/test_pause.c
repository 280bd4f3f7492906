/* test_pause.c - lib/run/pause: sf_pause() and sf_resume(), of an actor and of a type, over a crash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "support/rig.h"

static sf_address counter(const char *id)
{
    return sf_addr("test/counter", id);
}

static void expect_held(struct rig *rig, const char *text)
{
    notes_clear(rig->notes);
    note_held(rig->rt, "test/counter", rig->notes);
    assert_string_equal(noted(rig->notes), text);
    notes_clear(rig->notes);
}

static void who_is_paused_is_listed_and_stays_so_over_a_crash(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(sf_pause(rig.rt, counter("a"), "for a look"));
    OK(sf_pause(rig.rt, (sf_address){.type = "test/counter"}, "all of them"));
    OK(sf_run_until_idle(rig.rt));
    rig_crash(&rig);
    rig_start(&rig);
    expect_held(&rig, ": all of them; a: for a look; ");
    OK(counter_add(rig.rt, "a", 1));
    OK(counter_add(rig.rt, "b", 1));
    OK(sf_resume(rig.rt, (sf_address){.type = "test/counter"}));
    OK(sf_run_until_idle(rig.rt));
    expect_held(&rig, "a: for a look; ");
    assert_int_equal(counter_stored(rig.rt, "a").messages, 0);
    assert_int_equal(counter_stored(rig.rt, "b").messages, 1);
    OK(sf_resume(rig.rt, counter("a")));
    OK(sf_run_until_idle(rig.rt));
    expect_held(&rig, "");
    assert_int_equal(counter_stored(rig.rt, "a").messages, 1);
    rig_close(&rig);
}

static void paused_again_the_newer_reason_counts(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(sf_pause(rig.rt, counter("a"), "first"));
    OK(sf_pause(rig.rt, counter("a"), "second"));
    OK(sf_run_until_idle(rig.rt));
    expect_held(&rig, "a: second; ");
    OK(sf_resume(rig.rt, counter("a"))); /* once is enough */
    OK(sf_run_until_idle(rig.rt));
    expect_held(&rig, "");
    rig_close(&rig);
}

static void a_reason_has_up_to_255_bytes(void **state)
{
    struct rig rig;
    char reason[257], expected[300];
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    memset(reason, 'y', sizeof reason);
    reason[256] = 0;
    REFUSED(sf_pause(rig.rt, counter("a"), reason), SF_EINVAL);
    reason[255] = 0;
    OK(sf_pause(rig.rt, counter("a"), reason));
    OK(sf_run_until_idle(rig.rt));
    rig_crash(&rig);
    rig_start(&rig);
    snprintf(expected, sizeof expected, "a: %s; ", reason);
    expect_held(&rig, expected);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(who_is_paused_is_listed_and_stays_so_over_a_crash),
        TEST(paused_again_the_newer_reason_counts),
        TEST(a_reason_has_up_to_255_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
