/* test_stack.c - whether a call is under way or was left by longjmp, told from deeper, shallower and other
 * stacks. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "base/stack.h"

#ifdef __clang__ /* clones nothing */
#define NOINLINE __attribute__((noinline))
#else
#define NOINLINE __attribute__((noinline, noclone))
#endif

static struct sfi_frame driven;
static jmp_buf out;
static enum sfi_call_state seen;

/* Asks as a public function would. */
static NOINLINE void ask(void)
{
    seen = sfi_stack_look(driven, SFI_HERE);
    __asm__ volatile("");
}

static NOINLINE void ask_deeper(int kib)
{
    volatile char room[1024];
    room[0] = (char)kib;
    if (kib > 1)
        ask_deeper(kib - 1);
    else
        ask();
    room[1] = room[0];
}

static NOINLINE void drive(void (*inside)(int), int arg)
{
    driven = SFI_HERE;
    inside(arg);
    __asm__ volatile("");
}

static void leap(int kib)
{
    if (kib > 0)
        longjmp(out, 1);
}

static void a_call_beneath_us_is_under_way(void **state)
{
    (void)state;
    for (int kib = 1; kib < 100; kib += 7) {
        drive(ask_deeper, kib);
        assert_int_equal(seen, SFI_CALL_GOES_ON);
    }
}

static void a_call_that_was_left_is_seen_from_any_depth(void **state)
{
    (void)state;
    for (volatile int kib = 1; kib < 100; kib++) {
        if (setjmp(out) == 0)
            drive(leap, 1);
        ask_deeper(kib);
        assert_int_equal(seen, SFI_CALL_LEFT);
        ask();
        assert_int_equal(seen, SFI_CALL_LEFT);
    }
}

static NOINLINE void drive_deep_down(int kib)
{
    volatile char room[1024];
    room[0] = 1;
    if (kib > 0)
        drive_deep_down(kib - 1);
    else
        drive(leap, 1);
    room[1] = room[0];
}

static void a_call_that_was_left_is_seen_from_further_out(void **state)
{
    (void)state;
    if (setjmp(out) == 0)
        drive_deep_down(50);
    ask();
    assert_int_equal(seen, SFI_CALL_LEFT);
    ask_deeper(20);
    assert_int_equal(seen, SFI_CALL_LEFT);
    ask_deeper(80);
    assert_int_equal(seen, SFI_CALL_LEFT);
}

/* Two calls cannot lie in one place: whoever stands where the call stood knows that it is gone. */
static void a_call_whose_place_we_took_was_left(void **state)
{
    (void)state;
    struct sfi_frame here = SFI_HERE;
    assert_int_equal(sfi_stack_look(here, here), SFI_CALL_LEFT);
}

/* -- other stacks ------------------------------------------------------------------------------ */

enum { STACK = 256 * 1024 };

static ucontext_t home, aside;
static char *stacks;

static void ask_on(char *stack)
{
    getcontext(&aside);
    aside.uc_stack.ss_sp = stack;
    aside.uc_stack.ss_size = STACK;
    aside.uc_link = &home;
    makecontext(&aside, ask, 0);
    swapcontext(&home, &aside);
}

static void ask_aside(int nth)
{
    ask_on(stacks + nth * STACK);
}

static void nobody_can_tell_from_another_stack(void **state)
{
    (void)state;
    stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stacks != MAP_FAILED);
    drive(ask_aside, 0); /* under way */
    assert_int_equal(seen, SFI_CALL_UNKNOWN);
    if (setjmp(out) == 0) /* left */
        drive(leap, 1);
    ask_aside(0);
    assert_int_equal(seen, SFI_CALL_UNKNOWN);
    ask();
    assert_int_equal(seen, SFI_CALL_LEFT);
    munmap(stacks, 2 * STACK);
}

static ucontext_t coroutine, caller;
static int leaves_first;

/* On the lower stack; what it drives goes on upon the upper one. */
static void drive_aside(void)
{
    if (leaves_first && setjmp(out) == 0)
        drive(leap, 1);
    if (leaves_first)
        ask_deeper(3);
    else
        drive(ask_aside, 1);
}

static void run_aside(int leaves)
{
    leaves_first = leaves;
    getcontext(&coroutine);
    coroutine.uc_stack.ss_sp = stacks;
    coroutine.uc_stack.ss_size = STACK;
    coroutine.uc_link = &caller;
    makecontext(&coroutine, drive_aside, 0);
    swapcontext(&caller, &coroutine);
}

static void coroutines_above_each_other_are_not_taken_for_one_stack(void **state)
{
    (void)state;
    stacks = mmap(NULL, 2 * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(stacks != MAP_FAILED);
    run_aside(0);
    assert_int_equal(seen, SFI_CALL_UNKNOWN);
    run_aside(1);
    assert_int_equal(seen, SFI_CALL_LEFT);
    munmap(stacks, 2 * STACK);
}

static void *all_of_it(void *arg)
{
    a_call_beneath_us_is_under_way(arg);
    a_call_that_was_left_is_seen_from_any_depth(arg);
    a_call_that_was_left_is_seen_from_further_out(arg);
    return NULL;
}

static void a_thread_other_than_the_first_tells_the_same(void **state)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, all_of_it, *state), 0);
    pthread_join(thread, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_beneath_us_is_under_way),
        cmocka_unit_test(a_call_that_was_left_is_seen_from_any_depth),
        cmocka_unit_test(a_call_that_was_left_is_seen_from_further_out),
        cmocka_unit_test(a_call_whose_place_we_took_was_left),
        cmocka_unit_test(nobody_can_tell_from_another_stack),
        cmocka_unit_test(coroutines_above_each_other_are_not_taken_for_one_stack),
        cmocka_unit_test(a_thread_other_than_the_first_tells_the_same),
    };
    return cmocka_run_group_tests_name("stack", tests, NULL, NULL);
}
