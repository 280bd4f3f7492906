/* state.h - an actor's struct, and the record that it has on disk.
 *
 *     state      version:4  bytes
 *     state-at   touched:8  version:4  bytes       where it expires (expiry.h)
 *
 * Either is read, whether it expires today or not; what was saved without a time is SFI_TOUCHED_UNKNOWN.  One that
 * expires and is absent has no record; one that does not expire has one from the first change on.
 *
 * Engine thread only, but decode and migrate, which views use too. */
#ifndef SFI_ACTOR_STATE_H
#define SFI_ACTOR_STATE_H

#include "actor/actor.h"

/* Absent, and known to be: zeroes. */
void sfi_state_forget(struct sfi_actor *actor);

/* What its record says of a struct. */
struct sfi_old_state {
    uint64_t touched;
    uint32_t version; /* of an older version: which, */
    sf_bytes bytes;   /* and a copy in an arena */
};

/* From the stored record to the struct of today, which has type->desc.state_size bytes.  0; 1: it
 * is of an older version, which lies in `old` now, and is to be migrated when no snapshot is held
 * for it any more; negative.  `old` has the time in the first two cases. */
int sfi_state_decode(struct sfi_arena *arena, const struct sfi_type *type, sf_bytes key,
                     sf_bytes record, void *state, struct sfi_old_state *old);
/* Calls the application; without a function of its, by fields (layout.h).  0; SF_EFAILED: it refused, or what the
 * fields are is not known. */
int sfi_state_migrate(const struct sfi_type *type, const struct sfi_old_state *old, void *state);

/* Brings the struct into memory, and its time.  0; 1: as sfi_state_decode(), and it is the caller who sets
 * has_state; SF_ENOMEM, or what the store says. */
int sfi_state_load(struct sfi_store *store, struct sfi_arena *arena, struct sfi_actor *actor,
                   struct sfi_old_state *old);

/* Brings in the time alone of one that is_timed and was not read: then it is not read whole, but is either over or
 * not (run/expire.h).  1; 0: there is none, which is all to know; negative. */
int sfi_state_load_time(struct sfi_store *store, struct sfi_actor *actor);

/* Puts it, or deletes it if it is absent. */
int sfi_state_save(struct sfi_actor *actor, struct sfi_batch *batch);

#endif
