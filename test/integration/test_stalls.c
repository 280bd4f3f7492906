/* test_stalls.c - a stalled or crowded engine neither spins nor gives up.
 *
 * A disk that refuses for a while, an inbox smaller than what is sent, a database near its ceiling, a
 * handler that leaves by longjmp or forks: the host's loop sleeps, and afterwards everything goes on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run/life.h"
#include "store/mem_store.h"
#include "support/support.h"
#include "support/weighed.h"

/* -- a machine whose disk refuses when told, and whose memory is weighed ----------------------------- */

struct fickle {
    struct sfi_sys sys;
    struct sfi_mem_disk *disk; /* NULL: in the directory */
    const char *_Atomic point; /* what is refused there; NULL: nothing */
    _Atomic int times;         /* so often */
};

static int refuse(void *ctx, const char *point)
{
    struct fickle *fickle = ctx;
    const char *refused = fickle->point;
    if (!refused || strcmp(refused, point) != 0 || fickle->times <= 0)
        return 0;
    fickle->times--;
    return SF_EDISK;
}

static void fickle_init(struct fickle *fickle)
{
    *fickle = (struct fickle){.sys = *sfi_sys_default()};
    fickle->sys.ctx = fickle;
    fickle->sys.resize = weighed_resize;
    fickle->sys.aligned = weighed_aligned;
    fickle->sys.fault = refuse;
    weighed_reset();
}

static sf_runtime *open_in(struct place *place, const char *name, sf_options options)
{
    snprintf(place->db, sizeof place->db, "%.200s/%.50s", place->dir, name);
    return place_open_with(place, &options);
}

static const char *how(int is_inline)
{
    return is_inline ? "inline" : "thread";
}

static int is_readable(sf_runtime *rt, int wait_ms)
{
    struct pollfd poller = {.fd = sf_fd(rt), .events = POLLIN};
    return poll(&poller, 1, wait_ms) > 0;
}

/* Steps like a host with nothing else to do, whatever they say. */
static int polled_steps(sf_runtime *rt, int for_ms)
{
    int steps = 0;
    for (uint64_t end = mono_ms() + (uint64_t)for_ms; mono_ms() < end;) {
        if (!is_readable(rt, 20))
            continue;
        int rc = sf_step(rt, 0);
        assert_true(rc >= 0 || rc == SF_EDISK);
        steps++;
    }
    return steps;
}

/* -- an emitter and its sink ------------------------------------------------------------------------ */

struct sink {
    int is_down;
    uint64_t next, wrong;
};

static int sink_take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    if (sink->is_down)
        return -1;
    for (size_t i = 0; i < count; i++) {
        sink->wrong += records[i]->sequence > sink->next + 1;
        sink->next += records[i]->sequence == sink->next + 1;
    }
    return (int)count;
}

static const char EMITTER[] = "test/emitter";
static const char blob[1 << 20];

static int emitter_emit(sf_turn *turn)
{
    return sf_emit(turn, "sink", "record", SF_BYTES(blob, 3000));
}

/* So much that none of it may be stored. */
static int emitter_burst(sf_turn *turn)
{
    for (int i = 0; i < 20; i++)
        sf_emit(turn, "sink", "record", SF_BYTES(blob, 100000));
    return 0;
}

static int emitter_shout(sf_turn *turn)
{
    for (int i = 0; i < 20; i++)
        sf_tell(turn, sf_addr(EMITTER, "other"), "ignore", SF_BYTES(blob, 100000));
    return 0;
}

static int emitter_answer(sf_turn *turn)
{
    return sf_reply(turn, "answer", SF_OF(blob));
}

static int emitter_ignore(sf_turn *turn)
{
    (void)turn;
    return 0;
}

static const sf_type emitter_type = SF_TYPE(EMITTER, .on = {{"emit", emitter_emit},
                                                            {"burst", emitter_burst},
                                                            {"shout", emitter_shout},
                                                            {"answer", emitter_answer},
                                                            {"ignore", emitter_ignore}});

static sf_runtime *fickle_open(struct fickle *fickle, const struct place *place, sf_options options)
{
    sf_runtime *rt = NULL;
    struct sfi_store *store;
    if (options.store_bytes_max == 0)
        options.store_bytes_max = 1u << 28;
    if (fickle->disk) {
        OK(sfi_mem_open(&fickle->sys, fickle->disk, &store));
        OK(sfi_runtime_open_with(&fickle->sys, store, &options, &rt));
    } else {
        OK(sfi_runtime_open(&fickle->sys, place->db, &options, &rt));
    }
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &emitter_type, NULL));
    return rt;
}

static void register_emitter(sf_runtime *rt, struct sink *sink)
{
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_egress_register(rt, "sink", sink_take, sink));
    OK(sf_run_until_idle(rt));
}

static int64_t emit(sf_runtime *rt, const char *kind)
{
    return sf_send(rt, sf_addr(EMITTER, "a"), kind, SF_NONE);
}

/* -- room in the inbox ------------------------------------------------------------------------------ */

/* The next one fits only when the one before it was handled. */
static void waiting_for_room_waits_for_as_much_as_was_refused(void **state)
{
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 64 << 10);
    sf_runtime *rt = place_open_with(*state, &options);
    OK(sf_register(rt, &emitter_type, NULL));
    for (int i = 0; i < 10; i++) {
        int rounds = 0;
        int64_t ticket;
        while ((ticket = sf_send(rt, sf_addr(EMITTER, "a"), "ignore", SF_BYTES(blob, 40000))) ==
               SF_EAGAIN) {
            assert_true(++rounds <= 3);
            OK(sf_wait_room(rt, 10000));
        }
        OK(ticket);
        assert_true(i == 0 || rounds > 0);
    }
    OK(sf_runtime_close(rt));
}

static void so_it_does_for_what_a_source_sent(void **state)
{
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 64 << 10);
    sf_runtime *rt = place_open_with(*state, &options);
    sf_source *source;
    OK(sf_register(rt, &emitter_type, NULL));
    OK(sf_source_open(rt, "input", 0, &source));
    for (uint64_t position = 1; position <= 10; position++) {
        int rounds = 0, rc;
        for (int i = 0; i < 41; i++)
            OK(sf_source_send(source, sf_addr(EMITTER, "a"), "ignore", SF_BYTES(blob, 1000)));
        while ((rc = sf_source_advance(source, position)) == SF_EAGAIN) {
            assert_true(++rounds <= 3);
            OK(sf_wait_room(rt, 10000));
        }
        assert_int_equal(rc, 0);
        assert_true(position == 1 || rounds > 0);
    }
    sf_source_close(source);
    OK(sf_runtime_close(rt));
}

/* -- a disk that refuses ---------------------------------------------------------------------------- */

/* The sink is down when the disk begins to refuse, so a delivery is due all along, too. */
static void poll_a_stall(struct fickle *fickle, struct place *place, const char *point,
                         int is_inline, int with_egress)
{
    struct sink sink = {.is_down = 1};
    sf_runtime *rt = fickle_open(fickle, place, (sf_options)SF_OPTIONS(.commit_inline = is_inline));
    register_emitter(rt, &sink);
    if (with_egress)
        OK(emit(rt, "emit"));
    OK(sf_run_until_idle(rt));
    fickle->times = 1000000;
    fickle->point = point;
    int64_t ticket = counter_add(rt, "a", 1);
    int steps = polled_steps(rt, 400);
    print_message("%s, %s%s: %d steps\n", point, how(is_inline), with_egress ? ", egress" : "",
                  steps);
    assert_in_range(steps, 1, 39);
    assert_true(sf_durable(rt) < ticket);
    assert_in_range(1000000 - fickle->times, 1, 39);

    fickle->point = NULL;
    sink.is_down = 0;
    for (uint64_t end = mono_ms() + 10000;
         sf_durable(rt) < ticket || (int)sink.next < with_egress;) {
        assert_true(mono_ms() < end);
        polled_steps(rt, 20);
    }
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

static void a_host_that_polls_sleeps_while_the_disk_refuses(void **state)
{
    struct place *place = *state;
    for (int with_egress = 0; with_egress < 2; with_egress++)
        for (int is_inline = 0; is_inline < 2; is_inline++) {
            struct fickle fickle;
            fickle_init(&fickle);
            snprintf(place->db, sizeof place->db, "%.200s/%d%d", place->dir, with_egress,
                     is_inline);
            poll_a_stall(&fickle, place, "lmdb.begin", is_inline, with_egress);
        }
}

static void so_it_does_with_a_store_in_memory(void **state)
{
    for (int with_egress = 0; with_egress < 2; with_egress++) {
        struct fickle fickle;
        fickle_init(&fickle);
        fickle.disk = sfi_mem_disk_new(sfi_sys_default());
        assert_non_null(fickle.disk);
        poll_a_stall(&fickle, *state, "mem.settle.before", 0, with_egress);
        sfi_mem_disk_free(fickle.disk);
    }
}

/* As a host without poll(): only by sf_timeout_ms(). */
static int timed_steps(sf_runtime *rt, int for_ms)
{
    int steps = 0;
    for (uint64_t end = mono_ms() + (uint64_t)for_ms; mono_ms() < end; steps++) {
        int rc = sf_step(rt, 0);
        assert_true(rc >= 0 || rc == SF_EDISK);
        int due_ms = sf_timeout_ms(rt);
        usleep((unsigned)(due_ms < 0 || due_ms > 100 ? 100 : due_ms) * 1000);
    }
    return steps;
}

static void a_host_that_asks_for_the_time_sleeps_while_the_disk_refuses(void **state)
{
    struct place *place = *state;
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct fickle fickle;
        fickle_init(&fickle);
        snprintf(place->db, sizeof place->db, "%.200s/%d", place->dir, is_inline);
        sf_runtime *rt =
            fickle_open(&fickle, place, (sf_options)SF_OPTIONS(.commit_inline = is_inline));
        OK(sf_run_until_idle(rt));
        fickle.times = 1000000;
        fickle.point = "lmdb.begin";
        int64_t ticket = counter_add(rt, "a", 1);
        assert_in_range(timed_steps(rt, 400), 1, 39);
        fickle.point = NULL;
        OK(sf_wait(rt, ticket, 10000));
        OK(sf_runtime_close(rt));
    }
}

static void fail_at_something_else(int result, const sf_message *reply, void *userdata)
{
    int *answers = userdata;
    (void)result;
    (void)reply;
    ++*answers;
    assert_int_equal(sf_send(NULL, sf_addr("a/b", "c"), "kind", SF_NONE), SF_EINVAL);
}

static void a_step_says_why_it_failed_whatever_its_callbacks_fail_at(void **state)
{
    struct fickle fickle;
    int answers = 0, rc;
    fickle_init(&fickle);
    sf_runtime *rt = fickle_open(&fickle, *state, (sf_options)SF_OPTIONS(.commit_inline = 1));
    OK(sf_run_until_idle(rt));
    fickle.times = 1000000;
    fickle.point = "lmdb.begin";
    OK(sf_ask_then(rt, sf_addr("test/counter", "a"), "add", SF_OF((uint64_t){1}), 20, fail_at_something_else,
                   &answers));
    uint64_t end = mono_ms() + 10000;
    while (answers == 0) {
        assert_true(mono_ms() < end);
        rc = sf_step(rt, 0);
        assert_true(rc == SF_EDISK);
        assert_non_null(strstr(sf_errmsg(), "lmdb.begin"));
        usleep(1000);
    }
    fickle.point = NULL;
    OK(sf_runtime_close(rt));
}

/* Nobody fetched the failure before close does. */
static void close_tries_once_more_after_a_failure_that_it_learns_of_late(void **state)
{
    struct place *place = *state;
    struct fickle fickle;
    fickle_init(&fickle);
    sf_runtime *rt = fickle_open(&fickle, place, (sf_options)SF_OPTIONS(.must_exist = 0));
    OK(sf_run_until_idle(rt)); /* the types' own epoch */
    fickle.times = 1;
    fickle.point = "lmdb.put";
    counter_add(rt, "a", 1);
    OK(sf_step(rt, 0));
    for (uint64_t end = mono_ms() + 10000; fickle.times && mono_ms() < end;)
        usleep(1000);
    assert_int_equal(fickle.times, 0);
    usleep(20000);
    OK(sf_runtime_close(rt));
    rt = fickle_open(&fickle, place, (sf_options)SF_OPTIONS(.must_exist = 1));
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

/* -- a step left by longjmp ------------------------------------------------------------------------- */

struct jumper {
    jmp_buf out;
    int jumps, jumps_max, done;
};

static int jump_first(sf_turn *turn)
{
    struct jumper *jumper = sf_userdata(turn);
    if (jumper->jumps++ < jumper->jumps_max)
        longjmp(jumper->out, 1);
    return 0;
}

static void jump_when_done(int result, int64_t ticket, void *userdata)
{
    struct jumper *jumper = userdata;
    (void)ticket;
    jumper->done += result == 0;
    if (jumper->done == 1)
        longjmp(jumper->out, 1);
}

static const sf_type jumping_type = SF_TYPE("test/jumping", .handler = jump_first);

static int step_or_jump(sf_runtime *rt, struct jumper *jumper)
{
    if (setjmp(jumper->out))
        return 0;
    return sf_step(rt, 0);
}

static void jump_and_go_on(struct place *place, int is_inline, int from_handler)
{
    struct jumper jumper = {.jumps_max = from_handler};
    sf_options options = SF_OPTIONS(.commit_inline = is_inline);
    sf_runtime *rt = open_in(place, from_handler ? how(is_inline) : is_inline ? "i" : "t", options);
    OK(sf_register(rt, &jumping_type, &jumper));
    OK(sf_run_until_idle(rt));
    int64_t first = OK(sf_send(rt, sf_addr("test/jumping", "a"), "", SF_NONE));
    int64_t second = OK(sf_send(rt, sf_addr("test/jumping", "b"), "", SF_NONE));
    if (!from_handler) {
        OK(sf_then(rt, first, jump_when_done, &jumper));
        OK(sf_then(rt, second, jump_when_done, &jumper));
    }
    for (int steps = 0; sf_durable(rt) < second || (!from_handler && jumper.done < 2);) {
        assert_int_equal(is_readable(rt, 5000), 1); /* else it waits for ever */
        assert_true(++steps < 20);
        OK(step_or_jump(rt, &jumper));
    }
    assert_int_equal(jumper.jumps, 2 + from_handler);
    OK(sf_run_until_idle(rt));
    assert_int_equal(stats_of(rt).messages_waiting, 0);
    OK(sf_runtime_close(rt));
}

static void a_step_left_by_longjmp_leaves_the_descriptor_readable(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        jump_and_go_on(*state, is_inline, 1);
        jump_and_go_on(*state, is_inline, 0);
    }
}

/* -- near the ceiling ------------------------------------------------------------------------------- */

/* Sends until that is refused for lack of room in the database; how many were accepted. */
static int emit_until_full(sf_runtime *rt)
{
    for (int accepted = 0;; accepted++) {
        int64_t ticket = emit(rt, "emit");
        if (ticket < 0) {
            REFUSED(ticket, SF_EDISK);
            SAYS("store_bytes_max");
            return accepted;
        }
        assert_true(accepted < 100000);
        if (accepted % 100 == 99)
            polled_steps(rt, 1);
    }
}

static void near_the_ceiling_all_waits_for_the_sink_and_then_goes_on(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct sink sink = {.is_down = 1};
        sf_runtime *rt =
            open_in(*state, how(is_inline),
                    (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS,
                                           .store_bytes_max = 2 << 20, .commit_inline = is_inline,
                                           .egress_bytes_max = UINT64_MAX));
        register_emitter(rt, &sink);
        uint64_t accepted = (uint64_t)emit_until_full(rt);
        int steps = polled_steps(rt, 300);
        sf_stats full = stats_of(rt);
        print_message("%s: accepted %d, turns %d, %d steps\n", how(is_inline), (int)accepted,
                      (int)full.turns, steps);
        assert_true(accepted > 100);
        assert_in_range(steps, 1, 99);
        assert_in_range(full.turns, 1, accepted - 1); /* the others wait */
        assert_int_equal(full.dead_letters, 0);
        REFUSED(sf_step(rt, 0), SF_EDISK);
        SAYS("turns wait");

        sink.is_down = 0;
        for (uint64_t end = mono_ms() + 10000; sink.next < accepted;) {
            assert_true(mono_ms() < end);
            polled_steps(rt, 20);
        }
        assert_int_equal(sf_durable(rt), accepted);
        assert_int_equal(sink.wrong, 0);
        OK(emit(rt, "emit"));
        OK(sf_runtime_close(rt));
    }
}

static void one_turn_sends_and_stores_no_more_than_a_16th_of_the_database(void **state)
{
    static const char *const kinds[] = {"burst", "shout"};
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .store_bytes_max = 16 << 20);
    struct sink sink = {0};
    sf_runtime *rt = place_open_with(*state, &options);
    register_emitter(rt, &sink);
    for (int i = 0; i < 2; i++)
        OK(emit(rt, kinds[i]));
    OK(emit(rt, "emit"));
    OK(sf_runtime_close(rt));

    rt = place_open_with(*state, &options);
    register_emitter(rt, &sink);
    drive_until_quiet(rt);
    assert_int_equal(sink.next, 1);
    sf_view *view;
    OK(sf_view_open(rt, &view));
    for (uint64_t i = 0; i < 2; i++) {
        const sf_message *dead = sf_view_dead(view, i);
        assert_non_null(dead);
        assert_string_equal(dead->kind, kinds[i]);
        HAS(dead->reason, "more than");
    }
    assert_null(sf_view_dead(view, 2));
    sf_view_close(view);
    OK(sf_send(rt, sf_addr(EMITTER, "other"), "emit", SF_NONE));
    drive_until_quiet(rt);
    assert_int_equal(sink.next, 2);
    OK(sf_runtime_close(rt));
}

/* -- memory ----------------------------------------------------------------------------------------- */

enum { MIB = 1 << 20 };

/* Read from the backlog, since the type is known before the first step. */
static void what_is_handled_and_not_committed_yet_stays_within_bounds(void **state)
{
    struct fickle fickle;
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .mailbox_bytes_max = 2 * MIB, .inbox_bytes_max = 80 * MIB);
    fickle_init(&fickle);
    sf_runtime *rt = fickle_open(&fickle, *state, options);
    for (int i = 0; i < 48; i++)
        OK(sf_send(rt, sf_addr(EMITTER, "a"), "ignore", SF_OF(blob)));
    OK(sf_runtime_close(rt));

    assert_int_equal(weighed_live, 0);
    weighed_most = 0;
    rt = fickle_open(&fickle, *state, options);
    OK(sf_run_until_idle(rt));
    print_message("48 MiB of messages: %.1f MiB\n", (double)weighed_most / MIB);
    assert_int_equal(stats_of(rt).turns, 48);
    assert_in_range(weighed_most, 1, 16 * MIB);
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

static void count_answer(int result, const sf_message *reply, void *userdata)
{
    (void)reply;
    *(int *)userdata += result == 0;
}

static void replies_that_wait_for_their_commit_stay_within_bounds(void **state)
{
    struct fickle fickle;
    int answers = 0;
    fickle_init(&fickle);
    sf_runtime *rt =
        fickle_open(&fickle, *state, (sf_options)SF_OPTIONS(.inbox_ms_max = HOUR_MS, .store_bytes_max = 32 * MIB));
    OK(sf_run_until_idle(rt)); /* the types' own epoch */
    for (int i = 0; i < 64; i++)
        OK(sf_ask_then(rt, sf_addr(EMITTER, "a"), "answer", SF_NONE, -1, count_answer, &answers));
    uint64_t before = weighed_live;
    weighed_most = before;
    OK(sf_run_until_idle(rt));
    print_message("64 MiB of replies: %.1f MiB\n", (double)(weighed_most - before) / MIB);
    assert_int_equal(answers, 64);
    assert_in_range(weighed_most - before, 0, 16 * MIB);
    OK(sf_runtime_close(rt));
    assert_int_equal(weighed_live, 0);
}

/* -- children --------------------------------------------------------------------------------------- */

enum { CHILDREN = 10 };

struct forker {
    sf_runtime *rt;
    pid_t parent, child;
    _Atomic int stop;
};

/* A child that hangs is ended by its alarm. */
static void fork_here(struct forker *forker)
{
    forker->child = fork();
    if (forker->child == 0)
        alarm(10);
}

static int fork_in_turn(sf_turn *turn)
{
    if (sf_is(sf_msg(turn), "fork"))
        fork_here(sf_userdata(turn));
    return 0;
}

static const sf_type forking_type = SF_TYPE("test/forking", .handler = fork_in_turn);

static void fork_when_done(int result, int64_t ticket, void *userdata)
{
    (void)result, (void)ticket;
    fork_here(userdata);
}

static int deliver_in_parent(const sf_message *const *records, size_t count, void *userdata)
{
    const struct forker *forker = userdata;
    (void)records;
    if (getpid() != forker->parent)
        kill(getpid(), SIGUSR1);
    return (int)count;
}

/* In the child it ends here: by SIGKILL, which is nothing for leak checkers, if `rc` is right. */
static void meet_child(struct forker *forker, int rc)
{
    int status;
    if (getpid() != forker->parent)
        kill(getpid(), rc == SF_EFORK ? SIGKILL : SIGUSR2);
    OK(rc);
    assert_true(forker->child > 0);
    assert_int_equal(waitpid(forker->child, &status, 0), forker->child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGKILL);
    forker->child = 0;
}

static void *send_elsewhere(void *arg)
{
    struct forker *forker = arg;
    while (!forker->stop)
        if (sf_send(forker->rt, sf_addr("test/forking", "b"), "", SF_NONE) < 0)
            usleep(10);
    return NULL;
}

/* Others hold the lock now and then when it forks. */
static void a_child_of_a_handler_comes_back_from_waiting(void **state)
{
    struct forker forker = {.parent = getpid()};
    sf_options options = SF_OPTIONS(.inbox_bytes_max = 64 << 10);
    pthread_t threads[3];
    forker.rt = place_open_with(*state, &options);
    OK(sf_register(forker.rt, &forking_type, &forker));
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, send_elsewhere, &forker), 0);
    for (int i = 0; i < CHILDREN; i++) {
        int64_t ticket;
        while ((ticket = sf_send(forker.rt, sf_addr("test/forking", "a"), "fork", SF_NONE)) < 0)
            OK(sf_step(forker.rt, 0));
        int rc = sf_wait(forker.rt, ticket, 10000);
        if (rc == 0 && !forker.child && getpid() == forker.parent)
            rc = sf_run_until_idle(forker.rt);
        meet_child(&forker, rc);
    }
    forker.stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    OK(sf_runtime_close(forker.rt));
}

static void a_child_of_a_callback_delivers_nothing(void **state)
{
    for (int is_inline = 0; is_inline < 2; is_inline++) {
        struct forker forker = {.parent = getpid()};
        sf_runtime *rt =
            open_in(*state, how(is_inline), (sf_options)SF_OPTIONS(.commit_inline = is_inline));
        OK(sf_register(rt, &emitter_type, NULL));
        OK(sf_egress_register(rt, "sink", deliver_in_parent, &forker));
        for (int i = 0; i < CHILDREN / 2; i++) {
            OK(sf_then(rt, OK(emit(rt, "emit")), fork_when_done, &forker));
            meet_child(&forker, sf_run_until_idle(rt));
        }
        OK(sf_runtime_close(rt));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(waiting_for_room_waits_for_as_much_as_was_refused),
        TEST(so_it_does_for_what_a_source_sent),
        TEST(a_host_that_polls_sleeps_while_the_disk_refuses),
        TEST(so_it_does_with_a_store_in_memory),
        TEST(a_host_that_asks_for_the_time_sleeps_while_the_disk_refuses),
        TEST(a_step_says_why_it_failed_whatever_its_callbacks_fail_at),
        TEST(close_tries_once_more_after_a_failure_that_it_learns_of_late),
        TEST(a_step_left_by_longjmp_leaves_the_descriptor_readable),
        TEST(near_the_ceiling_all_waits_for_the_sink_and_then_goes_on),
        TEST(one_turn_sends_and_stores_no_more_than_a_16th_of_the_database),
        TEST(what_is_handled_and_not_committed_yet_stays_within_bounds),
        TEST(replies_that_wait_for_their_commit_stay_within_bounds),
        TEST(a_child_of_a_handler_comes_back_from_waiting),
        TEST(a_child_of_a_callback_delivers_nothing),
    };
    return cmocka_run_group_tests_name("stalls", tests, NULL, NULL);
}
