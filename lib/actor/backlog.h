/* backlog.h - messages that wait on disk only: a range of sequences, read back in order.
 *
 * (1) The rows of the mailbox table in [first, last] are exactly the messages of the backlog:
 *     those that were dropped from memory, or never read since open.  Every one of them is
 *     durable.
 * (2) `count` is their number.  At open it comes from the stored counters, so that a row that is
 *     missing, or one too many, is found out when the range ends.
 * (3) A row that is damaged is passed over.  It stays where it is, and whoever counts what waits goes on
 *     counting it, so that the next open meets it again.
 * (4) Reading moves `first` past each row that was handed over; a failure loses nothing.
 *
 * mailbox.h proves (1).  Engine thread only. */
#ifndef SFI_ACTOR_BACKLOG_H
#define SFI_ACTOR_BACKLOG_H

#include "actor/message.h"

struct sfi_backlog {
    uint64_t first, last; /* last 0: there is none */
    uint64_t count;
    uint64_t damaged; /* rows that could not be read: they stay on disk, and are counted there */
    struct sfi_store *store; /* what reading needs; all borrowed */
    struct sfi_types *types;
    const struct sfi_actors *actors;
    struct sfi_pool *pool;
};

/* A slice of what waits on disk comes back at a time. */
enum { SFI_SLICE_ROWS = 1024, SFI_SLICE_BYTES = 1 << 20 };

/* Takes over a message that was read.  Cannot fail. */
typedef void sfi_backlog_taker(void *taker, struct sfi_message *message);

static inline int sfi_backlog_is_open(const struct sfi_backlog *backlog)
{
    return backlog->last != 0;
}

/* A message that leaves memory; its sequence is greater than `last`. */
static inline void sfi_backlog_add(struct sfi_backlog *backlog, uint64_t sequence)
{
    if (!sfi_backlog_is_open(backlog))
        backlog->first = sequence;
    backlog->last = sequence;
    backlog->count++;
}

/* Reads the next slice, bounded in rows and bytes.  0, or what the store says; SF_ENOMEM. */
int sfi_backlog_read(struct sfi_backlog *backlog, sfi_backlog_taker *take, void *taker);

/* From a row, of table mailbox or parked, to a message; if it may not be tried yet, it says until
 * when. */
int sfi_backlog_open_row(const struct sfi_backlog *backlog, sf_bytes key, sf_bytes record,
                         enum sfi_row row, struct sfi_message **out);
/* One that stood behind what its actor awaits (operation_record.h) comes back with one attempt more; spent, if its
 * type allows no other. */
int sfi_backlog_open_kept(const struct sfi_backlog *backlog, sf_bytes key, sf_bytes record,
                          struct sfi_message **out);

#endif
