/* powerloss.c - what a power cut may leave, rebuilt and opened, thousands of times.
 *
 *     powerloss [--states N] [--seed S] [--records N] [--sector BYTES] [--dir DIR] [--plant nosync|early]
 *
 * (1) A child feeds records through the library.  This program defines pwrite(), writev(), fdatasync()
 *     and their like itself, so every write and sync of LMDB and the library passes here and is logged,
 *     together with what the outside world learned: positions said to be durable, records handed to
 *     the sink.
 * (2) At every point of that log the disk may hold: all that was synced, and of what was written since,
 *     any subset, in units of a sector; the file longer than its data; its name old or new.  States are
 *     nothing, all, prefixes, one missing, one only, a torn last write, random subsets.
 * (3) Workers write each state as a directory, open it with the library, and compare with a model: what
 *     was said to be durable is there (G2); structs, messages, egress and dead letters agree with one
 *     position (G1, G3); the sink never holds more than the database (G5, the gate).  Then they feed
 *     more records, so that life goes on.
 *
 * --plant is the negative control: nosync logs syncs as if they had never happened, early calls a
 * position durable as soon as it was fed.  Either must turn out wrong.  Exit: 0 none was wrong, 1 some
 * were.
 *
 * After "All File Systems Are Not Created Equal" (Pillai et al., OSDI 2014) for the states. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "statefun.h"

enum { LEDGERS = 7, LOG_BYTES = 512 << 20, IMAGE_BYTES = 64 << 20, WORKERS = 2, UNITS_MAX = 1 << 16 };

static void die(const char *what)
{
    fprintf(stderr, "powerloss: %s: %s\n", what, strerror(errno));
    exit(2);
}

/* -- the log ------------------------------------------------------------------------------------------ */

enum op { OP_WRITE, OP_WRITE_SYNCED, OP_SYNC, OP_SIZE, OP_RENAME, OP_DIR_SYNC, OP_DURABLE, OP_SUNK, OP_FED };

struct entry {
    uint32_t op;
    uint32_t size; /* of the bytes that follow, padded to 8 */
    uint64_t at;   /* offset, size, position or sequence */
};

/* Shared between the child that writes it and the parent. */
static struct {
    size_t used;
    int plant_nosync, plant_early;
    unsigned char bytes[];
} *record;
static int recording;

static void log_entry(enum op op, uint64_t at, const void *data, size_t size)
{
    struct entry entry = {op, (uint32_t)size, at};
    if (!recording)
        return;
    size_t padded = (size + 7) & ~(size_t)7;
    if (record->used + sizeof entry + padded > LOG_BYTES - sizeof *record)
        die("the log is full");
    memcpy(record->bytes + record->used, &entry, sizeof entry);
    if (size)
        memcpy(record->bytes + record->used + sizeof entry, data, size);
    record->used += sizeof entry + padded;
}

/* Is it the database (under its old or new name)?  lock.mdb and everything else is not followed. */
static int is_database(int fd)
{
    char link[64], path[512];
    if (!recording)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size > 0 ? size : 0] = 0;
    const char *name = strrchr(path, '/');
    return name && (strcmp(name, "/data.mdb") == 0 || strcmp(name, "/data.mdb.new") == 0);
}

static void log_write(int fd, uint64_t at, const void *data, size_t size)
{
    int synced = (fcntl(fd, F_GETFL) & O_DSYNC) && !record->plant_nosync;
    log_entry(synced ? OP_WRITE_SYNCED : OP_WRITE, at, data, size);
}

/* Seen by the shared libraries, or they would find the C library's. */
#pragma GCC visibility push(default)

#define REAL(type, name, ...)                                                                        \
    static type (*real)(__VA_ARGS__);                                                                \
    if (!real)                                                                                       \
        real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at)
{
    REAL(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    ssize_t done = real(fd, data, size, at);
    if (done > 0 && is_database(fd))
        log_write(fd, (uint64_t)at, data, (size_t)done);
    return done;
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at)
{
    return pwrite64(fd, data, size, at);
}

ssize_t writev(int fd, const struct iovec *vector, int count)
{
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    int follow = is_database(fd);
    off_t at = follow ? lseek(fd, 0, SEEK_CUR) : 0;
    ssize_t done = real(fd, vector, count), left = done;
    for (int i = 0; follow && i < count && left > 0; i++) {
        size_t size = (size_t)left < vector[i].iov_len ? (size_t)left : vector[i].iov_len;
        log_write(fd, (uint64_t)at, vector[i].iov_base, size);
        at += (off_t)size;
        left -= (ssize_t)size;
    }
    return done;
}

static int after_sync(int fd, int rc)
{
    struct stat status;
    if (rc < 0 || !recording)
        return rc;
    if (is_database(fd)) {
        if (!record->plant_nosync)
            log_entry(OP_SYNC, 0, NULL, 0);
    } else if (fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        log_entry(OP_DIR_SYNC, 0, NULL, 0);
    }
    return rc;
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return after_sync(fd, real(fd));
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return after_sync(fd, real(fd));
}

int ftruncate64(int fd, off64_t size)
{
    REAL(int, "ftruncate64", int, off64_t);
    int rc = real(fd, size);
    if (rc == 0 && is_database(fd))
        log_entry(OP_SIZE, (uint64_t)size, NULL, 0);
    return rc;
}

int ftruncate(int fd, off_t size)
{
    return ftruncate64(fd, size);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    int rc = real(from_dir, from, to_dir, to);
    if (rc == 0)
        log_entry(OP_RENAME, 0, NULL, 0);
    return rc;
}

#pragma GCC visibility pop

/* -- the workload and its model ------------------------------------------------------------------------- */

static const char LEDGER[] = "test/ledger", AUDIT[] = "test/audit", OUT[] = "test/out";

struct ledger { uint64_t entries, sum; char padding[200]; };
struct audit { uint64_t seen; };
struct sink { uint64_t last; int wrong; };

static const sf_value last_entry = SF_VALUE("last");

static int is_rejected(uint64_t n) { return n % 50 == 13; }
static int is_emitted(uint64_t n) { return n % 3 == 0; }

static int ledger_add(sf_turn *turn)
{
    struct ledger *self = sf_state(turn);
    const uint64_t *n = sf_body(turn, sizeof *n);
    self->entries++;
    self->sum += *n;
    sf_value_put(turn, &last_entry, SF_OF(*n));
    if (is_emitted(*n))
        sf_emit(turn, OUT, "entry", SF_OF(*n));
    sf_tell(turn, sf_addr(AUDIT, "all"), "seen", SF_NONE);
    return is_rejected(*n) ? sf_reject(turn, "no") : 0;
}

static int audit_seen(sf_turn *turn)
{
    struct audit *self = sf_state(turn);
    self->seen++;
    return 0;
}

static const sf_type ledger_type = SF_TYPE(LEDGER, .on = {{"add", ledger_add}}, .values = {&last_entry},
                                           .state_size = sizeof(struct ledger));
static const sf_type audit_type =
    SF_TYPE(AUDIT, .on = {{"seen", audit_seen}}, .state_size = sizeof(struct audit));

/* The number that the record with this sequence must carry: the sequence-th that is emitted. */
static uint64_t emitted_number(uint64_t sequence)
{
    static uint64_t known[1 << 16], count, n;
    while (count < sequence && count + 1 < sizeof known / sizeof *known)
        if (is_emitted(++n) && !is_rejected(n))
            known[++count] = n;
    return sequence <= count ? known[sequence] : 0;
}

static int take(const sf_message *const *records, size_t count, void *userdata)
{
    struct sink *sink = userdata;
    for (size_t i = 0; i < count; i++) {
        const uint64_t *n = records[i]->body.data;
        if (records[i]->sequence != sink->last + 1 || *n != emitted_number(records[i]->sequence))
            sink->wrong = 1;
        sink->last = records[i]->sequence;
        log_entry(OP_SUNK, sink->last, NULL, 0);
    }
    return (int)count;
}

static int open_all(const char *dir, struct sink *sink, sf_runtime **rt, sf_source **source)
{
    sf_options options = SF_OPTIONS(.store_bytes_max = IMAGE_BYTES);
    int rc = sf_runtime_open(dir, &options, rt);
    if (rc < 0)
        return rc;
    if ((rc = sf_register(*rt, &ledger_type, NULL)) < 0 || (rc = sf_register(*rt, &audit_type, NULL)) < 0 ||
        (rc = sf_egress_register(*rt, OUT, take, sink)) < 0 ||
        (rc = sf_egress_ack(*rt, OUT, sink->last)) < 0 || (rc = sf_source_open(*rt, "in", 0, source)) < 0)
        return rc;
    return 0;
}

/* Feeds records from `from` on; steps in between so that messages wait over commits now and then. */
static int feed(sf_runtime *rt, sf_source *source, uint64_t from, uint64_t to, int turns)
{
    char id[2] = "0";
    int rc = 0;
    for (uint64_t n = from; n <= to && rc >= 0; n++) {
        id[0] = (char)('0' + n % LEDGERS);
        log_entry(OP_FED, n, NULL, 0);
        sf_source_send(source, sf_addr(LEDGER, id), "add", SF_OF(n));
        rc = sf_source_advance(source, n);
        if (rc >= 0 && n % 5 == 0)
            rc = sf_step(rt, turns);
        log_entry(OP_DURABLE, record->plant_early ? n : sf_source_position(source), NULL, 0);
    }
    return rc < 0 ? rc : 0;
}

static void run_workload(const char *dir, uint64_t records)
{
    sf_runtime *rt;
    sf_source *source;
    struct sink sink = {0};
    recording = 1;
    if (open_all(dir, &sink, &rt, &source) < 0 || feed(rt, source, 1, records, 3) < 0) {
        fprintf(stderr, "powerloss: workload: %s\n", sf_errmsg());
        _exit(2);
    }
    sf_source_close(source);
    if (sf_runtime_close(rt) < 0)
        _exit(2);
    _exit(0);
}

/* -- is a state right? ------------------------------------------------------------------------------------- */

/* What the outside knew when the power went. */
struct known {
    uint64_t durable, fed, sunk;
};

static char wrong[300];

static int say(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(wrong, sizeof wrong, format, args);
    va_end(args);
    return -1;
}

struct totals { uint64_t entries, sum, seen, dead, emitted; };

static struct totals model(uint64_t position)
{
    struct totals t = {0};
    for (uint64_t n = 1; n <= position; n++) {
        t.dead += is_rejected(n);
        if (is_rejected(n))
            continue;
        t.entries++;
        t.sum += n;
        t.emitted += is_emitted(n);
    }
    t.seen = t.entries;
    return t;
}

static struct totals read_totals(sf_runtime *rt, const struct sink *sink)
{
    struct totals t = {.emitted = sink->last};
    sf_view *view;
    if (sf_view_open(rt, &view) < 0)
        return t;
    for (int i = 0; i < LEDGERS; i++) {
        char id[2] = {(char)('0' + i), 0};
        const struct ledger *ledger = sf_view_state(view, sf_addr(LEDGER, id)).data;
        t.entries += ledger ? ledger->entries : 0;
        t.sum += ledger ? ledger->sum : 0;
    }
    const struct audit *audit = sf_view_state(view, sf_addr(AUDIT, "all")).data;
    t.seen = audit ? audit->seen : 0;
    while (sf_view_dead(view, t.dead))
        t.dead++;
    sf_view_close(view);
    return t;
}

static int compare(sf_runtime *rt, const struct sink *sink, uint64_t position)
{
    struct totals is = read_totals(rt, sink), must = model(position);
    if (sink->wrong)
        return say("the sink saw a hole, a double or other bytes");
    if (memcmp(&is, &must, sizeof is) == 0)
        return 0;
    return say("at position %" PRIu64 ": entries %" PRIu64 "/%" PRIu64 " sum %" PRIu64 "/%" PRIu64
               " seen %" PRIu64 "/%" PRIu64 " dead %" PRIu64 "/%" PRIu64 " emitted %" PRIu64 "/%" PRIu64,
               position, is.entries, must.entries, is.sum, must.sum, is.seen, must.seen, is.dead, must.dead,
               is.emitted, must.emitted);
}

static int check_open(sf_runtime *rt, sf_source *source, struct sink *sink, const struct known *known)
{
    uint64_t position = sf_source_position(source);
    if (position < known->durable)
        return say("position %" PRIu64 " was durable, %" PRIu64 " is there", known->durable, position);
    if (position > known->fed)
        return say("position %" PRIu64 " is there, only %" PRIu64 " was fed", position, known->fed);
    if (sf_run_until_idle(rt) < 0)
        return say("cannot go on: %s", sf_errmsg());
    if (compare(rt, sink, position) < 0)
        return -1;
    if (feed(rt, source, position + 1, position + 12, 2) < 0 || sf_run_until_idle(rt) < 0)
        return say("cannot be fed: %s", sf_errmsg());
    return compare(rt, sink, position + 12);
}

static int check_state(const char *dir, const struct known *known)
{
    sf_runtime *rt = NULL;
    sf_source *source = NULL;
    struct sink sink = {.last = known->sunk};
    int rc = open_all(dir, &sink, &rt, &source);
    rc = rc < 0 ? say("refused: %s", sf_errmsg()) : check_open(rt, source, &sink, known);
    sf_source_close(source);
    if (sf_runtime_close(rt) < 0 && rc == 0)
        rc = say("close: %s", sf_errmsg());
    return rc;
}

/* -- states ---------------------------------------------------------------------------------------------- */

struct unit { /* a sector written and not synced */
    uint64_t at;
    uint32_t size;
    const unsigned char *bytes;
};

enum names { ABSENT, NEW, DATA };

/* Follows the log. */
struct disk {
    unsigned char *synced; /* IMAGE_BYTES */
    uint64_t size;         /* synced */
    struct unit *pending;
    size_t pending_count;
    enum names name, name_synced;
    struct known known;
};

static uint64_t sector = 512, random_state, states_left, states_done;
static char worker_dir[200];

static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static void apply(unsigned char *image, uint64_t *size, const struct unit *unit)
{
    memcpy(image + unit->at, unit->bytes, unit->size);
    if (unit->at + unit->size > *size)
        *size = unit->at + unit->size;
}

static void write_image(const unsigned char *image, uint64_t size, enum names name)
{
    static const char *const files[] = {"lock.mdb", "data.mdb", "data.mdb.new", "data.mdb.new-lock"};
    char path[300];
    for (int i = 0; i < 4; i++) {
        snprintf(path, sizeof path, "%s/%s", worker_dir, files[i]);
        unlink(path);
    }
    if (name == ABSENT)
        return;
    snprintf(path, sizeof path, "%s/%s", worker_dir, name == DATA ? "data.mdb" : "data.mdb.new");
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (fd < 0 || write(fd, image, size) != (ssize_t)size)
        die(path);
    close(fd);
}

/* What keep[] picks: 0 lost, 1 whole, else that many bytes of the unit, torn. */
static void try_state(const struct disk *disk, const uint16_t *keep, int grown, int *bad)
{
    static unsigned char *image;
    uint64_t size = disk->size, end = disk->size;
    if (!image)
        image = malloc(IMAGE_BYTES);
    memcpy(image, disk->synced, disk->size);
    for (size_t i = 0; i < disk->pending_count; i++)
        if (disk->pending[i].at + disk->pending[i].size > end)
            end = disk->pending[i].at + disk->pending[i].size;
    memset(image + disk->size, 0, end - disk->size);
    for (size_t i = 0; i < disk->pending_count; i++) {
        struct unit unit = disk->pending[i];
        if (keep[i] > 1)
            unit.size = keep[i] < unit.size ? keep[i] : unit.size;
        if (keep[i])
            apply(image, &size, &unit);
    }
    enum names name = next_random() % 2 ? disk->name : disk->name_synced;
    write_image(image, grown ? end : size, name);
    struct known known = disk->known;
    if (check_state(worker_dir, &known) < 0) {
        if (++*bad <= 5)
            fprintf(stderr, "powerloss: state %" PRIu64 ", fed %" PRIu64 ": %s\n", states_done, known.fed, wrong);
    }
    states_done++;
    if (states_left)
        states_left--;
}

/* The k-th state of a crash point, by kind; after the systematic ones, random subsets. */
static void pick(const struct disk *disk, uint64_t k, uint16_t *keep)
{
    size_t n = disk->pending_count, one = n ? next_random() % n : 0;
    memset(keep, 0, n * sizeof *keep);
    switch (k % 7) {
    case 0: /* nothing */
        break;
    case 1: /* all */
    case 2: /* all but one */
        for (size_t i = 0; i < n; i++)
            keep[i] = k % 7 == 1 || i != one;
        break;
    case 3: /* only one */
        if (n)
            keep[one] = 1;
        break;
    case 4: /* a prefix */
    case 5: /* a prefix whose last sector is torn: its first bytes made it */
        for (size_t i = 0; i < one; i++)
            keep[i] = 1;
        if (k % 7 == 5 && n)
            keep[one] = (uint16_t)(2 + next_random() % (sector - 2));
        break;
    default: { /* any subset */
        uint64_t odds = 1 + next_random() % 7;
        for (size_t i = 0; i < n; i++)
            keep[i] = next_random() % 8 < odds;
    }
    }
}

static void crash_here(const struct disk *disk, uint64_t states, int *bad)
{
    static uint16_t keep[UNITS_MAX];
    for (uint64_t i = 0; i < states; i++) {
        uint64_t k = i < 7 ? i : 6 - (next_random() % 3) * (next_random() % 2);
        pick(disk, k, keep);
        try_state(disk, keep, next_random() % 4 == 0, bad);
    }
}

static void add_pending(struct disk *disk, const struct entry *entry, const unsigned char *bytes)
{
    for (uint64_t at = 0; at < entry->size;) {
        uint64_t size = sector - (entry->at + at) % sector;
        if (size > entry->size - at)
            size = entry->size - at;
        if (disk->pending_count == UNITS_MAX || entry->at + at + size > IMAGE_BYTES)
            die("the workload is too large");
        disk->pending[disk->pending_count++] = (struct unit){entry->at + at, (uint32_t)size, bytes + at};
        at += size;
    }
}

static void flush_pending(struct disk *disk, size_t from)
{
    for (size_t i = from; i < disk->pending_count; i++) {
        const struct unit *unit = &disk->pending[i];
        if (unit->at > disk->size)
            memset(disk->synced + disk->size, 0, unit->at - disk->size);
        apply(disk->synced, &disk->size, unit);
    }
    disk->pending_count = from;
}

/* Returns 1 if a crash behind this entry may leave something new. */
static int follow(struct disk *disk, const struct entry *entry, const unsigned char *bytes)
{
    size_t before = disk->pending_count;
    switch (entry->op) {
    case OP_WRITE:
        disk->name = disk->name == ABSENT ? NEW : disk->name;
        add_pending(disk, entry, bytes);
        return 1;
    case OP_WRITE_SYNCED:
        add_pending(disk, entry, bytes);
        flush_pending(disk, before);
        return 1;
    case OP_SYNC:
        flush_pending(disk, 0);
        return 1;
    case OP_SIZE:
        if (entry->at < disk->size)
            disk->size = entry->at;
        return 1;
    case OP_RENAME:
        disk->name = DATA;
        return 1;
    case OP_DIR_SYNC:
        disk->name_synced = disk->name;
        return 1;
    case OP_DURABLE:
        if (entry->at == disk->known.durable)
            return 0;
        disk->known.durable = entry->at;
        return 1;
    case OP_SUNK:
        disk->known.sunk = entry->at;
        return 1;
    case OP_FED:
        disk->known.fed = entry->at;
        return 0;
    }
    return 0;
}

/* Walks the log; at every worker-th crash point tries its share of states.  Their number. */
static uint64_t walk(int worker, uint64_t states_each, int *bad)
{
    struct disk disk = {.synced = calloc(1, IMAGE_BYTES), .pending = calloc(UNITS_MAX, sizeof(struct unit))};
    uint64_t points = 0;
    if (!disk.synced || !disk.pending)
        die("memory");
    for (size_t at = 0; at < record->used;) {
        struct entry entry;
        memcpy(&entry, record->bytes + at, sizeof entry);
        const unsigned char *bytes = record->bytes + at + sizeof entry;
        at += sizeof entry + ((entry.size + 7) & ~(size_t)7);
        if (follow(&disk, &entry, bytes) && points++ % WORKERS == (uint64_t)worker && states_each)
            crash_here(&disk, states_each, bad);
    }
    free(disk.synced);
    free(disk.pending);
    return points;
}

/* -- the run ------------------------------------------------------------------------------------------------ */

struct plan {
    uint64_t states, seed, records;
    const char *dir, *plant;
};

static struct plan parse(int argc, char **argv)
{
    struct plan plan = {.states = 20000, .seed = 1, .records = 150, .dir = "/dev/shm", .plant = ""};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--states") == 0)
            plan.states = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            plan.seed = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--records") == 0)
            plan.records = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--sector") == 0)
            sector = strtoull(value, NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0)
            plan.dir = value;
        else if (strcmp(argv[i], "--plant") == 0)
            plan.plant = value;
        else {
            fprintf(stderr, "usage: powerloss [--states N] [--seed S] [--records N] [--sector BYTES] "
                            "[--dir DIR] [--plant nosync|early]\n");
            exit(2);
        }
        i++;
    }
    return plan;
}

static void make_dir(char *path, size_t size, const char *base, int number)
{
    snprintf(path, size, "%s/powerloss-%d-%d", base, (int)getpid(), number);
    if (mkdir(path, 0700) < 0)
        die(path);
}

static void remove_dir(const char *path)
{
    static const char *const files[] = {"lock", "lock.mdb", "data.mdb", "data.mdb.new", "data.mdb.new-lock"};
    char file[1000];
    for (int i = 0; i < 5; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        unlink(file);
    }
    rmdir(path);
}

static void record_workload(const struct plan *plan)
{
    char dir[200];
    int status;
    record = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (record == MAP_FAILED)
        die("memory");
    record->plant_nosync = strcmp(plan->plant, "nosync") == 0;
    record->plant_early = strcmp(plan->plant, "early") == 0;
    make_dir(dir, sizeof dir, plan->dir, 0);
    pid_t child = fork();
    if (child == 0)
        run_workload(dir, plan->records);
    waitpid(child, &status, 0);
    remove_dir(dir);
    if (status != 0)
        exit(2);
}

int main(int argc, char **argv)
{
    struct plan plan = parse(argc, argv);
    pid_t workers[WORKERS];
    char dirs[WORKERS][200];
    int worst = 0;
    record_workload(&plan);
    uint64_t points = walk(0, 0, NULL), states_each = plan.states / (points ? points : 1) + 1;
    fflush(NULL);
    for (int i = 0; i < WORKERS; i++) {
        int bad = 0;
        make_dir(dirs[i], sizeof dirs[i], plan.dir, i + 1);
        workers[i] = fork();
        if (workers[i] != 0)
            continue;
        memcpy(worker_dir, dirs[i], sizeof worker_dir);
        random_state = plan.seed * 0x9e3779b97f4a7c15u + (uint64_t)i + 1;
        walk(i, states_each, &bad);
        printf("worker %d: %" PRIu64 " states, %d wrong\n", i, states_done, bad);
        fflush(NULL);
        _exit(bad ? 1 : 0);
    }
    for (int i = 0; i < WORKERS; i++) {
        int status = 0;
        waitpid(workers[i], &status, 0);
        remove_dir(dirs[i]);
        if (WIFSIGNALED(status))
            fprintf(stderr, "powerloss: a state killed its worker with signal %d\n", WTERMSIG(status));
        worst |= status != 0;
    }
    printf("powerloss: seed %" PRIu64 ", %" PRIu64 " crash points, %" PRIu64 " states, sectors of %" PRIu64
           " bytes: %s\n",
           plan.seed, points, points * states_each, sector, worst ? "WRONG" : "none was wrong");
    return worst ? 1 : 0;
}
