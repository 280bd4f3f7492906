/* test_inbox.c - the door for work from outside: how much comes in at a time, how much may wait, what memory is kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "run/runtime.h"
#include "run/source.h"
#include "support/rig.h"

#define MIB (UINT64_C(1) << 20)

static const char bytes[1 << 20];

static int take(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type taker = SF_TYPE("test/taker", .handler = take),
                     bound = SF_TYPE("test/bound", .handler = take, .waiting_max = 2);

static void open_rig(struct rig *rig, void **state, uint64_t inbox_bytes_max)
{
    rig_open(rig, *state, (sf_options)SF_OPTIONS(.inbox_bytes_max = inbox_bytes_max,
                                                 .inbox_ms_max = HOUR_MS));
    OK(sf_register(rig->rt, &taker, NULL));
    OK(sf_register(rig->rt, &bound, NULL));
    OK(sf_run_until_idle(rig->rt));
}

static int64_t send(struct rig *rig, size_t size)
{
    return sf_send(rig->rt, sf_addr("test/taker", "a"), "", SF_BYTES(bytes, size));
}

/* -- how much at a time -------------------------------------------------------------------------- */

static void a_mebibyte_comes_in_at_a_time_and_the_group_that_crosses_it(void **state)
{
    struct rig rig;
    open_rig(&rig, state, 16 * MIB);
    for (int i = 0; i < 40; i++)
        OK(send(&rig, 100 << 10));
    assert_int_equal(sfi_inbox_take(rig.rt, 1 << 20), 11);
    assert_int_equal(sfi_inbox_take(rig.rt, 5), 5);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

/* -- how much may wait --------------------------------------------------------------------------- */

static void what_fits_exactly_comes_in_and_a_byte_less_does_not_do(void **state)
{
    struct rig rig;
    open_rig(&rig, state, MIB);
    uint64_t before = rig.rt->inbox.accepted_bytes;
    OK(send(&rig, 1000));
    uint64_t size = rig.rt->inbox.accepted_bytes - before;
    rig_close(&rig);
    for (uint64_t less = 0; less < 2; less++) {
        open_rig(&rig, state, 3 * size - less);
        for (uint64_t i = 0; i < 3 - less; i++)
            OK(send(&rig, 1000));
        REFUSED(send(&rig, 1000), SF_EAGAIN);
        rig_close(&rig);
    }
}

static void what_makes_room_comes_in_when_the_inbox_is_full(void **state)
{
    struct rig rig;
    open_rig(&rig, state, 4096);
    while (send(&rig, 0) > 0)
        ;
    REFUSED(send(&rig, 0), SF_EAGAIN);
    REFUSED(sf_pause(rig.rt, sf_addr("test/taker", "a"), "stop"), SF_EAGAIN);
    OK(sf_resume(rig.rt, sf_addr("test/taker", "a")));
    OK(sf_purge(rig.rt, sf_addr("test/taker", "b")));
    int64_t rc;
    int more = 0;
    for (; (rc = sf_resume(rig.rt, sf_addr("test/taker", "a"))) > 0; more++)
        assert_in_range(more, 0, 1 << 20); /* that is bounded too */
    assert_int_equal(rc, SF_EAGAIN);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

static void the_newest_refusal_is_the_one_that_is_waited_for(void **state)
{
    struct rig rig;
    open_rig(&rig, state, 4096);
    for (int i = 0; i < 2; i++)
        OK(sf_send(rig.rt, sf_addr("test/bound", "a"), "", SF_NONE));
    REFUSED(sf_send(rig.rt, sf_addr("test/bound", "a"), "", SF_NONE), SF_EAGAIN);
    assert_int_equal(sfi_crowd_refusal(&rig.rt->crowd).max, 2);
    while (send(&rig, 0) > 0)
        ;
    SAYS("inbox is full");
    assert_int_equal(sfi_crowd_refusal(&rig.rt->crowd).max, 0);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

static void what_another_thread_was_refused_is_not_this_ones(void **state)
{
    struct rig rig;
    open_rig(&rig, state, 4096);
    for (int i = 0; i < SFI_REFUSALS; i++)
        rig.rt->crowd.refusals[i] = (struct sfi_refusal){.thread = 1, .hash = 2, .max = 3};
    assert_int_equal(sfi_crowd_refusal(&rig.rt->crowd).max, 0);
    sfi_crowd_forget(&rig.rt->crowd);
    for (int i = 0; i < SFI_REFUSALS; i++)
        assert_int_equal(rig.rt->crowd.refusals[i].max, 3);
    rig_close(&rig);
}

static struct machine *slow_machine;

static int take_long(sf_turn *turn)
{
    (void)turn;
    machine_advance_ms(slow_machine, 1000);
    return 0;
}

static const sf_type slow_type = SF_TYPE("test/slow", .handler = take_long);

static void however_slow_handlers_are_16_kib_may_wait(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.inbox_ms_max = 10));
    OK(sf_register(rig.rt, &slow_type, NULL));
    slow_machine = &rig.machine;
    for (int i = 0; i < 20; i++) {
        OK(sf_send(rig.rt, sf_addr("test/slow", "a"), "", SF_NONE));
        OK(sf_send(rig.rt, sf_addr("test/slow", "a"), "", SF_NONE));
        OK(sf_step(rig.rt, 1));
    }
    assert_int_equal(rig.rt->inbox.bytes_now, 16 << 10);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

/* -- one group of a source ----------------------------------------------------------------------- */

static size_t size_of(size_t body)
{
    struct machine machine;
    struct sfi_buffer buffer = {0};
    struct sfi_parcel parcel = {.id = "a", .id_size = 1, .kind = "", .body = SF_BYTES(bytes, body)};
    machine_init(&machine);
    assert_int_equal(sfi_buffer_add(&buffer, &machine.sys, &parcel), 0);
    size_t used = buffer.used;
    sfi_free(&machine.sys, buffer.bytes);
    return used;
}

static void a_group_may_be_exactly_as_large_as_its_bound(void **state)
{
    (void)state;
    struct machine machine;
    struct sfi_buffer buffer = {0};
    struct sfi_parcel parcel = {.id = "a", .id_size = 1, .kind = ""};
    size_t head = size_of(0), left = SF_ADVANCE_BYTES_MAX;
    machine_init(&machine);
    for (; left > 1 << 19; left -= size_of(1 << 18)) {
        parcel.body = SF_BYTES(bytes, 1 << 18);
        assert_int_equal(sfi_buffer_add(&buffer, &machine.sys, &parcel), 0);
    }
    size_t body = left - head;
    while (size_of(body) > left)
        body--;
    while (size_of(body + 1) <= left)
        body++;
    assert_int_equal(size_of(body), left); /* both are multiples of eight */
    size_t used = buffer.used;
    parcel.body = SF_BYTES(bytes, body + 1);
    REFUSED(sfi_buffer_add(&buffer, &machine.sys, &parcel), SF_EINVAL);
    assert_int_equal(buffer.used, used);
    parcel.body = SF_BYTES(bytes, body);
    assert_int_equal(sfi_buffer_add(&buffer, &machine.sys, &parcel), 0);
    assert_int_equal(buffer.used, SF_ADVANCE_BYTES_MAX);
    sfi_buffer_clear(&buffer, &machine.sys);
    assert_int_equal(machine.live, 0); /* and so much memory is not kept */
}

static void memory_of_a_burst_goes_back(void **state)
{
    struct rig rig;
    open_rig(&rig, state, 64 * MIB);
    for (int i = 0; i < 40; i++)
        OK(send(&rig, MIB - 100));
    assert_true(rig.rt->inbox.filling.capacity > 32 * MIB);
    for (int i = 0; i < 3; i++) {
        OK(sf_run_until_idle(rig.rt));
        OK(send(&rig, 0));
    }
    assert_in_range(rig.rt->inbox.filling.capacity + rig.rt->inbox.taking.capacity, 1, 16 * MIB);
    OK(sf_run_until_idle(rig.rt));
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_mebibyte_comes_in_at_a_time_and_the_group_that_crosses_it),
        TEST(what_fits_exactly_comes_in_and_a_byte_less_does_not_do),
        TEST(what_makes_room_comes_in_when_the_inbox_is_full),
        TEST(the_newest_refusal_is_the_one_that_is_waited_for),
        TEST(what_another_thread_was_refused_is_not_this_ones),
        TEST(however_slow_handlers_are_16_kib_may_wait),
        TEST(a_group_may_be_exactly_as_large_as_its_bound),
        TEST(memory_of_a_burst_goes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
