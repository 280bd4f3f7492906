/* test_db.c - the database's file: made whole, refused if it is not ours, found again; and as others
 * leave it: killed owners, other readers. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <lmdb.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/store_rig.h"

/* -- databases that are not ours to open ------------------------------------------------------------- */

static void newer(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_FORMAT + 1, 0, 0);
}

static void of_another(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "XFDB", SFI_FORMAT, 0, 0);
}

static void bitten(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_FORMAT, 0, 4);
}

static void without_tables(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", SFI_FORMAT, 0, 0);
}

static void older(MDB_txn *txn, MDB_dbi meta)
{
    write_format(txn, meta, "SFDB", 1, 0, 0);
}

static void refuses(void **state, const char *table, lmdb_edit *change, int code)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    with_lmdb(rig->place, table, change);
    REFUSED(store_rig_open(rig), code);
    store_rig_fini(rig);
}

static void a_database_of_a_newer_format_is_refused(void **state)
{
    refuses(state, "meta", newer, SF_ENEWER);
    SAYS("format 4");
}

static void a_database_from_before_the_first_release_is_refused(void **state)
{
    refuses(state, "meta", older, SF_EFOREIGN);
    SAYS("format 1");
}

static void a_database_of_another_program_is_refused(void **state)
{
    refuses(state, "theirs", NULL, SF_EFOREIGN);
    refuses(state, "meta", NULL, SF_EFOREIGN);
    refuses(state, "meta", of_another, SF_EFOREIGN);
    refuses(state, "meta", without_tables, SF_EFOREIGN);
}

static void a_damaged_format_record_is_refused(void **state)
{
    refuses(state, "meta", bitten, SF_ECORRUPT);
}

static void a_half_made_database_is_made_again(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    char path[400];
    struct store_trap *trap = store_rig_trap(rig);
    trap->point = "lmdb.rename";
    snprintf(path, sizeof path, "%s/data.mdb", rig->place->db);
    REFUSED(store_rig_open(rig), SF_EDISK);
    assert_int_equal(access(path, F_OK), -1);
    snprintf(path, sizeof path, "%s/data.mdb.new", rig->place->db);
    write_file(path, "half", 4);
    OK(store_rig_open(rig));
    assert_int_equal(store_matches(rig->store, 0), 1);
    assert_int_equal(access(path, F_OK), -1);
    store_rig_fini(rig);
}

static void the_database_is_found_again_from_another_directory(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    char before[4096];
    struct store_trap *trap = store_rig_trap(rig);
    assert_non_null(getcwd(before, sizeof before));
    assert_int_equal(chdir(rig->place->dir), 0);
    OK(sfi_dir_open(&rig->dir, "db", 0, sfi_lmdb_judge));
    struct sfi_lmdb_options options = store_rig_options(rig);
    OK(sfi_lmdb_open(rig->sys, "db", rig->dir.fd, &options, &rig->store));
    assert_int_equal(chdir(before), 0);
    OK(build_epoch(&rig->batch, 1));
    OK(sfi_store_submit(rig->store, &rig->batch));
    trap->point = "lmdb.commit.after";
    REFUSED(sfi_store_settle(rig->store, 1), SF_EDISK);
    assert_int_equal(sfi_store_settle(rig->store, 1), SFI_DURABLE);
    assert_int_equal(store_matches(rig->store, 1), 1);
    store_rig_fini(rig);
}

static void nothing_of_the_database_survives_an_exec(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    int ours = 0;
    NEEDS_PROC();
    OK(store_rig_open(rig));
    store_rig_settle_epoch(rig);
    for (int fd = 0; fd < 100; fd++) {
        char link[40], path[400];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t size = readlink(link, path, sizeof path - 1);
        path[size < 0 ? 0 : size] = 0;
        if (!strstr(path, rig->place->db))
            continue;
        ours++;
        assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    }
    assert_true(ours >= 5); /* directory, lock, data, synced data, LMDB's lock */
    store_rig_fini(rig);
}

/* A host may have many directories open: a refusal that does not say whose disk it is helps nobody. */
static void every_refusal_names_the_directory_and_what_was_done(void **state)
{
    char name[] = "/var/lib/a shop";
    struct sfi_db db = {.name = name, .dir_fd = -1};
    (void)state;
    for (int error = MDB_KEYEXIST; error <= MDB_LAST_ERRCODE; error++) {
        assert_true(sfi_db_error(&db, error, "commit to") < 0);
        SAYS("commit to '/var/lib/a shop': ");
    }
    for (int error = 1; error < 140; error++) {
        assert_true(sfi_db_error(&db, error, "commit to") < 0);
        SAYS("commit to '/var/lib/a shop': ");
    }
    assert_int_equal(sfi_db_error(&db, ENOSPC, "commit to"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "commit to '/var/lib/a shop': the disk is full");
}

static void each_of_lmdb_s_refusals_has_its_code(void **state)
{
    static const struct {
        int error, code;
        const char *says;
    } refusals[] = {{MDB_MAP_FULL, SF_EDISK, "store_bytes_max (12345 bytes)"},
                    {MDB_TXN_FULL, SF_EDISK, "too many pages"},
                    {MDB_PANIC, SF_EDISK, "must be opened anew"},
                    {MDB_READERS_FULL, SF_EAGAIN, "no more are possible"},
                    {MDB_INVALID, SF_EFOREIGN, "not a database of ours"},
                    {MDB_INCOMPATIBLE, SF_EFOREIGN, "not a database of ours"},
                    {MDB_VERSION_MISMATCH, SF_EFOREIGN, "another version of LMDB"},
                    {MDB_CORRUPTED, SF_ECORRUPT, "MDB_CORRUPTED"},
                    {ENOMEM, SF_ENOMEM, "out of memory"},
                    {EACCES, SF_EACCESS, "denied"}};
    char name[] = "shop";
    struct sfi_db db = {.name = name, .dir_fd = -1, .bytes_max = 12345};
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        REFUSED(sfi_db_error(&db, refusals[i].error, "commit to"), refusals[i].code);
        SAYS(refusals[i].says);
    }
}

/* -- as LMDB is asked for it ------------------------------------------------------------------------- */

static size_t rewritten; /* the most that was written at the front of a file */

static void opened_as_asked_for(const struct place *place, int relaxed)
{
    struct sfi_db db = {.sys = sfi_sys_default(), .relaxed = relaxed, .bytes_max = 1 << 20};
    struct stat info;
    unsigned flags = 0, readers = 0;
    MDB_envinfo env;
    uint64_t epoch = 1;
    mkdir(place->db, 0700);
    db.dir_fd = open(place->db, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rewritten = 0;
    OK(sfi_db_init(&db, place->db, &epoch));
    assert_int_equal(epoch, 0);
    assert_int_equal(rewritten, 2 * (size_t)sysconf(_SC_PAGESIZE)); /* both meta pages */
    assert_int_equal(mdb_env_get_flags(db.env, &flags), 0);
    assert_int_equal(flags & MDB_NOMETASYNC, relaxed ? MDB_NOMETASYNC : 0);
    assert_int_equal(flags & (MDB_NOSYNC | MDB_WRITEMAP | MDB_NOLOCK), 0);
    assert_int_equal(mdb_env_get_maxreaders(db.env, &readers), 0);
    assert_int_equal(readers, SF_VIEWS_MAX + 26);
    assert_int_equal(mdb_env_info(db.env, &env), 0);
    assert_int_equal(env.me_mapsize, 1 << 20);
    assert_int_equal(stat(place_path(place, "db/data.mdb"), &info), 0);
    assert_int_equal(db.file.inode, info.st_ino);
    assert_int_equal(stat(place_path(place, "db/lock.mdb"), &info), 0);
    assert_true(info.st_size >= 64 * (SF_VIEWS_MAX + 26));
    assert_true(info.st_blocks * 512 >= info.st_size); /* no hole that a full disk cannot fill */
    sfi_db_fini(&db);
    close(db.dir_fd);
}

static void a_database_is_opened_as_safe_as_it_was_asked_for(void **state)
{
    opened_as_asked_for(*state, 0);
    opened_as_asked_for(*state, 1);
    opened_as_asked_for(*state, 0);
}

/* -- syncs: of the file itself and of its name --------------------------------------------------------- */

static ino_t synced[16];
static int synced_count, sync_error;

/* Before the C library's, for our own. */
int fsync(int fd)
{
    struct stat info;
    if (fstat(fd, &info) == 0 && synced_count < 16)
        synced[synced_count++] = info.st_ino;
    return sync_error ? (errno = sync_error, -1) : fdatasync(fd);
}

static int syncs_of(const char *path)
{
    struct stat info;
    int count = 0;
    assert_int_equal(stat(path, &info), 0);
    for (int i = 0; i < synced_count; i++)
        count += synced[i] == info.st_ino;
    return count;
}

static void a_database_and_its_name_are_durable_once_it_is_open(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    synced_count = 0;
    OK(store_rig_open(rig));
    assert_int_equal(syncs_of(place_path(*state, "db/data.mdb")), 1);
    assert_true(syncs_of(place_path(*state, "db")) >= 1);
    store_rig_close(rig);
    synced_count = 0; /* whoever made it may have been killed before its name was safe */
    OK(store_rig_open(rig));
    assert_int_equal(syncs_of(place_path(*state, "db")), 1);
    store_rig_close(rig);
    sync_error = EIO;
    int rc = store_rig_open(rig);
    sync_error = 0;
    REFUSED(rc, SF_EDISK);
    trap->point = "lmdb.sync";
    REFUSED(store_rig_open(rig), SF_EDISK);
    OK(store_rig_open(rig));
    store_rig_fini(rig);
}

/* What could not be made leaves nothing, and what an earlier attempt left is removed. */
static void an_attempt_to_make_a_database_leaves_nothing(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    struct store_trap *trap = store_rig_trap(rig);
    trap->point = "lmdb.rename";
    REFUSED(store_rig_open(rig), SF_EDISK);
    assert_int_equal(access(place_path(*state, "db/data.mdb.new"), F_OK), -1);
    assert_int_equal(access(place_path(*state, "db/data.mdb"), F_OK), -1);
    write_file(place_path(*state, "db/data.mdb.new"), "x", 1);
    write_file(place_path(*state, "db/data.mdb.new-lock"), "x", 1);
    OK(store_rig_open(rig));
    assert_int_equal(access(place_path(*state, "db/data.mdb.new"), F_OK), -1);
    assert_int_equal(access(place_path(*state, "db/data.mdb.new-lock"), F_OK), -1);
    store_rig_fini(rig);
}

/* -- killed past the meta page, before lock.mdb has its number -------------------------------------- */

enum { META_BYTES_MIN = 64, META_BYTES_MAX = 200 };

#define SEEN __attribute__((visibility("default"))) /* by LMDB, before the C library's */

static int metas_left; /* meta pages that may still be written; at 0 this process ends; 0: any number */
static int good_metas; /* before: so many go well */
static int bad_metas;   /* 2: the next one is written and said to have failed; 1: it fails, and all before do */
static int writes_left; /* past those: so many writes, then this process ends; 0: any number */

static int is_meta(size_t size)
{
    return size >= META_BYTES_MIN && size <= META_BYTES_MAX;
}

static void count_write(void)
{
    if (bad_metas == 0 && writes_left && --writes_left == 0)
        kill(getpid(), SIGKILL);
}

static ssize_t fail_meta(int fd, const void *bytes, size_t size, off_t at)
{
    if (bad_metas-- == 2 && syscall(SYS_pwrite64, fd, bytes, size, at) < 0)
        abort();
    errno = EIO;
    return -1;
}

/* LMDB calls one of these two; nothing else in this program writes so few bytes with them. */
static ssize_t write_and_die(int fd, const void *bytes, size_t size, off_t at)
{
    if (bad_metas && is_meta(size) && good_metas && good_metas--)
        return syscall(SYS_pwrite64, fd, bytes, size, at);
    if (bad_metas && is_meta(size))
        return fail_meta(fd, bytes, size, at);
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, size, at);
    if (at == 0 && size > rewritten)
        rewritten = size;
    if (metas_left && is_meta(size) && --metas_left == 0)
        kill(getpid(), SIGKILL);
    count_write();
    return done;
}

SEEN ssize_t writev(int fd, const struct iovec *parts, int count)
{
    ssize_t done = syscall(SYS_writev, fd, parts, count);
    count_write();
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
    sf_run_until_idle(rt);
    return 2;
}

struct failing_meta {
    struct place *place;
    int metas, writes;
};

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
    OK(sf_run_until_idle(rt));
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
        OK(sf_run_until_idle(rt));
        uint64_t total = counter_stored(rt, "ada").total;
        OK(sf_runtime_close(rt));
        assert_true(total >= 2 + round && total <= 3 + 2 * round);
    }
    close(end);
    assert_int_equal(waitpid(reader, &status, 0), reader);
    assert_int_equal(status, 0);
}

/* The meta page of some transaction arrives, its write is said to have failed, and so is what LMDB writes then to
 * take it back.  Then it is killed past some write. */
static int live_past_a_meta_that_failed(void *arg)
{
    struct failing_meta *failing = arg;
    sf_runtime *rt =
        place_open_with(failing->place, &(sf_options)SF_OPTIONS(.commit_inline = 1, .log_records_max = 24));
    if (sf_register(rt, &counter_type, NULL) < 0)
        return 1;
    for (int i = 0; i < 5; i++)
        if (counter_add(rt, "ada", 1) < 0 || sf_run_until_idle(rt) < 0)
            return 2;
    good_metas = failing->metas;
    bad_metas = 2;
    writes_left = failing->writes;
    for (int i = 0; i < 30; i++) {
        struct timespec pause = {0, 12 * 1000000};
        char id[8];
        for (int j = 0; j < 40; j++) {
            snprintf(id, sizeof id, "%d", (i * 7 + j) % 60);
            if (i % 3)
                counter_add(rt, id, 1);
        }
        counter_add(rt, "ada", 1);
        (void)!sf_run_until_idle(rt);
        if (i % 2)
            nanosleep(&pause, NULL);
    }
    if (bad_metas)
        return 3;
    return sf_runtime_close(rt) < 0 ? 4 : 0;
}

static void expect_sound(const struct place *place)
{
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    OK(counter_add(rt, "ada", 1));
    OK(sf_run_until_idle(rt));
    assert_in_range(counter_stored(rt, "ada").total, 1 + 5 + 1, 1 + 5 + 30 + 1);
    OK(sf_runtime_close(rt));
    assert_int_equal(sf_verify(place->db, NULL, NULL), 0);
}

/* LMDB goes by the number in lock.mdb, and would write over the pages of the one that arrived. */
static void a_meta_page_that_could_not_be_taken_back_is_no_damage(void **state)
{
    struct place *place = *state;
    int end, status;
    for (int metas = 1; metas <= 10; metas++)
        for (int writes = 2; writes <= 4; writes++) {
            struct failing_meta failing = {place, metas, writes};
            snprintf(place->db, sizeof place->db, "%.200s/%d-%d", place->dir, metas, writes);
            made_with_a_counter(place);
            pid_t reader = start_reader(place, &end);
            int rc = in_child(live_past_a_meta_that_failed, &failing);
            assert_true(rc == 0 || rc == -SIGKILL);
            expect_sound(place);
            close(end);
            assert_int_equal(waitpid(reader, &status, 0), reader);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(a_database_of_a_newer_format_is_refused),
        RIG_TEST(a_database_from_before_the_first_release_is_refused),
        RIG_TEST(a_database_of_another_program_is_refused),
        RIG_TEST(a_damaged_format_record_is_refused),
        RIG_TEST(a_half_made_database_is_made_again),
        RIG_TEST(the_database_is_found_again_from_another_directory),
        RIG_TEST(nothing_of_the_database_survives_an_exec),
        cmocka_unit_test(every_refusal_names_the_directory_and_what_was_done),
        cmocka_unit_test(each_of_lmdb_s_refusals_has_its_code),
        TEST(a_database_is_opened_as_safe_as_it_was_asked_for),
        RIG_TEST(a_database_and_its_name_are_durable_once_it_is_open),
        RIG_TEST(an_attempt_to_make_a_database_leaves_nothing),
        TEST(a_kill_beside_another_reader_is_no_damage),
        TEST(a_meta_page_that_could_not_be_taken_back_is_no_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
