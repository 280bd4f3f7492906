/* test_work.c - lib/run/work: what a turn does is counted, timed and undone for itself, not for the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "run/life.h"
#include "run/runtime.h"
#include "store/mem_store.h"
#include "support/machine.h"
#include "support/support.h"

/* A sixteenth of it is what one turn may do. */
enum { CEILING = 16 << 20, MOST = CEILING / 16, PIECE = 64 << 10 };

static const char WORKER[] = "test/worker";

struct bench {
    struct machine machine;
    struct notes *notes;
    struct sfi_mem_disk *disk;
    sf_runtime *rt;
};

static const sf_value load = SF_VALUE("load");

/* What the kind says, as often as the body says, a piece each. */
static int work(sf_turn *turn)
{
    static const char piece[PIECE];
    const uint32_t *count = sf_body(turn, sizeof *count);
    int rc = 0;
    for (uint32_t i = 0; i < *count && rc == 0; i++) {
        if (sf_is(sf_msg(turn), "tell"))
            rc = sf_tell(turn, sf_addr(WORKER, "heap"), "take", SF_OF(piece));
        else if (sf_is(sf_msg(turn), "reply"))
            rc = sf_reply(turn, "piece", SF_OF(piece));
        else if (sf_is(sf_msg(turn), "emit"))
            rc = sf_emit(turn, "out", "piece", SF_OF(piece));
        else
            rc = sf_value_put(turn, &load, SF_OF(piece));
    }
    return 0;
}

static int take(sf_turn *turn)
{
    (void)turn;
    return 0;
}

/* Notes the time, twice: the clock goes on in between. */
static int look(sf_turn *turn)
{
    struct bench *bench = sf_userdata(turn);
    uint64_t first_ms = sf_now_ms(turn);
    machine_advance_ms(&bench->machine, 7);
    note(bench->notes, "%d+%d ", (int)(first_ms % 1000), (int)(sf_now_ms(turn) - first_ms));
    return 0;
}

static const sf_type worker_type = SF_TYPE(
    WORKER, .on = {{"tell", work}, {"reply", work}, {"emit", work}, {"put", work}, {"take", take},
                   {"look", look}},
    .values = {&load});

static int sink(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)userdata;
    return (int)count;
}

static void bench_open(struct bench *bench, struct place *place)
{
    sf_options options = SF_OPTIONS(.commit_inline = 1, .store_bytes_max = CEILING);
    struct sfi_store *store;
    *bench = (struct bench){.notes = &place->notes};
    machine_init(&bench->machine);
    bench->disk = sfi_mem_disk_new(&bench->machine.sys);
    OK(sfi_mem_open(&bench->machine.sys, bench->disk, &store));
    OK(sfi_runtime_open_with(&bench->machine.sys, store, &options, &bench->rt));
    OK(sf_register(bench->rt, &worker_type, bench));
    OK(sf_egress_register(bench->rt, "out", sink, NULL));
    bench->rt->turns.work.bytes_max = MOST;
}

static void bench_close(struct bench *bench)
{
    OK(sf_runtime_close(bench->rt));
    sfi_mem_disk_free(bench->disk);
    assert_int_equal(bench->machine.live, 0);
}

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    *(int *)userdata = reply ? 1 : result;
}

/* Asked, so that there is somebody to reply to. */
static int ask(struct bench *bench, const char *kind, uint32_t count)
{
    int result = 0;
    OK(sf_ask_then(bench->rt, sf_addr(WORKER, "w"), kind, SF_OF(count), -1, on_answer, &result));
    OK(sf_run_until_idle(bench->rt));
    OK(sf_then_cancel(bench->rt, &result));
    return result;
}

/* All that a turn leaves counts: a little less than the most is kept, the most and its heads are not. */
static void a_turn_may_send_emit_store_and_reply_so_much(void **state)
{
    static const char *const kinds[] = {"tell", "reply", "emit", "put"};
    struct bench bench;
    bench_open(&bench, *state);
    for (int i = 0; i < 4; i++) {
        uint64_t letters = stats_of(bench.rt).dead_letters;
        assert_int_not_equal(ask(&bench, kinds[i], MOST / PIECE - 1), SF_EFAILED);
        assert_int_equal(stats_of(bench.rt).dead_letters, letters);
        assert_int_equal(ask(&bench, kinds[i], MOST / PIECE + 1), SF_EFAILED);
        assert_int_equal(stats_of(bench.rt).dead_letters, letters + 1);
    }
    bench_close(&bench);
}

/* Each alone is well below what one may do; together they are far beyond. */
static void what_one_turn_did_does_not_count_for_the_next(void **state)
{
    struct bench bench;
    uint32_t half = MOST / PIECE / 2;
    bench_open(&bench, *state);
    for (int i = 0; i < 8; i++)
        OK(sf_send(bench.rt, sf_addr(WORKER, "w"), "put", SF_OF(half)));
    OK(sf_run_until_idle(bench.rt));
    assert_int_equal(stats_of(bench.rt).turns, 8);
    assert_int_equal(stats_of(bench.rt).dead_letters, 0);
    bench_close(&bench);
}

static void each_turn_has_a_time_of_its_own_that_stands_still(void **state)
{
    struct bench bench;
    bench_open(&bench, *state);
    uint64_t before_ms = bench.machine.sys.wall_ms(bench.machine.sys.ctx) % 1000;
    for (int i = 0; i < 2; i++)
        OK(sf_send(bench.rt, sf_addr(WORKER, "w"), "look", SF_NONE));
    OK(sf_run_until_idle(bench.rt));
    char expected[64];
    snprintf(expected, sizeof expected, "%d+0 %d+0 ", (int)before_ms, (int)(before_ms + 7) % 1000);
    assert_string_equal(noted(bench.notes), expected);
    bench_close(&bench);
}

/* A turn's rows are undone from the mark on, and those of the turn before it stay. */
static void what_an_undone_turn_emitted_is_not_there_and_what_was_kept_is(void **state)
{
    struct bench bench;
    bench_open(&bench, *state);
    for (uint32_t count = 1; count <= 3; count++) {
        uint32_t pieces = count == 2 ? MOST / PIECE + 1 : count;
        OK(sf_send(bench.rt, sf_addr(WORKER, "w"), "emit", SF_OF(pieces)));
    }
    OK(sf_run_until_idle(bench.rt));
    assert_int_equal(stats_of(bench.rt).turns, 2);
    OK(sf_egress_ack(bench.rt, "out", 4));
    REFUSED(sf_egress_ack(bench.rt, "out", 5), SF_EINVAL);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_turn_may_send_emit_store_and_reply_so_much),
        TEST(what_one_turn_did_does_not_count_for_the_next),
        TEST(each_turn_has_a_time_of_its_own_that_stands_still),
        TEST(what_an_undone_turn_emitted_is_not_there_and_what_was_kept_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
