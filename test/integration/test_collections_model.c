/* test_collections_model.c - maps and lists do what sorted arrays do, whatever becomes of turns and of the process.
 *
 *      test_collections_model [SEED [TURNS]]
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/collections_model.h"
#include "support/rig.h"
#include "support/support.h"

static uint64_t seed = 1, turns = 3000;

static struct collections *collections_new(void)
{
    struct collections *c = calloc(1, sizeof *c);
    assert_non_null(c);
    return c;
}

static void check(struct collections *c)
{
    if (c->violation[0])
        print_message("seed %llu, turn %llu: %s\n", (unsigned long long)seed,
                      (unsigned long long)c->turns, c->violation);
    assert_string_equal(c->violation, "");
}

static void done(struct collections *c)
{
    print_message("seed %llu: %llu turns, %llu of them undone, %llu steps, %llu walks, %llu clears, %llu doomed\n",
                  (unsigned long long)seed, (unsigned long long)c->turns,
                  (unsigned long long)c->undone, (unsigned long long)c->steps,
                  (unsigned long long)c->walks, (unsigned long long)c->clears,
                  (unsigned long long)c->doomed);
    free(c);
}

/* A store in memory, an engine that is dropped now and then wherever it is. */
static void in_memory_with_crashes(void **state)
{
    struct collections *c = collections_new();
    static struct rig rig;
    uint64_t dice = seed;
    rig_open(&rig, *state, *defaults());
    OK(sf_register(rig.rt, &collector_type, c));
    for (uint64_t i = 0; i < turns && !c->violation[0]; i++) {
        dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
        OK(collector_send(rig.rt, dice >> 16));
        if ((dice >> 40) % 4 == 0)
            OK(sf_step(rig.rt, (int)(dice >> 50) % 3));
        if ((dice >> 44) % 64 == 0)
            OK(sf_run_until_idle(rig.rt));
        if ((dice >> 34) % 40 == 0)
            collector_look(rig.rt, c, dice);
        if ((dice >> 30) % 100 == 0) {
            rig_crash(&rig);
            rig_start(&rig);
            OK(sf_register(rig.rt, &collector_type, c));
        }
    }
    OK(sf_run_until_idle(rig.rt));
    check(c);
    rig_close(&rig);
    done(c);
}

/* An allocation, a read of the store, a commit: what fails now and then is nobody's fault, and undone whole. */
static void in_memory_while_the_machine_fails(void **state)
{
    struct collections *c = collections_new();
    static struct rig rig;
    uint64_t dice = seed * 7, refused = 0;
    rig_open(&rig, *state, *defaults());
    OK(sf_register(rig.rt, &collector_type, c));
    for (uint64_t i = 0; i < turns && !c->violation[0]; i++) {
        dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
        OK(collector_send(rig.rt, dice >> 16));
        if ((dice >> 40) % 3 == 0)
            rig.machine.fail_allocation = rig.machine.allocations + 1 + (dice >> 33) % 60;
        if ((dice >> 42) % 5 == 0)
            tell(&rig, "mem.read", 1)->pass = (int)(dice >> 36) % 20;
        if ((dice >> 46) % 30 == 0)
            tell(&rig, "mem.settle.before", 1);
        refused += sf_step(rig.rt, (int)(dice >> 50) % 3) < 0;
        rig.machine.fail_allocation = 0;
        tell(&rig, "mem.read", 0);
        tell(&rig, "mem.settle.before", 0);
        machine_advance_ms(&rig.machine, 2000);
        if ((dice >> 30) % 200 == 0) {
            rig_crash(&rig);
            rig_start(&rig);
            OK(sf_register(rig.rt, &collector_type, c));
        }
    }
    for (int i = 0; i < 20; i++) { /* this clock goes when it is told to */
        OK(sf_run_until_idle(rig.rt));
        machine_advance_ms(&rig.machine, 2000);
    }
    collector_look(rig.rt, c, dice);
    check(c);
    assert_true(c->doomed > turns / 50 && refused > turns / 50);
    rig_close(&rig);
    done(c);
}

/* A database, and so small a cache that actors leave after each epoch. */
static void on_disk_with_reopening(void **state)
{
    struct place *place = *state;
    struct collections *c = collections_new();
    sf_options options = *defaults();
    options.cache_bytes_max = 1;
    options.log_records_max = 64;
    uint64_t dice = seed * 77;
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &collector_type, c));
    for (uint64_t i = 0; i < turns && !c->violation[0]; i++) {
        dice = dice * UINT64_C(6364136223846793005) + 1442695040888963407u;
        OK(collector_send(rt, dice >> 16));
        if ((dice >> 40) % 4 == 0)
            OK(sf_step(rt, (int)(dice >> 50) % 3));
        if ((dice >> 34) % 40 == 0)
            collector_look(rt, c, dice);
        if ((dice >> 30) % 300 == 0) {
            OK(sf_runtime_close(rt));
            options.commit_inline = !options.commit_inline;
            rt = place_open_with(place, &options);
            OK(sf_register(rt, &collector_type, c));
        }
    }
    OK(sf_run_until_idle(rt));
    check(c);
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
    done(c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(in_memory_with_crashes),
        TEST(in_memory_while_the_machine_fails),
        TEST(on_disk_with_reopening),
    };
    seed = argc > 1 ? strtoull(argv[1], NULL, 10) : seed;
    turns = argc > 2 ? strtoull(argv[2], NULL, 10) : turns;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
