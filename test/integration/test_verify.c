/* test_verify.c - sf_verify(): nothing to say of what is whole, whoever has it open; a sentence for all else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static void note_problem(const char *sentence, void *userdata)
{
    note(userdata, "%s\n", sentence);
}

static int64_t verified(struct place *place)
{
    notes_clear(&place->notes);
    return sf_verify(place->db, note_problem, &place->notes);
}

static void is_whole(struct place *place)
{
    int64_t problems = verified(place);
    if (problems)
        fail_msg("%lld: %s%s", (long long)problems, noted(&place->notes), sf_errmsg());
}

/* -- a bit of everything ------------------------------------------------------------------------------ */

static const sf_value memo = SF_VALUE("memo");

static int speak(sf_turn *turn)
{
    sf_bytes body = sf_msg(turn)->body;
    sf_value_put(turn, &memo, body);
    sf_emit(turn, "out", "said", body);
    sf_emit(turn, "unread", "said", body);
    return 0;
}

static const sf_type speaker = SF_TYPE("test/speaker", .handler = speak, .values = {&memo});
static int fail_always(sf_turn *turn)
{
    return sf_fail(turn, "not yet");
}

/* One message fails and backs off, the others wait behind it, and for their type when it is not there. */
static const sf_type absent =
    SF_TYPE("test/absent", .handler = fail_always, .backoff_ms = 3600000, .backoff_ms_max = 3600000);

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)userdata;
    return (int)count;
}

static int refuse(const sf_message *const *records, size_t count, void *userdata)
{
    (void)records, (void)count, (void)userdata;
    return 0;
}

static void set_up(sf_runtime *rt)
{
    OK(sf_register(rt, &counter_type, NULL));
    OK(sf_register(rt, &speaker, NULL));
    OK(sf_egress_register(rt, "out", take, NULL));
    OK(sf_egress_register(rt, "unread", refuse, NULL));
}

static void work(sf_runtime *rt, int count)
{
    char id[40], text[3000] = "MAGIC";
    for (int i = 0; i < count; i++) {
        snprintf(id, sizeof id, "actor %d", i);
        OK(sf_send(rt, sf_addr("test/counter", id), i % 30 == 7 ? "reject" : "add",
                   SF_OF((uint64_t){1})));
        OK(sf_send(rt, sf_addr("test/speaker", id), "say",
                   SF_BYTES(text, i % 10 ? 40 : sizeof text)));
    }
    OK(sf_run_for(rt, 20000));
}

/* States in the table and in the changelog, messages for a type that is not registered, dead letters. */
static void make(const struct place *place, int count)
{
    sf_options options = SF_OPTIONS(.commit_inline = 1, .log_records_max = 64);
    sf_runtime *rt = place_open_with(place, &options);
    sf_source *source;
    set_up(rt);
    OK(sf_register(rt, &absent, NULL));
    work(rt, count);
    for (int i = 0; i < 50; i++)
        OK(sf_send(rt, sf_addr("test/absent", "a"), "say", SF_BYTES("waits", 5)));
    work(rt, 1);
    OK(sf_source_open(rt, "input", 3, &source));
    sf_source_close(source);
    OK(sf_runtime_close(rt));
    rt = place_open_with(place, &options);
    set_up(rt);
    work(rt, 40);
    OK(sf_runtime_close(rt));
}

/* -- whole -------------------------------------------------------------------------------------------- */

static void what_is_whole_has_no_problems_and_is_not_changed(void **state)
{
    struct place *place = *state;
    struct stat before, after;
    make(place, 300);
    assert_int_equal(stat(place_path(place, "db/data.mdb"), &before), 0);
    is_whole(place);
    assert_int_equal(stat(place_path(place, "db/data.mdb"), &after), 0);
    assert_int_equal(before.st_size, after.st_size);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof before.st_mtim);
    OK(sf_runtime_close(place_open(place)));
    is_whole(place);
}

static void what_is_not_there_or_not_ours_is_an_error(void **state)
{
    struct place *place = *state;
    REFUSED(verified(place), SF_ENOTFOUND);
    REFUSED(sf_verify(NULL, NULL, NULL), SF_EINVAL);
    assert_int_equal(mkdir(place->db, 0700), 0);
    REFUSED(verified(place), SF_ENOTFOUND);
    SAYS("no database");
    write_file(place_path(place, "db/data.mdb"), "text", 4);
    REFUSED(verified(place), SF_EFOREIGN);
}

struct busy {
    const struct place *place;
    sf_runtime *rt;
    atomic_int stops, is_ready;
};

static void *keep_busy(void *arg)
{
    struct busy *busy = arg;
    while (!busy->stops) {
        work(busy->rt, 20);
        busy->is_ready = 1;
    }
    return NULL;
}

static void a_busy_database_is_verified_in_its_own_process(void **state)
{
    struct place *place = *state;
    struct busy busy = {.place = place};
    pthread_t thread;
    make(place, 100);
    busy.rt = place_open(place);
    set_up(busy.rt);
    is_whole(place); /* idle */
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &busy), 0);
    for (int i = 0; i < 10; i++)
        is_whole(place);
    busy.stops = 1;
    pthread_join(thread, NULL);
    OK(sf_runtime_close(busy.rt));
    is_whole(place);
}

static pid_t start_busy_process(const struct place *place)
{
    int ready[2];
    char byte = 0;
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        sf_runtime *rt = place_open(place);
        set_up(rt);
        work(rt, 10);
        if (write(ready[1], &byte, 1) == 1)
            for (int i = 0; i < 100000; i++)
                work(rt, 20);
        _exit(0);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void a_busy_database_is_verified_from_another_process(void **state)
{
    struct place *place = *state;
    make(place, 100);
    pid_t pid = start_busy_process(place);
    for (int i = 0; i < 10; i++)
        is_whole(place);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    is_whole(place); /* and killed */
}

/* -- damaged ------------------------------------------------------------------------------------------ */

enum { IMAGE_MAX = 16 << 20, PAGE = 4096 };

static size_t load(const struct place *place, unsigned char **out)
{
    FILE *file = fopen(place_path(place, "db/data.mdb"), "rb");
    assert_non_null(file);
    *out = malloc(IMAGE_MAX);
    assert_non_null(*out);
    size_t size = fread(*out, 1, IMAGE_MAX, file);
    fclose(file);
    return size;
}

static void store(const struct place *place, const unsigned char *bytes, size_t size)
{
    write_file(place_path(place, "db/data.mdb"), bytes, size);
}

/* All occurrences of the text: pages that are not in use any more have some too. */
static int change_all(unsigned char *bytes, size_t size, const char *text, size_t at)
{
    int changed = 0;
    for (size_t i = 0; i + strlen(text) < size; i++)
        if (memcmp(bytes + i, text, strlen(text)) == 0) {
            bytes[i + at] ^= 1;
            changed++;
        }
    return changed;
}

static void each_damaged_row_is_named(void **state)
{
    struct place *place = *state;
    unsigned char *bytes;
    make(place, 300);
    size_t size = load(place, &bytes);
    assert_true(change_all(bytes, size, "waits", 2) >= 50);
    store(place, bytes, size);
    assert_int_equal(verified(place), 50);
    HAS(noted(&place->notes), "table 'parked', key \\x00\\x00\\x00\\x03");
    HAS(noted(&place->notes), "checksum");
    change_all(bytes, size, "wahts", 2);
    change_all(bytes, size, "MAGIC", 0);
    store(place, bytes, size);
    assert_true(verified(place) > 300);
    HAS(noted(&place->notes), "table 'outbox'");
    HAS(noted(&place->notes), "table 'state', key \\x00\\x00\\x00\\x02");
    HAS(noted(&place->notes), "actor\\x20");
    free(bytes);
}

static void a_damaged_meta_page_is_the_one_problem(void **state)
{
    struct place *place = *state;
    unsigned char *bytes;
    make(place, 10);
    size_t size = load(place, &bytes);
    bytes[PAGE + 16] ^= 1;
    store(place, bytes, size);
    assert_int_equal(verified(place), 1);
    HAS(noted(&place->notes), "second meta page");
    free(bytes);
}

/* -- any damage --------------------------------------------------------------------------------------- */

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void harm(unsigned char *bytes, size_t size, uint64_t *random)
{
    size_t pages = size / PAGE;
    unsigned char *page = bytes + next_random(random) % pages * PAGE;
    switch (next_random(random) % 6) {
    case 0:
        memcpy(page, bytes + next_random(random) % pages * PAGE, PAGE);
        break;
    case 1:
        memset(page + next_random(random) % PAGE / 2, (int)next_random(random), PAGE / 2);
        break;
    case 2:
        page[next_random(random) % 40] = (unsigned char)next_random(random);
        break;
    default:
        page[next_random(random) % PAGE] ^= (unsigned char)(1u << next_random(random) % 8);
    }
}

/* Neither a signal nor a walk without end, for the verifier and for who opens it in spite of it.  The undamaged
 * file among them has no problem, and most of the damaged ones have one. */
static void no_damage_ends_the_verifier(void **state)
{
    const char *wanted = getenv("RUNS");
    struct place *place = *state;
    unsigned runs = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 1500, told = 0;
    uint64_t random = UINT64_C(0x9E3779B97F4A7C15);
    unsigned char *whole, *bytes = malloc(IMAGE_MAX);
    make(place, 60);
    size_t size = load(place, &whole);
    assert_non_null(bytes);
    alarm(wanted ? 0 : 100);
    for (unsigned run = 0; run < runs; run++) {
        memcpy(bytes, whole, size);
        for (unsigned i = 0; run && i < 1 + run % 5; i++)
            harm(bytes, size, &random);
        size_t cut = run % 50 == 49 ? next_random(&random) % size : size;
        store(place, bytes, cut);
        int64_t problems = verified(place);
        if (run == 0)
            assert_int_equal(problems, 0);
        if (problems < 0 && problems != SF_EFOREIGN && problems != SF_ENEWER)
            fail_msg("run %u: %lld, %s", run, (long long)problems, sf_errmsg());
        told += problems != 0;
    }
    alarm(0);
    assert_true(told > runs / 4);
    free(bytes);
    free(whole);
}

static int open_and_work(void *arg)
{
    const struct place *place = arg;
    sf_options options = SF_OPTIONS(.inbox_ms_max = HOUR_MS, .commit_inline = 1, .log_records_max = 64);
    sf_runtime *rt;
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    alarm(30);
    if (sf_runtime_open(place->db, &options, &rt) < 0)
        return 1;
    if (sf_register(rt, &counter_type, NULL) < 0 || sf_register(rt, &speaker, NULL) < 0 ||
        sf_register(rt, &absent, NULL) < 0 || sf_egress_register(rt, "out", take, NULL) < 0 ||
        sf_egress_register(rt, "unread", take, NULL) < 0)
        return 2;
    for (int i = 0; i < 30; i++) {
        char id[40];
        snprintf(id, sizeof id, "actor %d", i);
        if (sf_send(rt, sf_addr("test/counter", id), "add", SF_OF((uint64_t){1})) < 0)
            break;
    }
    sf_run_for(rt, 1000);
    sf_view *view;
    if (sf_view_open(rt, &view) == 0) {
        sf_cursor *cursor = sf_view_actors(view, "test/counter");
        while (sf_next(cursor))
            ;
        for (const sf_message *dead = NULL; (dead = sf_view_dead(view, dead ? dead->sequence : 0));)
            ;
        sf_view_close(view);
    }
    sf_runtime_close(rt);
    return 0;
}

static void no_damage_ends_who_opens_it(void **state)
{
    const char *wanted = getenv("RUNS");
    struct place *place = *state;
    unsigned runs = wanted ? (unsigned)strtoul(wanted, NULL, 10) : 200, worked = 0;
    uint64_t random = 4711;
    unsigned char *whole, *bytes = malloc(IMAGE_MAX);
    make(place, 60);
    size_t size = load(place, &whole);
    assert_non_null(bytes);
    for (unsigned run = 0; run < runs; run++) {
        memcpy(bytes, whole, size);
        for (unsigned i = 0; run && i < 1 + run % 3; i++)
            harm(bytes, size, &random);
        remove(place_path(place, "db/lock.mdb"));
        store(place, bytes, size);
        int rc = in_child(open_and_work, place);
        if (rc < 0)
            fail_msg("run %u: signal %d", run, -rc);
        worked += rc == 0;
    }
    assert_true(worked > runs / 20);
    free(bytes);
    free(whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_whole_has_no_problems_and_is_not_changed),
        TEST(what_is_not_there_or_not_ours_is_an_error),
        TEST(a_busy_database_is_verified_in_its_own_process),
        TEST(a_busy_database_is_verified_from_another_process),
        TEST(each_damaged_row_is_named),
        TEST(a_damaged_meta_page_is_the_one_problem),
        TEST(no_damage_ends_the_verifier),
        TEST(no_damage_ends_who_opens_it),
    };
    return cmocka_run_group_tests_name("verify", tests, NULL, NULL);
}
