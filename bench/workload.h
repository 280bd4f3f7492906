/* workload.h - the workload "counters", the same for every program that runs it.
 *
 * A message from outside goes to a pseudo-random actor.  The actor adds one to its counter and sends
 * one message on to another pseudo-random actor, which only counts.  So half of the messages come
 * from outside and half from handlers.
 *
 * (1) The stream is fixed by the number of messages and actors: the targets are functions of the
 *     number drawn for the message from outside, never of the order in which a program handles them.
 * (2) Every actor has its state on disk before the clock starts: the fill gives each a count of one.
 * (3) The clock stops when everything is on disk.
 * (4) Afterwards each program walks over what it stored and must find the right sum of counters and
 *     the right digest, which weighs each actor's counter; so no message went missing or astray.
 *
 * A program prints one line of JSON for each measurement, or says on stderr why not and exits 1. */
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
    uint64_t messages; /* handled within the measured time; even */
    uint64_t actors;
    uint64_t state_size;
    uint64_t batch;  /* messages a transaction; ours, 0: as many as have piled up */
    uint64_t round;  /* passed through to the result */
    uint64_t thread; /* ours only: 1: the library's own thread drives */
};

/* 64 bytes, as it is sent and as it lies in a mailbox. */
struct workload_message {
    uint64_t drawn; /* what both targets of this message come from */
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

/* -- the stream ---------------------------------------------------------------------------------- */

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

static inline struct workload_message workload_message_next(uint64_t *seed)
{
    struct workload_message msg = {.drawn = workload_draw(seed), .hops = 1};

    memset(msg.payload, 7, sizeof msg.payload);
    return msg;
}

static inline uint64_t workload_target(uint64_t actors, const struct workload_message *msg)
{
    return (msg->hops ? msg->drawn : workload_mix(msg->drawn)) % actors;
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

/* The id behind the number of its type. */
static inline void workload_key(uint64_t actor, unsigned char key[WORKLOAD_KEY_SIZE])
{
    memcpy(key, "\0\0\0\1", 4);
    workload_id(actor, key + 4);
}

/* -- the result ---------------------------------------------------------------------------------- */

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

static inline struct workload_sum workload_sum_expected(const struct workload *w)
{
    struct workload_sum sum = {0, 0};
    uint64_t seed = WORKLOAD_SEED;

    for (uint64_t i = 0; i < w->actors; i++)
        workload_sum_add(&sum, i, 1);
    for (uint64_t i = 0; i < w->messages; i += 2) {
        struct workload_message msg = workload_message_next(&seed);
        workload_sum_add(&sum, workload_target(w->actors, &msg), 1);
        msg.hops = 0;
        workload_sum_add(&sum, workload_target(w->actors, &msg), 1);
    }
    return sum;
}

static inline void workload_verify(const struct workload *w, struct workload_sum got)
{
    struct workload_sum want = workload_sum_expected(w);

    if (got.count != want.count)
        workload_fail("counters add up to %" PRIu64 ", not %" PRIu64, got.count, want.count);
    if (got.digest != want.digest)
        workload_fail("counters add up, but some are with the wrong actor");
}

/* `commits`: how many the messages took, that is, how often the disk was waited for. */
static inline void workload_print(const struct workload *w, const char *program, uint64_t commits,
                                  double seconds)
{
    printf("{\"workload\":\"%s\",\"program\":\"%s\",\"batch\":%" PRIu64 ",\"actors\":%" PRIu64
           ",\"state\":%" PRIu64 ",\"messages\":%" PRIu64 ",\"commits\":%" PRIu64
           ",\"seconds\":%.6f,\"rate\":%.0f"
           ",\"round\":%" PRIu64 "}\n",
           w->name, program, w->batch, w->actors, w->state_size, w->messages, commits, seconds,
           (double)w->messages / seconds, w->round);
}

static inline double workload_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* -- options ------------------------------------------------------------------------------------- */

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
        workload_fail("usage: --dir DIR [--messages N] [--actors N] [--state BYTES] [--batch N] "
                      "[--thread] [--name WORKLOAD] [--round N]");
    if (w->actors < 1 || w->actors > 99999999)
        workload_fail("--actors: from 1 to 99999999");
    if (w->state_size < sizeof(uint64_t) || w->state_size > WORKLOAD_STATE_MAX)
        workload_fail("--state: from 8 to %d bytes", WORKLOAD_STATE_MAX);
    if (w->messages < 2)
        workload_fail("--messages: at least 2");
}

/* `w` comes with the program's defaults.  The directory must be new, so that each run starts empty. */
static inline void workload_options(struct workload *w, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *option = argv[i], *text;
        if (!strcmp(option, "--thread")) {
            w->thread = 1;
            continue;
        }
        if (++i == argc)
            workload_fail("%s: a value is missing", option);
        text = argv[i];
        if (!strcmp(option, "--dir"))
            w->dir = text;
        else if (!strcmp(option, "--name"))
            w->name = text;
        else if (!strcmp(option, "--messages"))
            w->messages = workload_number(option, text);
        else if (!strcmp(option, "--actors"))
            w->actors = workload_number(option, text);
        else if (!strcmp(option, "--state"))
            w->state_size = workload_number(option, text);
        else if (!strcmp(option, "--batch"))
            w->batch = workload_number(option, text);
        else if (!strcmp(option, "--round"))
            w->round = workload_number(option, text);
        else
            workload_fail("%s: no such option", option);
    }
    workload_check(w);
    w->messages += w->messages & 1;
    if (mkdir(w->dir, 0700) != 0)
        workload_fail("%s: %s", w->dir, strerror(errno));
}

#endif
