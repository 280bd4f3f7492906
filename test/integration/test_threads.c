/* test_threads.c - many threads send, wait and ask while one thread drives.
 *
 * No assertion runs on a thread: each records, the test asserts after it joined them all. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/support.h"

enum { THREADS = 6, EACH = 400 };

struct worker {
    sf_runtime *rt;
    pthread_t thread;
    uint64_t number, sum, failures;
    _Atomic uint64_t called;
    int64_t last;
};

static void run_workers(sf_runtime *rt, struct worker *workers, void *(*body)(void *))
{
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i].rt = rt;
        workers[i].number = i;
        assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(workers[i].thread, NULL);
}

static sf_runtime *open_started(const struct place *place, const sf_options *options)
{
    sf_runtime *rt = place_open_with(place, options);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_runtime_start(rt));
    return rt;
}

/* -- each waits for its own -------------------------------------------------------------------- */

static void *send_and_wait(void *arg)
{
    struct worker *worker = arg;
    for (uint64_t i = 1; i <= EACH; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", (int)(i % 10));
        int64_t ticket = sf_send(worker->rt, sf_addr("test/counter", id), "add", SF_OF(i));
        if (ticket <= worker->last)
            worker->failures++;
        worker->last = ticket;
        worker->sum += i;
        if (i % 8 == 0 &&
            (sf_wait(worker->rt, ticket, 20000) < 0 || sf_durable(worker->rt) < ticket))
            worker->failures++;
    }
    return NULL;
}

static void senders_that_each_wait_lose_nothing(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_runtime *rt = open_started(*state, NULL);
    uint64_t sent = 0, stored = 0;
    run_workers(rt, workers, send_and_wait);
    OK(sf_wait(rt, 0, 20000));
    OK(sf_runtime_stop(rt));
    OK(sf_run_until_idle(rt));
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        sent += workers[i].sum;
    }
    for (int i = 0; i < 10; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        stored += counter_stored(rt, id).total;
    }
    assert_int_equal(stored, sent);
    OK(sf_runtime_close(rt));
}

/* -- order per thread -------------------------------------------------------------------------- */

struct order {
    uint64_t last[THREADS], wrong;
};

struct numbered {
    uint64_t thread, k;
};

static int check_order(sf_turn *turn)
{
    struct order *self = sf_state(turn);
    const struct numbered *numbered = sf_body(turn, sizeof *numbered);
    if (numbered->k != self->last[numbered->thread] + 1)
        self->wrong++;
    self->last[numbered->thread] = numbered->k;
    return numbered->k % 50 == 0 && sf_msg(turn)->attempt == 1 ? sf_fail(turn, "once more") : 0;
}

static const sf_type order = SF_TYPE("test/order", .handler = check_order,
                                     .state_size = sizeof(struct order));

static void *send_numbers(void *arg)
{
    struct worker *worker = arg;
    for (uint64_t k = 1; k <= EACH; k++) {
        struct numbered numbered = {worker->number, k};
        int64_t ticket;
        while ((ticket = sf_send(worker->rt, sf_addr("test/order", "o"), "k", SF_OF(numbered))) ==
               SF_EAGAIN)
            if (sf_wait_room(worker->rt, 20000) < 0)
                worker->failures++;
        worker->failures += ticket < 0;
    }
    return NULL;
}

/* A small inbox, so that they stand in line all the time. */
static void each_threads_messages_arrive_in_order_under_back_pressure(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 4096, .epoch_turns_max = 50);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &order, NULL));
    OK(sf_runtime_start(rt));
    run_workers(rt, workers, send_numbers);
    OK(sf_runtime_stop(rt));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const struct order *seen = sf_view_state(view, sf_addr("test/order", "o")).data;
    assert_non_null(seen);
    assert_int_equal(seen->wrong, 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        assert_int_equal(seen->last[i], EACH);
    }
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* -- asks and callbacks ------------------------------------------------------------------------ */

static void count_called(int result, const sf_message *reply, void *userdata)
{
    struct worker *worker = userdata;
    if (result == 0 && reply)
        atomic_fetch_add(&worker->called, 1);
}

static void count_done(int result, int64_t ticket, void *userdata)
{
    struct worker *worker = userdata;
    if (result == 0 && ticket > 0)
        atomic_fetch_add(&worker->called, 1);
}

static void *ask_and_then(void *arg)
{
    struct worker *worker = arg;
    sf_address to = sf_addr("test/counter", "shared");
    for (int i = 0; i < EACH / 4; i++) {
        sf_message *reply = NULL;
        int64_t ticket = sf_send(worker->rt, to, "add", SF_OF((uint64_t){1}));
        if (ticket < 0 || sf_then(worker->rt, ticket, count_done, worker) < 0 ||
            sf_ask_then(worker->rt, to, "get", SF_NONE, 20000, count_called, worker) < 0 ||
            sf_ask(worker->rt, to, "get", SF_NONE, 20000, &reply) < 0) {
            worker->failures++;
            continue;
        }
        uint64_t total = ((const struct counter *)reply->body.data)->total;
        if (total < worker->sum + 1) /* one's own message came first */
            worker->failures++;
        worker->sum = total;
        sf_message_free(reply);
    }
    return NULL;
}

static void every_thread_gets_its_answers_exactly_once(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_runtime *rt = open_started(*state, NULL);
    run_workers(rt, workers, ask_and_then);
    OK(sf_runtime_close(rt)); /* makes the callbacks that are still owed */
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        assert_int_equal(atomic_load(&workers[i].called), 2 * (EACH / 4));
    }
}

/* -- views beside the writer ------------------------------------------------------------------- */

static int move_one(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->total -= 1;
    return sf_tell(turn, sf_addr("test/counter", "to"), "add", SF_OF((uint64_t){1}));
}

static const sf_type mover =
    SF_TYPE("test/mover", .handler = move_one, .state_size = sizeof(struct counter));

static void *look_in(void *arg)
{
    struct worker *worker = arg;
    uint64_t last = 0;
    for (int i = 0; i < EACH; i++) {
        sf_view *view;
        struct counter to = {0};
        if (worker->number % 2) {
            worker->failures +=
                sf_send(worker->rt, sf_addr("test/mover", "from"), "x", SF_NONE) < 0;
            continue;
        }
        if (sf_view_open(worker->rt, &view) < 0) {
            worker->failures++;
            continue;
        }
        for (int again = 0; again < 2; again++) { /* a view does not move */
            sf_bytes bytes = sf_view_state(view, sf_addr("test/counter", "to"));
            if (bytes.size == sizeof to) {
                struct counter now;
                memcpy(&now, bytes.data, sizeof now);
                worker->failures += again && now.total != to.total;
                to = now;
            }
        }
        worker->failures += to.total < last;
        last = to.total;
        sf_view_close(view);
    }
    return NULL;
}

static void views_on_other_threads_stand_still_while_turns_run(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &mover, NULL));
    OK(sf_runtime_start(rt));
    run_workers(rt, workers, look_in);
    OK(sf_runtime_stop(rt));
    drive_until_quiet(rt);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(workers[i].failures, 0);
    assert_int_equal(counter_stored(rt, "to").total, THREADS / 2 * EACH);
    OK(sf_runtime_close(rt));
}

/* -- sources on threads of their own ----------------------------------------------------------- */

static void *feed(void *arg)
{
    struct worker *worker = arg;
    sf_source *source;
    if (sf_source_open(worker->rt, "input", (uint32_t)worker->number, &source) < 0) {
        worker->failures++;
        return NULL;
    }
    for (uint64_t i = sf_source_position(source) + 1; i <= EACH; i++) {
        struct numbered numbered = {worker->number, i};
        int rc;
        (void)sf_source_send(source, sf_addr("test/order", "o"), "k", SF_OF(numbered));
        while ((rc = sf_source_advance(source, i)) == SF_EAGAIN)
            worker->failures += sf_wait_room(worker->rt, 20000) < 0;
        worker->failures += rc != 0;
    }
    sf_source_close(source);
    return NULL;
}

static void partitions_may_be_read_by_a_thread_each(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 4096);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &order, NULL));
    OK(sf_runtime_start(rt));
    run_workers(rt, workers, feed);
    OK(sf_runtime_stop(rt));
    drive_until_quiet(rt);
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const struct order *seen = sf_view_state(view, sf_addr("test/order", "o")).data;
    assert_non_null(seen);
    assert_int_equal(seen->wrong, 0);
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(workers[i].failures, 0);
        assert_int_equal(seen->last[i], EACH);
    }
    sf_view_close(view);
    OK(sf_runtime_close(rt));
}

/* -- senders look at holds that come and go ---------------------------------------------------- */

static sf_address one_of_ten(char id[2], uint64_t number)
{
    id[0] = (char)('0' + number % 10);
    id[1] = 0;
    return sf_addr("test/counter", id);
}

static void *send_or_be_refused(void *arg)
{
    struct worker *worker = arg;
    char id[2];
    for (uint64_t i = 1; i <= UINT64_C(20) * EACH; i++) {
        int64_t ticket = sf_send(worker->rt, one_of_ten(id, i), "add", SF_OF(i));
        worker->failures += ticket < 0 && ticket != SF_EAGAIN;
        worker->sum += ticket > 0 ? i : 0;
        if (ticket == SF_EAGAIN && i % 100 == 0)
            (void)sf_wait_room(worker->rt, 5); /* the next one may be held as well */
    }
    worker->called = 1;
    return NULL;
}

/* So much waits for another that senders look for who is held with each message. */
static void crowd_out(sf_runtime *rt)
{
    static const char body[4096];
    int64_t ticket = 0;
    OK(sf_pause(rt, sf_addr("test/counter", "full"), NULL));
    while (ticket >= 0 || !strstr(sf_errmsg(), "is held")) {
        ticket = sf_send(rt, sf_addr("test/counter", "full"), "", SF_OF(body));
        assert_true(ticket > 0 || ticket == SF_EAGAIN);
        if (ticket < 0)
            OK(sf_run_until_idle(rt));
    }
}

static void *pause_and_resume(void *arg)
{
    struct worker *worker = arg, *senders = worker - worker->number;
    char id[2];
    for (uint64_t i = 0; !senders[0].called || !senders[1].called; i++) {
        int64_t ticket = i % 2 ? sf_resume(worker->rt, one_of_ten(id, i / 2))
                               : sf_pause(worker->rt, one_of_ten(id, i / 2), NULL);
        worker->failures += sf_wait(worker->rt, ticket, 20000) < 0 && ticket != SF_EAGAIN;
    }
    return NULL;
}

static void *send_or_pause(void *arg)
{
    struct worker *worker = arg;
    return worker->number < 2 ? send_or_be_refused(arg)
           : worker->number == 2 ? pause_and_resume(arg)
                                 : NULL;
}

static void senders_meet_holds_that_come_and_go(void **state)
{
    struct worker workers[THREADS] = {0};
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 256 << 10, .store_bytes_max = 16 << 20);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &counter_type, NULL));
    crowd_out(rt);
    OK(sf_runtime_start(rt));
    run_workers(rt, workers, send_or_pause);
    OK(sf_runtime_stop(rt));
    OK(sf_run_until_idle(rt));
    uint64_t total = 0;
    char id[2];
    for (uint64_t i = 0; i < 10; i++) {
        OK(sf_resume(rt, one_of_ten(id, i)));
        OK(sf_run_until_idle(rt));
        total += counter_stored(rt, id).total;
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(workers[i].failures, 0);
    assert_int_equal(total, workers[0].sum + workers[1].sum);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(senders_that_each_wait_lose_nothing),
        TEST(each_threads_messages_arrive_in_order_under_back_pressure),
        TEST(every_thread_gets_its_answers_exactly_once),
        TEST(views_on_other_threads_stand_still_while_turns_run),
        TEST(partitions_may_be_read_by_a_thread_each),
        TEST(senders_meet_holds_that_come_and_go),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
