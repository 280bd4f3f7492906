/* test_operations.c - operations as a program uses them: started once the turn is durable, answered once from any
 * thread, awaited, taken for, limited, promised; and what a restart makes of them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/support.h"

static struct notes *notes;

/* What functions were called with, and not answered yet; filled on the thread that drives. */
enum { CALLS_MAX = 64 };
static sf_async calls[CALLS_MAX];
static int call_count;

static void remember(sf_async op, sf_bytes request, void *userdata)
{
    note(notes, "start %.*s;", (int)request.size, (const char *)request.data);
    if (userdata)
        note(notes, "with %s;", (const char *)userdata);
    calls[call_count++] = op;
}

/* What comes to the actor, with all that an answer says. */
static void tell_message(const sf_message *msg)
{
    note(notes, "%s", msg->kind);
    if (msg->result)
        note(notes, " %d", msg->result);
    if (msg->reason[0])
        note(notes, " (%s)", msg->reason);
    if (msg->request.data)
        note(notes, " for %.*s", (int)msg->request.size, (const char *)msg->request.data);
    if (msg->body.data)
        note(notes, " = %.*s", (int)msg->body.size, (const char *)msg->body.data);
    note(notes, ";");
}

/* "start x" starts an operation for x; "await x" and awaits it; all else is told. */
static int handle(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    tell_message(msg);
    if (sf_is(msg, "start") || sf_is(msg, "await"))
        sf_async_start(turn, remember, ".answer", msg->body);
    if (sf_is(msg, "two")) {
        sf_async_start(turn, remember, ".answer", sf_str("one"));
        sf_async_start(turn, remember, ".answer", sf_str("two"));
    }
    return sf_is(msg, "await") || sf_is(msg, "two") ? sf_await(turn) : 0;
}

static const sf_type plain = SF_TYPE("test/plain", .handler = handle, .attempts_max = 2);

static sf_runtime *open_with(struct place *place, const sf_type *type)
{
    sf_runtime *rt = place_open(place);
    notes = &place->notes;
    OK(sf_register(rt, type, NULL));
    return rt;
}

static void send_to(sf_runtime *rt, const char *id, const char *kind, const char *body)
{
    OK(sf_send(rt, sf_addr("test/plain", id), kind, sf_str(body)));
}

static void came(sf_runtime *rt, const char *text)
{
    OK(sf_run_until_idle(rt));
    assert_string_equal(noted(notes), text);
    notes_clear(notes);
}

static int setup(void **state)
{
    call_count = 0;
    return place_setup(state);
}

/* -- started and answered ---------------------------------------------------------------------- */

static void a_function_is_called_when_its_turn_is_on_disk(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    send_to(rt, "a", "start", "x");
    came(rt, "start = x;start x;");
    assert_int_equal(stats_of(rt).operations, 1);
    OK(sf_async_done(calls[0], sf_str("done")));
    came(rt, ".answer for x = done;");
    assert_int_equal(stats_of(rt).operations, 0);
    OK(sf_runtime_close(rt));
}

static void an_operation_is_answered_once(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    send_to(rt, "a", "start", "x");
    came(rt, "start = x;start x;");
    OK(sf_async_fail(calls[0], "no money"));
    REFUSED(sf_async_done(calls[0], SF_NONE), SF_ENOTFOUND);
    SAYS("is over");
    came(rt, ".answer -6 (no money) for x;");
    REFUSED(sf_async_fail(calls[0], "again"), SF_ENOTFOUND);
    came(rt, "");
    OK(sf_runtime_close(rt));
}

static void what_is_under_way_when_the_process_ends_is_unknown(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    send_to(rt, "a", "start", "x");
    came(rt, "start = x;start x;");
    OK(sf_runtime_close(rt));
    rt = open_with(*state, &plain);
    came(rt, ".answer -17 (the process ended meanwhile) for x;");
    OK(sf_runtime_close(rt));
    rt = open_with(*state, &plain);
    came(rt, "");
    OK(sf_runtime_close(rt));
}

/* -- awaited ------------------------------------------------------------------------------------- */

static void who_awaits_handles_nothing_else_until_all_is_answered(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    send_to(rt, "a", "two", "");
    send_to(rt, "a", "later", "1");
    send_to(rt, "b", "other", "");
    send_to(rt, "a", "later", "2");
    came(rt, "two = ;other = ;start one;start two;");
    assert_int_equal(stats_of(rt).held, 1);
    OK(sf_async_done(calls[1], sf_str("2nd")));
    came(rt, ".answer for two = 2nd;");
    send_to(rt, "a", "later", "3");
    came(rt, "");
    OK(sf_async_done(calls[0], sf_str("1st")));
    came(rt, ".answer for one = 1st;later = 1;later = 2;later = 3;");
    assert_int_equal(stats_of(rt).held, 0);
    OK(sf_runtime_close(rt));
}

static void who_awaits_does_so_after_a_restart(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    send_to(rt, "a", "await", "x");
    send_to(rt, "a", "later", "1");
    came(rt, "await = x;start x;");
    OK(sf_runtime_close(rt));
    rt = open_with(*state, &plain);
    came(rt, ".answer -17 (the process ended meanwhile) for x;later = 1;");
    OK(sf_runtime_close(rt));
    assert_int_equal(OK(sf_verify(((struct place *)*state)->db, NULL, NULL)), 0);
}

/* -- the answer's sender -------------------------------------------------------------------------- */

static int relay(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, ".answer"))
        return sf_reply(turn, "reply", msg->body);
    sf_async_start(turn, remember, ".answer", msg->body);
    return sf_await(turn);
}

static const sf_type relays = SF_TYPE("test/plain", .handler = relay);

static void answered(int result, const sf_message *reply, void *userdata)
{
    (void)userdata;
    note(notes, "%d %.*s;", result, reply ? (int)reply->body.size : 0,
         reply ? (const char *)reply->body.data : "");
}

static void a_reply_in_the_turn_of_an_answer_goes_to_who_asked(void **state)
{
    sf_runtime *rt = open_with(*state, &relays);
    OK(sf_ask_then(rt, sf_addr("test/plain", "a"), "get", sf_str("x"), -1, answered, NULL));
    came(rt, "start x;");
    OK(sf_async_done(calls[0], sf_str("42")));
    came(rt, "0 42;");
    OK(sf_runtime_close(rt));
}

/* -- work on threads of ours ---------------------------------------------------------------------- */

static atomic_int works, running, most;

static void work(sf_async op, sf_bytes request, void *userdata)
{
    int now = atomic_fetch_add(&running, 1) + 1, before = atomic_load(&most);
    (void)userdata;
    while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
        ;
    usleep(1000);
    atomic_fetch_sub(&running, 1);
    atomic_fetch_add(&works, 1);
    sf_async_done(op, request);
}

static uint64_t answers;

static int give_work(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, ".worked")) {
        answers++;
        return msg->result || msg->body.size != msg->request.size
                   ? sf_reject(turn, "no answer of ours")
                   : 0;
    }
    return sf_async_work(turn, work, ".worked", msg->body);
}

static const sf_type workers = SF_TYPE("test/plain", .handler = give_work);

static void blocking_work_runs_on_a_bounded_number_of_threads(void **state)
{
    enum { WORKS = 100 };
    sf_options options = *defaults();
    options.workers_max = 3;
    sf_runtime *rt = place_open_with(*state, &options);
    atomic_store(&works, 0);
    atomic_store(&most, 0);
    answers = 0;
    OK(sf_register(rt, &workers, NULL));
    for (int i = 0; i < WORKS; i++)
        send_to(rt, "a", "go", "x");
    assert_true(drive_until(rt, &answers, WORKS));
    assert_int_equal(atomic_load(&works), WORKS);
    assert_in_range(atomic_load(&most), 1, 3);
    assert_int_equal(stats_of(rt).dead_letters, 0);
    OK(sf_runtime_close(rt));
}

static void close_waits_for_functions_and_takes_in_what_they_answer(void **state)
{
    sf_runtime *rt = place_open(*state);
    uint64_t answered_before;
    answers = 0;
    atomic_store(&works, 0);
    OK(sf_register(rt, &workers, NULL));
    send_to(rt, "a", "go", "x");
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
    answered_before = answers;
    rt = place_open(*state);
    OK(sf_register(rt, &workers, NULL));
    OK(sf_run_until_idle(rt));
    if (atomic_load(&works)) { /* begun before the end: its answer is there */
        assert_int_equal(answers, 1);
        assert_int_equal(stats_of(rt).dead_letters, 0);
    }
    assert_in_range(answered_before, 0, 1);
    OK(sf_runtime_close(rt));
}

/* -- many threads -------------------------------------------------------------------------------- */

enum { STRESS_THREADS = 4, STRESS_OPS = 400 };

static struct {
    pthread_mutex_t lock;
    sf_async ops[STRESS_OPS * 2];
    int count;
    atomic_int told, refused, ended;
} open_ops = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Each is given to two threads: one of them is the first. */
static void publish_op(sf_async op, sf_bytes request, void *userdata)
{
    (void)request, (void)userdata;
    pthread_mutex_lock(&open_ops.lock);
    if (open_ops.count + 2 <= STRESS_OPS * 2) {
        open_ops.ops[open_ops.count++] = op;
        open_ops.ops[open_ops.count++] = op;
    }
    pthread_mutex_unlock(&open_ops.lock);
}

static void *complete_ops(void *arg)
{
    (void)arg;
    while (!atomic_load(&open_ops.ended)) {
        sf_async op = {NULL, 0};
        pthread_mutex_lock(&open_ops.lock);
        if (open_ops.count)
            op = open_ops.ops[--open_ops.count];
        pthread_mutex_unlock(&open_ops.lock);
        if (!op.rt) {
            usleep(100);
            continue;
        }
        int rc = op.id % 2 ? sf_async_done(op, sf_str("here")) : sf_async_fail(op, "not here");
        atomic_fetch_add(rc == 0 ? &open_ops.told : &open_ops.refused, 1);
    }
    return NULL;
}

static atomic_int stress_answers, overtaken;

struct stressed {
    uint64_t awaits;
};

static int stress(sf_turn *turn)
{
    struct stressed *self = sf_state(turn);
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, ".told")) {
        atomic_fetch_add(&stress_answers, 1);
        self->awaits = 0;
        return 0;
    }
    if (self->awaits)
        atomic_fetch_add(&overtaken, 1);
    self->awaits = 1;
    if (msg->body.size % 2)
        sf_async_work(turn, publish_op, ".told", msg->body);
    else
        sf_async_start(turn, publish_op, ".told", msg->body);
    return sf_await(turn);
}

static const sf_type stressed_type =
    SF_TYPE("test/plain", .handler = stress, .state_size = sizeof(struct stressed));

static void many_threads_answer_each_operation_once(void **state)
{
    pthread_t threads[STRESS_THREADS];
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &stressed_type, NULL));
    OK(sf_runtime_start(rt));
    atomic_store(&open_ops.ended, 0);
    for (int i = 0; i < STRESS_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, complete_ops, NULL), 0);
    for (int i = 0; i < STRESS_OPS; i++) {
        char id[2] = {(char)('a' + i % 20), 0};
        send_to(rt, id, "go", i % 3 ? "x" : "xx");
    }
    for (uint64_t end = mono_ms() + 60000;
         atomic_load(&stress_answers) < STRESS_OPS && mono_ms() < end;)
        usleep(1000);
    while (atomic_load(&open_ops.told) + atomic_load(&open_ops.refused) < 2 * STRESS_OPS &&
           atomic_load(&stress_answers) == STRESS_OPS)
        usleep(1000);
    atomic_store(&open_ops.ended, 1);
    for (int i = 0; i < STRESS_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&stress_answers), STRESS_OPS);
    assert_int_equal(atomic_load(&open_ops.told), STRESS_OPS);
    assert_int_equal(atomic_load(&open_ops.refused), STRESS_OPS);
    assert_int_equal(atomic_load(&overtaken), 0);
    OK(sf_runtime_close(rt));
}

/* -- a worker that does not return ------------------------------------------------------------------ */

static atomic_int endings;

static void end_thread(sf_async op, sf_bytes request, void *userdata)
{
    (void)request, (void)userdata;
    if (++endings > 1) /* the first one says nothing, and its thread is gone all the same */
        sf_async_done(op, SF_NONE);
    pthread_exit(NULL);
}

static int ends_threads(sf_turn *turn)
{
    if (!sf_is(sf_msg(turn), ".ended"))
        return sf_async_work(turn, end_thread, ".ended", SF_NONE);
    answers++;
    return 0;
}

static const sf_type ending_type = SF_TYPE("test/plain", .handler = ends_threads);

static void another_thread_takes_the_place_of_one_that_ended(void **state)
{
    sf_options options = *defaults();
    options.workers_max = 1;
    sf_runtime *rt = place_open_with(*state, &options);
    answers = 0;
    OK(sf_register(rt, &ending_type, NULL));
    for (int i = 0; i < 5; i++)
        send_to(rt, "a", "go", "");
    assert_true(drive_until(rt, &answers, 4));
    OK(sf_runtime_close(rt));
}

/* -- bad input ------------------------------------------------------------------------------------- */

static int misuse(sf_turn *turn)
{
    const sf_message *msg = sf_msg(turn);
    if (sf_is(msg, "await"))
        return sf_await(turn);
    if (sf_is(msg, "limit"))
        return sf_async_limit(turn, 1);
    if (sf_is(msg, "no function"))
        return sf_async_start(turn, NULL, ".answer", SF_NONE);
    if (sf_is(msg, "large"))
        return sf_async_start(turn, remember, ".answer", SF_BYTES("", 2 << 20));
    if (sf_is(msg, "save"))
        return sf_async_save(turn, (sf_async){NULL, 7}).size ? 1 : 0;
    if (sf_is(msg, "done"))
        return sf_async_done((sf_async){(sf_runtime *)sf_userdata(turn), 1}, SF_NONE);
    if (sf_is(msg, "take"))
        note(notes, "%s;", sf_take(turn) ? "taken" : "nothing");
    return 0;
}

static void rejected_with(sf_runtime *rt, const char *kind, const char *why)
{
    static uint64_t seen;
    const sf_type type = SF_TYPE("test/plain", .handler = misuse, .attempts_max = 3);
    sf_view *view;
    OK(sf_register(rt, &type, rt));
    send_to(rt, "a", kind, "");
    OK(sf_run_until_idle(rt));
    OK(sf_view_open(rt, &view));
    const sf_message *letter = sf_view_dead(view, seen);
    assert_non_null(letter);
    HAS(letter->reason, why);
    seen = letter->sequence;
    sf_view_close(view);
}

static void each_misuse_has_its_sentence(void **state)
{
    sf_runtime *rt = open_with(*state, &plain);
    rejected_with(rt, "await", "started no operation");
    rejected_with(rt, "limit", "started no operation");
    rejected_with(rt, "no function", "needs a function");
    rejected_with(rt, "large", "payload_max");
    rejected_with(rt, "save", "no operation of this runtime");
    rejected_with(rt, "done", "sf_async_done()");
    send_to(rt, "a", "take", "");
    came(rt, "nothing;");
    assert_int_equal(stats_of(rt).operations, 0);
    REFUSED(sf_async_done((sf_async){rt, 99}, SF_NONE), SF_ENOTFOUND);
    REFUSED(sf_async_done((sf_async){NULL, 99}, SF_NONE), SF_EINVAL);
    OK(sf_runtime_close(rt));
}

int main(void)
{
#define OPERATION_TEST(function) cmocka_unit_test_setup_teardown(function, setup, place_teardown)
    const struct CMUnitTest tests[] = {
        OPERATION_TEST(a_function_is_called_when_its_turn_is_on_disk),
        OPERATION_TEST(an_operation_is_answered_once),
        OPERATION_TEST(what_is_under_way_when_the_process_ends_is_unknown),
        OPERATION_TEST(who_awaits_handles_nothing_else_until_all_is_answered),
        OPERATION_TEST(who_awaits_does_so_after_a_restart),
        OPERATION_TEST(a_reply_in_the_turn_of_an_answer_goes_to_who_asked),
        OPERATION_TEST(blocking_work_runs_on_a_bounded_number_of_threads),
        OPERATION_TEST(close_waits_for_functions_and_takes_in_what_they_answer),
        OPERATION_TEST(many_threads_answer_each_operation_once),
        OPERATION_TEST(another_thread_takes_the_place_of_one_that_ended),
        OPERATION_TEST(each_misuse_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
