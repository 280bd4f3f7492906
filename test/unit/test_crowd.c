/* test_crowd.c - counts of what waits for one actor: exact for any names, given back when they
 * are gone, and refused only when there is no memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/crowd.h"
#include "support/machine.h"

enum { HASHES = 300 };

struct fixture {
    struct machine machine;
    struct sfi_crowd crowd;
    struct sfi_type type;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_crowd_init(&f.crowd, &f.machine.sys);
    f.type.name = "test/type";
    f.type.desc.waiting_max = 8;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_crowd_fini(&f->crowd);
    return f->machine.live == 0 ? 0 : -1;
}

static int check(struct fixture *f, uint64_t hash)
{
    return sfi_crowd_check(&f->crowd, &f->type, hash, "id", 2, 0);
}

static void leave(struct fixture *f, uint64_t hash)
{
    f->crowd.left[f->crowd.left_count++] = hash;
    sfi_crowd_account(&f->crowd);
}

/* Hashes that share their places, and 0 is one like any other. */
static uint64_t hash_of(uint64_t n)
{
    return n / 3 * UINT64_C(0x100000001) + n % 3 * 64;
}

static void counts_are_exact_whoever_comes_and_goes(void **state)
{
    struct fixture *f = *state;
    uint64_t counts[HASHES] = {0}, there = 0;
    for (int step = 0; step < 200000; step++) {
        uint64_t n = f->machine.sys.random(&f->machine) % HASHES;
        int rises = step / 20000 % 2 == 0;
        if (rises && check(f, hash_of(n)) == 0) {
            sfi_crowd_raise(&f->crowd, hash_of(n));
            there += counts[n]++ == 0;
        } else if (!rises) {
            leave(f, hash_of(n));
            there -= counts[n] == 1;
            counts[n] -= counts[n] > 0;
        }
        assert_true(counts[n] <= 8);
        assert_int_equal(sfi_crowd_count(&f->crowd, hash_of(n)), counts[n]);
        assert_int_equal(f->crowd.count, there);
    }
    for (uint64_t n = 0; n < HASHES; n++)
        while (counts[n]) {
            leave(f, hash_of(n));
            assert_int_equal(sfi_crowd_count(&f->crowd, hash_of(n)), --counts[n]);
        }
    assert_int_equal(f->crowd.count, 0);
    assert_int_equal(f->crowd.capacity, 16);
}

static void without_memory_nothing_is_counted(void **state)
{
    struct fixture *f = *state;
    uint64_t refused = 0;
    for (uint64_t hash = 1; hash < 1000;) {
        f->machine.fail_allocation = hash % 2 ? f->machine.allocations + 1 : 0;
        int rc = check(f, hash);
        f->machine.fail_allocation = 0;
        refused += rc < 0;
        assert_true(rc == 0 || rc == SF_ENOMEM);
        if (rc < 0)
            assert_int_equal(check(f, hash), 0);
        sfi_crowd_raise(&f->crowd, hash++);
    }
    assert_true(refused > 2);
    assert_int_equal(f->crowd.count, 999);
}

static void who_was_turned_away_waits_for_a_quarter_of_the_bound(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 8; i++) {
        assert_int_equal(check(f, 5), 0);
        sfi_crowd_raise(&f->crowd, 5);
    }
    assert_int_equal(check(f, 5), SF_EAGAIN);
    assert_int_equal(check(f, 6), 0);
    struct sfi_refusal refusal = sfi_crowd_refusal(&f->crowd);
    assert_int_equal(refusal.hash, 5);
    leave(f, 5);
    assert_false(sfi_crowd_has_room(&f->crowd, &refusal));
    leave(f, 5);
    leave(f, 5);
    assert_true(sfi_crowd_has_room(&f->crowd, &refusal));
    sfi_crowd_forget(&f->crowd);
    refusal = sfi_crowd_refusal(&f->crowd);
    assert_int_equal(refusal.max, 0);
    assert_true(sfi_crowd_has_room(&f->crowd, &refusal));
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(counts_are_exact_whoever_comes_and_goes),
        HERE(without_memory_nothing_is_counted),
        HERE(who_was_turned_away_waits_for_a_quarter_of_the_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
