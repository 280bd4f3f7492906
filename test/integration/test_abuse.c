/* test_abuse.c - the driver called from inside, handlers that do not return, use after fork.
 *
 * Each is refused with its own code and a sentence, undoes what the header says, and the engine
 * goes on.  Children report by their exit status and on stderr. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

/* -- calls that do not belong inside ----------------------------------------------------------- */

static void never_called(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply;
    ++*(int *)userdata;
}

static int called;

static int64_t call_send(sf_runtime *rt)
{
    return sf_send(rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1000}));
}

static int64_t call_step(sf_runtime *rt)
{
    return sf_step(rt, 0);
}

static int64_t call_run_until_idle(sf_runtime *rt)
{
    return sf_run_until_idle(rt);
}

static int64_t call_close(sf_runtime *rt)
{
    return sf_runtime_close(rt);
}

static int64_t call_wait(sf_runtime *rt)
{
    return sf_wait(rt, 0, 100);
}

static int64_t call_wait_room(sf_runtime *rt)
{
    return sf_wait_room(rt, 100);
}

static int64_t call_ask(sf_runtime *rt)
{
    sf_message *reply;
    return sf_ask(rt, sf_addr("test/counter", "a"), "get", SF_NONE, 100, &reply);
}

static int64_t call_ask_then(sf_runtime *rt)
{
    return sf_ask_then(rt, sf_addr("test/counter", "a"), "get", SF_NONE, 100, never_called,
                       &called);
}

static const struct {
    const char *name;
    int64_t (*call)(sf_runtime *rt);
    int drives; /* refused in a callback too */
} calls[] = {{"sf_step", call_step, 1},
             {"sf_run_until_idle", call_run_until_idle, 1},
             {"sf_runtime_close", call_close, 1},
             {"sf_wait", call_wait, 1},
             {"sf_ask", call_ask, 1},
             {"sf_wait_room", call_wait_room, 1},
             {"sf_send", call_send, 0},
             {"sf_ask_then", call_ask_then, 0}};

enum { CALLS = sizeof calls / sizeof calls[0] };

struct abuse {
    sf_runtime *rt;
    int64_t results[CALLS];
    char sentences[CALLS][200];
    int runs;
};

/* Adds 1 and makes the call whose number is in the body. */
static int abuse_turn(sf_turn *turn)
{
    struct abuse *abuse = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    uint64_t i = *(const uint64_t *)sf_body(turn, sizeof i);
    self->total++;
    sf_tell(turn, sf_addr("test/counter", "told"), "add", SF_OF((uint64_t){1}));
    abuse->runs++;
    abuse->results[i] = calls[i].call(abuse->rt);
    snprintf(abuse->sentences[i], sizeof abuse->sentences[i], "%s", sf_errmsg());
    return 0;
}

static const sf_type abuser = SF_TYPE("test/abuser", .handler = abuse_turn, .attempts_max = 1,
                                      .state_size = sizeof(struct counter));

static void a_handler_that_calls_the_outside_is_refused_and_undone(void **state)
{
    struct abuse abuse = {.rt = place_open(*state)};
    OK(sf_register(abuse.rt, &counter_type, NULL));
    OK(sf_register(abuse.rt, &abuser, &abuse));
    called = 0;
    for (uint64_t i = 0; i < CALLS; i++) {
        counter_add(abuse.rt, "well", 1);
        OK(sf_send(abuse.rt, sf_addr("test/abuser", "a"), "x", SF_OF(i)));
        counter_add(abuse.rt, "well", 1);
        drive_until_quiet(abuse.rt);
        if (abuse.results[i] != SF_ETURN)
            print_error("%s returned %lld\n", calls[i].name, (long long)abuse.results[i]);
        assert_int_equal(abuse.results[i], SF_ETURN);
        HAS(abuse.sentences[i], calls[i].name);
        assert_int_equal(stats_of(abuse.rt).dead_letters, i + 1);
        sf_view *view = NULL; /* the reason names the call, too */
        OK(sf_view_open(abuse.rt, &view));
        HAS(sf_view_dead(view, i)->reason, calls[i].name);
        sf_view_close(view);
    }
    assert_int_equal(called, 0);
    assert_int_equal(abuse.runs, CALLS);
    assert_int_equal(stored_counter_of(abuse.rt, sf_addr("test/abuser", "a")).total, 0);
    assert_int_equal(counter_stored(abuse.rt, "told").total, 0);
    assert_int_equal(counter_stored(abuse.rt, "a").total, 0);
    assert_int_equal(counter_stored(abuse.rt, "well").total, 2 * CALLS);
    OK(sf_runtime_close(abuse.rt));
}

static void abuse_all(struct abuse *abuse)
{
    abuse->runs++;
    for (int i = 0; i < CALLS; i++)
        if (calls[i].drives)
            abuse->results[i] = calls[i].call(abuse->rt);
}

static void abuse_done(int result, int64_t ticket, void *userdata)
{
    (void)result, (void)ticket;
    abuse_all(userdata);
}

static void abuse_answer(int result, const sf_message *reply, void *userdata)
{
    (void)result, (void)reply;
    abuse_all(userdata);
}

static int abuse_records(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records;
    abuse_all(userdata);
    return (int)count;
}

static int emit_one(sf_turn *turn)
{
    return sf_emit(turn, "out", "x", SF_NONE);
}

static const sf_type emitter = SF_TYPE("test/emitter", .handler = emit_one);

static void expect_busy(struct abuse *abuse)
{
    assert_int_equal(abuse->runs, 1);
    for (int i = 0; i < CALLS; i++) {
        if (!calls[i].drives)
            continue;
        if (abuse->results[i] != SF_EBUSY && (i != 5 || abuse->results[i] != 0))
            fail_msg("%s returned %lld in a callback", calls[i].name, (long long)abuse->results[i]);
    }
    abuse->runs = 0;
}

/* There is always room here, so that sf_wait_room() need not drive; the others must. */
static void a_callback_that_drives_is_refused(void **state)
{
    struct abuse abuse = {.rt = place_open(*state)};
    OK(sf_register(abuse.rt, &counter_type, NULL));
    OK(sf_register(abuse.rt, &emitter, NULL));
    OK(sf_egress_register(abuse.rt, "out", abuse_records, &abuse));
    OK(sf_then(abuse.rt, counter_add(abuse.rt, "a", 1), abuse_done, &abuse));
    drive_until_quiet(abuse.rt);
    expect_busy(&abuse);
    OK(sf_ask_then(abuse.rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, abuse_answer,
                   &abuse));
    drive_until_quiet(abuse.rt);
    expect_busy(&abuse);
    OK(sf_send(abuse.rt, sf_addr("test/emitter", "e"), "x", SF_NONE));
    drive_until_quiet(abuse.rt);
    expect_busy(&abuse);
    OK(sf_ask_then(abuse.rt, sf_addr("test/emitter", "e"), "x", SF_NONE, -1, abuse_answer, &abuse));
    OK(sf_runtime_close(abuse.rt)); /* SF_ECLOSED comes to a callback that abuses, too */
    assert_true(abuse.runs >= 1);
    for (int i = 0; i < CALLS; i++)
        if (calls[i].drives && i != 5)
            assert_true(abuse.results[i] == SF_EBUSY || abuse.results[i] == SF_ECLOSED);
}

struct chain {
    sf_runtime *rt;
    int left, failures;
};

static void send_again(int result, const sf_message *reply, void *userdata)
{
    struct chain *chain = userdata;
    chain->failures += result < 0 || !reply;
    chain->failures +=
        sf_send(chain->rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1})) < 0;
    if (--chain->left > 0)
        chain->failures += sf_ask_then(chain->rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1,
                                       send_again, chain) < 0;
}

static void a_callback_may_send_and_ask(void **state)
{
    struct chain chain = {.rt = place_open(*state), .left = 50};
    OK(sf_register(chain.rt, &counter_type, NULL));
    send_again(0, (const sf_message *)&chain, &chain);
    drive_until_quiet(chain.rt);
    assert_int_equal(chain.left, 0);
    assert_int_equal(chain.failures, 0);
    assert_int_equal(counter_stored(chain.rt, "a").total, 50);
    OK(sf_runtime_close(chain.rt));
}

struct pair {
    sf_runtime *rt;
    struct pair *other;
    int calls;
};

static void forget_the_other(int result, const sf_message *reply, void *userdata)
{
    struct pair *pair = userdata;
    (void)result, (void)reply;
    pair->calls++;
    sf_then_cancel(pair->rt, pair->other);
}

/* Both answers are there already; the one that comes first takes back the other. */
static void a_callback_may_forget_another_that_is_due(void **state)
{
    sf_runtime *rt = place_open(*state);
    struct pair one = {.rt = rt}, two = {.rt = rt};
    one.other = &two, two.other = &one;
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_ask_then(rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, forget_the_other, &one));
    OK(sf_ask_then(rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, forget_the_other, &two));
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
    assert_int_equal(one.calls + two.calls, 1);
}

static void what_drives_is_refused_in_callbacks_on_the_librarys_thread_too(void **state)
{
    struct abuse abuse = {.rt = place_open(*state)};
    OK(sf_register(abuse.rt, &counter_type, NULL));
    OK(sf_register(abuse.rt, &emitter, NULL));
    OK(sf_egress_register(abuse.rt, "out", abuse_records, &abuse));
    OK(sf_runtime_start(abuse.rt));
    OK(sf_send(abuse.rt, sf_addr("test/emitter", "e"), "x", SF_NONE));
    OK(sf_wait(abuse.rt, 0, 10000));
    OK(sf_runtime_stop(abuse.rt));
    drive_until_quiet(abuse.rt);
    expect_busy(&abuse);
    OK(sf_runtime_close(abuse.rt));
}

struct setup {
    sf_runtime *rt;
    int results[4];
};

/* Neither for any thread nor for turns: on the driving thread, between steps. */
static int set_up_inside(sf_turn *turn)
{
    struct setup *setup = sf_userdata(turn);
    setup->results[0] = sf_register(setup->rt, &counter_type, NULL);
    setup->results[1] = sf_egress_register(setup->rt, "late", abuse_records, NULL);
    setup->results[2] = sf_runtime_start(setup->rt);
    setup->results[3] = sf_runtime_stop(setup->rt);
    return 0;
}

static void a_handler_cannot_register_start_or_stop(void **state)
{
    static const sf_type type = SF_TYPE("test/setup", .handler = set_up_inside, .attempts_max = 1);
    struct setup setup = {.rt = place_open(*state)};
    OK(sf_register(setup.rt, &type, &setup));
    OK(sf_send(setup.rt, sf_addr("test/setup", "s"), "x", SF_NONE));
    drive_until_quiet(setup.rt);
    for (int i = 0; i < 4; i++)
        assert_int_equal(setup.results[i], SF_ETURN);
    assert_int_equal(stats_of(setup.rt).dead_letters, 1);
    OK(sf_runtime_close(setup.rt));
}

static void a_runtime_with_an_open_view_or_source_is_not_closed(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_view *view = NULL;
    sf_source *source = NULL;
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_view_open(rt, &view));
    REFUSED(sf_runtime_close(rt), SF_EBUSY);
    sf_view_close(view);
    OK(sf_source_open(rt, "input", 0, &source));
    REFUSED(sf_runtime_close(rt), SF_EBUSY);
    sf_source_close(source);
    counter_add(rt, "a", 1); /* it is as open as before */
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

/* -- handlers that do not return --------------------------------------------------------------- */

struct leap {
    jmp_buf out;
    int leaps;
};

static int leap_out(sf_turn *turn)
{
    struct leap *leap = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    self->total += 1000;
    sf_tell(turn, sf_addr("test/counter", "told"), "add", SF_OF((uint64_t){1}));
    if (sf_msg(turn)->attempt <= 2) {
        leap->leaps++;
        longjmp(leap->out, 1);
    }
    self->total -= 999;
    return 0;
}

static const sf_type leaper = SF_TYPE("test/leaper", .handler = leap_out, .attempts_max = 3,
                                      .state_size = sizeof(struct counter));

static void a_turn_left_by_longjmp_is_undone_and_the_engine_goes_on(void **state)
{
    struct leap leap = {.leaps = 0};
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &leaper, &leap));
    counter_add(rt, "a", 1);
    OK(sf_send(rt, sf_addr("test/leaper", "l"), "x", SF_NONE));
    counter_add(rt, "a", 1);
    setjmp(leap.out);
    OK(sf_run_until_idle(rt)); /* comes past here three times */
    drive_until_quiet(rt);
    assert_int_equal(leap.leaps, 2);
    assert_int_equal(stored_counter_of(rt, sf_addr("test/leaper", "l")).total, 1);
    assert_int_equal(counter_stored(rt, "told").total, 1);
    assert_int_equal(counter_stored(rt, "a").total, 2);
    assert_int_equal(stats_of(rt).turns_failed, 2);
    OK(sf_runtime_close(rt));
}

static void closing_after_a_longjmp_keeps_what_was_whole(void **state)
{
    struct leap leap = {.leaps = 0};
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &leaper, &leap));
    counter_add(rt, "a", 1);
    OK(sf_send(rt, sf_addr("test/leaper", "l"), "x", SF_NONE));
    if (setjmp(leap.out) == 0)
        (void)sf_run_until_idle(rt);
    OK(sf_runtime_close(rt));
    rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &leaper, &leap));
    if (setjmp(leap.out) == 0 || leap.leaps < 2)
        OK(sf_run_until_idle(rt));
    drive_until_quiet(rt);
    assert_int_equal(leap.leaps, 2); /* the first run's attempt counted */
    assert_int_equal(counter_stored(rt, "a").total, 1);
    assert_int_equal(stored_counter_of(rt, sf_addr("test/leaper", "l")).total, 1);
    OK(sf_runtime_close(rt));
}

/* Whether a turn was left is told by the stack.  Once the loop has stepped again, it is settled. */
static __attribute__((noinline)) int64_t send_from_deep_down(sf_runtime *rt)
{
    volatile char deep[65536];
    deep[0] = 1;
    int64_t ticket = counter_add(rt, "deep", 1);
    return ticket + deep[0] - 1;
}

static void after_a_longjmp_and_a_step_calls_from_deeper_in_the_stack_are_fine(void **state)
{
    struct leap leap = {.leaps = 0};
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &leaper, &leap));
    OK(sf_send(rt, sf_addr("test/leaper", "l"), "x", SF_NONE));
    setjmp(leap.out);
    OK(sf_step(rt, 0)); /* comes past here three times */
    assert_int_equal(leap.leaps, 2);
    OK(send_from_deep_down(rt));
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "deep").total, 1);
    OK(sf_runtime_close(rt));
}

/* -- fork -------------------------------------------------------------------------------------- */

struct forked {
    struct place *place;
    sf_runtime *rt;
    sf_source *source;
    sf_view *view;
    sf_cursor *cursor;
};

static void open_handles(struct forked *forked)
{
    OK(sf_source_open(forked->rt, "input", 0, &forked->source));
    OK(sf_view_open(forked->rt, &forked->view));
    forked->cursor = sf_view_actors(forked->view, "test/counter");
}

/* The view is as good as ever: nobody in a child took its place among the readers. */
static void close_handles(struct forked *forked)
{
    assert_non_null(sf_next(forked->cursor));
    assert_null(sf_next(forked->cursor));
    OK(sf_cursor_error(forked->cursor));
    sf_view_close(forked->view);
    sf_source_close(forked->source);
}

/* What a call that lends failed with; 0: it lent something. */
static int64_t not_lent(const void *lent, int error)
{
    return lent ? 0 : error;
}

/* Everything that takes the runtime; 0 if all of it is refused and a runtime of one's own is
 * not. */
static int use_in_child(void *arg)
{
    struct forked *forked = arg;
    sf_runtime *rt = forked->rt, *other = NULL;
    sf_source *source;
    sf_view *view;
    sf_stats stats = {.size = sizeof stats};
    sf_message *reply;
    sf_address to = sf_addr("test/counter", "a");
    sf_cursor *cursor = sf_view_actors(forked->view, "test/counter");
    static const sf_value unlisted = SF_VALUE("unlisted");
    int wrong = 0;
    sf_source_close(forked->source); /* nothing comes of these */
    sf_view_close(forked->view);
    const struct {
        const char *name;
        int64_t result;
    } uses[] = {
        {"sf_send", sf_send(rt, to, "add", SF_OF((uint64_t){1}))},
        {"sf_durable", sf_durable(rt)},
        {"sf_wait", sf_wait(rt, 0, 100)},
        {"sf_wait_room", sf_wait_room(rt, 100)},
        {"sf_then", sf_then(rt, 1, NULL, NULL)},
        {"sf_ask", sf_ask(rt, to, "get", SF_NONE, 100, &reply)},
        {"sf_ask_then", sf_ask_then(rt, to, "get", SF_NONE, 100, never_called, &called)},
        {"sf_then_cancel", sf_then_cancel(rt, &called)},
        {"sf_source_open", sf_source_open(rt, "other", 0, &source)},
        {"sf_source_send", sf_source_send(forked->source, to, "add", SF_OF((uint64_t){1}))},
        {"sf_source_advance", sf_source_advance(forked->source, 77)},
        {"sf_egress_register", sf_egress_register(rt, "out", abuse_records, NULL)},
        {"sf_egress_ack", sf_egress_ack(rt, "out", 0)},
        {"sf_fd", sf_fd(rt)},
        {"sf_timeout_ms", sf_timeout_ms(rt)},
        {"sf_step", sf_step(rt, 0)},
        {"sf_run_until_idle", sf_run_until_idle(rt)},
        {"sf_runtime_start", sf_runtime_start(rt)},
        {"sf_runtime_stop", sf_runtime_stop(rt)},
        {"sf_stats_get", sf_stats_get(rt, &stats)},
        {"sf_view_open", sf_view_open(rt, &view)},
        {"sf_view_state",
         not_lent(sf_view_state(forked->view, to).data, sf_view_error(forked->view))},
        {"sf_view_value",
         not_lent(sf_view_value(forked->view, to, &unlisted).data, sf_view_error(forked->view))},
        {"sf_view_dead", not_lent(sf_view_dead(forked->view, 0), sf_view_error(forked->view))},
        {"sf_view_error", sf_view_error(forked->view)},
        {"sf_next", not_lent(sf_next(forked->cursor), sf_cursor_error(forked->cursor))},
        {"sf_cursor_error", sf_cursor_error(forked->cursor)},
        {"sf_view_actors", sf_cursor_error(cursor)},
        {"sf_next of a new one", not_lent(sf_next(cursor), sf_cursor_error(cursor))},
        {"sf_register", sf_register(rt, &counter_type, NULL)},
        {"sf_runtime_close", sf_runtime_close(rt)},
    };
    if (strlen(sf_errmsg()) < 8)
        return 99;
    for (size_t i = 0; i < sizeof uses / sizeof uses[0]; i++)
        if (uses[i].result != SF_EFORK) {
            fprintf(stderr, "%s() = %lld in a child\n", uses[i].name, (long long)uses[i].result);
            wrong = 1;
        }
    if (sf_runtime_open(forked->place->db, defaults(), &other) != SF_ELOCKED)
        return 100;
    sf_options options = SF_OPTIONS(.store_bytes_max = 1 << 30);
#ifdef __SANITIZE_THREAD__
    options.commit_inline = 1; /* it cannot follow threads that a child starts */
#endif
    if (sf_runtime_open(place_path(forked->place, "childs"), &options, &other) < 0)
        return 101; /* a directory of its own is fine */
    if (sf_register(other, &counter_type, NULL) < 0 ||
        sf_send(other, to, "add", SF_OF((uint64_t){1})) < 0)
        return 102;
    return sf_runtime_close(other) < 0 ? 103 : wrong;
}

static int open_elsewhere(void *arg)
{
    struct place *place = arg;
    sf_runtime *rt = NULL;
    return sf_runtime_open(place->db, defaults(), &rt) == SF_ELOCKED ? 0 : 1;
}

static void a_child_is_refused_everything_and_the_parent_goes_on(void **state)
{
    struct forked forked = {.place = *state, .rt = place_open(*state)};
    OK(sf_register(forked.rt, &counter_type, NULL));
    counter_add(forked.rt, "a", 1);
    drive_until_quiet(forked.rt);
    open_handles(&forked);
    counter_add(forked.rt, "a", 1); /* and with work under way */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(in_child(use_in_child, &forked), 0);
        counter_add(forked.rt, "a", 1);
        OK(sf_run_until_idle(forked.rt));
        /* that child's end unlocked nothing */
        assert_int_equal(in_child(open_elsewhere, *state), 0);
    }
    assert_int_equal(counter_stored(forked.rt, "a").total, 5);
    close_handles(&forked);
    OK(sf_runtime_close(forked.rt));
}

/* The same with the library's thread running, which does not exist in the child. */
static void a_child_of_a_runtime_with_a_thread_is_refused_too(void **state)
{
    struct forked forked = {.place = *state, .rt = place_open(*state)};
    OK(sf_register(forked.rt, &counter_type, NULL));
    counter_add(forked.rt, "a", 1);
    drive_until_quiet(forked.rt);
    open_handles(&forked);
    OK(sf_runtime_start(forked.rt));
    for (int i = 0; i < 5; i++) {
        for (int k = 0; k < 20; k++)
            counter_add(forked.rt, "a", 1); /* it is at work while we fork */
        assert_int_equal(in_child(use_in_child, &forked), 0);
    }
    OK(sf_wait(forked.rt, 0, 10000));
    close_handles(&forked);
    OK(sf_runtime_stop(forked.rt));
    OK(sf_run_until_idle(forked.rt));
    assert_int_equal(counter_stored(forked.rt, "a").total, 101);
    OK(sf_runtime_close(forked.rt));
}

struct orphan {
    struct place *place;
    int hold[2], pid[2];
};

/* Opens, forks a child that lives on, and dies. */
static int die_and_leave_a_child(void *arg)
{
    struct orphan *orphan = arg;
    sf_runtime *rt = NULL;
    char byte;
    if (sf_runtime_open(orphan->place->db, defaults(), &rt) < 0 ||
        sf_register(rt, &counter_type, NULL) < 0 ||
        sf_send(rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){3})) < 0 ||
        sf_wait(rt, 0, -1) < 0)
        return 1;
    pid_t child = fork();
    if (child == 0) { /* our lock it has closed on its way out of fork() */
        child = getpid();
        close(orphan->hold[1]);
        if (write(orphan->pid[1], &child, sizeof child) == sizeof child)
            (void)!read(orphan->hold[0], &byte, 1); /* until the test lets go */
        kill(getpid(), SIGKILL);
    }
    return child > 0 ? 0 : 2;
}

static void a_child_that_outlives_its_parent_does_not_hold_the_lock(void **state)
{
    struct orphan orphan = {.place = *state};
    pid_t child = 0;
    assert_int_equal(pipe(orphan.hold), 0);
    assert_int_equal(pipe(orphan.pid), 0);
    assert_int_equal(in_child(die_and_leave_a_child, &orphan), 0);
    assert_int_equal(read(orphan.pid[0], &child, sizeof child), sizeof child);
    assert_int_equal(kill(child, 0), 0); /* it lives */
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    assert_int_equal(counter_stored(rt, "a").total, 3);
    OK(sf_runtime_close(rt));
    close(orphan.hold[1]); /* and now it goes */
    close(orphan.hold[0]);
    close(orphan.pid[0]);
    close(orphan.pid[1]);
}

static int exec_and_look(void *arg)
{
    (void)arg;
    execl("/bin/sh", "sh", "-c",
          "for f in /proc/self/fd/*; do"
          " case $(readlink $f) in"
          " */sf-*/db|*/sf-*/db/*|*eventfd*|*timerfd*|*eventpoll*) exit 9 ;; esac;"
          " done",
          (char *)NULL);
    return 3;
}

static void no_descriptor_of_ours_survives_an_exec(void **state)
{
    NEEDS_PROC();
    if (in_child(exec_and_look, NULL) != 0)
        SKIP("whoever started this left descriptors of other databases open");
    sf_runtime *rt = place_open(*state);
    OK(sf_register(rt, &counter_type, NULL));
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    assert_int_equal(in_child(exec_and_look, NULL), 0);
    OK(sf_runtime_close(rt));
}

/* -- small print ------------------------------------------------------------------------------- */

static void null_and_nonsense_are_refused_with_a_sentence(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = NULL;
    sf_options options = {0};
    REFUSED(sf_runtime_open(NULL, NULL, &rt), SF_EINVAL);
    REFUSED(sf_runtime_open(place->db, NULL, NULL), SF_EINVAL);
    REFUSED(sf_runtime_open("", NULL, &rt), SF_EINVAL);
    REFUSED(sf_runtime_open(place->db, &options, &rt), SF_EINVAL); /* size 0 */
    SAYS("SF_OPTIONS");
    assert_null(rt);
    OK(sf_runtime_close(NULL));
    assert_int_equal(sf_version(), SF_VERSION);
    assert_non_null(sf_errmsg());
    rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    REFUSED(sf_send(NULL, sf_addr("test/counter", "a"), "add", SF_NONE), SF_EINVAL);
    REFUSED(sf_egress_register(rt, NULL, abuse_records, NULL), SF_EINVAL);
    REFUSED(sf_egress_register(rt, "", abuse_records, NULL), SF_EINVAL);
    REFUSED(sf_view_open(rt, NULL), SF_EINVAL);
    REFUSED(sf_source_open(rt, "x", 0, NULL), SF_EINVAL);
    REFUSED(sf_stats_get(rt, NULL), SF_EINVAL);
    OK(sf_runtime_close(rt));
}

static void *fail_elsewhere(void *arg)
{
    char *sentence = arg;
    (void)!sf_runtime_close(NULL);
    sf_runtime *rt = NULL;
    if (sf_runtime_open("/proc/nowhere/at all", NULL, &rt) < 0)
        snprintf(sentence, 500, "%s", sf_errmsg());
    return NULL;
}

static void each_thread_has_its_own_sentence(void **state)
{
    static char sentence[500];
    struct place *place = *state;
    pthread_t thread;
    sf_runtime *rt = place_open(place);
    REFUSED(sf_send(rt, sf_addr("test/absent", "a"), "x", SF_NONE), SF_ENOTFOUND);
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, sentence), 0);
    pthread_join(thread, NULL);
    HAS(sentence, "/proc/nowhere/at all");
    SAYS("test/absent");
    OK(sf_runtime_close(rt));
}

static jmp_buf out_of_ask;
static int leaps_left;

static int leap_once(sf_turn *turn)
{
    if (leaps_left && leaps_left--)
        longjmp(out_of_ask, 1);
    return sf_reply(turn, "landed", SF_NONE);
}

static const sf_type ask_leaper = SF_TYPE("test/leaper", .handler = leap_once);

/* The question that drove is forgotten with the call: its deadline and its answer find nobody. */
static void a_handler_that_leaps_out_of_an_ask_leaves_nothing_behind(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_message *reply = NULL;
    OK(sf_register(rt, &ask_leaper, NULL));
    leaps_left = 1;
    if (setjmp(out_of_ask) == 0)
        (void)!sf_ask(rt, sf_addr("test/leaper", "a"), "leap", SF_NONE, 20, &reply);
    uint64_t until_ms = mono_ms() + 60;
    while (mono_ms() < until_ms)
        OK(sf_step(rt, 0));
    OK(sf_ask(rt, sf_addr("test/leaper", "a"), "again", SF_NONE, 5000, &reply));
    sf_message_free(reply);
    leaps_left = 1;
    if (setjmp(out_of_ask) == 0)
        (void)!sf_ask(rt, sf_addr("test/leaper", "a"), "leap", SF_NONE, -1, &reply);
    OK(sf_runtime_close(rt));
}

static int fork_and_return(sf_turn *turn)
{
    uint64_t *total = sf_state(turn);
    pid_t child = fork();
    ++*total;
    if (child == 0)
        return 0;
    int status;
    waitpid(child, &status, 0);
    return sf_reply(turn, "status", SF_OF(status));
}

static const sf_type forker =
    SF_TYPE("test/forker", .handler = fork_and_return, .state_size = sizeof(uint64_t));

/* As when execlp() fails and the handler goes on: the child must commit nothing, the parent goes
 * on. */
static void a_handler_whose_forked_child_returns_commits_once(void **state)
{
    sf_runtime *rt = place_open(*state);
    sf_message *reply = NULL;
    pid_t parent = getpid();
    OK(sf_register(rt, &forker, NULL));
    int rc = sf_ask(rt, sf_addr("test/forker", "a"), "go", SF_NONE, 5000, &reply);
    if (getpid() != parent)
        _exit(rc == SF_EFORK ? 7 : 8);
    assert_int_equal(rc, 0);
    int status;
    memcpy(&status, reply->body.data, sizeof status);
    sf_message_free(reply);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 7);
    OK(sf_run_until_idle(rt));
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_handler_that_leaps_out_of_an_ask_leaves_nothing_behind),
        TEST(a_handler_whose_forked_child_returns_commits_once),
        TEST(a_handler_that_calls_the_outside_is_refused_and_undone),
        TEST(a_callback_that_drives_is_refused),
        TEST(a_callback_may_send_and_ask),
        TEST(a_callback_may_forget_another_that_is_due),
        TEST(what_drives_is_refused_in_callbacks_on_the_librarys_thread_too),
        TEST(a_handler_cannot_register_start_or_stop),
        TEST(a_runtime_with_an_open_view_or_source_is_not_closed),
        TEST(a_turn_left_by_longjmp_is_undone_and_the_engine_goes_on),
        TEST(closing_after_a_longjmp_keeps_what_was_whole),
        TEST(after_a_longjmp_and_a_step_calls_from_deeper_in_the_stack_are_fine),
        TEST(a_child_is_refused_everything_and_the_parent_goes_on),
        TEST(a_child_of_a_runtime_with_a_thread_is_refused_too),
        TEST(a_child_that_outlives_its_parent_does_not_hold_the_lock),
        TEST(no_descriptor_of_ours_survives_an_exec),
        TEST(null_and_nonsense_are_refused_with_a_sentence),
        TEST(each_thread_has_its_own_sentence),
    };
    return cmocka_run_group_tests_name("abuse", tests, NULL, NULL);
}
