/* test_wait.c - blocking until something is durable, answered or has room, from any thread: who waits drives
 * when nobody else does, and the duty is handed on.
 *
 * Wake-ups are told from the fallback, which looks again after a second, by how soon they come. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "support/rig.h"

enum { SOON_MS = 600 /* well below the second of the fallback */ };

/* -- an actor that answers when it is told to, or blocks -------------------------------------------- */

struct teller {
    char saved[300];
    uint32_t size;
    uint32_t attempts;
};

struct room {
    sf_runtime *rt;
    sem_t inside, go_on;
    _Atomic int handled;
};

static int tell_on(sf_turn *turn)
{
    struct room *room = sf_userdata(turn);
    struct teller *self = sf_state(turn);
    const sf_message *message = sf_msg(turn);
    atomic_fetch_add(&room->handled, 1);
    if (sf_is(message, "ask")) { /* answered later */
        sf_bytes saved = sf_addr_save(turn, message->from);
        memcpy(self->saved, saved.data, saved.size);
        self->size = (uint32_t)saved.size;
    } else if (sf_is(message, "answer") || (sf_is(message, "answer late") && message->attempt > 1)) {
        sf_tell(turn, sf_addr_load(turn, SF_BYTES(self->saved, self->size)), "told", SF_NONE);
    } else if (sf_is(message, "answer late")) {
        return sf_fail(turn, "later");
    } else if (sf_is(message, "block")) {
        sem_post(&room->inside);
        sem_wait(&room->go_on);
    }
    return 0;
}

static const sf_type teller_type = SF_TYPE("test/teller", .handler = tell_on, .backoff_ms = 100,
                                           .state_size = sizeof(struct teller));

static void open_room(struct room *room, const struct place *place)
{
    *room = (struct room){.rt = place_open(place)};
    sem_init(&room->inside, 0, 0);
    sem_init(&room->go_on, 0, 0);
    OK(sf_register(room->rt, &counter_type, NULL));
    OK(sf_register(room->rt, &teller_type, room));
}

static void tell_teller(struct room *room, const char *id, const char *kind)
{
    OK(sf_send(room->rt, sf_addr("test/teller", id), kind, SF_NONE));
}

static void until_handled(struct room *room, int handled)
{
    uint64_t end = mono_ms() + 10000;
    while (atomic_load(&room->handled) < handled && mono_ms() < end)
        usleep(1000);
    assert_true(atomic_load(&room->handled) >= handled);
}

/* A thread that asks a teller. */
struct asker {
    struct room *room;
    const char *id;
    int timeout_ms, rc;
    uint64_t ended_ms;
    pthread_t thread;
};

static void *ask_teller(void *arg)
{
    struct asker *asker = arg;
    sf_message *reply = NULL;
    asker->rc = sf_ask(asker->room->rt, sf_addr("test/teller", asker->id), "ask", SF_NONE,
                       asker->timeout_ms, &reply);
    asker->ended_ms = mono_ms();
    sf_message_free(reply);
    return NULL;
}

static void start_asker(struct asker *asker, struct room *room, const char *id, int timeout_ms)
{
    *asker = (struct asker){.room = room, .id = id, .timeout_ms = timeout_ms, .rc = 1};
    assert_int_equal(pthread_create(&asker->thread, NULL, ask_teller, asker), 0);
}

/* It was answered, so soon after that. */
static void answered_soon(struct asker *asker, uint64_t since_ms)
{
    pthread_join(asker->thread, NULL);
    assert_int_equal(asker->rc, 0);
    assert_in_range(asker->ended_ms - since_ms, 0, SOON_MS);
}

/* -- who drives --------------------------------------------------------------------------------------- */

static void what_is_sent_wakes_the_waiter_on_duty(void **state)
{
    struct room room;
    struct asker asker;
    open_room(&room, *state);
    start_asker(&asker, &room, "a", 20000);
    until_handled(&room, 1);
    usleep(50000); /* it sleeps */
    uint64_t sent_ms = mono_ms();
    tell_teller(&room, "a", "answer");
    answered_soon(&asker, sent_ms);
    OK(sf_runtime_close(room.rt));
}

static void what_is_due_wakes_the_waiter_on_duty(void **state)
{
    struct room room;
    struct asker asker;
    open_room(&room, *state);
    start_asker(&asker, &room, "a", 20000);
    until_handled(&room, 1);
    uint64_t sent_ms = mono_ms();
    tell_teller(&room, "a", "answer late"); /* after 100 ms */
    answered_soon(&asker, sent_ms);
    OK(sf_runtime_close(room.rt));
}

/* The stepper's step makes the pause; nobody but the waiter is there when it ends. */
static void what_another_made_due_wakes_the_waiter_on_duty(void **state)
{
    struct room room;
    struct asker asker;
    open_room(&room, *state);
    start_asker(&asker, &room, "a", 20000);
    until_handled(&room, 1);
    usleep(50000);
    uint64_t sent_ms = mono_ms();
    tell_teller(&room, "a", "answer late");
    while (atomic_load(&room.handled) < 2 && mono_ms() < sent_ms + 10000)
        OK(sf_step(room.rt, 0));
    answered_soon(&asker, sent_ms);
    OK(sf_runtime_close(room.rt));
}

static void when_a_stepper_leaves_a_waiter_takes_over(void **state)
{
    struct room room;
    struct asker asker;
    open_room(&room, *state);
    for (int i = 0; i < 5; i++) {
        tell_teller(&room, "b", "block");
        sem_post(&room.go_on); /* at once: only the step is under way */
        int handled = atomic_load(&room.handled);
        start_asker(&asker, &room, "a", 20000);
        OK(sf_step(room.rt, 1));
        uint64_t left_ms = mono_ms();
        until_handled(&room, handled + 2);
        tell_teller(&room, "a", "answer");
        answered_soon(&asker, left_ms);
    }
    OK(sf_runtime_close(room.rt));
}

static void *step_once(void *arg)
{
    struct room *room = arg;
    (void)!sf_step(room->rt, 0);
    return NULL;
}

static void a_waiter_that_found_a_stepper_takes_over_when_it_leaves(void **state)
{
    struct room room;
    struct asker asker;
    pthread_t stepper;
    open_room(&room, *state);
    tell_teller(&room, "b", "block");
    assert_int_equal(pthread_create(&stepper, NULL, step_once, &room), 0);
    sem_wait(&room.inside); /* it is in the middle of its only step */
    tell_teller(&room, "a", "answer"); /* to nobody yet */
    start_asker(&asker, &room, "a", 20000);
    usleep(50000); /* asleep */
    tell_teller(&room, "a", "nothing");
    tell_teller(&room, "a", "answer");
    uint64_t left_ms = mono_ms();
    sem_post(&room.go_on);
    pthread_join(stepper, NULL);
    answered_soon(&asker, left_ms);
    OK(sf_runtime_close(room.rt));
}

static void when_a_waiter_leaves_another_takes_over(void **state)
{
    struct room room;
    struct asker first, second, third;
    open_room(&room, *state);
    start_asker(&first, &room, "a", 200);
    until_handled(&room, 1);
    start_asker(&second, &room, "b", 20000);
    start_asker(&third, &room, "c", 20000);
    until_handled(&room, 3);
    pthread_join(first.thread, NULL);
    assert_int_equal(first.rc, SF_ETIMEOUT);
    usleep(50000);
    uint64_t sent_ms = mono_ms();
    tell_teller(&room, "b", "answer");
    answered_soon(&second, sent_ms);
    sent_ms = mono_ms();
    tell_teller(&room, "c", "answer");
    answered_soon(&third, sent_ms);
    OK(sf_runtime_close(room.rt));
}

static void when_our_thread_stops_a_waiter_takes_over(void **state)
{
    struct room room;
    struct asker asker;
    open_room(&room, *state);
    OK(sf_runtime_start(room.rt));
    start_asker(&asker, &room, "a", 20000);
    until_handled(&room, 1);
    OK(sf_runtime_stop(room.rt));
    uint64_t sent_ms = mono_ms();
    tell_teller(&room, "a", "answer");
    answered_soon(&asker, sent_ms);
    OK(sf_runtime_close(room.rt));
}

static void *run_until_idle(void *arg)
{
    struct room *room = arg;
    (void)!sf_run_until_idle(room->rt);
    return NULL;
}

static void a_thread_that_stepped_and_went_away_is_not_waited_for(void **state)
{
    struct room room;
    pthread_t thread;
    sf_message *reply = NULL;
    open_room(&room, *state);
    assert_int_equal(pthread_create(&thread, NULL, run_until_idle, &room), 0);
    pthread_join(thread, NULL);
    uint64_t asked_ms = mono_ms();
    OK(sf_ask(room.rt, sf_addr("test/counter", "a"), "get", SF_NONE, 5000, &reply));
    assert_in_range(mono_ms() - asked_ms, 0, SOON_MS);
    sf_message_free(reply);
    OK(sf_runtime_close(room.rt));
}

struct stepper {
    sf_runtime *rt;
    atomic_int stop;
    int refused;
};

static void *step_all_the_time(void *arg)
{
    struct stepper *stepper = arg;
    while (!atomic_load(&stepper->stop))
        stepper->refused += sf_step(stepper->rt, 0) < 0;
    return NULL;
}

static void who_waits_beside_a_stepper_is_not_refused_and_neither_is_the_stepper(void **state)
{
    struct room room;
    pthread_t thread;
    open_room(&room, *state);
    for (int i = 0; i < 20; i++) {
        struct stepper stepper = {.rt = room.rt};
        struct asker asker;
        start_asker(&asker, &room, "a", 50); /* drives at first */
        usleep(5000);
        assert_int_equal(pthread_create(&thread, NULL, step_all_the_time, &stepper), 0);
        pthread_join(asker.thread, NULL);
        assert_int_equal(asker.rc, SF_ETIMEOUT);
        OK(sf_wait(room.rt, counter_add(room.rt, "a", 1), 10000));
        atomic_store(&stepper.stop, 1);
        pthread_join(thread, NULL);
        assert_int_equal(stepper.refused, 0);
    }
    OK(sf_runtime_close(room.rt));
}

struct pool {
    sf_runtime *rt;
    int failures;
    uint64_t asked;
};

static void *ask_often(void *arg)
{
    struct pool *pool = arg;
    for (int i = 0; i < 200; i++) {
        sf_message *reply = NULL;
        pool->failures +=
            sf_ask(pool->rt, sf_addr("test/counter", "a"), "get", SF_NONE, 20000, &reply) != 0;
        pool->failures += sf_wait(pool->rt, 0, 20000) != 0;
        sf_message_free(reply);
    }
    return NULL;
}

/* Two hundred fallbacks would take minutes. */
static void a_pool_of_askers_drives_itself(void **state)
{
    enum { ASKERS = 5 };
    struct room room;
    struct pool pools[ASKERS];
    pthread_t threads[ASKERS];
    open_room(&room, *state);
    uint64_t begun_ms = mono_ms();
    for (int i = 0; i < ASKERS; i++) {
        pools[i] = (struct pool){.rt = room.rt};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, &pools[i]), 0);
    }
    for (int i = 0; i < ASKERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(pools[i].failures, 0);
    }
    assert_in_range(mono_ms() - begun_ms, 0, 60000);
    OK(sf_runtime_close(room.rt));
}

/* -- wake-ups of those who only sleep ----------------------------------------------------------------- */

static void with_our_thread_running_each_wait_is_woken(void **state)
{
    struct room room;
    open_room(&room, *state);
    OK(sf_runtime_start(room.rt));
    uint64_t begun_ms = mono_ms();
    for (int i = 0; i < 20; i++)
        OK(sf_wait(room.rt, counter_add(room.rt, "a", 1), 20000));
    assert_in_range(mono_ms() - begun_ms, 0, 8000); /* twenty fallbacks are twenty seconds */
    OK(sf_runtime_close(room.rt));
}

struct sleeper {
    sf_runtime *rt;
    int64_t ticket;
    int rc;
    uint64_t ended_ms;
};

static void *sleep_on(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->rc = sf_wait(sleeper->rt, sleeper->ticket, 20000);
    sleeper->ended_ms = mono_ms();
    return NULL;
}

static void what_breaks_the_engine_wakes_all_and_no_turn_runs_any_more(void **state)
{
    struct rig rig;
    pthread_t thread;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns;
    tell(&rig, "mem.settle.under_way", ALWAYS);
    struct sleeper sleeper = {.rt = rig.rt, .ticket = say(rig.rt, 1), .rc = 1};
    for (int i = 0; i < 200; i++) /* too many for a commit that is waited for */
        say(rig.rt, 1);
    OK(sf_step(rig.rt, 0));
    assert_int_equal(pthread_create(&thread, NULL, sleep_on, &sleeper), 0);
    usleep(50000);
    tell(&rig, "mem.settle.before", ALWAYS)->code = SF_ECORRUPT;
    tell(&rig, "mem.settle.under_way", 0);
    say(rig.rt, 2);
    uint64_t turns = stats_of(rig.rt).turns, broken_ms = mono_ms();
    REFUSED(sf_step(rig.rt, 0), SF_ECORRUPT);
    pthread_join(thread, NULL);
    assert_int_equal(sleeper.rc, SF_ECORRUPT);
    assert_in_range(sleeper.ended_ms, 0, broken_ms + SOON_MS);
    for (int i = 0; i < 5; i++) {
        REFUSED(sf_step(rig.rt, 0), SF_ECORRUPT);
        REFUSED(sf_run_until_idle(rig.rt), SF_ECORRUPT);
        REFUSED(sf_wait(rig.rt, 0, 100), SF_ECORRUPT);
        REFUSED(sf_send(rig.rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){1})), SF_ECORRUPT);
    }
    assert_int_equal(stats_of(rig.rt).turns, turns);
    sf_source_close(rig.source);
    REFUSED(sf_runtime_close(rig.rt), SF_ECORRUPT);
    sfi_mem_disk_free(rig.disk);
}

/* -- many who wait ------------------------------------------------------------------------------------ */

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
        TEST(what_is_sent_wakes_the_waiter_on_duty),
        TEST(what_is_due_wakes_the_waiter_on_duty),
        TEST(what_another_made_due_wakes_the_waiter_on_duty),
        TEST(when_a_stepper_leaves_a_waiter_takes_over),
        TEST(a_waiter_that_found_a_stepper_takes_over_when_it_leaves),
        TEST(when_a_waiter_leaves_another_takes_over),
        TEST(when_our_thread_stops_a_waiter_takes_over),
        TEST(a_thread_that_stepped_and_went_away_is_not_waited_for),
        TEST(who_waits_beside_a_stepper_is_not_refused_and_neither_is_the_stepper),
        TEST(a_pool_of_askers_drives_itself),
        TEST(with_our_thread_running_each_wait_is_woken),
        TEST(what_breaks_the_engine_wakes_all_and_no_turn_runs_any_more),
        TEST(many_wait_shortly_while_the_engine_starts_and_stops),
    };
    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
