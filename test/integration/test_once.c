/* test_once.c - idempotency keys on a real disk: across restarts and a kill in the middle. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "statefun.h"
#include "support/support.h"

#define BOOK "test/book"

struct book {
    uint64_t payments, sum;
};

static int book_pay(sf_turn *turn)
{
    struct book *self = sf_state(turn);
    self->payments++;
    self->sum += *(const uint64_t *)sf_body(turn, sizeof(uint64_t));
    return 0;
}

static const sf_type book_type =
    SF_TYPE(BOOK, .handler = book_pay, .state_size = sizeof(struct book));

static sf_runtime *open_books(struct place *place, uint64_t keep_ms)
{
    sf_options options = *defaults();
    options.keys_keep_ms = keep_ms;
    sf_runtime *rt = place_open_with(place, &options);
    OK(sf_register(rt, &book_type, NULL));
    return rt;
}

static int64_t pay(sf_runtime *rt, uint64_t n)
{
    return sf_send_once(rt, SF_U64(n), sf_addr(BOOK, "all"), "pay", SF_OF(n));
}

static struct book look(sf_runtime *rt)
{
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    const struct book *found =
        sf_struct(sf_view_state(view, sf_addr(BOOK, "all")), sizeof(struct book));
    struct book book = found ? *found : (struct book){0};
    sf_view_close(view);
    return book;
}

static void keys_outlive_the_process_and_belong_to_a_whole_database(void **state)
{
    struct place *place = *state;
    for (int run = 0; run < 3; run++) {
        sf_runtime *rt = open_books(place, 0);
        for (uint64_t n = 1; n <= 100; n++)
            assert_true(pay(rt, n) > 0);
        OK(sf_run_until_idle(rt));
        assert_true(look(rt).payments == 100 && look(rt).sum == 5050);
        assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
        OK(sf_runtime_close(rt));
        assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
    }
}

/* A child sends, and is killed somewhere; who comes after it sends all again. */
static void whoever_is_killed_may_send_it_all_again(void **state)
{
    enum { KILLS = 8, PAYMENTS = 3000 };
    struct place *place = *state;
    for (int kill_nr = 0; kill_nr <= KILLS; kill_nr++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            sf_runtime *rt = open_books(place, 0);
            for (uint64_t n = 1; n <= PAYMENTS; n++) {
                if (pay(rt, n) <= 0)
                    _exit(1);
                if (n % 50 == 0 && sf_step(rt, 0) < 0)
                    _exit(2);
                if (kill_nr < KILLS && n == (uint64_t)(kill_nr + 1) * PAYMENTS / (KILLS + 1))
                    kill(getpid(), SIGKILL);
            }
            _exit(sf_run_until_idle(rt) < 0 ? 3 : sf_runtime_close(rt) < 0 ? 4 : 0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(kill_nr < KILLS ? WIFSIGNALED(status)
                                    : WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    sf_runtime *rt = open_books(place, 0);
    assert_int_equal(look(rt).payments, PAYMENTS);
    assert_int_equal(look(rt).sum, (uint64_t)PAYMENTS * (PAYMENTS + 1) / 2);
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
}

static int send_in_a_turn(sf_turn *turn)
{
    return (int)pay(sf_userdata(turn), 1);
}

static void a_turn_cannot_send_from_outside(void **state)
{
    static const sf_type type = SF_TYPE("test/wrong", .handler = send_in_a_turn, .attempts_max = 1);
    sf_runtime *rt = open_books(*state, 0);
    OK(sf_register(rt, &type, rt));
    sf_message *reply = NULL;
    REFUSED(sf_ask(rt, sf_addr("test/wrong", "a"), "", SF_NONE, -1, &reply), SF_EFAILED);
    assert_int_equal(look(rt).payments, 0);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(keys_outlive_the_process_and_belong_to_a_whole_database),
        TEST(whoever_is_killed_may_send_it_all_again),
        TEST(a_turn_cannot_send_from_outside),
    };
    return cmocka_run_group_tests_name("once", tests, NULL, NULL);
}
