/* counters.h - the next numbers and the counts that no table can tell: row 01 of table meta.
 *
 * (1) A number that was given is never given again, also when the row that had it is gone or damaged: so what
 *     comes next is stored, never derived from what a table holds.
 * (2) Written with every epoch, as the other parts leave them.
 * (3) The record may grow at its end.  What an older record lacks reads as its first value; what a newer one
 *     has beyond is passed over, unless its version says that it must not be.
 *
 * Record, version 2: the fields in their order, 8 bytes each.  Version 1 ends after `waiting`; it knew no next
 * numbers of types and egresses, which read as 0 then: whoever has read the rows may say them, once.  Who did
 * not store dead_first, which reads as 0 then too, never let a dead letter go. */
#ifndef SFI_RUN_COUNTERS_H
#define SFI_RUN_COUNTERS_H

#include "store/batch.h"

struct sfi_counters {
    uint64_t next_message; /* sequence */
    uint64_t next_dead;
    uint64_t waiting; /* rows of table mailbox */
    uint64_t next_type, next_egress;
    uint64_t next_number; /* of a large collection */
    uint64_t next_timer, next_async;
    uint64_t parked;     /* rows of table parked */
    uint64_t dead_first; /* before it there is no dead letter */
    uint64_t dead_count, dead_bytes;
    uint64_t parked_bytes; /* room of the rows in table parked */
    uint64_t waiting_bytes; /* of messages with rows in table mailbox, as they were in memory */
    uint64_t database;     /* its number, by chance; 0: it has none yet */
};

/* As in a database where nothing happened yet. */
void sfi_counters_init(struct sfi_counters *counters);
/* 0 or SF_ENOMEM. */
int sfi_counters_save(const struct sfi_counters *counters, struct sfi_batch *batch);
/* SF_ECORRUPT, SF_ENEWER. */
int sfi_counters_load(struct sfi_counters *out, sf_bytes key, sf_bytes record);

#endif
