/* storm.h - what a kill storm needs: dice, children that are killed, and a verdict.
 *
 * A violation is one sentence, written where it is found, in the parent or in a child; the first
 * one stays.  It lives in shared memory, so that it outlives the process that found it. */
#ifndef TEST_STORM_H
#define TEST_STORM_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -- dice: the same seed, the same throws ------------------------------------------------------ */

struct dice {
    uint64_t state;
};

uint64_t dice_throw(struct dice *dice);
uint64_t dice_below(struct dice *dice, uint64_t bound);
uint64_t mix64(uint64_t value); /* a good hash of a number */

/* -- the verdict ------------------------------------------------------------------------------- */

struct verdict {
    _Atomic int violated;
    char sentence[500];
};

/* Zeroed memory that children share; NULL if there is none. */
void *shared_new(size_t size);
/* Keeps the first sentence.  Always -1. */
int violate(struct verdict *verdict, const char *format, ...)
    __attribute__((__format__(__printf__, 2, 3)));

/* -- children ---------------------------------------------------------------------------------- */

struct child {
    pid_t pid;
    int status; /* of waitpid(), once gone */
    int was_killed;
};

/* Blocks SIGCHLD, which the waiting below needs. */
void storm_init(void);
/* argv[0] is the program; its output goes to these files. */
int child_exec(struct child *child, char *const argv[], const char *out_path, const char *err_path);
int child_fork(struct child *child, int (*body)(void *arg), void *arg);
/* Kills it after that time unless it ended before. */
void child_kill_after(struct child *child, uint64_t delay_us);
/* Waits for its end; one that takes longer is killed, and the result is -1. */
int child_wait(struct child *child, uint64_t most_ms);
/* 1: ended by itself with exit status 0. */
int child_succeeded(const struct child *child);
/* How it ended, for a sentence; lent until the next call. */
const char *child_ending(const struct child *child);

uint64_t now_us(void);
int remove_tree(const char *path);
/* The whole file, zero-ended, to be freed; NULL: there is none. */
char *read_whole(const char *path, size_t *out_size);

#endif
