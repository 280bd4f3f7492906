/* test_ceiling.c - lib/run/ceiling: who is let in as the database fills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/ceiling.h"
#include "run/runtime.h"
#include "support/support.h"

#define MIB (UINT64_C(1) << 20)

static struct sfi_ceiling with(uint64_t mib, uint64_t room)
{
    return (struct sfi_ceiling){.dir = "db", .bytes_max = mib * MIB, .room = room};
}

static void is_shut(const struct sfi_ceiling *ceiling, enum sfi_door door, uint64_t bytes)
{
    assert_int_equal(sfi_ceiling_check(ceiling, door, bytes), SF_EDISK);
    assert_non_null(strstr(sf_errmsg(), "store_bytes_max"));
}

static void sends_are_refused_below_an_eighth_and_twice_what_is_under_way(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 8 * MIB + 200);
    assert_int_equal(sfi_ceiling_check(&ceiling, SFI_SENDS, 100), 0);
    is_shut(&ceiling, SFI_SENDS, 101);
    assert_null(strstr(sf_errmsg(), "turns wait"));
}

static void the_reserve_of_a_large_database_is_256_mib(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(32 << 10, 256 * MIB);
    assert_int_equal(sfi_ceiling_check(&ceiling, SFI_SENDS, 0), 0);
    ceiling.room--;
    is_shut(&ceiling, SFI_SENDS, 0);
    ceiling.room = 128 * MIB - 1;
    is_shut(&ceiling, SFI_TURNS, 0);
}

static void turns_wait_when_half_of_the_reserve_is_used(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 4 * MIB);
    is_shut(&ceiling, SFI_SENDS, 0);
    assert_int_equal(sfi_ceiling_check(&ceiling, SFI_TURNS, 0), 0);
    ceiling.room--;
    is_shut(&ceiling, SFI_TURNS, 0);
    assert_non_null(strstr(sf_errmsg(), "turns wait"));
}

enum { QUARTER = 16, MS = 1000000 };

/* At so many ms, after so many turns: how long it is to wait. */
static uint64_t flood_ms(struct sfi_ceiling *ceiling, uint64_t waiting, uint64_t turns, uint64_t at)
{
    if (sfi_ceiling_has_flood(ceiling, waiting))
        return sfi_ceiling_flood_ms(ceiling, turns, 5000 * UINT64_C(1000000) + at * MS);
    ceiling->flood_ns = 0;
    return 0;
}

static void a_turn_that_floods_waits_while_more_than_a_quarter_waits(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 32 * MIB);
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB, 7, 0), 0);
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 8, 0), 0); /* the first one passes */
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 10, 0), 10);
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 11, 30), 30); /* as long as it has been so */
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 12, 999), 999);
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB, 13, 999), 0);
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 14, 2000), 0); /* and from the beginning */
    assert_int_equal(flood_ms(&ceiling, QUARTER * MIB + 1, 16, 2000), 10);
}

static void one_is_let_through_when_nobody_else_runs_and_one_a_second(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 32 * MIB);
    const uint64_t much = 40 * MIB;
    assert_int_equal(flood_ms(&ceiling, much, 8, 0), 0);
    assert_int_equal(flood_ms(&ceiling, much, 9, 9), 10); /* only that one was kept since */
    assert_int_equal(flood_ms(&ceiling, much, 9, 10), 0);
    assert_int_equal(flood_ms(&ceiling, much, 11, 20), 20); /* another was */
    assert_int_equal(flood_ms(&ceiling, much, 11, 1009), 1000);
    assert_int_equal(flood_ms(&ceiling, much, 500, 1010), 0);
    assert_int_equal(flood_ms(&ceiling, much, 900, 2009), 1000);
    assert_int_equal(flood_ms(&ceiling, much, 900, 2010), 0);
}

/* What is not messages may take what it takes; messages no more than half of what it leaves. */
static void what_waits_may_not_take_more_than_is_left(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 9 * MIB);
    assert_int_equal(flood_ms(&ceiling, 9 * MIB, 1, 0), 0);
    assert_int_equal(flood_ms(&ceiling, 9 * MIB + 1, 2, 0), 0);
    assert_int_equal(flood_ms(&ceiling, 9 * MIB + 1, 4, 0), 10);
}

static void what_is_parked_may_have_a_quarter(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 48 * MIB);
    ceiling.parked = 16 * MIB;
    assert_false(sfi_ceiling_is_crowded(&ceiling));
    ceiling.parked++;
    assert_true(sfi_ceiling_is_crowded(&ceiling));
}

static void what_makes_room_is_let_in_whatever_is_left(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 0);
    assert_int_equal(sfi_ceiling_check(&ceiling, SFI_RELIEF, UINT64_MAX), 0);
}

/* Half the reserve holds four of the largest epochs. */
static void an_epoch_and_a_turn_fit_into_what_is_kept_free(void **state)
{
    (void)state;
    for (uint64_t mib = 1; mib <= 1 << 20; mib *= 2) {
        struct sfi_ceiling ceiling = with(mib, mib * MIB);
        uint64_t epoch = sfi_ceiling_epoch_bytes(&ceiling), turn = sfi_ceiling_turn_bytes(&ceiling);
        assert_int_equal(epoch, mib < 2048 ? mib * MIB / 64 : 32 * MIB);
        assert_int_equal(turn, mib < 1024 ? mib * MIB / 16 : 64 * MIB);
        ceiling.room = 4 * epoch - 1;
        is_shut(&ceiling, SFI_TURNS, 0);
    }
}

static void room_is_measured_often_once_half_of_it_is_used(void **state)
{
    (void)state;
    struct sfi_ceiling ceiling = with(64, 32 * MIB);
    assert_false(sfi_ceiling_is_near(&ceiling));
    ceiling.room--;
    assert_true(sfi_ceiling_is_near(&ceiling));
}

/* What makes room may be among it. */
static void while_turns_wait_what_was_accepted_comes_in_and_is_durable(void **state)
{
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = 64 * MIB);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &counter_type, NULL));
    int64_t ticket = counter_add(rt, "a", 1);
    rt->ceiling.bytes_max = 8192 * MIB; /* of which hardly anything seems to be left */
    REFUSED(sf_step(rt, 0), SF_EDISK);
    SAYS("turns wait");
    assert_int_equal(stats_of(rt).turns, 0);
    assert_int_equal(sf_durable(rt), ticket);
    rt->ceiling.bytes_max = 64 * MIB;
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).turns, 1);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sends_are_refused_below_an_eighth_and_twice_what_is_under_way),
        cmocka_unit_test(the_reserve_of_a_large_database_is_256_mib),
        cmocka_unit_test(turns_wait_when_half_of_the_reserve_is_used),
        cmocka_unit_test(a_turn_that_floods_waits_while_more_than_a_quarter_waits),
        cmocka_unit_test(one_is_let_through_when_nobody_else_runs_and_one_a_second),
        cmocka_unit_test(what_waits_may_not_take_more_than_is_left),
        cmocka_unit_test(what_is_parked_may_have_a_quarter),
        cmocka_unit_test(what_makes_room_is_let_in_whatever_is_left),
        cmocka_unit_test(an_epoch_and_a_turn_fit_into_what_is_kept_free),
        cmocka_unit_test(room_is_measured_often_once_half_of_it_is_used),
        TEST(while_turns_wait_what_was_accepted_comes_in_and_is_durable),
    };
    return cmocka_run_group_tests_name("ceiling", tests, NULL, NULL);
}
