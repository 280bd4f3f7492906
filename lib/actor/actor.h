/* actor.h - the actors in memory: a cache of what is on disk, and the truth where it is newer.
 *
 * (1) An actor in memory is the truth about its struct and values; the store is read only for
 *     what is not in memory.  So an actor may leave memory only when all of it is durable: it is
 *     not dirty, and the epoch that took its last changes (`sealed`) is on disk.
 * (2) An actor is in the dirty list of the open epoch if and only if it differs from what the
 *     last sealed epoch holds.
 * (3) The struct is loaded at the first sf_state() and a value at its first use, not before. Of
 *     an actor that was cleared (`emptied`) nothing is on disk any more but what is in memory
 *     too, so the store is not asked.  `to_clear` says that its rows are still to be deleted,
 *     when it is sealed, before what it became since is put: every slot that its type ever had,
 *     whether there is a row or not.
 * (4) Nobody keeps a pointer to an actor but the running turn and the dirty list, and none of
 *     these is ever dropped, or moved.  Messages and holds have addresses (message.h, hold.h).
 *
 * (5) A struct of a type that expires has the time with it at which it was touched, 0 while it is
 *     absent (expiry.h): 8 bytes in front of it, in memory (`is_timed`) and in its record.  Actors of
 *     other types have no room for it, and pay nothing.
 *
 * LAYOUT  One piece of memory from a pool: 24 bytes of header, id, zero byte, padding to 16 (or to 8
 * past a multiple of 16, touched), struct.  So finding an actor touches one line of the cache, and a small struct the next.  The
 * table of places is {pointer, hash}, at most three quarters full, in all its parts alike
 * (BUDGET).  An actor with a struct of 64 bytes and an id of 12 takes 128 bytes and between 22
 * and 43 of the table.
 *
 * BUDGET  `bytes` counts actors, values and the table.  Actors count with an eighth more than
 * they take, for the gaps between them: those who leave give up a place in a slab, which serves
 * actors of that size only.  When gaps are more than that, the actors of a slab with few of them
 * move to others, a slab a turn, and it goes back (base/pool.h).  So memory stays within the
 * budget whatever sizes follow each other, but for a slab of each size.  Above `bytes_max` each
 * turn moves a hand a bounded number of places: what was used since the hand passed last is
 * spared once, what is clean and durable leaves (the CLOCK of Corbato, "A paging experiment with
 * the Multics system", 1968).  The hand goes through the table in strides: in the order of places
 * it would leave the part ahead of it up to twice as full as the average, where searches pass
 * thousands of places once the average is above a half.  When nothing may leave, the budget is
 * exceeded until the next epoch is durable; sfi_actors_are_full() ends the open one.
 *
 * Engine thread only. */
#ifndef SFI_ACTOR_ACTOR_H
#define SFI_ACTOR_ACTOR_H

#include "actor/type.h"
#include "base/arena.h"
#include "base/expect.h"
#include "base/hash.h"
#include "base/pool.h"

/* What lies under one of an actor's numbers: a named value, or the head of a collection (collection.h). */
struct sfi_slot {
    struct sfi_slot *next;
    void *data; /* NULL: absent */
    size_t size;
    uint64_t touched; /* where it expires, of what is there (expiry.h) */
    uint32_t room; /* copied: of the memory at `data` */
    uint16_t number;
    uint8_t dirty;
    uint8_t kind : 7;   /* enum sfi_slot_kind */
    uint8_t copied : 1; /* the work under way has what it was, and may change what is at `data` */
};

struct sfi_actor {
    struct sfi_type *type; /* registered, so the size of its struct is fixed until close */
    struct sfi_slot *slots;
    uint64_t sealed : 47;    /* the epoch that took its last changes; 0: none in this run */
    uint64_t is_timed : 1;   /* see (5) */
    uint64_t id_size : 8;
    uint64_t dirty : 1, state_dirty : 1;
    uint64_t has_state : 1; /* the struct is loaded */
    uint64_t used : 1;      /* since the hand passed */
    uint64_t emptied : 1, to_clear : 1; /* see (3) */
    uint64_t busy : 1;      /* a turn of it is under way */
    uint64_t copied : 1;    /* the work under way has a copy of its struct */
    char id[];              /* and a zero byte, and the struct */
};

_Static_assert(offsetof(struct sfi_actor, id) == 24, "the header takes three words");

struct sfi_actor_place {
    struct sfi_actor *actor;
    uint64_t hash; /* beside the pointer, so that probing touches no actor but the right one */
};

struct sfi_actors {
    const struct sfi_sys *sys;
    struct sfi_hash_key key;
    struct sfi_pool pool;
    struct sfi_actor_place *places; /* open addressing, linear probing */
    size_t count, capacity;
    uint64_t bytes, bytes_max;
    uint64_t actor_bytes; /* of these, for actors */
    int is_stuck;         /* no slab could be emptied in this epoch */
    size_t hand;      /* places that it has passed, */
    size_t stride;    /* and how far apart runs of them are; odd */
    size_t barren;    /* places passed since one could be emptied */
    uint64_t durable; /* when the hand last moved */
    struct sfi_actor **dirty;
    uint32_t dirty_count, dirty_capacity;
    uint64_t dirty_rows;  /* to be deleted beside those of the dirty list */
    uint64_t expiring;    /* rows that were put and will expire; who looks takes them away (run/gleaner.h) */
    uint64_t dirty_bytes; /* an estimate of what sealing will add to the batch */
};

void sfi_actors_init(struct sfi_actors *actors, const struct sfi_sys *sys, uint64_t bytes_max);
void sfi_actors_fini(struct sfi_actors *actors);

static inline uint64_t sfi_actors_hash(const struct sfi_actors *actors, const struct sfi_type *type,
                                       const void *id, size_t id_size)
{
    return sfi_hash(&actors->key, type->number, id, id_size);
}

/* The actor at an address (`hash` is sfi_actors_hash() of it), if it is in memory. */
struct sfi_actor *sfi_actors_find(const struct sfi_actors *actors, const struct sfi_type *type,
                                  uint64_t hash, const void *id, size_t id_size);
/* The same, brought into memory (empty) if needed, with room in the dirty list, so that touching it
 * cannot fail.  NULL: no memory. */
struct sfi_actor *sfi_actors_get(struct sfi_actors *actors, struct sfi_type *type, uint64_t hash,
                                 const void *id, size_t id_size);

/* Room in the dirty list for so many actors that get() gave and nobody touched yet, beside the
 * next one. SF_ENOMEM. */
int sfi_actors_reserve(struct sfi_actors *actors, uint32_t count);

/* Hints to the machine: the place of an address will be looked at; the actor there will. */
static inline void sfi_actors_expect_place(const struct sfi_actors *actors, uint64_t hash)
{
    if (actors->capacity)
        sfi_expect(&actors->places[hash & (actors->capacity - 1)]);
}
void sfi_actors_expect(const struct sfi_actors *actors, uint64_t hash);

/* A smaller budget is not worth a commit for each turn. */
enum { SFI_DIRTY_FULL_MIN = 64 };

/* Over budget, and the open epoch holds too much of it: only a commit makes room. */
static inline int sfi_actors_are_full(const struct sfi_actors *actors)
{
    return actors->bytes > actors->bytes_max &&
           actors->dirty_count * UINT64_C(2) >= actors->count &&
           actors->dirty_count >= SFI_DIRTY_FULL_MIN;
}
/* Is more in memory than the budget allows, gaps between actors included?  Then they are to be trimmed. */
static inline int sfi_actors_exceed(const struct sfi_actors *actors)
{
    uint64_t others = actors->bytes - actors->actor_bytes;
    return SFI_RARE(actors->bytes > actors->bytes_max ||
                    others + actors->pool.used > actors->bytes_max);
}
/* Moves the hand a little.  `durable` is the store's; `kept` is the running turn's. */
void sfi_actors_trim(struct sfi_actors *actors, uint64_t durable, const struct sfi_actor *kept);

/* Where the struct begins. */
static inline size_t sfi_actor_state_at(size_t id_size, unsigned is_timed)
{
    return (sizeof(struct sfi_actor) + id_size + 8 * is_timed + 16) & ~(size_t)15;
}

static inline void *sfi_actor_state(struct sfi_actor *actor)
{
    return (char *)actor + sfi_actor_state_at(actor->id_size, actor->is_timed);
}

/* Of one that is_timed. */
static inline uint64_t *sfi_actor_touched(struct sfi_actor *actor)
{
    return (uint64_t *)sfi_actor_state(actor) - 1;
}


/* It expires, and is known to be over or never to have been: there is no record to be. */
static inline int sfi_actor_is_absent(struct sfi_actor *actor)
{
    return actor->is_timed && *sfi_actor_touched(actor) == 0;
}

/* Room for the time in all actors of a type, before it expires for the first time in this run.
 * SF_ENOMEM: some have it now, which does no harm. */
int sfi_actors_widen(struct sfi_actors *actors, const struct sfi_type *type);

/* Brings a value into memory; the slot exists afterwards, absent if the store has none. */
int sfi_actor_load_slot(struct sfi_actors *actors, struct sfi_store *store, struct sfi_actor *actor,
                        uint16_t number, struct sfi_slot **out);

/* Forgets the slots that were made since `upto` was the newest one. */
void sfi_actor_drop_slots(struct sfi_actors *actors, struct sfi_actor *actor,
                          const struct sfi_slot *upto);

/* What data of that size in a slot takes of the budget; with the system's own bytes, roughly. */
static inline size_t sfi_slot_bytes(const void *data, size_t size)
{
    return data ? size + 17 : 0;
}

/* It differs from what is sealed, in so many bytes more than was known. */
void sfi_actor_touch(struct sfi_actors *actors, struct sfi_actor *actor, size_t bytes);

/* It was cleared: its struct is zeroed, and its values are absent, by the caller.  Cannot fail. */
void sfi_actor_clear(struct sfi_actors *actors, struct sfi_actor *actor);
/* The same without a turn, for one that sfi_actors_get() has just brought in: forgets struct and
 * values. */
void sfi_actor_purge(struct sfi_actors *actors, struct sfi_actor *actor);
/* Deletes all rows of an actor that is not in memory; its type need not be registered. */
int sfi_actor_delete_rows(const struct sfi_type *type, const void *id, size_t id_size,
                          struct sfi_batch *batch);

/* Seal: puts what is dirty into the batch; nothing is marked clean before sfi_actors_cleaned(),
 * which is told the epoch of that batch. */
int sfi_actors_save(const struct sfi_actors *actors, struct sfi_batch *batch);
void sfi_actors_cleaned(struct sfi_actors *actors, uint64_t epoch);

#endif
