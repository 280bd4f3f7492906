/* test_command.c - lib/run/command: what is asked from outside comes in by its door, in order, with a ticket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "run/command.h"
#include "support/rig.h"

static sf_address counter(const char *id)
{
    return sf_addr("test/counter", id);
}

static int64_t add_one(sf_runtime *rt, const char *id)
{
    return sf_send(rt, counter(id), "add", SF_OF((uint64_t){1}));
}

/* With less than the reserve left what makes room gets in, and nothing else does. */
static void near_the_ceiling_only_what_makes_room_comes_in(void **state)
{
    enum { CEILING = 16 << 20, RESERVE = CEILING / 8 };
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1, .store_bytes_max = CEILING));
    OK(sf_send(rig.rt, counter("a"), "reject", SF_NONE));
    OK(sf_run_until_idle(rig.rt));
    OK(sf_pause(rig.rt, counter("b"), NULL));
    sfi_mem_disk_limit(rig.disk, RESERVE - 4096); /* room for turns, not for sends */
    OK(sf_run_until_idle(rig.rt));
    REFUSED(add_one(rig.rt, "c"), SF_EDISK);
    REFUSED(sf_pause(rig.rt, counter("a"), NULL), SF_EDISK);
    REFUSED(sf_dead_resend(rig.rt, 1), SF_EDISK);
    OK(sf_resume(rig.rt, counter("b")));
    OK(sf_purge(rig.rt, counter("c")));
    OK(sf_dead_drop(rig.rt, 1));
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(stats_of(rig.rt).dead_kept, 0);
    rig_close(&rig);
}

/* With a full inbox likewise; and they have a bound too. */
static void a_full_inbox_lets_in_what_makes_room_up_to_a_bound(void **state)
{
    struct rig rig;
    int64_t rc = 0;
    uint64_t given = 0;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.inbox_bytes_max = 4096));
    while ((rc = add_one(rig.rt, "a")) > 0)
        ;
    REFUSED(rc, SF_EAGAIN);
    REFUSED(sf_pause(rig.rt, counter("a"), NULL), SF_EAGAIN);
    while ((rc = sf_resume(rig.rt, counter("a"))) > 0)
        assert_true(++given < SFI_RELIEF_BYTES);
    REFUSED(rc, SF_EAGAIN);
    assert_true(given > 1000);
    OK(sf_run_until_idle(rig.rt));
    OK(sf_resume(rig.rt, counter("a")));
    rig_close(&rig);
}

static void a_command_has_the_next_ticket_and_takes_effect_in_order(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    int64_t first = OK(counter_add(rig.rt, "a", 1));
    assert_int_equal(sf_pause(rig.rt, counter("b"), NULL), first + 1);
    assert_int_equal(counter_add(rig.rt, "b", 1), first + 2);
    assert_int_equal(sf_purge(rig.rt, counter("b")), first + 3);
    assert_int_equal(counter_add(rig.rt, "b", 10), first + 4);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(sf_durable(rig.rt), first + 4);
    assert_int_equal(counter_stored(rig.rt, "a").total, 1);
    assert_int_equal(counter_stored(rig.rt, "b").total, 10);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(near_the_ceiling_only_what_makes_room_comes_in),
        TEST(a_full_inbox_lets_in_what_makes_room_up_to_a_bound),
        TEST(a_command_has_the_next_ticket_and_takes_effect_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
