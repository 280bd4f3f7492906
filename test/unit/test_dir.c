/* test_dir.c - which directories are taken, which are refused and left alone, and who has the
 * lock. */
#define _GNU_SOURCE
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <pthread.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dir/dir.h"
#include "lmdb/store.h"
#include "support/support.h"

/* -- the machine, before the C library's for our own --------------------------------------------- */

static struct {
    int flock_interruptions, syncs_of_disk, sync_error, open_error;
    long file_system; /* 0: what it is */
    const char *planted; /* made while the directory is listed */
    int hides_parent;
} machine;

int flock(int fd, int operation)
{
    if (machine.flock_interruptions && machine.flock_interruptions--)
        return errno = EINTR, -1;
    return (int)syscall(SYS_flock, fd, operation);
}

int fstatfs(int fd, struct statfs *out)
{
    int rc = (int)syscall(SYS_fstatfs, fd, out);
    if (machine.file_system)
        out->f_type = machine.file_system;
    return rc;
}

int syncfs(int fd)
{
    (void)fd;
    machine.syncs_of_disk++;
    return machine.sync_error ? (errno = machine.sync_error, -1) : 0;
}

int openat(int dir_fd, const char *path, int flags, ...)
{
    if (machine.planted && strcmp(path, ".") == 0)
        write_file(machine.planted, "not a database at all", 21);
    if (machine.hides_parent && strcmp(path, "..") == 0)
        return errno = EACCES, -1;
    if (machine.open_error && strcmp(path, "lock") == 0)
        return errno = machine.open_error, -1;
    return (int)syscall(SYS_openat, dir_fd, path, flags, 0600);
}

static int open_descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void made(const char *path, mode_t mode)
{
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(chmod(path, mode), 0);
}

static int is_there(const struct place *place, const char *name)
{
    char path[400];
    struct stat info;
    snprintf(path, sizeof path, "%s/%s", place->db, name);
    return lstat(path, &info) == 0;
}

/* -- taken ------------------------------------------------------------------------------------- */

static void a_missing_directory_is_made_for_its_owner_alone(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    struct stat info;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    assert_int_equal(stat(place->db, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    assert_true(dir.fd >= 0);
    assert_int_equal(fcntl(dir.fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fcntl(dir.lock_fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(dir.pid, getpid());
    assert_false(sfi_dir_forked(&dir));
    sfi_dir_close(&dir);
    sfi_dir_close(&dir);
    sfi_dir_close(NULL);
}

/* Whose entries were synced, newest last. */
static ino_t synced[16];
static int synced_count;

/* Before the C library's, for our own. */
int fsync(int fd)
{
    struct stat info;
    if (fstat(fd, &info) == 0 && synced_count < 16)
        synced[synced_count++] = info.st_ino;
    return machine.sync_error ? (errno = machine.sync_error, -1) : fdatasync(fd);
}

/* Or the directory may be gone after a power cut, with all that was told to be in it. */
static void a_new_directory_s_name_is_made_durable(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    struct stat parent;
    int parents = 0;
    assert_int_equal(stat(place->dir, &parent), 0);
    synced_count = 0;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    for (int i = 0; i < synced_count; i++)
        parents += synced[i] == parent.st_ino;
    assert_int_equal(parents, 1);
    sfi_dir_close(&dir);
}

static void leftovers_of_our_own_are_no_hindrance(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    made(place->db, 0700);
    write_file(place_path(place, "db/data.mdb.new"), "x", 1);
    write_file(place_path(place, "db/data.mdb.new-lock"), "x", 1);
    assert_int_equal(mkdir(place_path(place, "db/lost+found"), 0700), 0);
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    sfi_dir_close(&dir);
}

/* -- refused ----------------------------------------------------------------------------------- */

static void refused(const char *path, int must_exist, int code, const char *part)
{
    struct sfi_dir dir;
    int before = open_descriptors();
    REFUSED(sfi_dir_open(&dir, path, must_exist, sfi_lmdb_judge), code);
    SAYS(part);
    assert_int_equal(open_descriptors(), before);
    sfi_dir_close(&dir); /* needs none, forgives one */
}

/* LMDB's table of readers is made after the database; without it, it has been lost. */
static void a_directory_whose_database_is_gone_is_refused(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    write_file(place_path(place, "db/lock.mdb"), "x", 1);
    refused(place->db, 0, SF_ECORRUPT, "gone");
}

static void a_name_without_sense_is_refused(void **state)
{
    char longest[5000];
    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = 0;
    refused("", 0, SF_EINVAL, "no name");
    refused(NULL, 0, SF_EINVAL, "no name");
    refused(longest, 0, SF_EINVAL, "bytes");
    longest[4096] = 0;
    refused(longest, 0, SF_EINVAL, "has 4096 bytes, at most 4095");
}

static void a_missing_parent_is_refused(void **state)
{
    refused(place_path(*state, "no/db"), 0, SF_ENOTFOUND, "above it");
    assert_int_equal(access(place_path(*state, "no"), F_OK), -1);
}

static void what_must_exist_is_not_made(void **state)
{
    const struct place *place = *state;
    refused(place->db, 1, SF_ENOTFOUND, "does not exist");
    assert_int_equal(access(place->db, F_OK), -1);
    made(place->db, 0700);
    refused(place->db, 1, SF_ENOTFOUND, "no database");
    assert_false(is_there(place, "lock"));
}

static void a_file_is_refused(void **state)
{
    const struct place *place = *state;
    write_file(place->db, "x", 1);
    refused(place->db, 0, SF_EINVAL, "not a directory");
    refused(place_path(place, "db/"), 0, SF_EINVAL, "not a directory");
}

static void a_symbolic_link_is_refused_also_with_a_slash(void **state)
{
    const struct place *place = *state;
    made(place_path(place, "real"), 0700);
    assert_int_equal(symlink("real", place->db), 0);
    refused(place->db, 0, SF_EACCESS, "symbolic link");
    refused(place_path(place, "db///"), 0, SF_EACCESS, "symbolic link");
    assert_int_equal(access(place_path(place, "real/lock"), F_OK), -1);
}

static void a_directory_that_others_may_write_is_refused(void **state)
{
    const struct place *place = *state;
    made(place->db, 0770);
    refused(place->db, 0, SF_EACCESS, "chmod go-w");
    assert_int_equal(chmod(place->db, 0702), 0);
    refused(place->db, 0, SF_EACCESS, "chmod go-w");
    assert_false(is_there(place, "lock"));
}

static void a_read_only_directory_is_refused(void **state)
{
    const struct place *place = *state;
    made(place->db, 0500);
    refused(place->db, 0, SF_EACCESS, "may not write");
    assert_false(is_there(place, "lock"));
}

static void a_directory_of_another_user_is_refused(void **state)
{
    const struct place *place = *state;
    if (geteuid() != 0)
        SKIP("only root can give a directory to another user");
    made(place->db, 0700);
    assert_int_equal(chown(place->db, 12345, 12345), 0);
    refused(place->db, 0, SF_EACCESS, "belongs to user 12345");
    assert_false(is_there(place, "lock"));
}

static int refuses_read_only_file_system(void *arg)
{
    const struct place *place = arg;
    struct sfi_dir dir;
    if (mount("none", place->db, "tmpfs", MS_RDONLY, "mode=0700"))
        return 77;
    int rc = sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge);
    umount(place->db);
    return rc == SF_EACCESS && strstr(sf_errmsg(), "cannot be written") ? 0 : 1;
}

static void a_read_only_file_system_is_refused(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    int result = in_child(refuses_read_only_file_system, *state);
    if (result == 77)
        SKIP("not allowed to mount here");
    assert_int_equal(result, 0);
}

static void a_directory_of_other_things_is_refused_and_left_alone(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    write_file(place_path(place, "db/letter.txt"), "dear", 4);
    refused(place->db, 0, SF_EFOREIGN, "letter.txt");
    assert_false(is_there(place, "lock"));
}

static void a_foreign_data_file_is_refused_and_left_alone(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    write_file(place_path(place, "db/data.mdb"), "not a database at all", 21);
    refused(place->db, 0, SF_EFOREIGN, "data.mdb");
    refused(place->db, 1, SF_EFOREIGN, "data.mdb");
    assert_false(is_there(place, "lock"));
}

static void a_planted_lock_is_not_followed(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    assert_int_equal(symlink("../victim", place_path(place, "db/lock")), 0);
    refused(place->db, 0, SF_EACCESS, "symbolic link");
    assert_int_equal(access(place_path(place, "victim"), F_OK), -1);
}

/* Locks and mapped files of remote file systems do not keep their promises. */
static void a_remote_file_system_is_refused(void **state)
{
    static const struct {
        long magic;
        const char *says;
    } remote[] = {{0x6969, "(NFS)"},     {0x517B, "(SMB)"},      {0xFF534D42, "(CIFS)"},
                  {0xFE534D42, "(SMB2)"}, {0x5346414F, "(AFS)"}, {0x73757245, "(Coda)"}};
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        machine.file_system = remote[i].magic;
        refused(((const struct place *)*state)->db, 0, SF_EACCESS, remote[i].says);
    }
}

/* Between the look for a database and the look for other things somebody may make one: that one counts. */
static void a_database_made_meanwhile_is_judged(void **state)
{
    const struct place *place = *state;
    made(place->db, 0700);
    machine.planted = place_path(place, "db/data.mdb");
    refused(place->db, 0, SF_EFOREIGN, "data.mdb is");
}

static void a_name_that_cannot_be_made_durable_is_refused(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    machine.sync_error = EIO;
    refused(place->db, 0, SF_EDISK, "name durable");
    machine.hides_parent = 1; /* then all of the disk is synced */
    refused(place->db, 0, SF_EDISK, "name durable");
    machine.sync_error = 0;
    machine.syncs_of_disk = 0;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    assert_int_equal(machine.syncs_of_disk, 1);
    sfi_dir_close(&dir);
}

static void a_lock_that_cannot_be_made_says_why(void **state)
{
    machine.open_error = ENFILE;
    refused(((const struct place *)*state)->db, 0, SF_ENOMEM, "file descriptors");
    machine.open_error = ENOSPC;
    refused(((const struct place *)*state)->db, 0, SF_EDISK, "open its file 'lock'");
}

/* -- the lock ---------------------------------------------------------------------------------- */

static void a_second_open_in_the_process_is_refused(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    refused(place->db, 0, SF_ELOCKED, "in this process");
    assert_int_equal(rename(place->db, place_path(place, "moved")), 0);
    /* by what it is, not by name */
    refused(place_path(place, "moved"), 0, SF_ELOCKED, "in this process");
    assert_int_equal(rename(place_path(place, "moved"), place->db), 0);
    flock(dir.lock_fd, LOCK_UN); /* as on a file system that forgets locks */
    refused(place->db, 0, SF_ELOCKED, "in this process");
    sfi_dir_close(&dir);
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    sfi_dir_close(&dir);
}

static int is_locked_by_another(void *arg)
{
    const struct place *place = arg;
    struct sfi_dir dir;
    int rc = sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge);
    return rc == SF_ELOCKED && strstr(sf_errmsg(), "another process") ? 0 : 1;
}

static void a_second_open_in_another_process_is_refused(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    /* The child is a process of its own here: its list is empty and it has no lock. */
    assert_int_equal(in_child(is_locked_by_another, *state), 0);
    sfi_dir_close(&dir);
    assert_int_equal(in_child(is_locked_by_another, *state), 1);
}

static void a_lock_is_asked_for_again_after_a_signal(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    machine.flock_interruptions = 3;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    assert_int_equal(machine.flock_interruptions, 0);
    assert_int_equal(in_child(is_locked_by_another, *state), 0);
    sfi_dir_close(&dir);
}

static void the_lock_is_its_owner_s_alone(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    struct stat info;
    mode_t before = umask(0);
    int rc = sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge);
    umask(before);
    OK(rc);
    assert_int_equal(stat(place_path(place, "db/lock"), &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    sfi_dir_close(&dir);
}

static void what_is_looked_into_is_locked_meanwhile(void **state)
{
    const struct place *place = *state;
    const struct sfi_dir *here;
    struct sfi_dir dir, other;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    REFUSED(sfi_dir_inspect(&other, place->db, &here), SF_ENOTFOUND);
    SAYS("no database");
    write_file(place_path(place, "db/data.mdb"), "not a database at all", 21);
    assert_int_equal(sfi_dir_inspect(&other, place->db, &here), 0);
    assert_ptr_equal(here, &dir);
    sfi_dir_close(&other);
    sfi_dir_close(&dir);
    int before = open_descriptors();
    assert_int_equal(sfi_dir_inspect(&dir, place->db, &here), 0);
    assert_null(here);
    assert_int_equal(in_child(is_locked_by_another, *state), 0);
    REFUSED(sfi_dir_inspect(&other, place->db, &here), SF_ELOCKED);
    SAYS("looked into");
    sfi_dir_close(&dir);
    assert_int_equal(open_descriptors(), before);
}

struct opener {
    char path[400], looked_into[400];
    int failures;
};

static void *open_and_close(void *arg)
{
    struct opener *opener = arg;
    struct sfi_dir dir;
    for (int i = 0; i < 100; i++) {
        opener->failures += sfi_dir_open(&dir, opener->path, 0, sfi_lmdb_judge) < 0;
        sfi_dir_close(&dir);
        const struct sfi_dir *here; /* and what is only looked into */
        opener->failures += sfi_dir_inspect(&dir, opener->looked_into, &here) != 0;
        sfi_dir_close(&dir);
    }
    return NULL;
}

/* One list for all of them. */
static void threads_open_and_close_directories_side_by_side(void **state)
{
    struct opener openers[3] = {0};
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        snprintf(openers[i].path, sizeof openers[i].path, "%s/db%d",
                 ((const struct place *)*state)->dir, i);
        snprintf(openers[i].looked_into, sizeof openers[i].looked_into, "%s/look%d",
                 ((const struct place *)*state)->dir, i);
        made(openers[i].looked_into, 0700);
        char data[420];
        snprintf(data, sizeof data, "%s/data.mdb", openers[i].looked_into);
        write_file(data, "x", 1);
        assert_int_equal(pthread_create(&threads[i], NULL, open_and_close, &openers[i]), 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(openers[i].failures, 0);
    }
}

/* Whoever holds the lock may be writing: what is in the file then says nothing. */
static void what_another_process_has_locked_is_not_judged(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    write_file(place_path(place, "db/data.mdb"), "not a database at all", 21);
    assert_int_equal(in_child(is_locked_by_another, *state), 0);
    sfi_dir_close(&dir);
    refused(place->db, 0, SF_EFOREIGN, "data.mdb");
    int fd = open(place_path(place, "db/lock"), O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0); /* and a refusal keeps no lock */
    close(fd);
}

static int knows_it_was_forked(void *arg)
{
    struct sfi_dir *dir = arg;
    int knows = sfi_dir_forked(dir) && dir->lock_fd < 0;
    sfi_dir_close(dir);
    return knows ? 0 : 1;
}

static void a_forked_child_knows_and_does_not_disturb_the_parent(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dir;
    OK(sfi_dir_open(&dir, place->db, 0, sfi_lmdb_judge));
    assert_int_equal(in_child(knows_it_was_forked, &dir), 0);
    assert_false(sfi_dir_forked(&dir));
    assert_int_equal(in_child(is_locked_by_another, *state), 0);
    sfi_dir_close(&dir);
}

struct family {
    const struct place *place;
    int pipe[2];  /* closed when the test ends */
    int alive[2]; /* written when the orphan is there, its fork complete */
};

/* Opens, leaves behind a child that lives on, and dies without closing. */
static int leave_an_orphan(void *arg)
{
    struct family *family = arg;
    struct sfi_dir dir;
    if (sfi_dir_open(&dir, family->place->db, 0, sfi_lmdb_judge) < 0)
        return 1;
    char byte;
    if (fork() == 0) {
        close(family->pipe[1]);
        if (write(family->alive[1], "", 1) != 1)
            _exit(1);
        _exit(read(family->pipe[0], &byte, 1) != 0); /* until the test ends */
    }
    return read(family->alive[0], &byte, 1) == 1 ? 0 : 1;
}

static void a_surviving_child_does_not_keep_the_lock(void **state)
{
    struct family family = {.place = *state};
    struct sfi_dir dir;
    assert_int_equal(pipe(family.pipe), 0);
    assert_int_equal(pipe(family.alive), 0);
    assert_int_equal(in_child(leave_an_orphan, &family), 0);
    OK(sfi_dir_open(&dir, family.place->db, 0, sfi_lmdb_judge));
    sfi_dir_close(&dir);
    close(family.pipe[0]);
    close(family.pipe[1]);
    close(family.alive[0]);
    close(family.alive[1]);
}

static void several_directories_may_be_open(void **state)
{
    const struct place *place = *state;
    struct sfi_dir dirs[5];
    char name[] = "db0";
    for (int i = 0; i < 5; i++) {
        name[2] = (char)('0' + i);
        OK(sfi_dir_open(&dirs[i], place_path(place, name), 0, sfi_lmdb_judge));
    }
    sfi_dir_close(&dirs[2]);
    refused(place_path(place, "db1"), 0, SF_ELOCKED, "in this process");
    refused(place_path(place, "db3"), 0, SF_ELOCKED, "in this process");
    OK(sfi_dir_open(&dirs[2], place_path(place, "db2"), 0, sfi_lmdb_judge));
    for (int i = 0; i < 5; i++)
        sfi_dir_close(&dirs[i]);
}

static int teardown(void **state)
{
    memset(&machine, 0, sizeof machine);
    return place_teardown(state);
}

#define MACHINE_TEST(name) cmocka_unit_test_setup_teardown(name, place_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_directory_is_made_for_its_owner_alone),
        TEST(a_new_directory_s_name_is_made_durable),
        TEST(leftovers_of_our_own_are_no_hindrance),
        TEST(a_directory_whose_database_is_gone_is_refused),
        TEST(a_name_without_sense_is_refused),
        TEST(a_missing_parent_is_refused),
        TEST(what_must_exist_is_not_made),
        TEST(a_file_is_refused),
        TEST(a_symbolic_link_is_refused_also_with_a_slash),
        TEST(a_directory_that_others_may_write_is_refused),
        TEST(a_read_only_directory_is_refused),
        TEST(a_directory_of_another_user_is_refused),
        TEST(a_read_only_file_system_is_refused),
        TEST(a_directory_of_other_things_is_refused_and_left_alone),
        TEST(a_foreign_data_file_is_refused_and_left_alone),
        TEST(a_planted_lock_is_not_followed),
        TEST(a_second_open_in_the_process_is_refused),
        TEST(a_second_open_in_another_process_is_refused),
        TEST(what_another_process_has_locked_is_not_judged),
        TEST(a_forked_child_knows_and_does_not_disturb_the_parent),
        TEST(a_surviving_child_does_not_keep_the_lock),
        TEST(several_directories_may_be_open),
        MACHINE_TEST(a_remote_file_system_is_refused),
        MACHINE_TEST(a_database_made_meanwhile_is_judged),
        MACHINE_TEST(a_name_that_cannot_be_made_durable_is_refused),
        MACHINE_TEST(a_lock_that_cannot_be_made_says_why),
        MACHINE_TEST(a_lock_is_asked_for_again_after_a_signal),
        TEST(the_lock_is_its_owner_s_alone),
        TEST(what_is_looked_into_is_locked_meanwhile),
        TEST(threads_open_and_close_directories_side_by_side),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
