/* test_guard.c - handlers and callbacks that are left: by an exception, longjmp, the end of their thread, on
 * another stack.  Whoever comes next drives on, from any depth, and closes. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "support/support.h"
#include "support/unwind.h"

/* -- an actor whose handler does what it is told ----------------------------------------------- */

enum how { KEEP, THROW, LEAP, EXIT, CANCEL, BLOCK, SWITCH };

struct leaver {
    struct place *place;
    sf_runtime *rt;
    enum how how; /* the first handler or callback; the rest keep */
    struct catcher catcher;
    jmp_buf out;
    sem_t inside, go_on;
    int handled, called;
    int64_t results[4];
    char sentence[200];
};

static void switch_stacks(struct leaver *leaver);

/* The address sanitizer does not follow the end of a thread in the middle of its stack. */
static void about_to_unwind(void)
{
#ifdef __SANITIZE_ADDRESS__
    extern void __asan_handle_no_return(void);
    __asan_handle_no_return();
#endif
}

static void leave(struct leaver *leaver)
{
    enum how how = leaver->how;
    leaver->how = KEEP;
    switch (how) {
    case KEEP:
        return;
    case THROW:
        throw_to(&leaver->catcher);
    case LEAP:
        longjmp(leaver->out, 1);
    case EXIT:
        pthread_exit(NULL);
    case CANCEL:
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
        pthread_cancel(pthread_self());
        about_to_unwind();
        pthread_testcancel();
        return;
    case BLOCK:
        sem_post(&leaver->inside);
        sem_wait(&leaver->go_on);
        return;
    case SWITCH:
        switch_stacks(leaver);
        return;
    }
}

static int handle(sf_turn *turn)
{
    struct leaver *leaver = sf_userdata(turn);
    struct counter *self = sf_state(turn);
    leaver->handled++;
    self->total += 1000;
    sf_tell(turn, sf_addr("test/counter", "told"), "add", SF_OF((uint64_t){1}));
    leave(leaver);
    self->total -= 999;
    return sf_reply(turn, "done", SF_NONE);
}

static const sf_type leaver_type = SF_TYPE("test/leaver", .handler = handle, .attempts_max = 5,
                                           .state_size = sizeof(struct counter));

static void open_leaver(struct leaver *leaver, struct place *place, enum how how)
{
    *leaver = (struct leaver){.place = place, .rt = place_open(place), .how = how};
    sem_init(&leaver->inside, 0, 0);
    sem_init(&leaver->go_on, 0, 0);
    OK(sf_register(leaver->rt, &counter_type, NULL));
    OK(sf_register(leaver->rt, &leaver_type, leaver));
}

static void tell_leaver(struct leaver *leaver)
{
    OK(sf_send(leaver->rt, sf_addr("test/leaver", "l"), "x", SF_NONE));
}

/* It was left once, and then handled. */
static void close_handled(struct leaver *leaver)
{
    drive_until_quiet(leaver->rt);
    assert_int_equal(leaver->handled, 2);
    assert_int_equal(stats_of(leaver->rt).turns_failed, 1);
    assert_int_equal(stored_counter_of(leaver->rt, sf_addr("test/leaver", "l")).total, 1);
    assert_int_equal(counter_stored(leaver->rt, "told").total, 1);
    OK(sf_runtime_close(leaver->rt));
}

/* -- every way to drive ------------------------------------------------------------------------- */

static int64_t by_step(struct leaver *leaver)
{
    return sf_step(leaver->rt, 0);
}

static int64_t by_run_until_idle(struct leaver *leaver)
{
    return sf_run_for(leaver->rt, 10000);
}

static int64_t by_wait(struct leaver *leaver)
{
    return sf_wait(leaver->rt, 0, 10000);
}

static int64_t by_ask(struct leaver *leaver)
{
    sf_message *reply = NULL;
    int rc = sf_ask(leaver->rt, sf_addr("test/counter", "a"), "get", SF_NONE, 10000, &reply);
    sf_message_free(reply);
    return rc;
}

static int64_t (*const ways[])(struct leaver *) = {by_step, by_run_until_idle, by_wait, by_ask};

enum { WAYS = sizeof ways / sizeof ways[0] };

struct drive {
    struct leaver *leaver;
    int way, ended;
};

/* On a thread: drives, and catches what is thrown or leapt. */
static void *drive(void *arg)
{
    struct drive *drive = arg;
    if (CAUGHT(&drive->leaver->catcher) == 0 && setjmp(drive->leaver->out) == 0)
        drive->leaver->results[0] = ways[drive->way](drive->leaver);
    drive->ended = 1;
    return NULL;
}

static void drive_elsewhere(struct leaver *leaver, int way)
{
    struct drive there = {.leaver = leaver, .way = way};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drive, &there), 0);
    pthread_join(thread, NULL);
}

static __attribute__((noinline)) int64_t send_from_deep_down(struct leaver *leaver, int kib)
{
    volatile char room[1024];
    room[0] = (char)kib;
    int64_t rc = kib > 1 ? send_from_deep_down(leaver, kib - 1)
                         : sf_send(leaver->rt, sf_addr("test/counter", "deep"), "add",
                                   SF_OF((uint64_t){1}));
    room[1] = room[0];
    return rc;
}

static __attribute__((noinline)) int close_from_deep_down(struct leaver *leaver, int kib)
{
    volatile char room[1024];
    room[0] = (char)kib;
    int rc = kib > 1 ? close_from_deep_down(leaver, kib - 1) : sf_runtime_close(leaver->rt);
    room[1] = room[0];
    return rc;
}

static void an_exception_on_any_thread_leaves_the_runtime_to_others(void **state)
{
    for (int way = 0; way < WAYS; way++) {
        struct leaver leaver;
        struct place *place = *state;
        snprintf(place->db, sizeof place->db, "%.200s/%d", place->dir, way);
        open_leaver(&leaver, place, THROW);
        tell_leaver(&leaver);
        drive_elsewhere(&leaver, way);
        assert_int_equal(leaver.handled, 1);
        close_handled(&leaver);
    }
}

static void a_thread_that_ends_in_a_handler_leaves_the_runtime_to_others(void **state)
{
    for (int how = EXIT; how <= CANCEL; how++)
        for (int way = 0; way < WAYS; way++) {
            struct leaver leaver;
            struct place *place = *state;
            snprintf(place->db, sizeof place->db, "%.200s/%d-%d", place->dir, how, way);
            open_leaver(&leaver, place, (enum how)how);
            tell_leaver(&leaver);
            drive_elsewhere(&leaver, way);
            assert_int_equal(leaver.handled, 1);
            close_handled(&leaver);
        }
}

static void after_an_exception_calls_from_any_depth_are_outside(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, THROW);
    tell_leaver(&leaver);
    if (CAUGHT(&leaver.catcher) == 0)
        (void)!sf_step(leaver.rt, 0);
    for (int kib = 1; kib < 100; kib += 9)
        OK(send_from_deep_down(&leaver, kib));
    close_handled(&leaver);
}

static void after_a_longjmp_calls_from_any_depth_are_outside(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, LEAP);
    for (volatile int kib = 1; kib < 100; kib += 9) {
        leaver.how = LEAP;
        tell_leaver(&leaver);
        if (setjmp(leaver.out) == 0)
            (void)!sf_step(leaver.rt, 0);
        OK(send_from_deep_down(&leaver, kib));
        OK(send_from_deep_down(&leaver, 1));
        OK(sf_run_for(leaver.rt, 10000));
    }
    assert_int_equal(counter_stored(leaver.rt, "deep").total, 22);
    OK(sf_runtime_close(leaver.rt));
}

static void after_a_longjmp_it_can_be_closed_from_any_depth(void **state)
{
    for (volatile int kib = 1; kib < 100; kib += 9) {
        struct leaver leaver;
        open_leaver(&leaver, *state, LEAP);
        tell_leaver(&leaver);
        if (setjmp(leaver.out) == 0)
            (void)!sf_step(leaver.rt, 0);
        OK(close_from_deep_down(&leaver, kib));
    }
}

static void a_thread_that_leapt_out_and_ended_leaves_the_runtime_to_others(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, LEAP);
    tell_leaver(&leaver);
    drive_elsewhere(&leaver, 0);
    assert_int_equal(leaver.handled, 1);
    close_handled(&leaver);
}

/* The new thread often gets the stack, and the name, of the one that ended. */
static void a_thread_like_one_that_leapt_out_and_ended_is_not_taken_for_it(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, LEAP);
    tell_leaver(&leaver);
    drive_elsewhere(&leaver, 0);
    drive_elsewhere(&leaver, 3);
    assert_int_equal(leaver.results[0], 0);
    close_handled(&leaver);
}

static void *leap_and_stay(void *arg)
{
    struct leaver *leaver = arg;
    if (setjmp(leaver->out) == 0)
        (void)!sf_step(leaver->rt, 0);
    sem_post(&leaver->inside);
    sem_wait(&leaver->go_on);
    leaver->results[1] =
        sf_send(leaver->rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}));
    return NULL;
}

/* Nobody else can know before that thread calls again, or ends. */
static void a_thread_that_leapt_out_and_lives_keeps_the_right_until_it_calls(void **state)
{
    struct leaver leaver;
    pthread_t thread;
    open_leaver(&leaver, *state, LEAP);
    tell_leaver(&leaver);
    assert_int_equal(pthread_create(&thread, NULL, leap_and_stay, &leaver), 0);
    sem_wait(&leaver.inside);
    REFUSED(sf_step(leaver.rt, 0), SF_EBUSY);
    SAYS("another thread");
    sem_post(&leaver.go_on);
    pthread_join(thread, NULL);
    assert_true(leaver.results[1] > 0);
    close_handled(&leaver);
}

/* -- callbacks ---------------------------------------------------------------------------------- */

static void on_done(int result, int64_t ticket, void *userdata)
{
    struct leaver *leaver = userdata;
    (void)result, (void)ticket;
    leaver->called++;
    leave(leaver);
}

static void on_answer(int result, const sf_message *reply, void *userdata)
{
    struct leaver *leaver = userdata;
    (void)result, (void)reply;
    leaver->called++;
    leave(leaver);
}

static void want_callbacks(struct leaver *leaver)
{
    int64_t ticket = counter_add(leaver->rt, "a", 1);
    for (int i = 0; i < 3; i++) {
        OK(sf_then(leaver->rt, ticket, on_done, leaver));
        OK(sf_ask_then(leaver->rt, sf_addr("test/counter", "a"), "get", SF_NONE, -1, on_answer,
                       leaver));
    }
}

static void what_leaves_a_callback_takes_no_other_with_it(void **state)
{
    static const enum how hows[] = {THROW, LEAP, EXIT, CANCEL};
    for (int i = 0; i < 4; i++) {
        struct leaver leaver;
        struct place *place = *state;
        snprintf(place->db, sizeof place->db, "%.200s/%d", place->dir, i);
        open_leaver(&leaver, place, hows[i]);
        want_callbacks(&leaver);
        drive_elsewhere(&leaver, 1);
        assert_int_equal(leaver.called, 1);
        drive_until_quiet(leaver.rt);
        assert_int_equal(leaver.called, 6);
        OK(sf_runtime_close(leaver.rt));
    }
}

static void a_close_whose_callback_is_left_can_be_made_again(void **state)
{
    static const enum how hows[] = {THROW, LEAP};
    for (volatile int i = 0; i < 2; i++) {
        struct leaver leaver;
        open_leaver(&leaver, *state, hows[i]);
        want_callbacks(&leaver);
        if (CAUGHT(&leaver.catcher) == 0 && setjmp(leaver.out) == 0)
            (void)!sf_runtime_close(leaver.rt);
        assert_int_equal(leaver.called, 1);
        OK(close_from_deep_down(&leaver, 40));
        assert_int_equal(leaver.called, 6);
    }
    struct place *place = *state;
    sf_runtime *rt = place_open(place); /* and is not locked */
    OK(sf_runtime_close(rt));
}

/* -- other stacks ------------------------------------------------------------------------------- */

enum { STACK = 512 * 1024 };

static ucontext_t in_handler, aside, home;
static struct leaver *switched;
static char *stacks;

static void step_aside(void)
{
    switched->results[0] = sf_step(switched->rt, 0);
    switched->results[1] =
        sf_send(switched->rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}));
    snprintf(switched->sentence, sizeof switched->sentence, "%s", sf_errmsg());
}

static void make_stack(ucontext_t *context, char *stack, ucontext_t *then, void (*run)(void))
{
    getcontext(context);
    context->uc_stack.ss_sp = stack;
    context->uc_stack.ss_size = STACK;
    context->uc_link = then;
    makecontext(context, run, 0);
}

static void switch_stacks(struct leaver *leaver)
{
    switched = leaver;
    make_stack(&aside, stacks + STACK, &in_handler, step_aside);
    swapcontext(&in_handler, &aside);
}

static void run_aside(void)
{
    switched->results[2] = sf_run_for(switched->rt, 10000);
}

static void a_handler_that_steps_on_another_stack_is_refused(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, SWITCH);
    stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stacks != MAP_FAILED);
    switched = &leaver;
    tell_leaver(&leaver);
    make_stack(&aside, stacks, &home, run_aside); /* it drives on the lower of two stacks */
    swapcontext(&home, &aside);
    assert_int_equal(leaver.results[0], SF_ETURN);
    assert_int_equal(leaver.results[1], SF_ETURN);
    assert_int_equal(leaver.results[2], 0);
    HAS(leaver.sentence, "sf_step");
    close_handled(&leaver);
    munmap(stacks, 2 * STACK);
}

/* -- two at a time ------------------------------------------------------------------------------ */

static void two_steppers_at_a_time_are_refused(void **state)
{
    struct leaver leaver;
    struct drive there = {.leaver = &leaver, .way = 0};
    pthread_t thread;
    open_leaver(&leaver, *state, BLOCK);
    tell_leaver(&leaver);
    assert_int_equal(pthread_create(&thread, NULL, drive, &there), 0);
    sem_wait(&leaver.inside);
    REFUSED(sf_step(leaver.rt, 0), SF_EBUSY);
    SAYS("sf_step");
    REFUSED(sf_register(leaver.rt, &counter_type, NULL), SF_EBUSY);
    REFUSED(sf_runtime_close(leaver.rt), SF_EBUSY);
    sem_post(&leaver.go_on);
    pthread_join(thread, NULL);
    assert_int_equal(leaver.handled, 1);
    OK(sf_runtime_close(leaver.rt));
}

static void *let_go_soon(void *arg)
{
    struct leaver *leaver = arg;
    struct timespec pause = {0, 100 * 1000000};
    nanosleep(&pause, NULL);
    sem_post(&leaver->go_on);
    return NULL;
}

static void a_stepper_waits_for_the_step_of_one_that_waits(void **state)
{
    struct leaver leaver;
    struct drive there = {.leaver = &leaver, .way = 2};
    pthread_t thread, other;
    open_leaver(&leaver, *state, BLOCK);
    tell_leaver(&leaver);
    assert_int_equal(pthread_create(&thread, NULL, drive, &there), 0);
    sem_wait(&leaver.inside);
    assert_int_equal(pthread_create(&other, NULL, let_go_soon, &leaver), 0);
    OK(sf_step(leaver.rt, 0));
    assert_int_equal(leaver.handled, 1);
    pthread_join(thread, NULL);
    pthread_join(other, NULL);
    assert_int_equal(leaver.results[0], 0);
    OK(sf_runtime_close(leaver.rt));
}

static void a_thread_of_ours_that_a_handler_ends_leaves_the_runtime_to_others(void **state)
{
    struct leaver leaver;
    open_leaver(&leaver, *state, EXIT);
    OK(sf_runtime_start(leaver.rt));
    tell_leaver(&leaver);
    OK(sf_wait(leaver.rt, 0, 10000));
    OK(sf_runtime_start(leaver.rt));
    OK(sf_wait(leaver.rt, counter_add(leaver.rt, "a", 1), 10000));
    OK(sf_runtime_stop(leaver.rt));
    close_handled(&leaver);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_exception_on_any_thread_leaves_the_runtime_to_others),
        TEST(a_thread_that_ends_in_a_handler_leaves_the_runtime_to_others),
        TEST(after_an_exception_calls_from_any_depth_are_outside),
        TEST(after_a_longjmp_calls_from_any_depth_are_outside),
        TEST(after_a_longjmp_it_can_be_closed_from_any_depth),
        TEST(a_thread_that_leapt_out_and_ended_leaves_the_runtime_to_others),
        TEST(a_thread_like_one_that_leapt_out_and_ended_is_not_taken_for_it),
        TEST(a_thread_that_leapt_out_and_lives_keeps_the_right_until_it_calls),
        TEST(what_leaves_a_callback_takes_no_other_with_it),
        TEST(a_close_whose_callback_is_left_can_be_made_again),
        TEST(a_handler_that_steps_on_another_stack_is_refused),
        TEST(two_steppers_at_a_time_are_refused),
        TEST(a_stepper_waits_for_the_step_of_one_that_waits),
        TEST(a_thread_of_ours_that_a_handler_ends_leaves_the_runtime_to_others),
    };
    return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
