/* test_position.c - how far an input was taken in: each of its five marks moves when its step is
 * done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "actor/key.h"
#include "run/position.h"
#include "store/record.h"
#include "support/machine.h"
#include "support/support.h"

struct fixture {
    struct machine machine;
    struct sfi_positions positions;
    struct sfi_batch batch;
};

static int setup(void **state)
{
    static struct fixture f;
    memset(&f, 0, sizeof f);
    machine_init(&f.machine);
    sfi_positions_init(&f.positions, &f.machine.sys);
    sfi_batch_init(&f.batch, &f.machine.sys);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    sfi_positions_fini(&f->positions);
    sfi_batch_fini(&f->batch);
    return f->machine.live == 0 ? 0 : -1;
}

static struct sfi_position *get(struct fixture *f, const char *name, uint32_t partition)
{
    struct sfi_position *position = NULL;
    OK(sfi_positions_get(&f->positions, name, partition, &position));
    assert_non_null(position);
    return position;
}

static uint32_t saved(struct fixture *f)
{
    sfi_batch_reset(&f->batch);
    assert_int_equal(sfi_positions_save(&f->positions, &f->batch), 0);
    sfi_positions_saved(&f->positions);
    assert_int_equal(sfi_positions_dirty(&f->positions), 0);
    return f->batch.op_count;
}

static void each_mark_follows_the_one_before_it(void **state)
{
    struct fixture *f = *state;
    struct sfi_position *p = get(f, "input", 0);
    sfi_position_reached(&f->positions, p, 10);
    assert_true(sfi_positions_dirty(&f->positions));
    sfi_positions_durable(&f->positions);
    sfi_positions_safe(&f->positions);
    assert_int_equal(p->safe, 0); /* it was not sealed */
    assert_int_equal(saved(f), 1);
    sfi_position_reached(&f->positions, p, 20);
    sfi_positions_safe(&f->positions);
    assert_int_equal(p->safe, 0); /* sealed, not durable */
    sfi_positions_durable(&f->positions);
    assert_int_equal(p->safe, 0);
    assert_int_equal(p->durable, 10);
    sfi_positions_safe(&f->positions);
    assert_int_equal(p->safe, 10);
    assert_int_equal(saved(f), 1);
    sfi_positions_durable(&f->positions);
    sfi_positions_safe(&f->positions);
    assert_int_equal(p->safe, 20);
    assert_null(f->positions.first_moving);
}

/* Any order of being reached, sealed, durable, safe; each epoch's marks, kept by hand. */
static void any_number_that_move_at_once_get_where_they_belong(void **state)
{
    enum { COUNT = 50, ROUNDS = 5000 };
    struct fixture *f = *state;
    static uint64_t reached[COUNT], sealed[COUNT], durable[COUNT], safe[COUNT];
    memset(reached, 0, sizeof reached);
    memset(sealed, 0, sizeof sealed);
    memset(durable, 0, sizeof durable);
    memset(safe, 0, sizeof safe);
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        uint64_t dice = f->machine.sys.random(&f->machine), n = dice / 16 % COUNT;
        uint32_t dirty = 0;
        for (int i = 0; i < COUNT; i++)
            dirty += reached[i] != sealed[i];
        if (dice % 16 < 10) {
            reached[n] = round;
            sfi_position_reached(&f->positions, get(f, "x", (uint32_t)n), round);
        } else if (dice % 16 < 12) {
            assert_int_equal(saved(f), dirty);
            memcpy(sealed, reached, sizeof sealed);
        } else if (dice % 16 < 14) {
            sfi_positions_durable(&f->positions);
            memcpy(durable, sealed, sizeof durable);
        } else {
            sfi_positions_safe(&f->positions);
            memcpy(safe, durable, sizeof safe);
        }
        for (uint32_t i = 0; i < COUNT; i++)
            assert_int_equal(get(f, "x", i)->safe, safe[i]);
    }
}

static void names_and_partitions_are_apart(void **state)
{
    struct fixture *f = *state;
    struct sfi_position *all[] = {get(f, "a", 0), get(f, "a", 1), get(f, "b", 0), get(f, "b", 1)};
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            assert_ptr_not_equal(all[i], all[j]);
    assert_ptr_equal(get(f, "a", 1), all[1]);
}

/* A walk over all for each took ten seconds for 66 092. */
static void many_partitions_are_found_in_no_time_and_have_a_bound(void **state)
{
    struct fixture *f = *state;
    struct sfi_position *more;
    uint64_t start_ms = mono_ms();
    for (uint32_t i = 0; i < 200000; i++)
        get(f, "input", i)->given = i;
    for (uint32_t i = 0; i < 200000; i++)
        assert_int_equal(get(f, "input", i)->given, i);
    assert_true(mono_ms() - start_ms < 10000);
    for (uint32_t i = 200000; i < SF_PARTITIONS_MAX; i++)
        get(f, "input", i);
    REFUSED(sfi_positions_get(&f->positions, "input", SF_PARTITIONS_MAX, &more), SF_EINVAL);
    SAYS("1048576");
    get(f, "input", 7);
}

static void without_memory_none_is_made(void **state)
{
    struct fixture *f = *state;
    struct sfi_position *position;
    for (uint64_t nth = 1; nth <= 2; nth++) { /* the position, the lookup */
        f->machine.fail_allocation = f->machine.allocations + nth;
        REFUSED(sfi_positions_get(&f->positions, "a", 0, &position), SF_ENOMEM);
        assert_int_equal(f->positions.all.count, 0);
    }
    f->machine.fail_allocation = 0;
    get(f, "a", 0);
}

static void a_record_with_another_size_or_key_is_damage(void **state)
{
    struct fixture *f = *state;
    unsigned char record[SFI_RECORD_HEADER + 16] = {0};
    struct sfi_key key;
    sfi_key_source(&key, 3, "in");
    for (size_t size = 0; size <= 16; size++) {
        sfi_record_finish(record, SFI_RECORD_HEADER + size, SFI_RECORD_SOURCE, sfi_key_bytes(&key));
        if (size != 8)
            REFUSED(sfi_position_load(&f->positions, sfi_key_bytes(&key),
                                      SF_BYTES(record, SFI_RECORD_HEADER + size)), SF_ECORRUPT);
    }
    for (key.size = 1; key.size < 6; key.size++) {
        sfi_record_finish(record, SFI_RECORD_HEADER + 8, SFI_RECORD_SOURCE, sfi_key_bytes(&key));
        REFUSED(sfi_position_load(&f->positions, sfi_key_bytes(&key),
                                  SF_BYTES(record, SFI_RECORD_HEADER + 8)), SF_ECORRUPT);
    }
    assert_int_equal(f->positions.all.count, 0);
}

#define HERE(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HERE(each_mark_follows_the_one_before_it),
        HERE(any_number_that_move_at_once_get_where_they_belong),
        HERE(names_and_partitions_are_apart),
        HERE(many_partitions_are_found_in_no_time_and_have_a_bound),
        HERE(without_memory_none_is_made),
        HERE(a_record_with_another_size_or_key_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
