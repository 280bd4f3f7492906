#define _GNU_SOURCE /* syncfs() */
#include "dir/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "dir/disk.h"
#include "statefun.h"

/* -- the list of open directories ------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    struct sfi_dir *first;
    int watches_fork;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void before_fork(void)
{
    pthread_mutex_lock(&registry.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_unlock(&registry.lock);
}

static void close_fds(struct sfi_dir *dir)
{
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    if (dir->fd >= 0)
        close(dir->fd);
    dir->fd = dir->lock_fd = -1;
}

/* The locks belong to what parent and child share, so closing our ends does not release them; keeping them
 * open would hold them beyond the parent's death. */
static void after_fork_in_child(void)
{
    for (struct sfi_dir *dir = registry.first; dir; dir = dir->next) {
        dir->forked = 1;
        close_fds(dir);
    }
    registry.first = NULL;
    pthread_mutex_unlock(&registry.lock);
}

/* -- the directory itself --------------------------------------------------------------------------- */

static int make(const char *path)
{
    if (mkdir(path, 0700) == 0 || errno == EEXIST)
        return 0;
    if (errno == ENOENT || errno == ENOTDIR)
        return sfi_err(SF_ENOTFOUND, "the directory above it does not exist");
    if (errno == EACCES || errno == EPERM || errno == EROFS)
        return sfi_err(SF_EACCESS, "it cannot be made: %s", strerror(errno));
    return sfi_err(SF_EDISK, "it cannot be made: %s", strerror(errno));
}

static int why_not_open(const char *path, int error)
{
    struct stat info;
    if (error == ENOENT)
        return sfi_err(SF_ENOTFOUND, "the directory does not exist");
    if (error == EACCES)
        return sfi_err(SF_EACCESS, "no permission to open the directory");
    if (error == EMFILE || error == ENFILE)
        return sfi_err(SF_ENOMEM, "out of file descriptors for the directory");
    if (error != ENOTDIR && error != ELOOP)
        return sfi_err(SF_EINVAL, "the directory cannot be opened: %s", strerror(error));
    if (lstat(path, &info) == 0 && S_ISLNK(info.st_mode))
        return sfi_err(SF_EACCESS, "it is a symbolic link; name the directory it leads to");
    return sfi_err(SF_EINVAL, "it is not a directory");
}

static int open_path(const char *path, int must_exist)
{
    enum { FLAGS = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC };
    int fd = open(path, FLAGS);
    if (fd >= 0)
        return fd;
    if (errno != ENOENT || must_exist)
        return why_not_open(path, errno);
    int rc = make(path);
    if (rc < 0)
        return rc;
    fd = open(path, FLAGS);
    return fd >= 0 ? fd : why_not_open(path, errno);
}

/* A link with a slash after it would be followed. */
static int open_trimmed(const char *path, int must_exist)
{
    char trimmed[PATH_MAX];
    size_t size = path ? strlen(path) : 0;
    if (size == 0)
        return sfi_err(SF_EINVAL, "the directory has no name");
    if (size >= sizeof trimmed)
        return sfi_err(SF_EINVAL, "the directory's name has %zu bytes, at most %zu", size,
                       sizeof trimmed - 1);
    memcpy(trimmed, path, size);
    while (size > 1 && trimmed[size - 1] == '/')
        size--;
    trimmed[size] = 0;
    return open_path(trimmed, must_exist);
}

/* Locks and mapped files of remote file systems do not keep LMDB's promises. */
static int check_file_system(int fd)
{
    static const struct {
        uint32_t magic;
        const char *name;
    } remote[] = {{NFS_SUPER_MAGIC, "NFS"},
                  {SMB_SUPER_MAGIC, "SMB"},
                  {0xFF534D42u, "CIFS"},
                  {0xFE534D42u, "SMB2"},
                  {AFS_SUPER_MAGIC, "AFS"},
                  {CODA_SUPER_MAGIC, "Coda"},
                  {0x5346414Fu /* OpenAFS */, "AFS"}};
    struct statfs disk;
    if (fstatfs(fd, &disk) < 0)
        return sfi_disk_error(fd, errno, "look at the file system");
    for (size_t i = 0; i < sizeof remote / sizeof remote[0]; i++)
        if ((uint32_t)disk.f_type == remote[i].magic)
            return sfi_err(SF_EACCESS, "it lies on a remote file system (%s)", remote[i].name);
    return 0;
}

/* Whoever can write here can plant links and exchange files under us.  The owner's own bits count for
 * root too, whom the kernel would let through. */
static int check_owner(struct sfi_dir *dir)
{
    struct stat info;
    if (fstat(dir->fd, &info) < 0)
        return sfi_disk_error(dir->fd, errno, "look at the directory");
    if (info.st_uid != geteuid())
        return sfi_err(SF_EACCESS, "it belongs to user %u and this process runs as user %u",
                       (unsigned)info.st_uid, (unsigned)geteuid());
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return sfi_err(SF_EACCESS, "others may write to it; chmod go-w makes it safe");
    if ((info.st_mode & S_IRWXU) != S_IRWXU)
        return sfi_err(SF_EACCESS, "its owner may not write to it; chmod u+rwx allows that");
    if (faccessat(dir->fd, ".", W_OK, AT_EACCESS) < 0)
        return sfi_err(SF_EACCESS, "it cannot be written to: %s", strerror(errno));
    dir->device = info.st_dev;
    dir->inode = info.st_ino;
    return 0;
}

/* -- what is in it ---------------------------------------------------------------------------------- */

static int is_ours(const char *name)
{
    static const char *const ours[] = {
        ".", "..", SFI_DISK_LOCK, SFI_DISK_TURN, SFI_DISK_DATA_NEW, SFI_DISK_DATA_NEW "-lock", "lost+found"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++)
        if (strcmp(name, ours[i]) == 0)
            return 1;
    return 0;
}

/* Nothing in it but what we may have left before there was a database. */
static int check_vacant(int fd)
{
    int rc = 0, list_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *list = list_fd < 0 ? NULL : fdopendir(list_fd);
    if (!list) {
        rc = sfi_disk_error(fd, errno, "list the directory");
        if (list_fd >= 0)
            close(list_fd);
        return rc;
    }
    for (const struct dirent *entry; rc == 0 && (entry = readdir(list));)
        if (strcmp(entry->d_name, SFI_DISK_READERS) == 0)
            rc = sfi_err(SF_ECORRUPT, "its database is gone: " SFI_DISK_DATA " is missing");
        else if (!is_ours(entry->d_name))
            rc = sfi_err(SF_EFOREIGN, "it holds files but no database of ours ('%.100s')",
                         entry->d_name);
    closedir(list);
    return rc;
}

/* A new directory's own name must be on disk before anything in it is promised. */
static int sync_parent(int fd)
{
    int parent_fd = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = parent_fd < 0 ? syncfs(fd) : fsync(parent_fd);
    int error = errno;
    if (parent_fd >= 0)
        close(parent_fd);
    return failed ? sfi_disk_error(fd, error, "make the directory's name durable") : 0;
}

/* -- lock ------------------------------------------------------------------------------------------- */

static int why_no_lock(int fd, int error)
{
    return error == ELOOP ? sfi_err(SF_EACCESS, "its file '" SFI_DISK_LOCK "' is a symbolic link")
                          : sfi_disk_error(fd, error, "open its file '" SFI_DISK_LOCK "'");
}

/* 0: taken; 1: by somebody else; negative: there are no such locks here. */
static int try_lock(int fd)
{
    int failed;
    do
        failed = flock(fd, LOCK_EX | LOCK_NB);
    while (failed && errno == EINTR);
    return !failed ? 0 : errno == EWOULDBLOCK ? 1 : -1;
}

static int open_elsewhere(void)
{
    return sfi_err(SF_ELOCKED, "the directory is open in another process");
}

/* With `make` unset, only what is there and can be locked: 0 also if there is no such thing. */
static int lock_file(struct sfi_dir *dir, int make)
{
    int flags = O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (make ? O_CREAT : 0);
    int fd = openat(dir->fd, SFI_DISK_LOCK, flags, 0600);
    if (fd < 0)
        return make ? why_no_lock(dir->fd, errno) : 0;
    int taken = try_lock(fd), error = errno;
    if (taken == 0) {
        dir->lock_fd = fd;
        return 0;
    }
    close(fd);
    if (taken > 0)
        return open_elsewhere();
    return make ? sfi_err(SF_EACCESS, "the directory cannot be locked: %s", strerror(error)) : 0;
}

/* With the list's lock held no fork comes between a descriptor and its place in the directory: a child
 * could not close what it does not find there.  Not every file system can lock a directory; all can lock
 * files, but a file can be removed. */
static int take_lock_locked(struct sfi_dir *dir, int make)
{
    if (dir->lock_fd >= 0)
        return 0;
    return try_lock(dir->fd) > 0 ? open_elsewhere() : lock_file(dir, make);
}

static int take_lock(struct sfi_dir *dir, int make)
{
    pthread_mutex_lock(&registry.lock);
    int rc = take_lock_locked(dir, make);
    pthread_mutex_unlock(&registry.lock);
    return rc;
}

/* -- may it be opened? ------------------------------------------------------------------------------ */

static int has_data(int fd)
{
    struct stat info;
    if (fstatat(fd, SFI_DISK_DATA, &info, AT_SYMLINK_NOFOLLOW) == 0)
        return 1;
    return errno == ENOENT ? 0 : sfi_disk_error(fd, errno, "look at " SFI_DISK_DATA);
}

/* A runtime makes the lock before the database.  Where there is one, it is taken before the database is
 * looked at: what is open elsewhere is locked, whatever else is to be said of it. */
static int check_database(struct sfi_dir *dir, sfi_dir_judge *judge)
{
    int rc = take_lock(dir, 0);
    return rc < 0 ? rc : judge(dir->fd);
}

static int check_contents(struct sfi_dir *dir, int must_exist, sfi_dir_judge *judge)
{
    int rc = has_data(dir->fd);
    if (rc != 0)
        return rc < 0 ? rc : check_database(dir, judge);
    if (must_exist)
        return sfi_err(SF_ENOTFOUND, "there is no database in the directory");
    rc = check_vacant(dir->fd);
    if (rc < 0) /* unless somebody has made a database meanwhile */
        return has_data(dir->fd) > 0 ? check_database(dir, judge) : rc;
    return sync_parent(dir->fd);
}

/* -- open and close --------------------------------------------------------------------------------- */

static int open_and_check(struct sfi_dir *dir, const char *path, int must_exist)
{
    int rc = dir->fd = open_trimmed(path, must_exist);
    if (rc >= 0)
        rc = check_file_system(dir->fd);
    if (rc >= 0)
        rc = check_owner(dir);
    return rc < 0 ? rc : 0;
}

static int enter_locked(struct sfi_dir *dir)
{
    for (const struct sfi_dir *other = registry.first; other; other = other->next)
        if (other->device == dir->device && other->inode == dir->inode)
            return sfi_err(SF_ELOCKED, "the directory is open in this process already");
    if (!registry.watches_fork &&
        pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child))
        return sfi_err(SF_ENOMEM, "out of memory");
    registry.watches_fork = 1;
    dir->next = registry.first;
    registry.first = dir;
    return 0;
}

static int enter(struct sfi_dir *dir)
{
    pthread_mutex_lock(&registry.lock);
    int rc = enter_locked(dir);
    pthread_mutex_unlock(&registry.lock);
    return rc;
}

/* Our lock is made last, when nothing speaks against the directory any more. */
int sfi_dir_open(struct sfi_dir *dir, const char *path, int must_exist, sfi_dir_judge *judge)
{
    *dir = (struct sfi_dir){.fd = -1, .lock_fd = -1, .pid = getpid()};
    int rc = open_and_check(dir, path, must_exist);
    if (rc == 0)
        rc = enter(dir);
    if (rc == 0)
        rc = check_contents(dir, must_exist, judge);
    if (rc == 0)
        rc = take_lock(dir, 1);
    if (rc < 0)
        sfi_dir_close(dir);
    return rc;
}

static const struct sfi_dir *find_other(const struct sfi_dir *dir)
{
    const struct sfi_dir *other = registry.first;
    while (other && (other == dir || other->device != dir->device || other->inode != dir->inode))
        other = other->next;
    return other;
}

static int open_to_look(struct sfi_dir *dir, const char *path)
{
    struct stat info;
    int rc = dir->fd = open_trimmed(path, 1);
    if (rc < 0)
        return rc;
    if (fstat(dir->fd, &info) < 0)
        return sfi_disk_error(dir->fd, errno, "look at the directory");
    dir->device = info.st_dev;
    dir->inode = info.st_ino;
    rc = has_data(dir->fd);
    return rc == 0 ? sfi_err(SF_ENOTFOUND, "there is no database in the directory") : rc;
}

/* What is open here is not locked once more. */
static int enter_to_look(struct sfi_dir *dir, const struct sfi_dir **here)
{
    pthread_mutex_lock(&registry.lock);
    const struct sfi_dir *other = find_other(dir);
    int rc = 0;
    if (!other)
        rc = enter_locked(dir);
    else if (other->inspects)
        rc = sfi_err(SF_ELOCKED, "the directory is looked into in this process already");
    if (!other && rc == 0)
        rc = take_lock_locked(dir, 0);
    *here = other;
    pthread_mutex_unlock(&registry.lock);
    return rc;
}

int sfi_dir_inspect(struct sfi_dir *dir, const char *path, const struct sfi_dir **here)
{
    *dir = (struct sfi_dir){.fd = -1, .lock_fd = -1, .pid = getpid(), .inspects = 1};
    *here = NULL;
    int rc = open_to_look(dir, path);
    if (rc >= 0)
        rc = enter_to_look(dir, here);
    if (rc == SF_ELOCKED && !*here)
        return 1;
    if (rc < 0)
        sfi_dir_close(dir);
    return rc < 0 ? rc : 0;
}

void sfi_dir_close(struct sfi_dir *dir)
{
    if (!dir)
        return;
    pthread_mutex_lock(&registry.lock);
    for (struct sfi_dir **place = &registry.first; *place; place = &(*place)->next) {
        if (*place == dir) {
            *place = dir->next;
            break;
        }
    }
    close_fds(dir);
    pthread_mutex_unlock(&registry.lock);
}
