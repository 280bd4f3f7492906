/* test_waiting.c - blocking until something is durable, answered or has room, from any thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "support/speaker.h"

enum { IMPATIENT = 200, WAITS = 25 };

struct impatient {
    sf_runtime *rt;
    atomic_int *finished;
    pthread_t thread;
    unsigned number;
    int wrong, met, late;
};

static void *wait_shortly(void *arg)
{
    struct impatient *self = arg;
    for (unsigned i = 0; i < WAITS; i++) {
        int64_t ticket =
            sf_send(self->rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}));
        int rc = sf_wait(self->rt, ticket, (int)((self->number * 7 + i * 5) % 4));
        self->wrong += ticket <= 0 || (rc != 0 && rc != SF_ETIMEOUT);
        self->wrong += rc == 0 && sf_durable(self->rt) < ticket;
        self->met += rc == 0;
        self->late += rc == SF_ETIMEOUT;
    }
    atomic_fetch_add(self->finished, 1);
    return NULL;
}

static void drive_by_turns(sf_runtime *rt, atomic_int *finished)
{
    for (unsigned i = 0; atomic_load(finished) < IMPATIENT; i++) {
        if (i % 4)
            OK(sf_step(rt, (int)(i % 3)));
        else
            OK(sf_runtime_start(rt));
        usleep(i % 5 * 300);
        OK(sf_runtime_stop(rt));
    }
}

static void many_wait_shortly_while_the_engine_starts_and_stops(void **state)
{
    static struct impatient all[IMPATIENT];
    sf_runtime *rt = open_in(*state, "db", NULL);
    atomic_int finished = 0;
    int met = 0, late = 0;
    for (unsigned i = 0; i < IMPATIENT; i++) {
        all[i] = (struct impatient){.rt = rt, .finished = &finished, .number = i};
        assert_int_equal(pthread_create(&all[i].thread, NULL, wait_shortly, &all[i]), 0);
    }
    drive_by_turns(rt, &finished);
    for (int i = 0; i < IMPATIENT; i++) {
        pthread_join(all[i].thread, NULL);
        assert_int_equal(all[i].wrong, 0);
        met += all[i].met;
        late += all[i].late;
    }
    print_message("%d waits ended, %d were too short\n", met, late);
    OK(sf_run_until_idle(rt));
    assert_int_equal(counter_stored(rt, "a").total, IMPATIENT * WAITS);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(many_wait_shortly_while_the_engine_starts_and_stops),
    };
    return cmocka_run_group_tests_name("waiting", tests, NULL, NULL);
}
