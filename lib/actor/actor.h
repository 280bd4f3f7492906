/* actor.h - the actors in memory.
 *
 * (1) An actor in memory is the truth about its struct and values; the store is read only for what is
 *     not in memory yet.  So an actor may leave memory only when all of it is durable.
 * (2) An actor is in the dirty list of the open epoch if and only if it differs from what the last
 *     sealed epoch holds.
 * (3) The struct is loaded at the first sf_state() and a value at its first use, not before.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_ACTOR_H
#define SFI_ACTOR_ACTOR_H

#include "actor/type.h"
#include "base/hash.h"

struct sfi_pause;

/* A named value of one actor. */
struct sfi_slot {
    struct sfi_slot *next;
    void *data; /* NULL: absent */
    size_t size;
    uint16_t number;
    uint8_t dirty;
};

struct sfi_actor {
    struct sfi_type *type;
    void *state; /* NULL: not loaded, or the type has none */
    struct sfi_slot *slots;
    struct sfi_pause *pause; /* not NULL: a message failed and backs off; see mailbox.h */
    struct sfi_actor *dirty_next;
    uint8_t dirty, state_dirty;
    uint8_t id_size;
    char id[]; /* and a zero byte */
};

struct sfi_actors {
    const struct sfi_sys *sys;
    struct sfi_hash_key key;
    struct sfi_actor_place *places; /* open addressing, linear probing */
    size_t count, capacity;
    struct sfi_actor *dirty;
    uint32_t dirty_count;
    uint64_t dirty_bytes; /* an estimate of what sealing will add to the batch */
};

void sfi_actors_init(struct sfi_actors *actors, const struct sfi_sys *sys);
void sfi_actors_fini(struct sfi_actors *actors);

/* The actor at an address, brought into memory (empty) if needed.  NULL: no memory. */
struct sfi_actor *sfi_actors_get(struct sfi_actors *actors, struct sfi_type *type, const void *id,
                                 size_t id_size);

/* Brings the struct into memory.  0, SF_ENOMEM, or what the store says. */
int sfi_actor_load_state(struct sfi_actors *actors, struct sfi_store *store,
                         struct sfi_actor *actor);
/* The same for a value; the slot exists afterwards, absent if the store has none. */
int sfi_actor_load_slot(struct sfi_actors *actors, struct sfi_store *store, struct sfi_actor *actor,
                        uint16_t number, struct sfi_slot **out);

void sfi_actor_touch(struct sfi_actors *actors, struct sfi_actor *actor, size_t bytes);

/* Seal: puts what is dirty into the batch; nothing is marked clean before sfi_actors_cleaned(). */
int sfi_actors_save(const struct sfi_actors *actors, struct sfi_batch *batch);
void sfi_actors_cleaned(struct sfi_actors *actors);

/* From the stored record to the struct of today; `state` has type->state_size bytes, zeroed. */
int sfi_state_decode(const struct sfi_sys *sys, const struct sfi_type *type, sf_bytes key,
                     sf_bytes record, void *state);

#endif
