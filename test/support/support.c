/* support.c - see support.h.
 *
 * Everything here fails the running test through cmocka, on the test's own thread only. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/support.h"

/* -- a directory per test ---------------------------------------------------------------------- */

int place_setup(void **state)
{
    const char *base = getenv("TMPDIR");
    struct place *place = calloc(1, sizeof *place);
    if (!place)
        return -1;
    snprintf(place->dir, sizeof place->dir, "%.200s/sf-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(place->dir)) {
        free(place);
        return -1;
    }
    snprintf(place->db, sizeof place->db, "%s/db", place->dir);
    *state = place;
    return 0;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *walk)
{
    (void)info, (void)kind, (void)walk;
    remove(path);
    return 0;
}

int place_teardown(void **state)
{
    struct place *place = *state;
    nftw(place->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
    free(place->notes.text);
    free(place);
    return 0;
}

const char *place_path(const struct place *place, const char *name)
{
    static char paths[4][600];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", place->dir, name);
    return path;
}

/* -- notes ------------------------------------------------------------------------------------- */

void note(struct notes *notes, const char *format, ...)
{
    va_list args;
    if (notes->capacity - notes->used < 1024) {
        size_t capacity = notes->capacity * 2 + 4096;
        char *text = realloc(notes->text, capacity);
        if (!text)
            abort();
        notes->text = text;
        notes->capacity = capacity;
    }
    va_start(args, format);
    int n = vsnprintf(notes->text + notes->used, notes->capacity - notes->used, format, args);
    va_end(args);
    if (n > 0)
        notes->used += (size_t)n < notes->capacity - notes->used
                           ? (size_t)n
                           : notes->capacity - notes->used - 1;
}

const char *noted(const struct notes *notes)
{
    return notes->text ? notes->text : "";
}

void notes_clear(struct notes *notes)
{
    notes->used = 0;
    if (notes->text)
        notes->text[0] = 0;
}

/* -- assertions about results ------------------------------------------------------------------ */

int64_t ok_at(int64_t result, const char *call, const char *file, int line)
{
    if (result < 0) {
        print_error("%s = %lld: %s\n", call, (long long)result, sf_errmsg());
        _fail(file, line);
    }
    return result;
}

void refused_at(int64_t result, int64_t code, const char *call, const char *file, int line)
{
    if (result != code) {
        print_error("%s = %lld instead of %lld (%s)\n", call, (long long)result, (long long)code,
                    result < 0 ? sf_errmsg() : "no error");
        _fail(file, line);
    }
    if (strlen(sf_errmsg()) < 8) {
        print_error("%s: no sentence: '%s'\n", call, sf_errmsg());
        _fail(file, line);
    }
}

void says_at(const char *text, const char *part, const char *file, int line)
{
    if (!text || !strstr(text, part)) {
        print_error("'%s' does not contain '%s'\n", text ? text : "(null)", part);
        _fail(file, line);
    }
}

/* -- a runtime --------------------------------------------------------------------------------- */

const sf_options *defaults(void)
{
    static const sf_options large = SF_OPTIONS(.inbox_ms_max = HOUR_MS),
                            small = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .store_bytes_max = 1u << 30);
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "vgpreload") ? &small : &large;
}

sf_runtime *place_open_with(const struct place *place, const sf_options *options)
{
    sf_runtime *rt = NULL;
    sf_options wanted = options ? *options : (sf_options)SF_OPTIONS(.must_exist = 0);
    if (wanted.store_bytes_max == 0)
        wanted.store_bytes_max = defaults()->store_bytes_max;
    if (wanted.inbox_ms_max == 0)
        wanted.inbox_ms_max = defaults()->inbox_ms_max;
    OK(sf_runtime_open(place->db, &wanted, &rt));
    assert_non_null(rt);
    return rt;
}

sf_runtime *place_open(const struct place *place)
{
    return place_open_with(place, NULL);
}

uint64_t mono_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Waits as a host's loop would: on the descriptor, at most until something is due. */
static void wait_due(sf_runtime *rt, int most_ms)
{
    struct pollfd poller = {.fd = sf_fd(rt), .events = POLLIN};
    poll(&poller, 1, most_ms);
}

void drive_until_quiet(sf_runtime *rt)
{
    uint64_t end = mono_ms() + 10000;
    for (;;) {
        OK(sf_run_until_idle(rt));
        int due_ms = sf_timeout_ms(rt);
        if (due_ms < 0)
            return;
        if (mono_ms() > end)
            fail_msg("still something due after ten seconds");
        wait_due(rt, due_ms < 100 ? due_ms : 100);
    }
}

int drive_until(sf_runtime *rt, const uint64_t *counter, uint64_t target)
{
    uint64_t end = mono_ms() + 10000;
    while (*counter < target && mono_ms() < end) {
        OK(sf_run_until_idle(rt));
        if (*counter < target)
            wait_due(rt, 20);
    }
    return *counter >= target;
}

sf_stats stats_of(sf_runtime *rt)
{
    sf_stats stats = {.size = sizeof stats};
    OK(sf_stats_get(rt, &stats));
    return stats;
}

/* -- a counter --------------------------------------------------------------------------------- */

static int counter_on_add(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    const uint64_t *amount = sf_body(turn, sizeof *amount);
    self->total += *amount;
    self->messages++;
    return 0;
}

static int counter_on_get(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    return sf_reply(turn, "total", SF_OF(*self));
}

static int counter_on_fail(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->total += 1000;
    return sf_fail(turn, "%s", (const char *)sf_msg(turn)->body.data);
}

static int counter_on_reject(sf_turn *turn)
{
    struct counter *self = sf_state(turn);
    self->total += 1000;
    return sf_reject(turn, "%s", (const char *)sf_msg(turn)->body.data);
}

const sf_type counter_type = SF_TYPE("test/counter",
                                     .on = {{"add", counter_on_add},
                                            {"get", counter_on_get},
                                            {"fail", counter_on_fail},
                                            {"reject", counter_on_reject}},
                                     .state_size = sizeof(struct counter));

int64_t counter_add(sf_runtime *rt, const char *id, uint64_t amount)
{
    return OK(sf_send(rt, sf_addr("test/counter", id), "add", SF_OF(amount)));
}

struct counter stored_counter_of(sf_runtime *rt, sf_address address)
{
    struct counter found = {0};
    sf_view *view = NULL;
    OK(sf_view_open(rt, &view));
    sf_bytes state = sf_view_state(view, address);
    if (state.data) {
        assert_int_equal(state.size, sizeof found);
        memcpy(&found, state.data, sizeof found);
    }
    sf_view_close(view);
    return found;
}

struct counter counter_stored(sf_runtime *rt, const char *id)
{
    return stored_counter_of(rt, sf_addr("test/counter", id));
}

void note_held(sf_runtime *rt, const char *type, struct notes *notes)
{
    sf_view *view;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_held(view, type);
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        note(notes, "%.*s: %.*s; ", (int)entry->key.size, (const char *)entry->key.data,
             (int)entry->value.size, (const char *)entry->value.data);
    OK(sf_cursor_error(cursor));
    sf_view_close(view);
}

/* -- children ---------------------------------------------------------------------------------- */

/* A child that ended by itself kills itself: a crash as it should be, and nothing for leak
 * checkers. */
int in_child(int (*body)(void *arg), void *arg)
{
    enum { NOT_YET = INT_MIN };
    int status = 0, *result = mmap(NULL, sizeof *result, PROT_READ | PROT_WRITE,
                                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(result != MAP_FAILED);
    *result = NOT_YET;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        *result = body(arg);
        kill(getpid(), SIGKILL);
    }
    assert_true(child > 0);
    while (waitpid(child, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    int found = *result;
    munmap(result, sizeof *result);
    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGKILL && found != NOT_YET ? found : -WTERMSIG(status);
    return WEXITSTATUS(status);
}

void write_file(const char *path, const void *data, size_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, size), size);
    close(fd);
}

void place_copy(const struct place *place, const char *name)
{
    enum { BYTES_MAX = 1 << 20 };
    const char *source = getenv("SOURCE");
    char path[400];
    char *bytes = malloc(BYTES_MAX);
    assert_non_null(bytes);
    snprintf(path, sizeof path, "%.300s/test/data/%s.mdb", source ? source : ".", name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t size = read(fd, bytes, BYTES_MAX);
    close(fd);
    assert_true(size > 0 && size < BYTES_MAX);
    assert_true(mkdir(place->db, 0700) == 0 || errno == EEXIST);
    snprintf(path, sizeof path, "%s/data.mdb", place->db);
    write_file(path, bytes, (size_t)size);
    free(bytes);
}
