/* powerloss.c - what a power cut may leave, rebuilt and opened, thousands of times.
 *
 *     powerloss [--states N] [--seed S] [--records N] [--sector BYTES] [--dir DIR]
 *               [--log-records N] [--relaxed] [--inline] [--lives N] [--faults full|eio]
 *               [--plant nosync|early|tickets|pause|purge|drop|resend]
 *
 * (1) Children, one after another, feed records through the library (support/ledgers.h).  This
 *     program defines pwrite(), writev(), fdatasync() and their like itself, so every write and
 *     sync of LMDB and the library passes here, on whatever thread, and is entered in a log,
 *     together with what the outside learned: positions and tickets said to be durable, records
 *     handed to the sink (support/disk_log.h).  All children but the last end without closing, some
 *     within a write, a sync or an opening; so the next one's recovery is among the crash points
 *     too.  With --faults the disk refuses now and then (support/disk_faults.h).
 * (2) At every point of that log the disk may hold: all that was synced, and of what was written
 *     since, any subset, in units of a sector; the file longer than its data; its name old or new
 *     (support/disk_states.h).  States are nothing, all, prefixes, one missing, one only, a torn
 *     last write, random subsets.
 * (3) Workers write each state as a directory, open it with the library, and compare with a model:
 *     what was said to be durable is there (G2); structs, values, messages, egress and dead letters
 *     agree with one position (G1, G3); the sink never holds more than the database (G5, the gate).
 *     Then they feed more records, so that life goes on.  Half of them open it with other options
 *     than it was written with.
 *
 * In relaxed mode a ticket is no promise, all else is.
 *
 * --plant is the negative control: nosync logs syncs as if they had never happened, early calls a
 * position durable as soon as it was fed, tickets takes a ticket for a promise in relaxed mode.  pause,
 * purge, drop and resend are commands that are not given.
 * Each must turn out wrong.  Exit: 0 none was wrong, 1 some were; the first one's file is kept
 * then.
 *
 * After "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014) and "Can Applications
 * Recover from fsync Failures?" (Rebello et al., USENIX ATC 2020) for the states. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/disk_faults.h"
#include "support/disk_log.h"
#include "support/disk_states.h"
#include "support/ledgers.h"
#include "support/storm.h"

enum {
    WORKERS = 2,
    KINDS = 7,
    FEED_MORE = 12,
    OPEN_OPS = 14,
    LIFE_OPS = 250,
    SYNC_US = 150,
    ENDED = 7
};

static struct plan {
    uint64_t states, seed, records, sector, lives;
    struct ledgers_options options;
    enum disk_faults_kind faults;
    const char *dir, *plant;
} plan = {.states = 20000,
          .seed = 1,
          .records = 300,
          .sector = 512,
          .lives = 1,
          .dir = "/dev/shm",
          .plant = ""};

static void die(const char *what)
{
    fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    exit(2);
}

static int is_planted(const char *bug)
{
    return strcmp(plan.plant, bug) == 0;
}

/* -- what is recorded -------------------------------------------------------------------------- */

/* Of the child that is recorded. */
static struct {
    struct disk_faults *faults; /* shared, so that all lives are counted */
    struct dice dice;
    struct stat dir;
    uint64_t end_at; /* the operation after which it ends; 0: none */
} life;

enum file { OTHER, DATABASE, DIRECTORY };

/* The database, under its old or new name, or the directory?  lock.mdb and all else is not
 * followed. */
static enum file file_of(int fd)
{
    char link[64], path[512];
    struct stat status;
    if (!disk_log_is_on())
        return OTHER;
    if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode))
        return status.st_dev == life.dir.st_dev && status.st_ino == life.dir.st_ino ? DIRECTORY
                                                                                    : OTHER;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    const char *name = strrchr(path, '/');
    return name && (strcmp(name, "/data.mdb") == 0 || strcmp(name, "/data.mdb.new") == 0) ? DATABASE
                                                                                          : OTHER;
}

/* With the lock held, so that no other thread is between its write and the entry. */
static void enter(enum disk_op op, uint64_t at, const void *bytes, size_t size)
{
    disk_log_add(op, at, bytes, size);
    if (life.end_at && disk_log_life_ops() == life.end_at)
        _exit(ENDED);
}

static void nap(void)
{
    struct timespec pause = {.tv_nsec = (long)dice_below(&life.dice, SYNC_US) * 1000};
    nanosleep(&pause, NULL);
}

#define REAL(type, name, ...)         \
    static type (*real)(__VA_ARGS__); \
    if (!real)                        \
    real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

static ssize_t real_pwrite(int fd, const void *data, size_t size, off64_t at)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return real(fd, data, size, at);
}

static enum disk_op kind_of_write(int fd, int error)
{
    if (!(fcntl(fd, F_GETFL) & O_DSYNC))
        return DISK_WRITE;
    if (error)
        return DISK_WRITE_LOST;
    return is_planted("nosync") ? DISK_WRITE : DISK_WRITE_SYNCED;
}

static ssize_t record_write(int fd, const void *data, size_t size, off64_t at)
{
    struct stat status = {0};
    int error;
    disk_log_lock();
    fstat(fd, &status);
    size_t part =
        disk_faults_write(life.faults, (uint64_t)status.st_size, (uint64_t)at, size, &error);
    ssize_t done = part ? real_pwrite(fd, data, part, at) : 0;
    if (done < 0)
        error = errno;
    else if (done > 0)
        enter(kind_of_write(fd, error), (uint64_t)at, data, (size_t)done);
    disk_log_unlock();
    if (!error || (error == ENOSPC && done > 0))
        return done;
    errno = error;
    return -1;
}

static int record_sync(int fd, enum file file, int (*real)(int fd))
{
    disk_log_lock();
    size_t from = disk_log_size();
    int error = disk_faults_sync(life.faults);
    disk_log_unlock();
    nap();
    if (!error && real(fd) < 0)
        error = errno;
    disk_log_lock();
    if (file == DIRECTORY && !error)
        enter(DISK_DIR_SYNC, from, NULL, 0);
    else if (file == DATABASE && !is_planted("nosync"))
        enter(error ? DISK_SYNC_FAILED : DISK_SYNC, from, NULL, 0);
    disk_log_unlock();
    errno = error;
    return error ? -1 : 0;
}

/* Seen by the shared libraries, or they would find the C library's. */
#pragma GCC visibility push(default)

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    return file_of(fd) == DATABASE ? record_write(fd, data, size, at)
                                   : real_pwrite(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return pwrite64(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    size_t size = 0;
    if (file_of(fd) != DATABASE)
        return real(fd, vector, count);
    for (int i = 0; i < count; i++)
        size += vector[i].iov_len;
    unsigned char *bytes = malloc(size), *end = bytes;
    for (int i = 0; i < count; i++, end += vector[i - 1].iov_len)
        memcpy(end, vector[i].iov_base, vector[i].iov_len);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t done = record_write(fd, bytes, size, at);
    int error = errno;
    lseek(fd, at + (done > 0 ? done : 0), SEEK_SET);
    free(bytes);
    errno = error;
    return done;
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    enum file file = file_of(fd);
    return file == OTHER ? real(fd) : record_sync(fd, file, real);
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    enum file file = file_of(fd);
    return file == OTHER ? real(fd) : record_sync(fd, file, real);
}

int ftruncate64(int fd, off64_t size)
{
    REAL(int, "ftruncate64", int, off64_t);
    int is_database = file_of(fd) == DATABASE;
    disk_log_lock();
    int rc = real(fd, size);
    if (rc == 0 && is_database)
        enter(DISK_SIZE, (uint64_t)size, NULL, 0);
    disk_log_unlock();
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    disk_log_lock();
    int rc = real(from_dir, from, to_dir, to);
    if (rc == 0 && disk_log_is_on())
        enter(DISK_RENAME, 0, NULL, 0);
    disk_log_unlock();
    return rc;
}

int unlinkat(int dir, const char *name, int flags)
{
    REAL(int, "unlinkat", int, const char *, int);
    disk_log_lock();
    int rc = real(dir, name, flags);
    if (rc == 0 && disk_log_is_on() && strcmp(name, "data.mdb.new") == 0)
        enter(DISK_UNLINK, 0, NULL, 0);
    disk_log_unlock();
    return rc;
}

#pragma GCC visibility pop

/* -- lives ------------------------------------------------------------------------------------- */

static void give_up(const struct ledgers *ledgers, uint64_t number)
{
    printf("powerloss: life %" PRIu64 ": %s\n", number, ledgers->wrong);
    fflush(NULL);
    _exit(1);
}

static struct ledgers ledgers_now(uint64_t dice)
{
    return (struct ledgers){.dice = {dice},
                            .tolerates = plan.faults != DISK_FAULTS_NONE,
                            .is_early = is_planted("early"),
                            .forgets = plan.plant,
                            .emitted = disk_known(disk_log_known(), DISK_SUNK)};
}

/* The operation of the disk after which a life ends: the first one makes the database meanwhile,
 * others open it, or work. */
static uint64_t when_to_end(uint64_t number)
{
    uint64_t how = dice_below(&life.dice, 4), opening = 1 + dice_below(&life.dice, OPEN_OPS);
    if (number + 1 == plan.lives || (number && how == 0))
        return 0;
    return number == 0 || how == 1 ? opening : 1 + dice_below(&life.dice, LIFE_OPS);
}

/* One life, in a child; all but the last end without a close, wherever they are. */
static void live(const char *dir, uint64_t number)
{
    int is_last = number + 1 == plan.lives;
    life.dice.state = mix64(plan.seed * 1000 + number);
    life.end_at = when_to_end(number);
    disk_faults_init(life.faults, plan.faults, dice_throw(&life.dice));
    struct ledgers ledgers = ledgers_now(dice_throw(&life.dice));
    if (stat(dir, &life.dir) < 0)
        die(dir);
    disk_log_start();
    if (ledgers_open(&ledgers, dir, &plan.options) < 0 ||
        (!ledgers.is_early && ledgers_check_promises(&ledgers, disk_log_known(), 1) < 0) ||
        ledgers_check_pause(&ledgers, disk_log_known()) < 0 || (number && ledgers_settle(&ledgers) < 0) ||
        ledgers_feed(&ledgers, plan.records * (number + 1) / plan.lives) < 0)
        give_up(&ledgers, number);
    disk_log_lock();
    if (!is_last)
        _exit(ENDED);
    disk_log_unlock();
    if (ledgers_close(&ledgers) < 0)
        give_up(&ledgers, number);
    _exit(0);
}

/* What is in the directory itself in the end: killing loses nothing. */
static void look_back(const char *dir)
{
    struct ledgers ledgers = ledgers_now(1);
    ledgers.tolerates = 0;
    if (ledgers_open(&ledgers, dir, &plan.options) < 0 ||
        (!ledgers.is_early && ledgers_check_promises(&ledgers, disk_log_known(), 1) < 0) ||
        ledgers_settle(&ledgers) < 0 || ledgers_close(&ledgers) < 0)
        give_up(&ledgers, plan.lives);
    _exit(0);
}

static void make_dir(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/powerloss-%d-%s", plan.dir, (int)getpid(), name);
    if (mkdir(path, 0700) < 0)
        die(path);
}

static void record_lives(void)
{
    char dir[200];
    int status = 0;
    life.faults = shared_new(sizeof *life.faults);
    if (disk_log_init() < 0 || !life.faults)
        die("memory");
    make_dir(dir, sizeof dir, "run");
    for (uint64_t i = 0; i <= plan.lives && (status == 0 || status == ENDED); i++) {
        disk_log_renew();
        fflush(NULL);
        pid_t child = fork();
        if (child == 0 && i < plan.lives)
            live(dir, i);
        else if (child == 0)
            look_back(dir);
        if (child < 0 || waitpid(child, &status, 0) < 0)
            die("fork");
        status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
    if (status != 0) {
        if (*plan.plant) /* it was to be found */
            remove_tree(dir);
        printf("powerloss: seed %" PRIu64 ": the run itself ended with %d; kept: %s\n", plan.seed,
               status, *plan.plant ? "nothing" : dir);
        exit(status == 1 ? 1 : 2);
    }
    remove_tree(dir);
}

/* -- is a state right? ------------------------------------------------------------------------- */

static struct ledgers_options options_of_state(struct dice *dice)
{
    static const uint32_t log_records[] = {0, 24, 200, 1000};
    struct ledgers_options options = plan.options;
    if (dice_below(dice, 2))
        return options;
    options.log_records = log_records[dice_below(dice, 4)];
    options.commit_inline = (int)dice_below(dice, 2);
    options.relaxed = dice_below(dice, 8) == 0;
    return options;
}

static int check_state(const char *dir, const struct disk_known *known, struct dice *dice,
                       char *wrong, size_t size)
{
    struct ledgers_options options = options_of_state(dice);
    struct ledgers ledgers = {.dice = {dice_throw(dice)},
                              .forgets = "",
                              .emitted = disk_known(known, DISK_SUNK)};
    int with_tickets = !plan.options.relaxed || is_planted("tickets");
    int rc = ledgers_open(&ledgers, dir, &options);
    if (rc == 0)
        rc = ledgers_check_promises(&ledgers, known, with_tickets);
    if (rc == 0)
        rc = ledgers_check_pause(&ledgers, known);
    if (rc == 0)
        rc = ledgers_settle(&ledgers);
    if (rc == 0)
        rc = ledgers_feed(&ledgers, ledgers.position + FEED_MORE);
    if (rc == 0)
        rc = ledgers_settle(&ledgers);
    if (rc == 0)
        rc = ledgers_close(&ledgers);
    else
        ledgers_drop(&ledgers);
    if (rc < 0)
        snprintf(wrong, size, "opened with %u log records%s%s: %s", options.log_records,
                 options.relaxed ? ", relaxed" : "", options.commit_inline ? ", inline" : "",
                 ledgers.wrong);
    return rc;
}

/* -- workers ----------------------------------------------------------------------------------- */

struct worker {
    struct disk_states disk;
    struct dice dice;
    uint64_t points, states, bad;
    char dir[200];
};

static void complain(struct worker *worker, uint64_t kind, const char *wrong)
{
    char kept[200];
    if (++worker->bad > 5)
        return;
    fprintf(stderr,
            "powerloss: seed %" PRIu64 ", at byte %zu of the log, kind %" PRIu64 ", fed %" PRIu64
            ", %s\n",
            plan.seed, worker->disk.log_at, kind, disk_known(&worker->disk.known, DISK_FED), wrong);
    if (worker->bad > 1 || *plan.plant)
        return;
    make_dir(kept, sizeof kept, "kept");
    disk_states_write_again(&worker->disk, kept);
    fprintf(stderr, "powerloss: kept: %s\n", kept);
}

static void try_state(struct worker *worker, uint64_t kind)
{
    char wrong[600];
    disk_states_write(&worker->disk, kind, &worker->dice, worker->dir);
    if (check_state(worker->dir, &worker->disk.known, &worker->dice, wrong, sizeof wrong) < 0)
        complain(worker, kind, wrong);
    worker->states++;
}

/* All kinds in turn, if there is time for that, else any; random subsets more often. */
static uint64_t kind_of(struct worker *worker, uint64_t i, uint64_t states)
{
    if (states >= KINDS && i < KINDS)
        return i;
    return dice_below(&worker->dice, 2) ? KINDS - 1 : dice_below(&worker->dice, KINDS);
}

/* Walks the log; each point gets its part of the states, and each worker every second point.
 * Returns all parts. */
static uint64_t walk(struct worker *worker, int number, uint64_t states, uint64_t parts)
{
    uint64_t done = 0;
    int part;
    if (disk_states_init(&worker->disk, plan.sector, LEDGERS_BYTES_MAX) < 0)
        die("memory");
    while ((part = disk_states_follow(&worker->disk)) >= 0) {
        uint64_t before = done;
        done += (uint64_t)part;
        worker->points += part > 0;
        if (part == 0 || parts == 0 || worker->points % WORKERS != (uint64_t)number)
            continue;
        uint64_t here = states * done / parts - states * before / parts;
        for (uint64_t i = 0; i < here; i++)
            try_state(worker, kind_of(worker, i, here));
    }
    disk_states_fini(&worker->disk);
    return done;
}

static int work(struct worker *worker, int number, uint64_t parts)
{
    worker->dice.state = mix64(plan.seed) + (uint64_t)number;
    walk(worker, number, plan.states, parts);
    printf("worker %d: %" PRIu64 " states, %" PRIu64 " wrong\n", number, worker->states,
           worker->bad);
    fflush(NULL);
    return worker->bad ? 1 : 0;
}

static int start_workers(uint64_t parts)
{
    static struct worker workers[WORKERS];
    pid_t children[WORKERS];
    int worst = 0;
    for (int i = 0; i < WORKERS; i++) {
        make_dir(workers[i].dir, sizeof workers[i].dir, i ? "two" : "one");
        fflush(NULL);
        children[i] = fork();
        if (children[i] == 0)
            _exit(work(&workers[i], i, parts));
    }
    for (int i = 0; i < WORKERS; i++) {
        int status = 0;
        waitpid(children[i], &status, 0);
        if (WIFSIGNALED(status) && !*plan.plant)
            fprintf(stderr, "powerloss: a state killed its worker with signal %d; kept: %s\n",
                    WTERMSIG(status), workers[i].dir);
        else
            remove_tree(workers[i].dir);
        worst |= status != 0;
    }
    return worst;
}

/* -- the run ----------------------------------------------------------------------------------- */

static void usage(void)
{
    fputs(
        "usage: powerloss [--states N] [--seed S] [--records N] [--sector BYTES] [--dir DIR]\n"
        "                 [--log-records N] [--relaxed] [--inline] [--lives N]"
        " [--faults full|eio]\n"
        "                 [--plant nosync|early|tickets|pause|purge|drop|resend]\n",
        stderr);
    exit(2);
}

static enum disk_faults_kind faults_named(const char *name)
{
    if (strcmp(name, "full") != 0 && strcmp(name, "eio") != 0)
        usage();
    return *name == 'f' ? DISK_FAULTS_FULL : DISK_FAULTS_EIO;
}

static void parse(int argc, char **argv)
{
    static const struct option options[] = {
        {"states", required_argument, NULL, 's'},  {"seed", required_argument, NULL, 'e'},
        {"records", required_argument, NULL, 'n'}, {"sector", required_argument, NULL, 'b'},
        {"dir", required_argument, NULL, 'd'},     {"log-records", required_argument, NULL, 'l'},
        {"relaxed", no_argument, NULL, 'r'},       {"inline", no_argument, NULL, 'i'},
        {"lives", required_argument, NULL, 'v'},   {"faults", required_argument, NULL, 'f'},
        {"plant", required_argument, NULL, 'p'},   {0},
    };
    for (int option; (option = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 's':
            plan.states = number;
            break;
        case 'e':
            plan.seed = number;
            break;
        case 'n':
            plan.records = number;
            break;
        case 'b':
            plan.sector = number;
            break;
        case 'd':
            plan.dir = optarg;
            break;
        case 'l':
            plan.options.log_records = (uint32_t)number;
            break;
        case 'r':
            plan.options.relaxed = 1;
            break;
        case 'i':
            plan.options.commit_inline = 1;
            break;
        case 'v':
            plan.lives = number;
            break;
        case 'f':
            plan.faults = faults_named(optarg);
            break;
        case 'p':
            plan.plant = optarg;
            break;
        default:
            usage();
        }
    }
    if (optind < argc || plan.lives == 0 || plan.sector < 16 || plan.sector > 4096)
        usage();
}

int main(int argc, char **argv)
{
    struct worker counter = {0};
    parse(argc, argv);
    record_lives();
    uint64_t parts = walk(&counter, 0, 0, 0), start_us = now_us();
    int worst = start_workers(parts);
    printf("powerloss: seed %" PRIu64 ", %" PRIu64 " crash points, %" PRIu64 " refusals, %" PRIu64
           " states, sectors of %" PRIu64 " bytes, %" PRIu64 " ms: %s\n",
           plan.seed, counter.points, life.faults->total, plan.states, plan.sector,
           (now_us() - start_us) / 1000, worst ? "WRONG" : "none was wrong");
    return worst ? 1 : 0;
}
