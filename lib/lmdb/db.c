#include "lmdb/db.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/endian.h"
#include "base/err.h"
#include "dir/disk.h"
#include "lmdb/check.h"
#include "lmdb/format.h"
#include "lmdb/page.h"
#include "lmdb/upgrade.h"

enum {
    TABLES_MAX = 12,
    READERS_MAX = SF_VIEWS_MAX + 26 /* the engine's own among them */
};

/* -- errors ----------------------------------------------------------------------------------------- */

int sfi_db_fault(const struct sfi_sys *sys, const char *point)
{
    int rc = sfi_fault(sys, point);
    return rc < 0 ? sfi_err(rc, "%s: failed as a test asked", point) : 0;
}

/* LMDB's codes end here. */
int sfi_db_error(const struct sfi_db *db, int error, const char *what)
{
    char doing[300];
    snprintf(doing, sizeof doing, "%s '%.200s'", what, db->name);
    switch (error) {
    case MDB_MAP_FULL:
        return sfi_err(SF_EDISK, "%s: the database has reached store_bytes_max (%llu bytes)", doing,
                       (unsigned long long)db->bytes_max);
    case MDB_TXN_FULL:
        return sfi_err(SF_EDISK, "%s: one commit changes too many pages", doing);
    case MDB_PANIC: /* somebody's write has failed, and the file is not opened anew yet */
        return sfi_err(SF_EDISK, "%s: it must be opened anew after a failed write", doing);
    case MDB_READERS_FULL:
        return sfi_err(SF_EAGAIN, "%s: %d are open, no more are possible", doing, READERS_MAX);
    case MDB_INVALID:
    case MDB_INCOMPATIBLE:
        return sfi_err(SF_EFOREIGN, "%s: it is not a database of ours", doing);
    case MDB_VERSION_MISMATCH:
        return sfi_err(SF_EFOREIGN, "%s: it belongs to another version of LMDB", doing);
    default:
        break;
    }
    if (error > 0)
        return sfi_disk_error(db->dir_fd, error, doing);
    return sfi_err(SF_ECORRUPT, "%s: %s", doing, mdb_strerror(error));
}

/* -- tables ------------------------------------------------------------------------------------------ */

const char *sfi_db_table_name(int table)
{
    static const char *const names[SFI_DB_TABLES] = {
        [SFI_META] = "meta",     [SFI_STATE] = "state", [SFI_MAILBOX] = "mailbox",
        [SFI_OUTBOX] = "outbox", [SFI_DEAD] = "dead",   [SFI_ENTRY] = "entry",
        [SFI_TIMER] = "timer",   [SFI_ASYNC] = "async", [SFI_HELD] = "held",
        [SFI_PARKED] = "parked", [SFI_DB_LOG] = "changelog"};
    return names[table];
}

int sfi_db_table(sf_bytes name)
{
    for (int i = 0; i < SFI_DB_TABLES; i++) {
        const char *one = sfi_db_table_name(i);
        if (strlen(one) == name.size && memcmp(one, name.data, name.size) == 0)
            return i;
    }
    return -1;
}

int sfi_db_judge(int dir_fd)
{
    unsigned char buffer[SFI_LMDB_PAGE_MAX];
    struct sfi_format format;
    sf_bytes record;
    int rc = sfi_lmdb_look(dir_fd, sfi_db_table_name(SFI_META), sfi_format_key(), buffer, &record);
    return rc == 0 ? sfi_format_parse(record, &format) : rc;
}

/* -- make a database -------------------------------------------------------------------------------- */

static int fill_new(MDB_env *env)
{
    MDB_txn *txn;
    struct sfi_db db = {.env = env};
    struct sfi_format format = {.rows[SFI_META] = 1};
    int error = mdb_txn_begin(env, NULL, 0, &txn);
    if (error)
        return error;
    for (int i = 0; i < SFI_DB_TABLES && !error; i++)
        error = mdb_dbi_open(txn, sfi_db_table_name(i), MDB_CREATE, &db.tables[i]);
    if (!error)
        error = sfi_format_write(&db, txn, &format);
    if (!error)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return error;
}

static int sync_new(MDB_env *env)
{
    mdb_filehandle_t fd;
    int error = mdb_env_sync(env, 1);
    if (!error)
        error = mdb_env_get_fd(env, &fd);
    if (!error && fsync(fd) < 0)
        error = errno;
    return error;
}

/* Our own lock is held and nobody else can reach the file yet: LMDB's lock file is not needed. */
static int write_new(const char *path)
{
    MDB_env *env;
    int error = mdb_env_create(&env);
    if (error)
        return error;
    mdb_env_set_maxdbs(env, TABLES_MAX);
    error = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0600);
    if (!error)
        error = fill_new(env);
    if (!error)
        error = sync_new(env);
    mdb_env_close(env);
    return error;
}

static int remove_new(const struct sfi_db *db)
{
    static const char *const names[] = {SFI_DISK_DATA_NEW, SFI_DISK_DATA_NEW "-lock"};
    for (int i = 0; i < 2; i++)
        if (unlinkat(db->dir_fd, names[i], 0) < 0 && errno != ENOENT)
            return sfi_disk_error(db->dir_fd, errno, "remove what an earlier attempt left");
    return 0;
}

static int publish_new(const struct sfi_db *db)
{
    int rc = sfi_db_fault(db->sys, "lmdb.rename");
    if (rc < 0)
        return rc;
    if (renameat(db->dir_fd, SFI_DISK_DATA_NEW, db->dir_fd, SFI_DISK_DATA) < 0 ||
        fsync(db->dir_fd) < 0)
        return sfi_disk_error(db->dir_fd, errno, "make the database");
    return 0;
}

static int db_make(const struct sfi_db *db)
{
    char path[PATH_MAX];
    int rc = sfi_db_fault(db->sys, "lmdb.create");
    if (rc < 0)
        return rc;
    if ((size_t)snprintf(path, sizeof path, "%s/" SFI_DISK_DATA_NEW, db->path) >= sizeof path)
        return sfi_err(SF_EINVAL, "the directory's name is too long");
    rc = remove_new(db);
    if (rc < 0)
        return rc;
    int error = write_new(path);
    rc = error ? sfi_db_error(db, error, "make the database in") : publish_new(db);
    if (rc < 0)
        unlinkat(db->dir_fd, SFI_DISK_DATA_NEW, 0);
    return rc;
}

/* -- open and close a database ---------------------------------------------------------------------- */

int sfi_db_open_table(struct sfi_db *db, MDB_txn *txn, int table, int is_made)
{
    const char *name = sfi_db_table_name(table);
    unsigned flags = 0;
    int error = mdb_dbi_open(txn, name, is_made ? MDB_CREATE : 0, &db->tables[table]);
    if (error == MDB_NOTFOUND)
        return sfi_err(SF_EFOREIGN,
                       "the database has no table '%s': it was not made by this library", name);
    if (!error)
        error = mdb_dbi_flags(txn, db->tables[table], &flags);
    if (error)
        return sfi_db_error(db, error, "open the tables of");
    return flags ? sfi_err(SF_EFOREIGN, "the table '%s' is not one of ours", name) : 0;
}

/* The format first: another may have other tables. */
static int open_all(struct sfi_db *db, MDB_txn *txn, struct sfi_format *out)
{
    int rc = sfi_db_open_table(db, txn, SFI_META, 0);
    if (rc == 0)
        rc = sfi_format_read(db, txn, out);
    if (rc < 0 || out->number < SFI_FORMAT)
        return rc;
    for (int i = SFI_META + 1; i < SFI_DB_TABLES && rc == 0; i++)
        rc = sfi_db_open_table(db, txn, i, 0);
    return rc == 0 ? sfi_format_check(db, txn, out) : rc;
}

static int open_tables(struct sfi_db *db, struct sfi_format *out)
{
    MDB_txn *txn;
    int error = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);
    if (error)
        return sfi_db_error(db, error, "open the tables of");
    int rc = open_all(db, txn, out);
    if (rc < 0 || out->number < SFI_FORMAT) {
        mdb_txn_abort(txn);
        return rc;
    }
    error = mdb_txn_commit(txn); /* keeps the handles */
    return error ? sfi_db_error(db, error, "open the tables of") : 0;
}

/* Carried over first, if it must be. */
static int read_database(struct sfi_db *db, uint64_t *out_epoch)
{
    struct sfi_format format;
    int rc = open_tables(db, &format);
    if (rc == 0 && format.number < SFI_FORMAT) {
        rc = sfi_upgrade(db);
        if (rc == 0)
            rc = open_tables(db, &format);
    }
    *out_epoch = format.epoch;
    return rc;
}

static int close_on_exec(MDB_env *env)
{
    mdb_filehandle_t fd;
    int error = mdb_env_get_fd(env, &fd);
    return !error && fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? errno : error;
}

/* What posix_fallocate() does, for where it is denied. */
static int extend_with_zeroes(int fd, off_t size)
{
    static const unsigned char zeroes[512];
    struct stat info;
    if (fstat(fd, &info) < 0)
        return errno;
    for (off_t at = info.st_size; at < size;) {
        size_t part = size - at < (off_t)sizeof zeroes ? (size_t)(size - at) : sizeof zeroes;
        ssize_t done = pwrite(fd, zeroes, part, at);
        if (done <= 0)
            return done < 0 ? errno : EIO;
        at += done;
    }
    return 0;
}

static int allocate(int fd, off_t size)
{
    int error = posix_fallocate(fd, 0, size);
    return error && error != ENOSPC && error != EDQUOT && error != EIO && error != EINTR
               ? extend_with_zeroes(fd, size)
               : error;
}

/* LMDB makes this file sparse and maps it: on a full disk the first touch would be a SIGBUS. */
static int reserve_readers(const struct sfi_db *db)
{
    enum { READER_BYTES = 64, HEAD_BYTES = 192 };
    off_t size = HEAD_BYTES + (READERS_MAX - 1) * READER_BYTES;
    int fd = openat(db->dir_fd, SFI_DISK_READERS, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    int error = fd < 0 ? errno : allocate(fd, size);
    if (fd >= 0)
        close(fd);
    return error ? sfi_disk_error(db->dir_fd, error, "open the database") : 0;
}

/* LMDB writes a commit's meta page first and its number into lock.mdb afterwards.  Whoever was killed
 * between the two leaves a number that is too small, and while another process has the environment open,
 * nobody but the next writer sets it right, when it takes the lock of the one that died.
 *
 * A meta page whose write failed though it arrived, and could not be taken back by LMDB either, leaves
 * such a number too; nobody died, so it stays.  LMDB goes by the number, and would write over pages that the newer
 * meta page leads to, while whoever opens it next believes that one.  So it is taken back here,
 * before anything else is written: nobody was told that its transaction is there. */
static int take_over_writing(struct sfi_db *db)
{
    MDB_txn *txn;
    MDB_envinfo info;
    mdb_filehandle_t fd;
    int rc = 0, error = mdb_txn_begin(db->env, NULL, 0, &txn);
    if (error)
        return sfi_db_error(db, error, "open the database in");
    size_t newest = mdb_txn_id(txn) - 1; /* says lock.mdb; the other is what is in the file */
    if (!mdb_env_info(db->env, &info) && !mdb_env_get_fd(db->env, &fd) &&
        info.me_last_txnid > newest)
        rc = sfi_page_take_back(fd, newest);
    mdb_txn_abort(txn);
    return rc;
}

static int know_file(struct sfi_db *db)
{
    mdb_filehandle_t fd;
    int error = mdb_env_get_fd(db->env, &fd);
    return error ? sfi_db_error(db, error, "open the database in")
                 : sfi_same_file_know(&db->file, fd);
}

int sfi_db_is_there(struct sfi_db *db)
{
    return sfi_same_file_check(&db->file, db->dir_fd);
}

static int open_env(struct sfi_db *db)
{
    int rc = reserve_readers(db);
    if (rc < 0)
        return rc;
    int error = mdb_env_create(&db->env);
    if (error)
        return sfi_db_error(db, error, "open the database in");
    error = mdb_env_set_mapsize(db->env, (size_t)db->bytes_max);
    if (!error)
        error = mdb_env_set_maxdbs(db->env, TABLES_MAX);
    if (!error)
        error = mdb_env_set_maxreaders(db->env, READERS_MAX);
    if (!error)
        error =
            mdb_env_open(db->env, db->path, MDB_NOTLS | (db->relaxed ? MDB_NOMETASYNC : 0), 0600);
    if (!error)
        error = close_on_exec(db->env);
    if (!error)
        error = mdb_reader_check(db->env, NULL);
    if (error == ENOMEM || error == EINVAL) /* what mmap() says */
        return sfi_err(SF_ENOMEM,
                       "out of memory, or of address space for store_bytes_max (%llu bytes)",
                       (unsigned long long)db->bytes_max);
    return error ? sfi_db_error(db, error, "open the database in") : take_over_writing(db);
}

int sfi_db_sync(const struct sfi_db *db)
{
    int rc = sfi_db_fault(db->sys, "lmdb.sync");
    if (rc < 0)
        return rc;
    int error = mdb_env_sync(db->env, 1);
    return error ? sfi_db_error(db, error, "sync") : 0;
}

static int rewrite(int fd, void *bytes, size_t size)
{
    ssize_t done = pread(fd, bytes, size, 0);
    if (done > 0)
        done = pwrite(fd, bytes, (size_t)done, 0) == done ? done : -1;
    return done > 0 ? 0 : errno ? errno : EIO;
}

/* A kernel may drop what it could not write and call it clean, so that the next sync succeeds and writes
 * nothing (Rebello et al., "Can Applications Recover from fsync Failures?", 2020).  LMDB writes the
 * pages of a lost transaction again, but not its meta pages: these are made dirty here, as they are. */
static int write_back_metas(const struct sfi_db *db)
{
    size_t size = 2 * (size_t)sysconf(_SC_PAGESIZE);
    int rc = sfi_db_fault(db->sys, "lmdb.metas");
    void *bytes = rc == 0 ? sfi_alloc(db->sys, size) : NULL;
    if (!bytes)
        return rc < 0 ? rc : sfi_err(SF_ENOMEM, "out of memory");
    errno = 0;
    int fd = openat(db->dir_fd, SFI_DISK_DATA, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    int error = fd < 0 ? errno : rewrite(fd, bytes, size);
    if (fd >= 0)
        close(fd);
    sfi_free(db->sys, bytes);
    return error ? sfi_disk_error(db->dir_fd, error, "open the database") : 0;
}

void sfi_db_close(struct sfi_db *db)
{
    if (db->env)
        mdb_env_close(db->env);
    db->env = NULL;
}

int sfi_db_open(struct sfi_db *db, uint64_t *out_epoch)
{
    int rc = sfi_db_is_there(db);
    if (rc == 0)
        rc = sfi_lmdb_check(db->sys, db->dir_fd);
    if (rc == 0)
        rc = write_back_metas(db);
    if (rc == 0)
        rc = open_env(db);
    if (rc == 0)
        rc = know_file(db);
    if (rc == 0)
        rc = sfi_db_sync(db);
    if (rc == 0)
        rc = read_database(db, out_epoch);
    if (rc < 0)
        sfi_db_close(db);
    return rc;
}

/* -- init and fini ---------------------------------------------------------------------------------- */

static int is_same_dir(const char *path, int dir_fd)
{
    struct stat by_path, by_fd;
    return stat(path, &by_path) == 0 && fstat(dir_fd, &by_fd) == 0 &&
           by_path.st_dev == by_fd.st_dev && by_path.st_ino == by_fd.st_ino;
}

static char *copy_text(const struct sfi_sys *sys, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = sfi_alloc(sys, size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* A name that still means the same directory when the process has changed its own or the directory was
 * moved: the database is opened by it again after a failed write. */
static char *lasting_path(const struct sfi_sys *sys, const char *dir, int dir_fd)
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir_fd);
    if (!is_same_dir(path, dir_fd) && (!realpath(dir, path) || !is_same_dir(path, dir_fd)))
        snprintf(path, sizeof path, "%s", dir);
    return copy_text(sys, path);
}

static int has_database(int dir_fd)
{
    struct stat info;
    return fstatat(dir_fd, SFI_DISK_DATA, &info, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

int sfi_db_init(struct sfi_db *db, const char *dir, uint64_t *out_epoch)
{
    db->name = copy_text(db->sys, dir);
    db->path = lasting_path(db->sys, dir, db->dir_fd);
    int rc = db->name && db->path ? 0 : sfi_err(SF_ENOMEM, "out of memory");
    if (rc == 0 && !has_database(db->dir_fd))
        rc = db_make(db);
    if (rc == 0) /* once more: when the directory was judged, it may not have been locked */
        rc = sfi_db_judge(db->dir_fd);
    /* Whoever made it may have been killed before its name was safe. */
    if (rc == 0 && fsync(db->dir_fd) < 0)
        rc = sfi_disk_error(db->dir_fd, errno, "open the database");
    return rc == 0 ? sfi_db_open(db, out_epoch) : rc;
}

void sfi_db_fini(struct sfi_db *db)
{
    sfi_db_close(db);
    sfi_free(db->sys, db->path);
    sfi_free(db->sys, db->name);
}
