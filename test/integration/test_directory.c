/* test_directory.c - directories that are missing, somebody else's, in use, damaged, read-only,
 * full.
 *
 * Each is refused with its own code and a sentence, and nothing in it changes.  Mounts are made in
 * a name space of this program's own, and skipped where that is not allowed. */
#define _GNU_SOURCE
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

/* -- what a directory holds -------------------------------------------------------------------- */

struct listing {
    int count; /* -1: there is no such directory */
    struct {
        char name[256];
        mode_t mode;
        off_t size;
        struct timespec changed;
        uint64_t sum; /* of the bytes, where they are read */
    } files[16];
};

/* In whose hands the directory is while it is listed. */
enum owner {
    NOBODY,  /* every byte is read */
    OURS,    /* lock.mdb is not: closing it would drop the locks that this process has on it */
    WRITING, /* bytes come and go, names and sizes stay */
};

static uint64_t sum_of_file(int dir_fd, const char *name)
{
    unsigned char bytes[4096];
    uint64_t sum = 14695981039346656037u;
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
        for (ssize_t i = 0; i < n; i++)
            sum = (sum ^ bytes[i]) * 1099511628211u;
    close(fd);
    return sum;
}

static struct listing list(const char *path, enum owner owner)
{
    struct listing listing;
    struct dirent **entries;
    memset(&listing, 0, sizeof listing); /* compared by its bytes */
    listing.count = -1;
    int count = scandir(path, &entries, NULL, alphasort);
    int dir_fd = count < 0 ? -1 : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int i = 0; i < count; i++) {
        struct stat info;
        assert_true(i < 16);
        snprintf(listing.files[i].name, sizeof listing.files[i].name, "%s", entries[i]->d_name);
        assert_int_equal(fstatat(dir_fd, entries[i]->d_name, &info, AT_SYMLINK_NOFOLLOW), 0);
        listing.files[i].mode = info.st_mode;
        listing.files[i].size = info.st_size;
        if (owner != WRITING && strcmp(entries[i]->d_name, "..") != 0)
            listing.files[i].changed = info.st_mtim;
        if (S_ISREG(info.st_mode) &&
            (owner == NOBODY || (owner == OURS && strcmp(entries[i]->d_name, "lock.mdb") != 0)))
            listing.files[i].sum = sum_of_file(dir_fd, entries[i]->d_name);
        free(entries[i]);
    }
    if (count >= 0) {
        listing.count = count;
        free(entries);
        close(dir_fd);
    }
    return listing;
}

static void same_listing(const struct listing *before, const struct listing *after)
{
    for (int i = 0; i < before->count && i < after->count; i++)
        if (memcmp(&before->files[i], &after->files[i], sizeof before->files[i]) != 0)
            fail_msg("'%s' of %lld bytes became '%s' of %lld bytes, or others",
                     before->files[i].name, (long long)before->files[i].size,
                     after->files[i].name, (long long)after->files[i].size);
    assert_int_equal(before->count, after->count);
}

/* The code of a refusal that changed nothing in the directory. */
static int refusal(const char *path, const sf_options *options, enum owner owner)
{
    sf_runtime *rt = NULL;
    struct listing before = list(path, owner);
    int rc = sf_runtime_open(path, options ? options : defaults(), &rt);
    struct listing after = list(path, owner);
    assert_null(rt);
    same_listing(&before, &after);
    return rc;
}

static void expect_refusal(const char *path, const sf_options *options, int code)
{
    REFUSED(refusal(path, options, code == SF_ELOCKED ? OURS : NOBODY), code);
    SAYS(path); /* names what it is about */
}

static void fill(const struct place *place, uint64_t messages)
{
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    for (uint64_t i = 0; i < messages; i++) {
        char id[16];
        snprintf(id, sizeof id, "%d", (int)(i % 3000));
        counter_add(rt, id, 1);
    }
    drive_until_quiet(rt);
    OK(sf_runtime_close(rt));
}

static uint64_t sum_of(sf_runtime *rt)
{
    sf_view *view = NULL;
    uint64_t sum = 0;
    OK(sf_view_open(rt, &view));
    sf_cursor *cursor = sf_view_actors(view, "test/counter");
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        sum += ((const struct counter *)entry->value.data)->total;
    OK(sf_cursor_error(cursor));
    sf_view_close(view);
    return sum;
}

/* -- missing, wrong, in use -------------------------------------------------------------------- */

static void a_missing_directory_is_made_unless_it_must_exist(void **state)
{
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.must_exist = 1);
    expect_refusal(place->db, &options, SF_ENOTFOUND);
    assert_int_equal(access(place->db, F_OK), -1);
    assert_int_equal(mkdir(place->db, 0700), 0);
    expect_refusal(place->db, &options, SF_ENOTFOUND); /* empty is no database either */
    assert_int_equal(rmdir(place->db), 0); /* and stayed empty */
    fill(place, 1);
    struct stat info;
    assert_int_equal(stat(place->db, &info), 0);
    assert_int_equal(info.st_mode & 077, 0);
    OK(sf_runtime_close(place_open_with(place, &options)));
    expect_refusal(place_path(place, "no/parents/here"), NULL, SF_ENOTFOUND);
    assert_int_equal(access(place_path(place, "no"), F_OK), -1);
}

static void an_empty_directory_is_filled(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->db, 0700), 0);
    fill(place, 1);
    fill(place, 1);
}

static void a_file_is_not_a_directory(void **state)
{
    struct place *place = *state;
    write_file(place->db, "text", 4);
    expect_refusal(place->db, NULL, SF_EINVAL);
    sf_runtime *rt = NULL;
    assert_true(sf_runtime_open(place_path(place, "db/below"), defaults(), &rt) < 0);
    struct stat info;
    assert_int_equal(stat(place->db, &info), 0);
    assert_int_equal(info.st_size, 4);
}

static void a_symbolic_link_is_not_followed(void **state)
{
    struct place *place = *state;
    const char *link = place_path(place, "link"), *dangling = place_path(place, "dangling");
    fill(place, 1);
    assert_int_equal(symlink(place->db, link), 0);
    assert_int_equal(symlink(place_path(place, "nowhere"), dangling), 0);
    expect_refusal(link, NULL, SF_EACCESS);
    expect_refusal(dangling, NULL, SF_EACCESS);
    assert_int_equal(access(place_path(place, "nowhere"), F_OK), -1);
}

static void a_data_file_that_is_a_link_is_not_followed(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->db, 0700), 0);
    write_file(place_path(place, "victim"), "precious", 8);
    assert_int_equal(symlink(place_path(place, "victim"), place_path(place, "db/data.mdb")), 0);
    expect_refusal(place->db, NULL, SF_EACCESS);
    struct stat info;
    assert_int_equal(stat(place_path(place, "victim"), &info), 0);
    assert_int_equal(info.st_size, 8);
}

static void others_may_not_have_write_permission(void **state)
{
    struct place *place = *state;
    fill(place, 1);
    assert_int_equal(chmod(place->db, 0777), 0);
    expect_refusal(place->db, NULL, SF_EACCESS);
    assert_int_equal(chmod(place->db, 0770), 0);
    expect_refusal(place->db, NULL, SF_EACCESS);
    assert_int_equal(chmod(place->db, 0500), 0);
    expect_refusal(place->db, NULL, SF_EACCESS);
    assert_int_equal(chmod(place->db, 0700), 0);
    fill(place, 1);
}

static int open_elsewhere(void *arg)
{
    struct place *place = arg;
    sf_runtime *rt = NULL;
    return -sf_runtime_open(place->db, defaults(), &rt);
}

static void a_second_open_is_refused_by_any_path_and_process(void **state)
{
    struct place *place = *state;
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    for (int i = 0; i < 2; i++) {
        expect_refusal(place->db, NULL, SF_ELOCKED);
        expect_refusal(place_path(place, "./db/"), NULL, SF_ELOCKED);
        expect_refusal(place_path(place, "db/../db/."), NULL, SF_ELOCKED);
        assert_int_equal(in_child(open_elsewhere, place), -SF_ELOCKED);
        counter_add(rt, "a", 1); /* the first goes on */
        drive_until_quiet(rt);
    }
    assert_int_equal(counter_stored(rt, "a").total, 2);
    OK(sf_runtime_close(rt));
    assert_int_equal(in_child(open_elsewhere, place), 0);
    fill(place, 1); /* who died without closing left no lock */
}

static void two_directories_may_be_open_at_once(void **state)
{
    struct place *place = *state, other = *place;
    snprintf(other.db, sizeof other.db, "%.280s/other", place->dir);
    sf_runtime *one = place_open(place), *two = place_open(&other);
    OK(sf_register(one, &counter_type, NULL));
    OK(sf_register(two, &counter_type, NULL));
    counter_add(one, "a", 1);
    counter_add(two, "a", 2);
    drive_until_quiet(one);
    drive_until_quiet(two);
    assert_int_equal(counter_stored(one, "a").total, 1);
    assert_int_equal(counter_stored(two, "a").total, 2);
    OK(sf_runtime_close(one));
    counter_add(two, "a", 2);
    drive_until_quiet(two);
    assert_int_equal(counter_stored(two, "a").total, 4);
    OK(sf_runtime_close(two));
}

/* -- somebody else's --------------------------------------------------------------------------- */

static void a_directory_with_other_files_is_not_touched(void **state)
{
    struct place *place = *state;
    assert_int_equal(mkdir(place->db, 0700), 0);
    write_file(place_path(place, "db/thesis.txt"), "draft", 5);
    expect_refusal(place->db, NULL, SF_EFOREIGN);
    SAYS("thesis.txt");
    assert_int_equal(unlink(place_path(place, "db/thesis.txt")), 0);
    assert_int_equal(rmdir(place->db), 0); /* nothing else had come into it */
}

static MDB_env *open_foreign(const char *dir, unsigned flags)
{
    MDB_env *env;
    assert_true(mkdir(dir, 0700) == 0 || errno == EEXIST);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 16), 0);
    assert_int_equal(mdb_env_open(env, dir, flags, 0600), 0);
    return env;
}

static void put_foreign(const char *dir, const char *key, const char *value)
{
    MDB_env *env = open_foreign(dir, 0);
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val k = {strlen(key), (void *)(uintptr_t)key},
            v = {strlen(value), (void *)(uintptr_t)value};
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", MDB_CREATE, &dbi), 0); /* a name like one of ours */
    assert_int_equal(mdb_put(txn, dbi, &k, &v, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
}

static size_t read_all(const char *path, char *bytes, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    ssize_t n = read(fd, bytes, size);
    close(fd);
    assert_true(n >= 0);
    return (size_t)n;
}

static void another_programs_lmdb_is_refused_and_left_as_it_was(void **state)
{
    struct place *place = *state;
    put_foreign(place->db, "user", "ada");
    for (int i = 0; i < 2; i++)
        expect_refusal(place->db, NULL, SF_EFOREIGN);
    MDB_env *env = open_foreign(place->db, 0); /* also while it is in use, be it by this process */
    for (int i = 0; i < 2; i++)
        REFUSED(refusal(place->db, NULL, OURS), SF_EFOREIGN);
    mdb_env_close(env);
    expect_refusal(place->db, NULL, SF_EFOREIGN);
}

/* Somebody else's program, which counts its commits in its own database. */
struct counting {
    const char *dir;
    pid_t pid;
    _Atomic uint64_t commits;
    atomic_int stop;
};

/* One more in the database; the sum, or 0 if LMDB refuses.  Asserts nothing: it runs in the
 * child. */
static uint64_t count_once(MDB_env *env)
{
    uint64_t count = 0;
    MDB_txn *txn;
    MDB_dbi dbi;
    MDB_val key = {3, (void *)(uintptr_t)"ada"}, value;
    if (mdb_txn_begin(env, NULL, 0, &txn))
        return 0;
    int error = mdb_dbi_open(txn, NULL, 0, &dbi);
    if (!error && mdb_get(txn, dbi, &key, &value) == 0)
        memcpy(&count, value.mv_data, sizeof count);
    count++;
    value = (MDB_val){sizeof count, &count};
    if (!error)
        error = mdb_put(txn, dbi, &key, &value, 0);
    if (!error)
        return mdb_txn_commit(txn) ? 0 : count;
    mdb_txn_abort(txn);
    return 0;
}

/* 0: nothing it had committed was ever missing. */
static int count_until_told(struct counting *counting)
{
    MDB_env *env = open_foreign(counting->dir, MDB_NOSYNC);
    for (uint64_t commits = 1; !atomic_load(&counting->stop); commits++) {
        if (count_once(env) != commits)
            return 1;
        atomic_store(&counting->commits, commits);
    }
    return 0;
}

static struct counting *start_counting(const char *dir)
{
    struct counting *counting = mmap(NULL, sizeof *counting, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(counting != MAP_FAILED);
    counting->dir = dir;
    pid_t child = fork();
    if (child == 0)
        _exit(count_until_told(counting));
    assert_true(child > 0);
    counting->pid = child;
    for (int i = 0; i < 10000 && atomic_load(&counting->commits) < 1000; i++)
        usleep(1000); /* until its file has its size */
    return counting;
}

/* The commits it counted. */
static uint64_t stop_counting(struct counting *counting)
{
    int status = 0;
    atomic_store(&counting->stop, 1);
    assert_int_equal(waitpid(counting->pid, &status, 0), counting->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0); /* it has missed none */
    uint64_t commits = atomic_load(&counting->commits);
    munmap(counting, sizeof *counting);
    return commits;
}

static void another_program_loses_no_commit_while_it_is_refused_to_us(void **state)
{
    enum { OPENS = 3000 };
    struct place *place = *state;
    struct counting *counting = start_counting(place->db);
    struct listing before = list(place->db, WRITING);
    int refused = 0;
    for (int i = 0; i < OPENS; i++) {
        sf_runtime *rt = NULL;
        refused += sf_runtime_open(place->db, defaults(), &rt) == SF_EFOREIGN;
    }
    struct listing after = list(place->db, WRITING);
    uint64_t commits = stop_counting(counting);
    assert_int_equal(refused, OPENS);
    same_listing(&before, &after);
    MDB_env *env = open_foreign(place->db, 0);
    assert_int_equal(count_once(env), commits + 1);
    mdb_env_close(env);
}

static void a_data_file_that_is_no_database_is_refused(void **state)
{
    static char junk[40960];
    static const size_t sizes[] = {1, 100, 4096, 8192, 40960};
    struct place *place = *state;
    assert_int_equal(mkdir(place->db, 0700), 0);
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (char)(i * 2654435761u >> 13);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        write_file(place_path(place, "db/data.mdb"), junk, sizes[i]);
        int rc = refusal(place->db, NULL, NOBODY);
        assert_true(rc == SF_EFOREIGN || rc == SF_ECORRUPT);
    }
}

static void a_database_without_its_lock_files_is_taken_for_ours(void **state)
{
    struct place *place = *state;
    fill(place, 5);
    assert_int_equal(unlink(place_path(place, "db/lock")), 0); /* copied by hand */
    assert_int_equal(unlink(place_path(place, "db/lock.mdb")), 0);
    sf_runtime *rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    assert_int_equal(sum_of(rt), 5);
    OK(sf_runtime_close(rt));
}

/* -- damaged ----------------------------------------------------------------------------------- */

/* 0: opened and used; else what open or a later call said, or 90 if the sum is not what it was. */
static int open_and_use(void *arg)
{
    struct place *place = arg;
    sf_runtime *rt = NULL;
    sf_view *view = NULL;
    uint64_t sum = 0;
    int rc = sf_runtime_open(place->db, defaults(), &rt);
    if (rc < 0 || (rc = sf_register(rt, &counter_type, NULL)) < 0)
        return -rc;
    if ((rc = sf_view_open(rt, &view)) < 0)
        return -rc;
    sf_cursor *cursor = sf_view_actors(view, "test/counter");
    for (const sf_entry *entry; (entry = sf_next(cursor));)
        sum += ((const struct counter *)entry->value.data)->total;
    rc = sf_cursor_error(cursor);
    sf_view_close(view);
    if (rc < 0)
        return -rc;
    if (sf_send(rt, sf_addr("test/counter", "1"), "add", SF_OF((uint64_t){0})) < 0 ||
        (rc = sf_run_until_idle(rt)) < 0)
        return rc < 0 ? -rc : 91;
    rc = sf_runtime_close(rt);
    return rc < 0 ? -rc : sum == place->count ? 0 : 90;
}

/* At the end of every page, and within every third. */
static size_t next_cut(size_t cut)
{
    size_t rest = cut % 4096, page = cut / 4096;
    return cut + (rest ? 4096 - rest : page % 3 ? 4096 : 1000);
}

static void a_truncated_database_is_refused_and_never_a_signal(void **state)
{
    struct place *place = *state;
    struct stat info;
    int corrupt = 0;
    const char *data = place_path(place, "db/data.mdb");
    fill(place, 3000);
    place->count = 3000;
    char *whole = malloc(16u << 20);
    assert_non_null(whole);
    size_t size = read_all(data, whole, 16u << 20);
    assert_int_equal(stat(data, &info), 0);
    assert_int_equal(info.st_size, size);
    assert_true(size > 16 * 4096);
    for (size_t cut = 0; cut < size; cut = next_cut(cut)) {
        write_file(place_path(place, "db/data.mdb"), whole, cut);
        struct listing before = list(place->db, NOBODY);
        if (in_child(open_elsewhere, place) != 0) {
            struct listing after = list(place->db, NOBODY);
            same_listing(&before, &after);
        }
        write_file(place_path(place, "db/data.mdb"), whole, cut);
        int result = in_child(open_and_use, place);
        if (result != 0 && result != -SF_ECORRUPT && result != -SF_EFOREIGN)
            fail_msg("cut at %zu of %zu: %d", cut, size, result);
        corrupt += result != 0;
    }
    assert_true(corrupt > 4);
    write_file(place_path(place, "db/data.mdb"), whole, size);
    assert_int_equal(in_child(open_and_use, place), 0);
    free(whole);
}

/* -- read-only and full ------------------------------------------------------------------------ */

/* Mounts of this process only; they go with it. */
static int may_mount(void)
{
    static int answer = -1;
    if (answer < 0)
        answer = geteuid() == 0 && unshare(CLONE_NEWNS) == 0 &&
                 mount("none", "/", "none", MS_REC | MS_PRIVATE, "") == 0;
    return answer;
}

static void a_read_only_file_system_is_refused(void **state)
{
    struct place *place = *state;
    fill(place, 5);
    if (!may_mount())
        SKIP("not allowed to mount here");
    assert_int_equal(mkdir(place_path(place, "empty"), 0700), 0);
    assert_int_equal(mount(place->dir, place->dir, "none", MS_BIND, ""), 0);
    assert_int_equal(mount("none", place->dir, "none", MS_REMOUNT | MS_BIND | MS_RDONLY, ""), 0);
    sf_runtime *rt = NULL;
    int existing = sf_runtime_open(place->db, defaults(), &rt);
    int empty = sf_runtime_open(place_path(place, "empty"), defaults(), &rt);
    int missing = sf_runtime_open(place_path(place, "missing"), defaults(), &rt);
    assert_int_equal(umount2(place->dir, MNT_DETACH), 0);
    assert_int_equal(existing, SF_EACCESS);
    assert_int_equal(empty, SF_EACCESS);
    assert_int_equal(missing, SF_EACCESS);
    rt = place_open(place);
    OK(sf_register(rt, &counter_type, NULL));
    assert_int_equal(sum_of(rt), 5);
    OK(sf_runtime_close(rt));
}

static void take_all_space(const char *path)
{
    static char block[4096];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    memset(block, 1, sizeof block);
    for (size_t size = sizeof block; size; size = size == 1 ? 0 : size / 2)
        while (write(fd, block, size) == (ssize_t)size)
            ;
    close(fd);
}

static void no_database_is_made_on_a_full_disk_and_one_is_once_there_is_room(void **state)
{
    struct place *place = *state, inner = *place;
    if (!may_mount())
        SKIP("not allowed to mount here");
    snprintf(inner.db, sizeof inner.db, "%.280s/small/db", place->dir);
    assert_int_equal(mkdir(place_path(place, "small"), 0700), 0);
    assert_int_equal(mount("tmpfs", place_path(place, "small"), "tmpfs", 0, "size=4m"), 0);
    take_all_space(place_path(place, "small/ballast"));
    sf_runtime *rt = NULL;
    int rc = sf_runtime_open(inner.db, defaults(), &rt);
    assert_int_equal(rc, SF_EDISK);
    SAYS("full");
    assert_int_equal(unlink(place_path(place, "small/ballast")), 0);
    fill(&inner, 10);
    fill(&inner, 10);
    assert_int_equal(umount2(place_path(place, "small"), MNT_DETACH), 0);
}

static void nothing_is_lost_on_a_full_disk_and_it_goes_on_when_there_is_room(void **state)
{
    struct place *place = *state, inner = *place;
    uint64_t sent = 0;
    int64_t last = 0;
    int rc = 0;
    if (!may_mount())
        SKIP("not allowed to mount here");
    snprintf(inner.db, sizeof inner.db, "%.280s/small/db", place->dir);
    assert_int_equal(mkdir(place_path(place, "small"), 0700), 0);
    assert_int_equal(mount("tmpfs", place_path(place, "small"), "tmpfs", 0, "size=4m"), 0);
    sf_runtime *rt = place_open(&inner);
    OK(sf_register(rt, &counter_type, NULL));
    counter_add(rt, "first", 1);
    drive_until_quiet(rt);
    take_all_space(place_path(place, "small/ballast"));

    /* Until it shows; which may take a while, since a thread commits. */
    for (uint64_t end = mono_ms() + 20000; rc >= 0 && mono_ms() < end;) {
        char id[16];
        if (sent == 20000) {
            usleep(1000);
            rc = sf_step(rt, 0);
            continue;
        }
        snprintf(id, sizeof id, "%d", (int)sent);
        int64_t ticket = sf_send(rt, sf_addr("test/counter", id), "add", SF_OF((uint64_t){1}));
        if (ticket < 0) {
            rc = (int)ticket;
            break;
        }
        sent++;
        last = ticket;
        if (sent % 100 == 0)
            rc = sf_step(rt, 0);
    }
    REFUSED(rc, SF_EDISK);
    SAYS("full");
    SAYS(inner.db);
    REFUSED(sf_wait(rt, last, 200), SF_EDISK); /* not yet, and why */
    SAYS(inner.db);
    assert_true(sf_durable(rt) < last);
    for (int i = 0; i < 20; i++)
        (void)sf_step(rt, 0); /* trying again does no harm */
    assert_true(sf_durable(rt) < last);

    assert_int_equal(unlink(place_path(place, "small/ballast")), 0);
    OK(sf_wait(rt, last, 10000));
    drive_until_quiet(rt);
    assert_int_equal(sum_of(rt), sent + 1);
    OK(sf_runtime_close(rt));
    rt = place_open(&inner);
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    assert_int_equal(sum_of(rt), sent + 1);
    OK(sf_runtime_close(rt));
    assert_int_equal(umount2(place_path(place, "small"), MNT_DETACH), 0);
}

struct done {
    int calls, result;
};

static void remember(int result, int64_t ticket, void *userdata)
{
    struct done *done = userdata;
    (void)ticket;
    done->calls++;
    done->result = result;
}

/* What close could not make durable it says, and tells whoever waits for it. */
static void closing_on_a_full_disk_says_what_was_not_made_durable(void **state)
{
    struct place *place = *state, inner = *place;
    struct done done = {0};
    if (!may_mount())
        SKIP("not allowed to mount here");
    snprintf(inner.db, sizeof inner.db, "%.280s/small/db", place->dir);
    assert_int_equal(mkdir(place_path(place, "small"), 0700), 0);
    assert_int_equal(mount("tmpfs", place_path(place, "small"), "tmpfs", 0, "size=4m"), 0);
    fill(&inner, 10);
    sf_runtime *rt = place_open(&inner);
    OK(sf_register(rt, &counter_type, NULL));
    take_all_space(place_path(place, "small/ballast"));
    int64_t last = 0;
    for (uint64_t i = 0; i < 3000; i++) {
        char id[16];
        snprintf(id, sizeof id, "new%d", (int)i);
        last = counter_add(rt, id, 1);
    }
    OK(sf_then(rt, last, remember, &done));
    REFUSED(sf_runtime_close(rt), SF_EDISK);
    assert_int_equal(done.calls, 1);
    assert_int_equal(done.result, SF_ECLOSED);
    assert_int_equal(unlink(place_path(place, "small/ballast")), 0);
    rt = place_open(&inner); /* it is closed all the same */
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    assert_true(sum_of(rt) >= 10);
    OK(sf_runtime_close(rt));
    assert_int_equal(umount2(place_path(place, "small"), MNT_DETACH), 0);
}

/* The ceiling of the file is a full disk of one's own choosing. */
static void a_database_at_its_ceiling_refuses_sends_and_loses_nothing(void **state)
{
    static char body[20000];
    struct place *place = *state;
    sf_options options = SF_OPTIONS(.store_bytes_max = 4u << 20, .dead_max = UINT32_MAX,
                                    .dead_bytes_max = UINT64_MAX);
    sf_runtime *rt = NULL;
    int64_t ticket = 0;
    uint64_t accepted = 0;
    int rc = sf_runtime_open(place->db, &options, &rt);
    if (rc == SF_EINVAL) { /* too small a ceiling is refused at once, which is as good */
        options.store_bytes_max = 64u << 20;
        rt = place_open_with(place, &options);
    }
    OK(sf_register(rt, &counter_type, NULL));
    memset(body, 'r', sizeof body - 1);
    while (accepted < 20000) {
        /* kept as dead letters */
        ticket = sf_send(rt, sf_addr("test/counter", "a"), "reject", SF_OF(body));
        if (ticket == SF_EAGAIN) {
            if (sf_step(rt, 0) < 0)
                break;
            continue;
        }
        if (ticket < 0)
            break;
        accepted++;
        if (accepted % 10 == 0 && (rc = sf_step(rt, 0)) < 0)
            break;
    }
    assert_true(ticket == SF_EDISK || rc == SF_EDISK);
    SAYS(place->db);
    sf_view *view = NULL;
    uint64_t dead = 0;
    (void)sf_run_until_idle(rt);
    OK(sf_runtime_close(rt)); /* there is always room for what was accepted */
    options.store_bytes_max = 256u << 20; /* raised, it goes on */
    rt = place_open_with(place, &options);
    OK(sf_register(rt, &counter_type, NULL));
    drive_until_quiet(rt);
    counter_add(rt, "a", 1);
    drive_until_quiet(rt);
    OK(sf_view_open(rt, &view));
    while (sf_view_dead(view, dead))
        dead++;
    sf_view_close(view);
    assert_int_equal(dead, accepted);
    assert_int_equal(counter_stored(rt, "a").total, 1);
    OK(sf_runtime_close(rt));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_missing_directory_is_made_unless_it_must_exist),
        TEST(an_empty_directory_is_filled),
        TEST(a_file_is_not_a_directory),
        TEST(a_symbolic_link_is_not_followed),
        TEST(a_data_file_that_is_a_link_is_not_followed),
        TEST(others_may_not_have_write_permission),
        TEST(a_second_open_is_refused_by_any_path_and_process),
        TEST(two_directories_may_be_open_at_once),
        TEST(a_directory_with_other_files_is_not_touched),
        TEST(another_programs_lmdb_is_refused_and_left_as_it_was),
        TEST(another_program_loses_no_commit_while_it_is_refused_to_us),
        TEST(a_data_file_that_is_no_database_is_refused),
        TEST(a_database_without_its_lock_files_is_taken_for_ours),
        TEST(a_truncated_database_is_refused_and_never_a_signal),
        TEST(a_read_only_file_system_is_refused),
        TEST(no_database_is_made_on_a_full_disk_and_one_is_once_there_is_room),
        TEST(nothing_is_lost_on_a_full_disk_and_it_goes_on_when_there_is_room),
        TEST(closing_on_a_full_disk_says_what_was_not_made_durable),
        TEST(a_database_at_its_ceiling_refuses_sends_and_loses_nothing),
    };
    return cmocka_run_group_tests_name("directory", tests, NULL, NULL);
}
