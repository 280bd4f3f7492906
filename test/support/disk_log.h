/* disk_log.h - what a program did to its database file, and what it promised meanwhile, in order.
 *
 * Lies in memory that children share: the child that is recorded writes it, with all its threads,
 * and the parent reads it afterwards.  Several children may be recorded one after another: lives.
 *
 * (1) The lock is held over a write and its entry.  So the entries are in the order that the file
 *     saw, and a process that ends with the lock held leaves no write without its entry.
 * (2) What is fed is entered before, a promise after it was made.
 * (3) A sync covers what was entered before it began.
 *
 * Without a record, and in processes that are not recorded, everything here does nothing. */
#ifndef TEST_DISK_LOG_H
#define TEST_DISK_LOG_H

#include <stddef.h>
#include <stdint.h>

enum disk_op {
    /* with bytes; at: offset */
    DISK_WRITE,
    DISK_WRITE_SYNCED,
    DISK_WRITE_LOST, /* a write that should have been synced and failed: may never reach the disk */
    /* at: the log's size when it began */
    DISK_SYNC,
    DISK_SYNC_FAILED,
    DISK_SIZE,   /* at: the file's size */
    DISK_RENAME, /* the new database gets its name */
    DISK_UNLINK, /* a half-made database is removed */
    DISK_DIR_SYNC,
    /* those above happen to the disk; below is what the outside learns.  at: its number */
    DISK_OPS,
    DISK_DURABLE = DISK_OPS,
    DISK_TICKET,
    DISK_SUNK,
    DISK_FED,
    DISK_SETTLED, /* all that was held goes on from here */
    DISK_ALL_OPS
};

struct disk_entry {
    uint32_t op;
    uint32_t size; /* of the bytes that follow, padded to 8 */
    uint64_t at;
};

/* What the outside knows: by enum disk_op, from DISK_OPS on. */
struct disk_known {
    uint64_t newest[DISK_ALL_OPS - DISK_OPS];
};

static inline uint64_t disk_known(const struct disk_known *known, enum disk_op op)
{
    return known->newest[op - DISK_OPS];
}

/* 0, or -1: no memory. */
int disk_log_init(void);
/* The parent, before each life. */
void disk_log_renew(void);
/* The child that is to be recorded. */
void disk_log_start(void);
int disk_log_is_on(void);

void disk_log_lock(void);
void disk_log_unlock(void);
/* With the lock held. */
size_t disk_log_size(void);
void disk_log_add(enum disk_op op, uint64_t at, const void *bytes, size_t size);
/* How many operations of this life happened to the disk. */
uint64_t disk_log_life_ops(void);

/* Enters what the outside learns, if it is new. */
void disk_log_tell(enum disk_op op, uint64_t number);
/* What it knows by now. */
const struct disk_known *disk_log_known(void);

/* The entry at *at, which moves past it; NULL: the end.  Its bytes follow it. */
const struct disk_entry *disk_log_next(size_t *at);

#endif
