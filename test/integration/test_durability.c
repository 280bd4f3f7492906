/* test_durability.c - what is durable when: commits on a thread of their own, relaxed, stalls, a changelog
 * that is swept, a ceiling.
 *
 * First on the store in memory, where the test decides when a commit is done: deterministic.  Then on a
 * disk, with the thread and without. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <lmdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "run/life.h"
#include "lmdb/store.h"
#include "store/mem_store.h"
#include "lmdb/chunk.h"
#include "support/machine.h"
#include "support/support.h"

/* -- an actor that leaves by every door ------------------------------------------------------------- */

static const char SPEAKER[] = "test/speaker";

static int speaker_say(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const uint64_t *number = sf_body(turn, sizeof *number);
    self->total += *number;
    self->messages++;
    sf_emit(turn, "said", "number", SF_OF(*number));
    return sf_reply(turn, "heard", SF_OF(*number));
}

static const sf_type speaker_type =
    SF_TYPE(SPEAKER, .on = {{"say", speaker_say}}, .state_size = sizeof(struct counter));

static uint64_t number_in(const sf_message *message)
{
    uint64_t number;
    memcpy(&number, message->body.data, sizeof number); /* of a counter: the total */
    return number;
}

static int note_records(const sf_message *const *records, size_t count, void *notes)
{
    if (count == 0)
        note(notes, "egress without records ");
    for (size_t i = 0; i < count; i++)
        note(notes, "egress %d=%d ", (int)records[i]->sequence, (int)number_in(records[i]));
    return (int)count;
}

static void note_answer(int result, const sf_message *reply, void *notes)
{
    note(notes, "answer %d ", result < 0 ? result : (int)number_in(reply));
}

static void note_done(int result, int64_t ticket, void *notes)
{
    note(notes, "done %d=%d ", (int)ticket, result);
}

static int64_t say(sf_runtime *rt, uint64_t number)
{
    return OK(sf_send(rt, sf_addr(SPEAKER, "a"), "say", SF_OF(number)));
}

/* -- a store that does what it is told -------------------------------------------------------------- */

enum { ALWAYS = -1, TELLS = 4 };

/* At that point: so often nothing, then so often the code. */
struct tell {
    const char *point;
    int code, pass, times;
};

struct rig {
    struct machine machine; /* first: the fault hook gets it */
    struct tell tells[TELLS];
    struct sfi_mem_disk *disk;
    sf_options options;
    sf_runtime *rt;
    sf_source *source;
    struct notes *notes;
};

static int told(void *ctx, const char *point)
{
    struct rig *rig = ctx;
    for (int i = 0; i < TELLS; i++) {
        struct tell *tell = &rig->tells[i];
        if (!tell->point || strcmp(tell->point, point) != 0)
            continue;
        if (tell->pass > 0) {
            tell->pass--;
            return 0;
        }
        if (tell->times == 0)
            return 0;
        tell->times -= tell->times > 0;
        return tell->code;
    }
    return 0;
}

static struct tell *tell(struct rig *rig, const char *point, int times)
{
    struct tell *at = rig->tells;
    while (at->point && strcmp(at->point, point) != 0)
        at++;
    assert_true(at < rig->tells + TELLS);
    *at = (struct tell){.point = point, .code = SF_EDISK, .times = times};
    return at;
}

static void rig_start(struct rig *rig)
{
    struct sfi_store *store;
    OK(sfi_mem_open(&rig->machine.sys, rig->disk, &store));
    OK(sfi_runtime_open_with(&rig->machine.sys, store, &rig->options, &rig->rt));
    OK(sf_register(rig->rt, &speaker_type, NULL));
    OK(sf_register(rig->rt, &counter_type, NULL));
    OK(sf_egress_register(rig->rt, "said", note_records, rig->notes));
    OK(sf_run_until_idle(rig->rt)); /* the types' own epoch */
    OK(sf_source_open(rig->rt, "input", 0, &rig->source));
}

static void rig_open(struct rig *rig, struct place *place, sf_options options)
{
    *rig = (struct rig){.options = options, .notes = &place->notes};
    machine_init(&rig->machine);
    rig->machine.sys.fault = told;
    rig->disk = sfi_mem_disk_new(sfi_sys_default());
    assert_non_null(rig->disk);
    rig_start(rig);
}

static void rig_crash(struct rig *rig)
{
    sf_source_close(rig->source);
    OK(sf_forget(rig->rt, rig->notes));
    sfi_runtime_drop(rig->rt);
    memset(rig->tells, 0, sizeof rig->tells);
}

static void rig_close(struct rig *rig)
{
    memset(rig->tells, 0, sizeof rig->tells);
    sf_source_close(rig->source);
    OK(sf_runtime_close(rig->rt));
    sfi_mem_disk_free(rig->disk);
    assert_int_equal(rig->machine.live, 0);
}

static void feed(struct rig *rig, uint64_t position, uint64_t number)
{
    (void)sf_source_send(rig->source, sf_addr(SPEAKER, "a"), "say", SF_OF(number));
    OK(sf_source_advance(rig->source, position));
}

/* One epoch's work: a record of the source says 10n+1, an ask 10n+2, a send with a callback 10n+3. */
static int64_t one_of_each(struct rig *rig, uint64_t n)
{
    feed(rig, n, 10 * n + 1);
    OK(sf_ask_then(rig->rt, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){10 * n + 2}), -1,
                   note_answer, rig->notes));
    int64_t ticket = say(rig->rt, 10 * n + 3);
    OK(sf_then(rig->rt, ticket, note_done, rig->notes));
    return ticket;
}

/* Has that come, and nothing else? */
static void came(struct rig *rig, const char *text)
{
    assert_string_equal(noted(rig->notes), text);
    notes_clear(rig->notes);
}

/* -- two epochs at a time --------------------------------------------------------------------------- */

static void turns_run_while_a_commit_is_under_way_and_nothing_leaves_early(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    uint64_t epochs = stats_of(rig.rt).epochs;
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    int64_t first = one_of_each(&rig, 1);
    assert_int_equal(OK(sf_step(rig.rt, 0)), 3);
    int64_t second = one_of_each(&rig, 2);
    assert_int_equal(OK(sf_step(rig.rt, 0)), 3); /* in the next epoch */
    for (int i = 0; i < 5; i++)
        assert_int_equal(OK(sf_step(rig.rt, 0)), 0);
    came(&rig, "");
    assert_true(sf_durable(rig.rt) < first - 2);
    assert_int_equal(sf_source_position(rig.source), 0);
    assert_int_equal(counter_stored(rig.rt, "a").messages, 0);

    under_way->pass = 1; /* the first is done, the second is under way */
    OK(sf_step(rig.rt, 0));
    came(&rig, "done 3=0 answer 12 egress 1=11 egress 2=12 egress 3=13 ");
    assert_int_equal(sf_durable(rig.rt), first);
    assert_int_equal(sf_source_position(rig.source), 1);
    assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages, 3);
    assert_int_equal(stats_of(rig.rt).epochs, epochs + 1);

    under_way->times = 0;
    OK(sf_run_until_idle(rig.rt));
    came(&rig, "done 6=0 answer 22 egress 4=21 egress 5=22 egress 6=23 ");
    assert_int_equal(sf_durable(rig.rt), second);
    assert_int_equal(sf_source_position(rig.source), 2);
    rig_close(&rig);
}

/* A reply that changed nothing on disk is not held back by its own epoch, but by those before it. */
static void an_answer_waits_for_the_epochs_before_its_own(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    counter_add(rig.rt, "b", 7);
    OK(sf_step(rig.rt, 0));
    OK(sf_ask_then(rig.rt, sf_addr("test/counter", "b"), "get", SF_NONE, -1, note_answer,
                   rig.notes));
    for (int i = 0; i < 3; i++)
        OK(sf_step(rig.rt, 0));
    assert_int_equal(stats_of(rig.rt).turns, 2);
    came(&rig, "");
    assert_int_equal(sf_durable(rig.rt), 0);
    under_way->times = 0;
    OK(sf_step(rig.rt, 0));
    came(&rig, "answer 7 ");
    assert_int_equal(sf_durable(rig.rt), 2);
    rig_close(&rig);
}

static void a_full_epoch_waits_for_the_one_under_way(void **state)
{
    struct rig rig;
    enum { EPOCH = 4, SENT = 40 };
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.epoch_turns_max = EPOCH));
    tell(&rig, "mem.settle.under_way", ALWAYS); /* done only when it is waited for */
    for (int i = 0; i < SENT; i++)
        say(rig.rt, 1);
    for (int steps = 1; steps <= SENT / EPOCH; steps++) {
        assert_int_equal(OK(sf_step(rig.rt, 0)), EPOCH);
        assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages,
                         (steps - 1) * EPOCH);
        assert_int_equal(stats_of(rig.rt).turns, steps * EPOCH);
    }
    tell(&rig, "mem.settle.under_way", 0);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(stored_counter_of(rig.rt, sf_addr(SPEAKER, "a")).messages, SENT);
    rig_close(&rig);
}

/* Sends to ever new actors until the inbox is full. */
static void fill(struct rig *rig, uint64_t *next)
{
    int64_t rc;
    do {
        uint64_t id = *next;
        rc = sf_send(rig->rt, (sf_address){SPEAKER, (const char *)&id, sizeof id}, "say",
                     SF_OF((uint64_t){1}));
        *next += rc > 0;
    } while (rc > 0);
    assert_int_equal(rc, SF_EAGAIN);
}

/* Blocks that were not freed, at most. */
static uint64_t most_live(struct rig *rig, uint64_t *next, int steps)
{
    uint64_t most = 0;
    for (int i = 0; i < steps; i++) {
        fill(rig, next);
        OK(sf_step(rig->rt, 0));
        assert_in_range(stats_of(rig->rt).actors, 0, 3 * 8);
        most = rig->machine.live > most ? rig->machine.live : most;
    }
    return most;
}

static void memory_stays_bounded_behind_a_slow_disk(void **state)
{
    struct rig rig;
    uint64_t next = 1;
    rig_open(&rig, *state,
             (sf_options)SF_OPTIONS(.epoch_turns_max = 8, .cache_bytes_max = 1,
                                    .inbox_bytes_max = 4096, .mailbox_bytes_max = 4096));
    tell(&rig, "mem.settle.under_way", ALWAYS);
    uint64_t at_first = most_live(&rig, &next, 100), later = most_live(&rig, &next, 1000);
    assert_true(next > 1000);
    assert_in_range(later, 1, at_first + 4);
    tell(&rig, "mem.settle.under_way", 0);
    OK(sf_run_until_idle(rig.rt));
    assert_int_equal(stats_of(rig.rt).turns, next - 1);
    rig_close(&rig);
}

/* -- who waits for it ------------------------------------------------------------------------------- */

static void only_a_commit_under_way_is_looked_for_each_millisecond(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    struct tell *under_way = tell(&rig, "mem.settle.under_way", ALWAYS);
    say(rig.rt, 1);
    assert_int_equal(sf_timeout_ms(rig.rt), 0);
    OK(sf_step(rig.rt, 0));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(sf_timeout_ms(rig.rt), 1);
        OK(sf_step(rig.rt, 0));
    }
    say(rig.rt, 2);
    assert_int_equal(sf_timeout_ms(rig.rt), 0); /* there is more than that */
    OK(sf_step(rig.rt, 0));
    under_way->times = 0;
    OK(sf_step(rig.rt, 0));
    OK(sf_step(rig.rt, 0));
    assert_int_equal(sf_timeout_ms(rig.rt), -1);
    rig_close(&rig);
}

static void running_until_idle_and_waiting_end_when_the_commit_does(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    for (int round = 0; round < 2; round++) {
        struct tell *under_way = tell(&rig, "mem.settle.under_way", 20);
        for (int i = 0; i < 200; i++) /* too many for a commit that is waited for */
            say(rig.rt, 1);
        OK(round ? sf_wait(rig.rt, 0, 10000) : sf_run_until_idle(rig.rt));
        assert_int_equal(under_way->times, 0);
        assert_int_equal(sf_durable(rig.rt), (round + 1) * 200);
    }
    OK(sf_run_until_idle(rig.rt));
    tell(&rig, "mem.settle.under_way", ALWAYS);
    OK(sf_wait(rig.rt, say(rig.rt, 1), 0)); /* a small one, which the caller commits itself */
    OK(sf_step(rig.rt, 0));
    for (int i = 0; i < 200; i++)
        say(rig.rt, 1);
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns; /* time passes */
    REFUSED(sf_wait(rig.rt, 0, 20), SF_ETIMEOUT);
    rig_close(&rig);
}

/* -- relaxed ---------------------------------------------------------------------------------------- */

static void what_is_durable_and_not_safe_stays_inside(void **state)
{
    struct rig rig;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 1));
    for (uint64_t n = 1; n <= 3; n++) {
        tell(&rig, "mem.safe", ALWAYS);
        char text[100];
        int64_t ticket = one_of_each(&rig, n);
        OK(sf_step(rig.rt, 0));
        snprintf(text, sizeof text, "done %d=0 answer %d ", (int)ticket, (int)n * 10 + 2);
        came(&rig, text);
        assert_int_equal(sf_durable(rig.rt), ticket);
        assert_int_equal(sf_source_position(rig.source), n - 1);
        REFUSED(sf_egress_ack(rig.rt, "said", 3 * n - 2), SF_EINVAL);
        tell(&rig, "mem.safe", 0);
        OK(sf_step(rig.rt, 0)); /* nothing to commit, so the store is left in peace */
        snprintf(text, sizeof text, "egress %d=%d egress %d=%d egress %d=%d ", (int)n * 3 - 2,
                 (int)n * 10 + 1, (int)n * 3 - 1, (int)n * 10 + 2, (int)n * 3, (int)n * 10 + 3);
        came(&rig, text);
        assert_int_equal(sf_source_position(rig.source), n);
        OK(sf_run_until_idle(rig.rt));
    }
    rig_close(&rig);
}

/* -- stalls ----------------------------------------------------------------------------------------- */

/* Epoch 1 is sealed and stalls at `point`; epoch 2 has turns already. */
static int64_t stall(struct rig *rig, const char *point)
{
    struct tell *under_way = tell(rig, "mem.settle.under_way", ALWAYS);
    one_of_each(rig, 1);
    OK(sf_step(rig->rt, 0));
    int64_t ticket = one_of_each(rig, 2);
    assert_int_equal(OK(sf_step(rig->rt, 0)), 3);
    under_way->times = 0;
    tell(rig, point, ALWAYS);
    for (int i = 0; i < 3; i++) {
        ticket = say(rig->rt, 30 + (uint64_t)i); /* taken in later */
        REFUSED(sf_step(rig->rt, 0), SF_EDISK);
        SAYS(point);
    }
    REFUSED(sf_run_until_idle(rig->rt), SF_EDISK);
    assert_int_equal(stats_of(rig->rt).turns, 6); /* no turn runs */
    came(rig, "");
    assert_int_equal(sf_source_position(rig->source), 0);
    return ticket;
}

static void a_stall_keeps_both_epochs(void **state)
{
    static const char *const points[] = {"mem.settle.before", "mem.settle.after"};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        int64_t ticket = stall(&rig, points[i]);
        REFUSED(sf_wait(rig.rt, ticket, 10), SF_EDISK);
        SAYS(points[i]);
        tell(&rig, points[i], 0);
        machine_advance_ms(&rig.machine, 2000);
        OK(sf_run_until_idle(rig.rt));
        came(&rig, "done 3=0 done 6=0 answer 12 answer 22 egress 1=11 egress 2=12 egress 3=13 "
                   "egress 4=21 egress 5=22 egress 6=23 egress 7=30 egress 8=31 egress 9=32 ");
        assert_int_equal(sf_durable(rig.rt), ticket);
        assert_int_equal(sf_source_position(rig.source), 2);
        struct counter counter = stored_counter_of(rig.rt, sf_addr(SPEAKER, "a"));
        assert_int_equal(counter.messages, 9);
        assert_int_equal(counter.total, 11 + 12 + 13 + 21 + 22 + 23 + 30 + 31 + 32);
        rig_close(&rig);
    }
}

/* What was said to have failed may be on disk all the same: then all of it. */
static void after_a_crash_in_a_stall_an_epoch_is_there_or_not(void **state)
{
    static const char *const points[] = {"mem.settle.before", "mem.settle.after"};
    for (int i = 0; i < 2; i++) {
        struct rig rig;
        rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
        stall(&rig, points[i]);
        rig_crash(&rig);
        rig_start(&rig);
        OK(sf_run_until_idle(rig.rt));
        assert_int_equal(sf_source_position(rig.source), i);
        struct counter counter = stored_counter_of(rig.rt, sf_addr(SPEAKER, "a"));
        assert_int_equal(counter.messages, i * 3);
        came(&rig, i ? "egress 1=11 egress 2=12 egress 3=13 " : "");
        rig_close(&rig);
    }
}

struct sleeper {
    sf_runtime *rt;
    int64_t ticket;
    int rc;
    char why[200];
};

static void *wait_and_tell(void *arg)
{
    struct sleeper *sleeper = arg;
    sleeper->rc = sf_wait(sleeper->rt, sleeper->ticket, 60);
    snprintf(sleeper->why, sizeof sleeper->why, "%.199s", sf_errmsg());
    return NULL;
}

static void who_waits_elsewhere_with_a_limit_is_told_of_the_stall(void **state)
{
    struct rig rig;
    struct sleeper sleeper = {.rc = 1};
    pthread_t thread;
    rig_open(&rig, *state, (sf_options)SF_OPTIONS(.relaxed = 0));
    rig.machine.sys.mono_ns = sfi_sys_default()->mono_ns;
    sleeper.ticket = stall(&rig, "mem.settle.before");
    sleeper.rt = rig.rt;
    assert_int_equal(pthread_create(&thread, NULL, wait_and_tell, &sleeper), 0);
    pthread_join(thread, NULL);
    assert_int_equal(sleeper.rc, SF_EDISK);
    HAS(sleeper.why, "mem.settle.before");
    tell(&rig, "mem.settle.before", 0);
    OK(sf_run_until_idle(rig.rt));
    OK(sf_wait(rig.rt, sleeper.ticket, 0));
    rig_close(&rig);
}

/* -- on a disk: the thread -------------------------------------------------------------------------- */

/* In a directory of its own. */
static sf_runtime *open_in(struct place *place, const char *name, const sf_options *options)
{
    snprintf(place->db, sizeof place->db, "%.200s/%.50s", place->dir, name);
    sf_runtime *rt = place_open_with(place, options);
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &speaker_type, NULL));
    return rt;
}

static const char *how(int is_inline)
{
    return is_inline ? "inline" : "thread";
}

static int is_readable(sf_runtime *rt, int wait_ms)
{
    struct pollfd poller = {.fd = sf_fd(rt), .events = POLLIN};
    return poll(&poller, 1, wait_ms);
}

/* As a host's loop: until nothing happens any more, the store's own work included. */
static void until_quiet(sf_runtime *rt)
{
    enum { QUIET_MS = 200 };
    uint64_t end = mono_ms() + 30000;
    for (int due_ms = -1, woken = 1; woken || due_ms >= 0;) {
        if (mono_ms() > end)
            fail_msg("not quiet after thirty seconds");
        OK(sf_step(rt, 0));
        due_ms = sf_timeout_ms(rt);
        woken = is_readable(rt, due_ms >= 0 && due_ms < QUIET_MS ? due_ms : QUIET_MS);
    }
}

static void the_descriptor_says_when_a_commit_is_done(void **state)
{
    sf_runtime *rt = open_in(*state, "db", NULL);
    until_quiet(rt);
    for (int i = 0; i < 50; i++) {
        int64_t ticket = counter_add(rt, "a", 1);
        OK(sf_step(rt, 0)); /* handed over */
        while (sf_durable(rt) < ticket) {
            assert_int_equal(is_readable(rt, 10000), 1);
            OK(sf_step(rt, 0));
        }
        assert_int_equal(counter_stored(rt, "a").total, i + 1);
    }
    OK(sf_runtime_close(rt));
}

static int threads_now(void)
{
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));)
        count += task->d_name[0] != '.';
    closedir(tasks);
    return count;
}

/* A thread that was joined is listed a moment longer. */
static void there_are_threads(int count)
{
    uint64_t end = mono_ms() + 5000;
    while (threads_now() != count && mono_ms() < end)
        usleep(1000);
    assert_int_equal(threads_now(), count);
}

static void commits_have_one_thread_or_none(void **state)
{
    int before = threads_now();
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.commit_inline = is_inline, .log_records_max = 8);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        there_are_threads(before + !is_inline);
        for (int i = 0; i < 100; i++) {
            char id[8];
            snprintf(id, sizeof id, "%d", i % 10);
            counter_add(rt, id, 1);
            OK(i % 3 ? sf_step(rt, 0) : sf_wait(rt, 0, 10000));
        }
        there_are_threads(before + !is_inline);
        OK(sf_runtime_start(rt));
        there_are_threads(before + !is_inline + 1);
        OK(sf_wait(rt, counter_add(rt, "3", 1), 10000));
        OK(sf_runtime_stop(rt));
        OK(sf_run_until_idle(rt));
        assert_int_equal(counter_stored(rt, "3").total, 11);
        OK(sf_runtime_close(rt));
        there_are_threads(before);
    }
}

static volatile sig_atomic_t signals_taken;

static void take_signal(int number)
{
    (void)number;
    signals_taken++;
}

/* Blocked by the host's only thread, it stays pending until the host takes it. */
static void no_thread_of_the_library_takes_the_hosts_signals(void **state)
{
    struct sigaction action = {.sa_handler = take_signal}, before;
    struct timespec now = {0, 0};
    sigset_t mask, kept, pending;
    sigaction(SIGUSR1, &action, &before);
    sf_runtime *rt = open_in(*state, "db", NULL);
    OK(sf_runtime_start(rt));
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &mask, &kept);
    assert_int_equal(kill(getpid(), SIGUSR1), 0);
    for (int i = 0; i < 20; i++)
        OK(sf_wait(rt, counter_add(rt, "a", 1), 10000));
    usleep(50000);
    sigpending(&pending);
    assert_int_equal(signals_taken, 0);
    assert_int_equal(sigismember(&pending, SIGUSR1), 1);
    assert_int_equal(sigtimedwait(&mask, NULL, &now), SIGUSR1);
    pthread_sigmask(SIG_SETMASK, &kept, NULL);
    sigaction(SIGUSR1, &before, NULL);
    OK(sf_runtime_close(rt));
}

/* -- the changelog ---------------------------------------------------------------------------------- */

struct table_sizes {
    uint64_t log_entries, state_rows;
};

static uint64_t count_rows(MDB_txn *txn, const char *table, int as_chunks)
{
    MDB_dbi dbi;
    MDB_cursor *cursor;
    MDB_val key, value;
    uint64_t count = 0;
    uint32_t generation, entries;
    assert_int_equal(mdb_dbi_open(txn, table, 0, &dbi), 0);
    assert_int_equal(mdb_cursor_open(txn, dbi, &cursor), 0);
    while (mdb_cursor_get(cursor, &key, &value, MDB_NEXT) == 0) {
        entries = 1;
        if (as_chunks)
            OK(sfi_chunk_open(SF_BYTES(value.mv_data, value.mv_size),
                              SF_BYTES(key.mv_data, key.mv_size), &generation, &entries));
        count += entries;
    }
    mdb_cursor_close(cursor);
    return count;
}

/* Of a database that is closed. */
static struct table_sizes table_sizes(const struct place *place)
{
    MDB_env *env;
    MDB_txn *txn;
    assert_int_equal(mdb_env_create(&env), 0);
    mdb_env_set_maxdbs(env, 16);
    assert_int_equal(mdb_env_open(env, place->db, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
    struct table_sizes sizes = {count_rows(txn, "changelog", 1), count_rows(txn, "state", 0)};
    mdb_txn_abort(txn);
    mdb_env_close(env);
    return sizes;
}

static void add_to_each(sf_runtime *rt, int actors)
{
    for (int i = 0; i < actors; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", i);
        counter_add(rt, id, 1);
    }
}

static void each_has(sf_runtime *rt, int actors, uint64_t total)
{
    sf_view *view;
    int found = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, "test/counter");
    for (const sf_entry *entry; (entry = sf_next(cursor)); found++) {
        struct counter counter;
        memcpy(&counter, entry->value.data, sizeof counter);
        assert_int_equal(counter.total, total);
    }
    OK(sf_cursor_error(cursor));
    assert_int_equal(found, actors);
    sf_view_close(view);
}

/* A generation is half of log_records_max.  Full ones do not stay, though no commit follows. */
static void an_idle_engine_sweeps_its_changelog(void **state)
{
    enum { ACTORS = 2000, RECORDS = 64 };
    struct place *place = *state;
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.commit_inline = is_inline, .log_records_max = RECORDS);
        sf_runtime *rt = open_in(place, how(is_inline), &options);
        add_to_each(rt, ACTORS);
        OK(sf_run_until_idle(rt));
        OK(sf_runtime_close(rt)); /* at once: next to nothing was swept */
        assert_true(table_sizes(place).log_entries > RECORDS);
        rt = open_in(place, how(is_inline), &options);
        until_quiet(rt); /* what an earlier run left */
        OK(sf_runtime_close(rt));
        assert_true(table_sizes(place).log_entries < RECORDS / 2);
        rt = open_in(place, how(is_inline), &options);
        add_to_each(rt, ACTORS);
        until_quiet(rt); /* what this one wrote */
        each_has(rt, ACTORS, 2);
        OK(sf_runtime_close(rt));
        struct table_sizes sizes = table_sizes(place);
        assert_true(sizes.log_entries < RECORDS / 2);
        assert_in_range(sizes.state_rows, ACTORS - sizes.log_entries, ACTORS);
    }
}

static void a_changelog_of_any_size_works_or_is_refused(void **state)
{
    static const uint32_t records[] = {1, 2, 3, UINT32_MAX};
    static const uint64_t bytes[] = {1, 2, 4096, UINT64_MAX};
    struct place *place = *state;
    uint64_t total = 0;
    for (int i = 0; i < 32; i++) {
        sf_options options = SF_OPTIONS(.log_records_max = records[i / 4 % 4],
                                        .log_bytes_max = bytes[i % 4], .commit_inline = i / 16);
        sf_runtime *rt = NULL;
        snprintf(place->db, sizeof place->db, "%.200s/db", place->dir);
        options.store_bytes_max = 1 << 28;
        int rc = sf_runtime_open(place->db, &options, &rt);
        if (rc < 0) {
            REFUSED(rc, SF_EINVAL);
            SAYS("log_");
            continue;
        }
        OK(sf_register(rt, &counter_type, NULL));
        for (int again = 0; again < 3; again++, total++) {
            add_to_each(rt, 100);
            OK(again ? sf_run_until_idle(rt) : sf_step(rt, 0));
        }
        OK(sf_run_until_idle(rt));
        each_has(rt, 100, total);
        OK(sf_runtime_close(rt));
    }
    assert_true(total > 0);
}

/* -- views beside it -------------------------------------------------------------------------------- */

enum { PLAYERS = 40, ROUNDS = 200, LOOKERS = 3 };

struct round {
    uint64_t number;
};

static const char CONDUCTOR[] = "test/conductor", PLAYER[] = "test/player";

static const sf_value score = SF_VALUE("score");

static int conduct(sf_turn *turn)
{
    struct round *self = sf_state(turn);
    self->number++;
    for (int i = 0; i < PLAYERS; i++) {
        char id = (char)('0' + i);
        sf_tell(turn, (sf_address){PLAYER, &id, 1}, "play", SF_OF(*self));
    }
    return 0;
}

static int play(sf_turn *turn)
{
    struct round *self = sf_state(turn);
    *self = *(const struct round *)sf_body(turn, sizeof *self);
    return sf_value_put(turn, &score, SF_OF(*self));
}

static const sf_type conductor_type =
    SF_TYPE(CONDUCTOR, .handler = conduct, .state_size = sizeof(struct round));
static const sf_type player_type =
    SF_TYPE(PLAYER, .handler = play, .state_size = sizeof(struct round), .values = {&score});

static uint64_t round_in(sf_bytes bytes)
{
    struct round round = {0};
    if (bytes.size == sizeof round)
        memcpy(&round, bytes.data, sizeof round);
    return round.number;
}

struct looker {
    sf_runtime *rt;
    _Atomic int *stop;
    uint64_t looks, wrong, sum_before;
    pthread_t thread;
};

/* Players play in order, so none is behind the next one, nor more than a round ahead of the last; both of a
 * player's rows are of the same turn; and a walk finds what single reads found. */
static uint64_t faults_in(sf_view *view, uint64_t *out_sum)
{
    uint64_t before = round_in(sf_view_state(view, sf_addr(CONDUCTOR, "c"))), first = 0;
    uint64_t wrong = 0, sum = 0, walked = 0;
    for (int i = 0; i < PLAYERS; i++) {
        char id = (char)('0' + i);
        sf_address player = {PLAYER, &id, 1};
        uint64_t now = round_in(sf_view_state(view, player));
        wrong += now > before || now != round_in(sf_view_value(view, player, &score));
        first = i == 0 ? now : first;
        wrong += now + 1 < first;
        before = now;
        sum += now;
    }
    sf_cursor *cursor = sf_view_actors(view, PLAYER);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        walked += round_in(entry->value);
    *out_sum = sum;
    return wrong + (walked != sum) + (sf_cursor_error(cursor) < 0);
}

static void *look_on(void *arg)
{
    struct looker *looker = arg;
    while (!atomic_load(looker->stop)) {
        sf_view *view;
        uint64_t sum;
        if (sf_view_open(looker->rt, &view) < 0) {
            looker->wrong++;
            continue;
        }
        looker->wrong += faults_in(view, &sum);
        looker->wrong += sum < looker->sum_before;
        looker->sum_before = sum;
        looker->looks++;
        sf_view_close(view);
    }
    return NULL;
}

/* Few turns in an epoch and a small changelog: commits and sweeps all the time. */
static sf_runtime *open_players(struct place *place, int is_inline)
{
    sf_options options =
        SF_OPTIONS(.commit_inline = is_inline, .log_records_max = 50, .epoch_turns_max = 17);
    sf_runtime *rt = open_in(place, how(is_inline), &options);
    OK(sf_register(rt, &conductor_type, NULL));
    OK(sf_register(rt, &player_type, NULL));
    OK(sf_run_until_idle(rt));
    return rt;
}

static void views_see_one_epoch_each_while_commits_and_sweeps_go_on(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_runtime *rt = open_players(*state, is_inline);
        struct looker lookers[LOOKERS];
        _Atomic int stop = 0;
        for (int i = 0; i < LOOKERS; i++) {
            lookers[i] = (struct looker){.rt = rt, .stop = &stop};
            assert_int_equal(pthread_create(&lookers[i].thread, NULL, look_on, &lookers[i]), 0);
        }
        for (int i = 0; i < ROUNDS; i++) {
            OK(sf_send(rt, sf_addr(CONDUCTOR, "c"), "go", SF_NONE));
            OK(i % 2 ? sf_step(rt, 0) : sf_run_until_idle(rt));
            if (i % 50 == 0)
                usleep(30000); /* for what is done in peace */
        }
        until_quiet(rt);
        atomic_store(&stop, 1);
        for (int i = 0; i < LOOKERS; i++) {
            pthread_join(lookers[i].thread, NULL);
            assert_int_equal(lookers[i].wrong, 0);
            assert_true(lookers[i].looks > 0);
        }
        assert_int_equal(lookers[0].sum_before <= PLAYERS * ROUNDS, 1);
        OK(sf_runtime_close(rt));
    }
}

/* -- relaxed, on a disk ------------------------------------------------------------------------------ */

struct sink {
    uint64_t next, wrong;
};

/* Records come in order; the same ones may come again after a restart. */
static int sink_take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    for (size_t i = 0; i < count; i++) {
        sink->wrong += records[i]->sequence > sink->next + 1;
        if (records[i]->sequence == sink->next + 1)
            sink->next++;
    }
    return (int)count;
}

static void say_from(sf_runtime *rt, sf_source *source, uint64_t until)
{
    for (uint64_t at = sf_source_position(source) + 1; at <= until; at++) {
        (void)sf_source_send(source, sf_addr(SPEAKER, "a"), "say", SF_OF((uint64_t){1}));
        assert_in_range(sf_source_advance(source, at), 0, 1);
        if (at % 3 == 0)
            OK(sf_step(rt, 0));
    }
}

static void relaxed_lets_all_of_it_out_in_the_end(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        struct sink sink = {0};
        sf_source *source;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        OK(sf_source_open(rt, "input", 0, &source));
        say_from(rt, source, 100);
        until_quiet(rt);
        assert_int_equal(sf_source_position(source), 100);
        assert_int_equal(sink.next, 100);
        assert_int_equal(sink.wrong, 0);
        sf_source_close(source);
        OK(sf_runtime_close(rt));
    }
}

/* A loop without descriptors steps as long as something is due. */
static void relaxed_lets_all_of_it_out_without_a_descriptor(void **state)
{
    for (int is_inline = 1; is_inline >= 0; is_inline--) {
        sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline);
        sf_runtime *rt = open_in(*state, how(is_inline), &options);
        struct sink sink = {0};
        uint64_t end = mono_ms() + 5000;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        say(rt, 1);
        for (int due_ms; (due_ms = sf_timeout_ms(rt)) >= 0 && mono_ms() < end;) {
            usleep((useconds_t)due_ms * 1000);
            OK(sf_step(rt, 0));
        }
        assert_int_equal(sink.next, 1);
        OK(sf_runtime_close(rt));
    }
}

static void relaxed_and_full_take_turns_on_one_database(void **state)
{
    struct sink sink = {0};
    for (int i = 0; i < 16; i++) {
        sf_options options = SF_OPTIONS(.relaxed = i % 2, .commit_inline = i / 2 % 2);
        sf_runtime *rt = open_in(*state, "db", &options);
        sf_source *source;
        OK(sf_egress_register(rt, "said", sink_take, &sink));
        OK(sf_source_open(rt, "input", 0, &source));
        assert_int_equal(sf_source_position(source), i * 20);
        say_from(rt, source, (uint64_t)(i + 1) * 20);
        if (i % 3 == 0)
            OK(sf_run_until_idle(rt));
        sf_source_close(source);
        OK(sf_runtime_close(rt));
    }
    sf_runtime *rt = open_in(*state, "db", NULL);
    OK(sf_egress_register(rt, "said", sink_take, &sink));
    until_quiet(rt);
    assert_int_equal(sink.next, 16 * 20);
    assert_int_equal(sink.wrong, 0);
    assert_int_equal(stored_counter_of(rt, sf_addr(SPEAKER, "a")).messages, 16 * 20);
    OK(sf_runtime_close(rt));
}

/* Time stands still, so nothing is done in peace: an epoch makes the one before it safe, and no other. */
static void a_relaxed_epoch_makes_the_one_before_it_safe(void **state)
{
    struct place *place = *state;
    struct machine machine;
    sf_options options = SF_OPTIONS(.relaxed = 1, .commit_inline = 1, .store_bytes_max = 1 << 28);
    sf_runtime *rt;
    sf_source *source;
    machine_init(&machine);
    OK(sfi_runtime_open(&machine.sys, place->db, &options, &rt));
    OK(sf_register(rt, &speaker_type, NULL));
    OK(sf_source_open(rt, "input", 0, &source));
    OK(sf_run_until_idle(rt));
    for (uint64_t n = 1; n <= 9; n++) {
        (void)sf_source_send(source, sf_addr(SPEAKER, "a"), "say", SF_OF(n));
        OK(sf_source_advance(source, n));
        OK(sf_run_until_idle(rt));
        assert_int_equal(sf_source_position(source), n - 1);
    }
    machine_advance_ms(&machine, 20);
    OK(sf_run_until_idle(rt));
    assert_int_equal(sf_source_position(source), 9);
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    assert_int_equal(machine.live, 0);
}

struct watched {
    struct machine machine; /* first */
    _Atomic int unsynced;   /* commits since the newest sync */
    _Atomic int refuses;    /* to sync */
};

static int watch(void *ctx, const char *point)
{
    struct watched *watched = ctx;
    if (strcmp(point, "lmdb.sync") == 0 && watched->refuses)
        return SF_EDISK;
    if (strcmp(point, "lmdb.sync") == 0)
        atomic_store(&watched->unsynced, 0);
    if (strcmp(point, "lmdb.commit.before") == 0)
        atomic_fetch_add(&watched->unsynced, 1);
    return 0;
}

static sf_runtime *open_watched(struct place *place, struct watched *watched, int is_inline)
{
    sf_options options =
        SF_OPTIONS(.relaxed = 1, .commit_inline = is_inline, .store_bytes_max = 1 << 28);
    sf_runtime *rt;
    *watched = (struct watched){.unsynced = 0};
    machine_init(&watched->machine);
    watched->machine.sys.fault = watch;
    OK(sfi_runtime_open(&watched->machine.sys, place_path(place, how(is_inline)), &options, &rt));
    OK(sf_register(rt, &counter_type, NULL));
    return rt;
}

static void closing_makes_a_relaxed_database_safe(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct watched watched;
        sf_runtime *rt = open_watched(*state, &watched, is_inline);
        counter_add(rt, "a", 1);
        OK(sf_run_until_idle(rt));
        counter_add(rt, "a", 1);
        OK(sf_runtime_close(rt));
        assert_int_equal(watched.unsynced, 0);
    }
}

static void a_close_that_cannot_make_it_safe_says_so(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct watched watched;
        sf_runtime *rt = open_watched(*state, &watched, is_inline);
        counter_add(rt, "a", 1);
        atomic_store(&watched.refuses, 1);
        REFUSED(sf_runtime_close(rt), SF_EDISK);
    }
}

/* -- the ceiling ------------------------------------------------------------------------------------ */

enum { CEILING = 4 << 20, PIECE = 6000 };

static const char HOARDER[] = "test/hoarder";
static const sf_value hoard = SF_VALUE("hoard");
static atomic_int hoarders_let_go;

static int hoarder_keep(sf_turn *turn)
{
    sf_value_put(turn, &hoard, sf_msg(turn)->body);
    return sf_tell(turn, sf_self(turn), "let go", SF_NONE);
}

/* Waits, since from outside nothing more can be sent. */
static int hoarder_let_go(sf_turn *turn)
{
    if (!atomic_load(&hoarders_let_go))
        return sf_fail(turn, "not yet");
    return sf_value_del(turn, &hoard);
}

static int hoarder_emit(sf_turn *turn)
{
    return sf_emit(turn, "hoarded", "piece", sf_msg(turn)->body);
}

static const sf_type hoarder_type = SF_TYPE(
    HOARDER, .on = {{"keep", hoarder_keep}, {"let go", hoarder_let_go}, {"emit", hoarder_emit}},
    .values = {&hoard}, .attempts_max = 1000000, .backoff_ms = 100, .backoff_ms_max = 100);

static int leave_it(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)count, (void)userdata;
    return 0;
}

/* Drives for a while, whatever it says, and until it says yes. */
static void in_the_end(sf_runtime *rt, int peace_ms)
{
    uint64_t begin = mono_ms();
    int rc;
    while ((rc = sf_run_until_idle(rt)) < 0 || mono_ms() < begin + (uint64_t)peace_ms) {
        assert_true(rc == 0 || rc == SF_EDISK);
        if (mono_ms() > begin + 10000)
            fail_msg("for ten seconds: %s", sf_errmsg());
        usleep(10000);
    }
}

static int64_t send_piece(sf_runtime *rt, uint32_t id, const char *kind)
{
    static const char piece[PIECE];
    return sf_send(rt, (sf_address){HOARDER, (const char *)&id, sizeof id}, kind, SF_OF(piece));
}

/* How many were accepted until they were refused, also after a while in which the changelog could be swept;
 * all of them must get their place.  Drives after so many; `each` 0: the inbox alone takes them. */
static int send_until_full(sf_runtime *rt, const char *kind, int each)
{
    int accepted = 0, peaces = 0;
    for (int64_t ticket;;) {
        ticket = send_piece(rt, (uint32_t)accepted, kind);
        if (ticket >= 0)
            assert_true(++accepted < CEILING / PIECE);
        if (ticket >= 0 && each && accepted % each == 0)
            in_the_end(rt, 0);
        if (ticket >= 0)
            continue;
        REFUSED(ticket, SF_EDISK);
        SAYS("store_bytes_max");
        in_the_end(rt, 150);
        if (!each || ++peaces > 1)
            break;
    }
    OK(sf_wait(rt, 0, 0));
    return accepted;
}

static uint64_t hoards_stored(sf_runtime *rt, int actors)
{
    sf_view *view;
    uint64_t stored = 0;
    OK(sf_view_open(rt, &view));
    for (uint32_t id = 0; id < (uint32_t)actors; id++)
        stored +=
            sf_view_value(view, (sf_address){HOARDER, (const char *)&id, sizeof id}, &hoard).size ==
            PIECE;
    sf_view_close(view);
    return stored;
}

/* Everything is let go of again, by turns that were waiting. */
static void let_go(sf_runtime *rt)
{
    uint64_t end = mono_ms() + 20000;
    atomic_store(&hoarders_let_go, 1);
    while (stats_of(rt).messages_waiting && mono_ms() < end)
        in_the_end(rt, 20);
    atomic_store(&hoarders_let_go, 0);
    until_quiet(rt);
}

static sf_runtime *open_hoarders(struct place *place, const char *name, int is_inline)
{
    sf_options options = SF_OPTIONS(.store_bytes_max = CEILING, .commit_inline = is_inline);
    sf_runtime *rt = open_in(place, name, &options);
    OK(sf_register(rt, &hoarder_type, NULL));
    OK(sf_egress_register(rt, "hoarded", leave_it, NULL));
    until_quiet(rt);
    return rt;
}

/* Again and again there is as much room as before. */
static void keep_and_let_go(struct place *place, int is_inline, int each, int rounds)
{
    sf_runtime *rt = open_hoarders(place, how(is_inline), is_inline);
    int first = 0;
    for (int round = 0; round < rounds; round++) {
        int kept = send_until_full(rt, "keep", each);
        assert_int_equal(hoards_stored(rt, kept), kept);
        let_go(rt);
        assert_int_equal(hoards_stored(rt, kept), 0);
        first = round == 0 ? kept : first;
        /* Half of the room is kept for what was accepted and may lie in two places for a while. */
        assert_true(kept > CEILING / PIECE / 5 && kept >= first / 2);
    }
    OK(send_piece(rt, 1, "emit"));
    OK(sf_runtime_close(rt));
}

static void near_the_ceiling_sends_are_refused_until_values_are_deleted(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++)
        keep_and_let_go(*state, is_inline, 2, 1);
}

static void near_the_ceiling_larger_epochs_find_their_place(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++)
        keep_and_let_go(*state, is_inline, 13, 1);
}

static void they_do_so_again_and_again_among_scattered_free_pages(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        keep_and_let_go(*state, is_inline, 2, 3);
        keep_and_let_go(*state, is_inline, 13, 3);
    }
}

/* Deleted rows still take room, but not so much that they are swept; then one epoch takes the rest, and the
 * host looks only after the store's own work was done. */
static void a_slow_host_gets_the_room_of_deleted_rows_all_the_same(void **state)
{
    enum { KEPT = CEILING / 12500 };
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        sf_runtime *rt = open_hoarders(*state, how(is_inline), is_inline);
        for (uint32_t i = 0; i < KEPT; i++) {
            OK(send_piece(rt, i, "keep"));
            if (i % 2)
                in_the_end(rt, 0);
        }
        in_the_end(rt, 0);
        let_go(rt);
        while (send_piece(rt, 1, "emit") > 0)
            ;
        OK(sf_step(rt, 0));
        usleep(100000);
        until_quiet(rt);
        OK(send_piece(rt, 1, "emit"));
        OK(sf_runtime_close(rt));
    }
}

static void emit_and_acknowledge(struct place *place, int is_inline, int each)
{
    sf_runtime *rt = open_hoarders(place, how(is_inline), is_inline);
    uint64_t emitted = 0;
    for (int round = 0; round < 3; round++) {
        int sent = send_until_full(rt, "emit", each);
        assert_true(sent > CEILING / PIECE / 3);
        emitted += (uint64_t)sent;
        OK(sf_egress_ack(rt, "hoarded", emitted));
        REFUSED(sf_egress_ack(rt, "hoarded", emitted + 1), SF_EINVAL);
        until_quiet(rt);
    }
    OK(sf_runtime_close(rt));
}

/* Nothing but the acknowledgement's own epoch follows it: no later one makes its pages reusable. */
static void near_the_ceiling_sends_are_refused_until_records_are_acknowledged(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++)
        emit_and_acknowledge(*state, is_inline, 10);
}

/* All at once, in one epoch. */
static void a_burst_up_to_the_ceiling_finds_its_place(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++)
        keep_and_let_go(*state, is_inline, 0, 3);
}

/* -- many who wait ----------------------------------------------------------------------------------- */

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
        TEST(turns_run_while_a_commit_is_under_way_and_nothing_leaves_early),
        TEST(an_answer_waits_for_the_epochs_before_its_own),
        TEST(a_full_epoch_waits_for_the_one_under_way),
        TEST(memory_stays_bounded_behind_a_slow_disk),
        TEST(only_a_commit_under_way_is_looked_for_each_millisecond),
        TEST(running_until_idle_and_waiting_end_when_the_commit_does),
        TEST(what_is_durable_and_not_safe_stays_inside),
        TEST(a_stall_keeps_both_epochs),
        TEST(after_a_crash_in_a_stall_an_epoch_is_there_or_not),
        TEST(who_waits_elsewhere_with_a_limit_is_told_of_the_stall),
        TEST(the_descriptor_says_when_a_commit_is_done),
        TEST(commits_have_one_thread_or_none),
        TEST(no_thread_of_the_library_takes_the_hosts_signals),
        TEST(an_idle_engine_sweeps_its_changelog),
        TEST(a_changelog_of_any_size_works_or_is_refused),
        TEST(views_see_one_epoch_each_while_commits_and_sweeps_go_on),
        TEST(relaxed_lets_all_of_it_out_in_the_end),
        TEST(relaxed_lets_all_of_it_out_without_a_descriptor),
        TEST(relaxed_and_full_take_turns_on_one_database),
        TEST(a_relaxed_epoch_makes_the_one_before_it_safe),
        TEST(closing_makes_a_relaxed_database_safe),
        TEST(a_close_that_cannot_make_it_safe_says_so),
        TEST(near_the_ceiling_sends_are_refused_until_values_are_deleted),
        TEST(near_the_ceiling_larger_epochs_find_their_place),
        TEST(they_do_so_again_and_again_among_scattered_free_pages),
        TEST(a_slow_host_gets_the_room_of_deleted_rows_all_the_same),
        TEST(near_the_ceiling_sends_are_refused_until_records_are_acknowledged),
        TEST(a_burst_up_to_the_ceiling_finds_its_place),
        TEST(many_wait_shortly_while_the_engine_starts_and_stops),
    };
    return cmocka_run_group_tests_name("durability", tests, NULL, NULL);
}
