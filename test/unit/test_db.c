/* test_db.c - the database file as others leave it: killed owners, other readers. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

/* -- killed past the meta page, before lock.mdb has its number -------------------------------------- */

enum { META_BYTES_MIN = 64, META_BYTES_MAX = 200 };

#define SEEN __attribute__((visibility("default"))) /* by LMDB, before the C library's */

static int metas_left; /* meta pages that may still be written; at 0 this process ends; 0: any number */

/* LMDB calls one of these two; nothing else in this program writes so few bytes with them. */
static ssize_t write_and_die(int fd, const void *bytes, size_t size, off_t at)
{
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, size, at);
    if (metas_left && size >= META_BYTES_MIN && size <= META_BYTES_MAX && --metas_left == 0)
        kill(getpid(), SIGKILL);
    return done;
}

SEEN ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at)
{
    return write_and_die(fd, bytes, size, at);
}

SEEN ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at)
{
    return write_and_die(fd, bytes, size, at);
}

static int die_in_commit(void *arg)
{
    sf_runtime *rt = place_open_with(arg, &(sf_options)SF_OPTIONS(.commit_inline = 1));
    if (sf_register(rt, &counter_type, NULL) < 0 || counter_add(rt, "ada", 1) < 0)
        return 1;
    metas_left = 1;
    sf_run_until_idle(rt, -1);
    return 2;
}

/* A process that has the environment open until its pipe is closed. */
static pid_t start_reader(const struct place *place, int *out_pipe)
{
    int ready[2], end[2];
    char byte = 0;
    assert_true(pipe(ready) == 0 && pipe(end) == 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        MDB_env *env;
        close(end[1]);
        int error = mdb_env_create(&env);
        error = error ? error : mdb_env_open(env, place->db, MDB_RDONLY, 0600);
        byte = error != 0;
        if (write(ready[1], &byte, 1) == 1 && read(end[0], &byte, 1) < 0)
            error = 1;
        _exit(error != 0);
    }
    close(end[0]);
    close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 0);
    close(ready[0]);
    *out_pipe = end[1];
    return pid;
}

static void made_with_a_counter(const struct place *place)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    OK(counter_add(rt, "ada", 1));
    OK(sf_run_until_idle(rt, -1));
    OK(sf_runtime_close(rt));
}

static void a_kill_beside_another_reader_is_no_damage(void **state)
{
    struct place *place = *state;
    int end, status;
    made_with_a_counter(place);
    pid_t reader = start_reader(place, &end);
    for (uint64_t round = 0; round < 4; round++) {
        assert_int_equal(in_child(die_in_commit, place), -SIGKILL);
        sf_runtime *rt = place_open(place);
        OK(sf_register(rt, &counter_type, NULL));
        OK(counter_add(rt, "ada", 1));
        OK(sf_run_until_idle(rt, -1));
        uint64_t total = counter_stored(rt, "ada").total;
        OK(sf_runtime_close(rt));
        assert_true(total >= 2 + round && total <= 3 + 2 * round);
    }
    close(end);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_kill_beside_another_reader_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
