/* test_held_floods.c - very many messages wait behind one hold: on disk, within the budget of memory, and
 * all come through in order.
 *
 * MESSAGES says how many; `make floods` runs it with ten million. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>

#include "run/life.h"
#include "support/support.h"
#include "support/weighed.h"

enum { BUDGET = 4 << 20, INBOX = 1 << 20, EPOCH_BYTES = 16 << 20, MESSAGES = 1000000 };

struct letter {
    uint64_t number, filling[6];
};

struct reader {
    uint64_t next, broken;
};

static int on_letter(sf_turn *turn)
{
    struct reader *self = sf_state(turn);
    const struct letter *letter = sf_body(turn, sizeof *letter);
    self->broken += letter->number != self->next++;
    return 0;
}

static const sf_type reader_type =
    SF_TYPE("test/reader", .handler = on_letter, .state_size = sizeof(struct reader));

static uint64_t how_many(void)
{
    const char *said = getenv("MESSAGES");
    return said && *said ? strtoull(said, NULL, 10) : MESSAGES;
}

static sf_runtime *open_weighed(const struct place *place)
{
    static struct sfi_sys sys;
    const sf_options options =
        SF_OPTIONS(.mailbox_bytes_max = BUDGET, .inbox_bytes_max = INBOX, .inbox_ms_max = HOUR_MS,
                   .epoch_turns_max = 8192, .log_records_max = 8192);
    sf_runtime *rt;
    sys = *sfi_sys_default();
    sys.resize = weighed_resize;
    sys.aligned = weighed_aligned;
    OK(sfi_runtime_open(&sys, place->db, &options, &rt));
    OK(sf_register(rt, &reader_type, NULL));
    return rt;
}

static void send_letters(sf_runtime *rt, uint64_t from, uint64_t to)
{
    for (uint64_t n = from; n < to;) {
        struct letter letter = {.number = n};
        int64_t ticket = sf_send(rt, sf_addr("test/reader", "r"), "letter", SF_OF(letter));
        if (ticket < 0 && ticket != SF_EAGAIN)
            OK(ticket);
        n += ticket > 0;
        if (ticket < 0)
            OK(sf_step(rt, 0));
    }
    OK(sf_run_until_idle(rt));
}

static void expect_bounded(const char *when)
{
    print_message("%s: %" PRIu64 " KiB at most\n", when, weighed_most / 1024);
    /* beside what was allowed: two epochs, fuller if the disk is slow */
    assert_in_range(weighed_most, 1, BUDGET + INBOX + 2 * EPOCH_BYTES);
    weighed_most = weighed_live;
}

static void expect_all_read(sf_runtime *rt, uint64_t count)
{
    sf_view *view;
    OK(sf_view_open(rt, &view));
    const struct reader *reader = sf_view_state(view, sf_addr("test/reader", "r")).data;
    assert_non_null(reader);
    assert_int_equal(reader->next, count);
    assert_int_equal(reader->broken, 0);
    sf_view_close(view);
    assert_int_equal(stats_of(rt).messages_waiting, 0);
}

/* Half of them come before a restart.  `whom`: the actor, or its whole type. */
static void hold_and_let_go(struct place *place, sf_address whom)
{
    uint64_t count = how_many();
    weighed_reset();
    sf_runtime *rt = open_weighed(place);
    OK(sf_pause(rt, whom, "for long"));
    send_letters(rt, 0, count / 2);
    expect_bounded("taken in");
    OK(sf_runtime_close(rt));
    rt = open_weighed(place);
    send_letters(rt, count / 2, count);
    assert_int_equal(stats_of(rt).messages_waiting, count);
    expect_bounded("taken in after a restart");
    OK(sf_resume(rt, whom));
    OK(sf_run_until_idle(rt));
    expect_bounded("let go");
    expect_all_read(rt, count);
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

static void what_waits_for_one_actor_takes_no_memory_and_comes_in_order(void **state)
{
    hold_and_let_go(*state, sf_addr("test/reader", "r"));
}

static void what_waits_for_a_type_takes_no_memory_and_comes_in_order(void **state)
{
    hold_and_let_go(*state, (sf_address){.type = "test/reader"});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_waits_for_one_actor_takes_no_memory_and_comes_in_order),
        TEST(what_waits_for_a_type_takes_no_memory_and_comes_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
