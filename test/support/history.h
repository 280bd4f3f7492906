/* history.h - is a history of transactions strictly serialisable?  After Elle's lists: each
 * transaction appends its own number to some lists and reads others, so what a read saw says whose
 * writes came before it.
 *
 *      order of a list       who appended before whom
 *      a read                comes after who appended its last number, before who appended the next
 *      the clock             a transaction that was answered comes before those asked afterwards
 *
 * (1) Only if these can all be had at once, that is without a cycle, is there an order in which the
 *     transactions could have run one by one, in the sight of those who asked.
 * (2) A transaction that was never answered may have happened at any time from when it was asked,
 *     or never; but whole.
 * (3) The lists as they are in the end say the order; every read must be a beginning of them.
 *
 * Plain data and functions, which may lie in memory that processes share. */
#ifndef TEST_HISTORY_H
#define TEST_HISTORY_H

#include <stddef.h>
#include <stdint.h>

enum { HISTORY_OPS = 4, HISTORY_LIST_MAX = 64 };

struct history_list {
    uint32_t count;
    uint32_t numbers[HISTORY_LIST_MAX];
};

struct history_op {
    uint32_t key;
    uint32_t is_append;
};

/* Its number is its place in the history, counted from 1. */
struct history_txn {
    uint32_t asked, answered; /* by a clock that ticks once for each of these; answered 0: never */
    uint32_t ops;             /* on different keys */
    struct history_op op[HISTORY_OPS];
    struct history_list read[HISTORY_OPS];
};

struct history {
    const struct history_txn *txns; /* the first is number 1 */
    uint32_t txn_count, ticks;      /* ticks: the clock's last */
    const struct history_list *lists; /* by key, in the end */
    uint32_t list_count;
};

/* 0; or -1 and a sentence that says what is wrong. */
int history_check(const struct history *history, char *sentence, size_t size);

#endif
