/* parking.h - messages behind a hold that wait on disk only, in table parked.
 *
 * (1) The rows of a hold on disk only are those in [first, last] of its part of the table.  A row
 *     that came back stays until its message is handled, and then has a sequence below `first`.
 * (2) Putting a message there and deleting its row elsewhere go together, in one epoch.
 * (3) `rows` is the number of rows in the table when the open epoch will be durable; it is
 *     stored, so that a row that is missing, or one too many, is found out when the last hold
 *     that has any is read to its end. `unread` of them are on disk only.
 *     `bytes` is the room that they may take, stored likewise; an older database did not know, so
 *     it may be too little.
 * (4) Reading is told a `limit`: all rows of the hold up to it are durable, and nothing of that
 *     actor with a sequence up to it will be parked any more, but what is read here.  mailbox.h
 *     says why.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_PARKING_H
#define SFI_ACTOR_PARKING_H

#include "actor/backlog.h"
#include "actor/hold.h"

struct sfi_parking {
    struct sfi_holds *holds;
    struct sfi_backlog *reader; /* borrowed: what reading a row needs */
    uint64_t rows, unread, bytes;
};

static inline int sfi_hold_has_parked(const struct sfi_hold *hold)
{
    return hold->last != 0;
}

/* The message's row goes to the hold's part of the table, unless it is there as it should be:
 * `again` says that it is not.  The message is still the caller's.  SF_ENOMEM, and nothing
 * changed. */
int sfi_parking_put(struct sfi_parking *parking, struct sfi_hold *hold,
                    const struct sfi_message *message, int again, uint64_t retry_ms,
                    struct sfi_batch *batch);
/* The same for one whose row is there, and that is in memory no more: what is counted. */
void sfi_parking_added(struct sfi_parking *parking, struct sfi_hold *hold,
                       const struct sfi_message *message);
/* A message that came back from its type's part, and waits for its actor in memory: its row goes
 * to the hold's part, since what is in the type's may be read again.  SF_ENOMEM, and nothing
 * changed. */
int sfi_parking_move(const struct sfi_hold *hold, struct sfi_message *message, uint64_t retry_ms,
                     struct sfi_batch *batch);
/* Brings back the next slice of rows up to `limit`, fewer if they have `bytes_max`.  0, or what
 * the store says; SF_ENOMEM.  A failure loses nothing. */
int sfi_parking_read(struct sfi_parking *parking, struct sfi_hold *hold, uint64_t limit,
                     uint64_t bytes_max, sfi_backlog_taker *take, void *taker);
/* A message whose row is in the table is handled.  0: there were none. */
int sfi_parking_less(struct sfi_parking *parking, const struct sfi_message *message);

/* At open: a hold for each actor, and each type, that has rows; `rows` was loaded before. */
int sfi_parking_load(struct sfi_parking *parking, const struct sfi_hash_key *hash_key,
                     uint64_t next_sequence);

#endif
