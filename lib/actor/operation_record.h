/* operation_record.h - operations that are under way, as rows of table async.
 *
 *      id:8            an operation: who started it, who is answered, what was asked
 *      first:8 index:4 a message that waits until its actor's operations are answered: the actor awaits
 *                      those since `first`, and each of its messages that stand behind them has an index
 *
 * (1) The first is put by the turn that starts the operation, and deleted where its answer becomes a message.
 * (2) The second are put by the turn that awaits, and deleted when the last answer was handled: or they become
 *     messages again (run/await.h).
 *
 * Record (operation): flags:1, until:8 by the wall clock or 0, ask:8, owner and from as {type:4, id size:1, id},
 * kind size:1, kind, request.  Type number 0 of `from` is the outside, which `ask` names then. */
#ifndef SFI_ACTOR_OPERATION_RECORD_H
#define SFI_ACTOR_OPERATION_RECORD_H

#include "actor/key.h"
#include "store/batch.h"

struct sfi_operation_row {
    uint32_t owner_type, from_type;
    sf_bytes owner_id, from_id;
    uint64_t ask;
    uint64_t until_ms; /* its time limit, by the wall clock; 0: none */
    int is_promise;    /* it outlives the process: whoever has its name may answer */
    int is_awaited;
    sf_bytes kind;
    sf_bytes request; /* NULL: absent */
};

/* 0 or SF_ENOMEM. */
int sfi_operation_save(uint64_t id, const struct sfi_operation_row *row, struct sfi_batch *batch);
int sfi_operation_erase(uint64_t id, struct sfi_batch *batch);
/* Points into the record.  SF_ECORRUPT, SF_ENEWER. */
int sfi_operation_parse(sf_bytes key, sf_bytes record, struct sfi_operation_row *out);

static inline void sfi_key_kept(struct sfi_key *key, uint64_t first, uint32_t index)
{
    sfi_be64_put(key->bytes, first);
    sfi_be32_put(key->bytes + 8, index);
    key->size = 12;
}

/* Of `count` messages; 0 or SF_ENOMEM. */
int sfi_kept_erase(uint64_t first, uint32_t count, struct sfi_batch *batch);

#endif
