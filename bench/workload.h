/* workload.h - the workload, the same for every program that runs it.
 *
 * A message from outside goes to a pseudo-random actor, which adds one to its counter and sends it
 * on to the next pseudo-random actor, until the hops of the message are used up.  With one hop, the
 * default, half of the messages come from outside and half from handlers; with many it is a ring of
 * tokens; with none all come from outside.
 *
 * (1) The stream is fixed by the numbers of messages, hops and actors: the targets are functions of
 *     what was drawn for the message from outside, never of the order in which a program handles
 *     them.
 * (2) Every actor has its state on disk before the clock starts: the fill gives each a count of
 *     one.
 * (3) The clock stops when everything is on disk.
 * (4) Afterwards each program walks over what it stored and must find the right sum of counters and
 *     the right digest, which weighs each actor's counter; so no message went missing or astray.
 *
 * A program prints one line of JSON for each measurement, or says on stderr why not and exits 1.
 * This file is C and C++. */
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

enum { WORKLOAD_ID_SIZE = 12, WORKLOAD_KEY_SIZE = 4 + WORKLOAD_ID_SIZE, WORKLOAD_STATE_MAX = 4096 };

struct workload {
    const char *name;
    const char *dir;
    const char *rival; /* by hand only: which store, and which loop over it */
    const char *loop;
    uint64_t messages; /* handled within the measured time; a multiple of hops + 1 */
    uint64_t hops;     /* how often a message is sent on by handlers */
    uint64_t actors;
    uint64_t state_size;
    uint64_t batch;       /* messages a transaction; ours, 0: the default, which is up to 65536 */
    uint64_t waiting;     /* by hand, loop mailbox: messages that are always kept waiting */
    uint64_t round;       /* passed through to the result */
    uint64_t rounds;      /* for programs that repeat by themselves */
    uint64_t senders;     /* threads that send, where there are several */
    uint64_t records;     /* messages of a source that share one advance */
    uint64_t percent;     /* load, of the largest rate */
    uint64_t ms;          /* how long that load lasts */
    uint64_t thread;      /* ours only: 1: the library's own thread drives */
    uint64_t log_bytes;   /* ours only: log_bytes_max */
    uint64_t cache_bytes; /* ours only: cache_bytes_max */
};

/* 64 bytes, as it is sent and as it lies in a mailbox. */
struct workload_message {
    uint64_t drawn; /* where this message goes, and all that it is sent on as */
    uint64_t hops;  /* how often it is still sent on */
    unsigned char payload[48];
};

struct workload_sum {
    uint64_t count;
    uint64_t digest;
};

static inline void __attribute__((noreturn, __format__(__printf__, 1, 2)))
workload_fail(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

/* -- the stream -------------------------------------------------------------------------------- */

#define WORKLOAD_SEED UINT64_C(88172645463325252)

static inline uint64_t workload_draw(uint64_t *seed) /* xorshift64 */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static inline uint64_t workload_mix(uint64_t x)
{
    x ^= x >> 32;
    x *= UINT64_C(0x9e3779b97f4a7c15);
    x ^= x >> 29;
    return x;
}

static inline struct workload_message workload_message_next(const struct workload *w,
                                                            uint64_t *seed)
{
    struct workload_message msg;

    msg.drawn = workload_draw(seed);
    msg.hops = w->hops;
    memset(msg.payload, 7, sizeof msg.payload);
    return msg;
}

/* What the handler of a message that has hops left sends on. */
static inline void workload_message_onward(struct workload_message *msg)
{
    msg->drawn = workload_mix(msg->drawn + UINT64_C(0x632be59bd9b4e019));
    msg->hops--;
}

static inline uint64_t workload_target(uint64_t actors, const struct workload_message *msg)
{
    return msg->drawn % actors;
}

/* "usr-00001234", not terminated.  By hand: snprintf() would be the largest cost of some loops. */
static inline void workload_id(uint64_t actor, unsigned char id[WORKLOAD_ID_SIZE])
{
    memcpy(id, "usr-", 4);
    for (int i = WORKLOAD_ID_SIZE - 1; i >= 4; i--) {
        id[i] = (unsigned char)('0' + actor % 10);
        actor /= 10;
    }
}

/* The id after the number of its type. */
static inline void workload_key(uint64_t actor, unsigned char key[WORKLOAD_KEY_SIZE])
{
    memcpy(key, "\0\0\0\1", 4);
    workload_id(actor, key + 4);
}

/* -- the sum ----------------------------------------------------------------------------------- */

static inline void workload_sum_add(struct workload_sum *sum, uint64_t actor, uint64_t count)
{
    sum->count += count;
    sum->digest += count * workload_mix(actor + 1);
}

/* What a walk adds up: the id of an actor and its state, whose first 8 bytes are the counter. */
static inline void workload_sum_entry(struct workload_sum *sum, const void *id, const void *state)
{
    const unsigned char *digits = (const unsigned char *)id + 4;
    uint64_t actor = 0, count;

    for (int i = 0; i < WORKLOAD_ID_SIZE - 4; i++)
        actor = actor * 10 + (uint64_t)(digits[i] - '0');
    memcpy(&count, state, sizeof count);
    workload_sum_add(sum, actor, count);
}

/* One message from outside, and all that handlers send on. */
static inline void workload_sum_message(struct workload_sum *sum, const struct workload *w,
                                        uint64_t *seed)
{
    struct workload_message msg = workload_message_next(w, seed);

    workload_sum_add(sum, workload_target(w->actors, &msg), 1);
    while (msg.hops) {
        workload_message_onward(&msg);
        workload_sum_add(sum, workload_target(w->actors, &msg), 1);
    }
}

static inline struct workload_sum workload_sum_filled(const struct workload *w)
{
    struct workload_sum sum = {0, 0};

    for (uint64_t i = 0; i < w->actors; i++)
        workload_sum_add(&sum, i, 1);
    return sum;
}

static inline void workload_sum_verify(struct workload_sum want, struct workload_sum got)
{
    if (got.count != want.count)
        workload_fail("counters add up to %" PRIu64 ", not %" PRIu64, got.count, want.count);
    if (got.digest != want.digest)
        workload_fail("counters add up, but some are with the wrong actor");
}

static inline void workload_verify(const struct workload *w, struct workload_sum got)
{
    struct workload_sum want = workload_sum_filled(w);
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < w->messages; i += w->hops + 1)
        workload_sum_message(&want, w, &seed);
    workload_sum_verify(want, got);
}

/* -- the clock --------------------------------------------------------------------------------- */

/* Beside the time it takes note of how fast the second half went, of what was written to disk, of
 * the memory at a quarter of the way and at the end, and of the processor time of the thread that
 * runs the handlers and of the whole process. */
struct workload_clock {
    double started, seconds;
    clockid_t engine; /* the clock of the thread that runs the handlers */
    int engine_ended;
    double cpu_engine, cpu_all; /* seconds */
    double half_at, rate_late; /* 0: not known */
    uint64_t half_done;
    uint64_t written;              /* bytes */
    uint64_t rss_quarter, rss_end; /* bytes; 0: not known */
};

static inline double workload_time(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline double workload_now(void)
{
    return workload_time(CLOCK_MONOTONIC);
}

/* The number after `name` in a file of /proc. */
static inline uint64_t workload_proc(const char *path, const char *name)
{
    char line[256];
    uint64_t number;
    size_t size = strlen(name);
    FILE *file = fopen(path, "r");

    if (!file)
        workload_fail("%s: %s", path, strerror(errno));
    do {
        if (!fgets(line, sizeof line, file))
            workload_fail("%s: no line %s", path, name);
    } while (strncmp(line, name, size) != 0);
    number = strtoull(line + size, NULL, 10);
    fclose(file);
    return number;
}

/* Memory that is this process's own.  Not the whole RSS: that counts each page of a mapped database
 * that was touched, which the page cache may take back at any time. */
static inline uint64_t workload_rss(void)
{
    return workload_proc("/proc/self/status", "RssAnon:") * 1024;
}

/* Bytes given to write calls.  Not write_bytes of the same file: that charges a whole folio of the
 * page cache for each first write into it, where only the written pages go to disk.  All programs
 * here write whole pages and sync them, so this is what the device counts, too, but for the file
 * system's own. */
static inline uint64_t workload_written(void)
{
    return workload_proc("/proc/self/io", "wchar:");
}

/* `engine`: CLOCK_THREAD_CPUTIME_ID where this thread runs the handlers. */
static inline void workload_clock_start(struct workload_clock *clock, clockid_t engine)
{
    memset(clock, 0, sizeof *clock);
    clock->written = workload_written();
    clock->engine = engine;
    clock->cpu_engine = workload_time(engine);
    clock->cpu_all = workload_time(CLOCK_PROCESS_CPUTIME_ID);
    clock->started = workload_now();
}

/* To be called now and then with the number of messages handled so far. */
static inline void workload_clock_at(struct workload_clock *clock, const struct workload *w,
                                     uint64_t done)
{
    if (!clock->rss_quarter && done >= w->messages / 4)
        clock->rss_quarter = workload_rss();
    if (!clock->half_done && done >= w->messages / 2) {
        clock->half_done = done;
        clock->half_at = workload_now();
    }
}

/* For a thread that ends before the clock stops: what it used so far is all that counts. */
static inline void workload_clock_engine_ends(struct workload_clock *clock)
{
    clock->cpu_engine -= workload_time(clock->engine);
    clock->engine_ended = 1;
}

static inline void workload_clock_stop(struct workload_clock *clock, const struct workload *w)
{
    double now = workload_now();

    if (!clock->engine_ended)
        workload_clock_engine_ends(clock);
    clock->cpu_engine = -clock->cpu_engine;
    clock->seconds = now - clock->started;
    clock->cpu_all = workload_time(CLOCK_PROCESS_CPUTIME_ID) - clock->cpu_all;
    clock->written = workload_written() - clock->written;
    clock->rss_end = workload_rss();
    if (clock->half_done && clock->half_done < w->messages)
        clock->rate_late = (double)(w->messages - clock->half_done) / (now - clock->half_at);
}

/* -- the result -------------------------------------------------------------------------------- */

/* What each line of JSON begins with; the caller adds its own and ends it. */
static inline void workload_print_head(const struct workload *w, const char *program)
{
    printf("{\"workload\":\"%s\",\"program\":\"%s\",\"batch\":%" PRIu64 ",\"actors\":%" PRIu64
           ",\"state\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"round\":%" PRIu64,
           w->name, program, w->batch, w->actors, w->state_size, w->messages, w->round);
}

/* `commits`: how many the messages took, that is, how often the disk was waited for. */
static inline void workload_print(const struct workload *w, const char *program, uint64_t commits,
                                  const struct workload_clock *clock)
{
    workload_print_head(w, program);
    printf(",\"commits\":%" PRIu64 ",\"seconds\":%.6f,\"rate\":%.0f,\"rate_late\":%.0f"
           ",\"written\":%" PRIu64 ",\"rss_quarter\":%" PRIu64 ",\"rss_end\":%" PRIu64
           ",\"written_each\":%.1f,\"cpu_ns\":%.1f,\"cpu_all_ns\":%.1f}\n",
           commits, clock->seconds, (double)w->messages / clock->seconds, clock->rate_late,
           clock->written, clock->rss_quarter, clock->rss_end,
           (double)clock->written / (double)w->messages,
           clock->cpu_engine * 1e9 / (double)w->messages,
           clock->cpu_all * 1e9 / (double)w->messages);
}

/* -- options ----------------------------------------------------------------------------------- */

static inline uint64_t workload_number(const char *option, const char *text)
{
    char *end;
    uint64_t number;

    errno = 0;
    number = strtoull(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end)
        workload_fail("%s: '%s' is not a number", option, text);
    return number;
}

static inline void workload_check(const struct workload *w)
{
    if (!w->dir)
        workload_fail("usage: --dir DIR [--messages N] [--hops N] [--actors N] [--state BYTES] "
                      "[--rival NAME] [--loop mailbox|direct|cached] [--waiting N] [--batch N] "
                      "[--senders N] [--records N] [--percent N] [--ms N] [--thread] "
                      "[--log-bytes N] [--cache-bytes N] [--name WORKLOAD] [--round N] "
                      "[--rounds N]");
    if (w->actors < 1 || w->actors > 99999999)
        workload_fail("--actors: from 1 to 99999999");
    if (w->state_size < sizeof(uint64_t) || w->state_size > WORKLOAD_STATE_MAX)
        workload_fail("--state: from 8 to %d bytes", WORKLOAD_STATE_MAX);
    if (w->messages < 2)
        workload_fail("--messages: at least 2");
}

/* Where the number of an option belongs, or NULL. */
static inline uint64_t *workload_option(struct workload *w, const char *option)
{
    struct {
        const char *name;
        uint64_t *number;
    } options[] = {{"--messages", &w->messages},   {"--hops", &w->hops},
                   {"--actors", &w->actors},       {"--state", &w->state_size},
                   {"--batch", &w->batch},         {"--waiting", &w->waiting},
                   {"--senders", &w->senders},     {"--records", &w->records},
                   {"--percent", &w->percent},     {"--ms", &w->ms},
                   {"--log-bytes", &w->log_bytes}, {"--cache-bytes", &w->cache_bytes},
                   {"--round", &w->round},         {"--rounds", &w->rounds}};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!strcmp(option, options[i].name))
            return options[i].number;
    return NULL;
}

static inline const char **workload_word(struct workload *w, const char *option)
{
    struct {
        const char *name;
        const char **word;
    } options[] = {
        {"--dir", &w->dir}, {"--name", &w->name}, {"--rival", &w->rival}, {"--loop", &w->loop}};

    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (!strcmp(option, options[i].name))
            return options[i].word;
    return NULL;
}

/* `w` comes with the program's defaults.  The directory must be new, so that each run starts
 * empty. */
static inline void workload_options(struct workload *w, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i];
        uint64_t *number = workload_option(w, option);
        const char **word = workload_word(w, option);
        if (!strcmp(option, "--thread")) {
            w->thread = 1;
            continue;
        }
        if (++i == argc)
            workload_fail("%s: a value is missing", option);
        if (number)
            *number = workload_number(option, argv[i]);
        else if (word)
            *word = argv[i];
        else
            workload_fail("%s: no such option", option);
    }
    workload_check(w);
    w->messages += w->hops - (w->messages + w->hops) % (w->hops + 1);
    if (mkdir(w->dir, 0700) != 0)
        workload_fail("%s: %s", w->dir, strerror(errno));
}

#endif
