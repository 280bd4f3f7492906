/* test_disk.c - what a disk's refusal means. */
#define _GNU_SOURCE /* unshare() */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "dir/disk.h"
#include "support/store_rig.h"

/* What the child found, as its exit status. */
enum {
    FULL_FINE,
    FULL_NEVER,
    FULL_CODE,
    FULL_SENTENCE,
    FULL_NOT_AFTER,
    FULL_LOST,
    FULL_SKIPPED = 77
};

static int write_ballast(const char *path, size_t bytes)
{
    static const char zeroes[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    for (size_t done = 0; fd >= 0 && done < bytes; done += sizeof zeroes)
        if (write(fd, zeroes, sizeof zeroes) <= 0)
            break;
    return fd < 0 ? -1 : close(fd);
}

static int fill_the_disk(void *arg)
{
    struct store_rig *rig = arg;
    const char *ballast = place_path(rig->place, "db/ballast");
    int rc = SFI_DURABLE;
    mkdir(rig->place->db, 0700);
    if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
        mount("none", rig->place->db, "tmpfs", 0, "size=2m,mode=0700"))
        return FULL_SKIPPED;
    if (store_rig_open(rig) < 0 || write_ballast(ballast, (2 << 20) - (150 << 10)) < 0)
        return FULL_NEVER;
    while (rc == SFI_DURABLE && rig->store->durable < 1000) {
        if (build_epoch(&rig->batch, rig->store->durable + 1) < 0 ||
            sfi_store_submit(rig->store, &rig->batch) < 0)
            return FULL_NEVER;
        rc = sfi_store_settle(rig->store, 1);
    }
    if (rc != SF_EDISK)
        return rc < 0 ? FULL_CODE : FULL_NEVER;
    if (!strstr(sf_errmsg(), "the disk is full"))
        return FULL_SENTENCE;
    if (sfi_store_settle(rig->store, 1) != SF_EDISK || sfi_store_settle(rig->store, 1) != SF_EDISK)
        return FULL_CODE;
    unlink(ballast);
    uint64_t epoch = rig->batch.epoch;
    if (sfi_store_settle(rig->store, 1) != SFI_DURABLE || rig->store->durable != epoch)
        return FULL_NOT_AFTER;
    if (store_matches(rig->store, epoch) != 1)
        return FULL_LOST;
    store_rig_close(rig);
    if (store_rig_open(rig) < 0)
        return FULL_LOST;
    return store_matches(rig->store, epoch) == 1 ? FULL_FINE : FULL_LOST;
}

/* R8, on a real file system of 2 MiB. */
static void a_full_disk_stalls_until_there_is_room(void **state)
{
    struct store_rig *rig = store_rig_new(*state, DISK);
    int result = in_child(fill_the_disk, rig);
    if (result == FULL_SKIPPED)
        SKIP("not allowed to mount here");
    assert_int_equal(result, FULL_FINE);
    store_rig_fini(rig);
}

static void each_refusal_has_its_code(void **state)
{
    static const struct {
        int error, code;
        const char *says;
    } refusals[] = {
        {EMFILE, SF_ENOMEM, "file descriptors"}, {ENFILE, SF_ENOMEM, "file descriptors"},
        {ENOMEM, SF_ENOMEM, "out of memory"},    {EACCES, SF_EACCESS, "denied"},
        {EPERM, SF_EACCESS, "not permitted"},    {EROFS, SF_EACCESS, "Read-only"},
        {ENOSPC, SF_EDISK, "the disk is full"},  {EDQUOT, SF_EDISK, "the disk is full"},
        {EIO, SF_EDISK, "error"},                {ENXIO, SF_EDISK, "such device"}};
    struct place *place = *state;
    int fd = open(place->dir, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        REFUSED(sfi_disk_error(fd, refusals[i].error, "think"), refusals[i].code);
        SAYS("think: ");
        if (refusals[i].error != EIO) /* there may be less than a MiB free */
            SAYS(refusals[i].says);
    }
    close(fd);
}

static uint64_t free_bytes = UINT64_MAX; /* UINT64_MAX: what there is */

/* Before the C library's, for our own. */
int fstatvfs(int fd, struct statvfs *out)
{
    struct statfs disk = {0};
    int rc = (int)syscall(SYS_fstatfs, fd, &disk);
    memset(out, 0, sizeof *out);
    out->f_frsize = free_bytes == UINT64_MAX ? (unsigned long)disk.f_bsize : 1;
    out->f_bavail = free_bytes == UINT64_MAX ? disk.f_bavail : free_bytes;
    return rc;
}

/* A full disk cuts a write short, and LMDB says then that the disk is broken. */
static void an_error_of_a_disk_with_less_than_a_mib_free_is_a_full_disk(void **state)
{
    int fd = open(((const struct place *)*state)->dir, O_RDONLY | O_CLOEXEC);
    free_bytes = (1 << 20) - 1;
    REFUSED(sfi_disk_error(fd, EIO, "think"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "think: the disk is full");
    free_bytes = 1 << 20;
    REFUSED(sfi_disk_error(fd, EIO, "think"), SF_EDISK);
    assert_string_equal(sf_errmsg(), "think: Input/output error");
    free_bytes = UINT64_MAX;
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(each_refusal_has_its_code),
        RIG_TEST(an_error_of_a_disk_with_less_than_a_mib_free_is_a_full_disk),
        RIG_TEST(a_full_disk_stalls_until_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
