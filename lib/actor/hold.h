/* hold.h - why the messages of an actor, or of a whole type, wait, and what is known of where
 * they do.
 *
 *      run queue -> type's hold -> actor's hold -> turn
 *
 * (1) An actor has at most one hold, and so has a type.  A hold has any number of reasons, a bit
 *     each, and lets go when none is left that blocks.  It keeps nobody in memory: it knows an
 *     address.
 * (2) What waits lies in `waiting`, in memory, or in table parked, where the rows on disk only
 *     have sequences in [first, last] (parking.h).  `waiting` is in order of sequence, and all in
 *     it come before `first`.  A type's hold has nothing in memory.
 * (3) `out`: so many of the messages that it let go are in the run queue still.  While there are,
 *     nothing more comes back from disk.
 * (4) A hold is in one list at most: `ready`, if it may let go; `later`, if what it wants is not
 *     durable, or the run queue has not passed it; or its type's `frozen`, while that has a hold
 *     of its own, since what waits for the actor is older than what waits for the type.
 * (5) A hold without reasons, messages and rows does not exist, but for those in a list, which
 *     are dropped when their turn comes.
 * (6) Reasons that outlive the process have a row in table held.  The others are known again:
 *     back-off by the message's row, a type that is not registered by itself.
 *
 * (7) Who sends may ask whether there is a hold at all, from any thread: `by_address` and the
 *     types' pointers change under `lock`, and what says whose hold it is never does.
 *
 * (8) The answer of an operation that the actor awaits (answer.h) passes SFI_HELD_OPERATION.  If something else
 *     blocks it waits in `answers`, in memory, before all others, and goes when that ends.  With the last of
 *     those answers the reason goes (run/await.h).
 *
 * Record (held): reasons:4, since:8, purged before:8, operation:8, awaited:4, kept:4, text.
 *
 * Engine thread only, but for (7). */
#ifndef SFI_ACTOR_HOLD_H
#define SFI_ACTOR_HOLD_H

#include <pthread.h>

#include "actor/message.h"
#include "base/heap.h"
#include "base/lookup.h"

/* Numbers on disk: append only.  Those in memory alone come last. */
enum sfi_reason {
    SFI_HELD_PAUSED = 1 << 0,    /* sf_pause() */
    SFI_HELD_POLICY = 1 << 1,    /* a message failed, and its type says that the actor waits */
    SFI_HELD_OPERATION = 1 << 2, /* what it awaits has not answered */
    SFI_HELD_PURGED = 1 << 3,    /* does not block: what is older is dropped where it is met */
    SFI_HELD_UNREADABLE = 1 << 4, /* what the actor is cannot be read; does not block, since it also backs off: it says
                                   * why, until it is tried again */
    SFI_HELD_BACKOFF = 1 << 14,
    SFI_HELD_UNREGISTERED = 1 << 15,

    SFI_HELD_STORED = SFI_HELD_PAUSED | SFI_HELD_POLICY | SFI_HELD_OPERATION | SFI_HELD_PURGED |
                      SFI_HELD_UNREADABLE,
    SFI_HELD_BLOCKS =
        (SFI_HELD_STORED & ~(SFI_HELD_PURGED | SFI_HELD_UNREADABLE)) | SFI_HELD_BACKOFF |
        SFI_HELD_UNREGISTERED,
    SFI_HELD_SHOWN = SFI_HELD_STORED & ~SFI_HELD_PURGED
};

enum { SFI_WHY_MAX = 255 };

/* What the actor awaits. */
struct sfi_awaited {
    uint64_t operation; /* the first of them, under which lies what stands behind them */
    uint32_t awaited;   /* answers that were not handled; 0: it awaits none */
    uint32_t kept;      /* messages that stand behind them (operation_record.h) */
};

/* What the row says beside the reasons. */
struct sfi_why {
    uint64_t since_ms, purged_before;
    struct sfi_awaited awaited;
    uint8_t size;
    char text[];
};

/* Who backs off until there is room, wherever that is: first come, first served. */
struct sfi_room {
    struct sfi_hold *first, *last;
};

struct sfi_hold {
    struct sfi_heap_node due; /* end of the back-off, by the monotonic clock, in ns */
    struct sfi_hold *next;
    struct sfi_room *room; /* or sooner, when there is room in it; NULL: no */
    struct sfi_hold *room_next, *room_previous;
    struct sfi_type *type;
    struct sfi_why *why; /* NULL: it has no row */
    uint64_t hash;       /* of the actor's address */
    struct sfi_message_list waiting, answers;
    uint64_t waiting_bytes;
    uint64_t first, last;      /* last 0: none is parked */
    uint64_t settles;          /* a message that had passed was parked in that seal */
    uint32_t waiting_count, out;
    uint16_t reasons;
    uint8_t is_listed;
    uint8_t heeds_retry; /* an earlier run parked: a row may say not to be tried yet */
    uint8_t id_size;     /* 0: it is the type's */
    char id[];
};

struct sfi_holds {
    const struct sfi_sys *sys;
    pthread_mutex_t lock;         /* taken last, and nothing waits in it */
    struct sfi_lookup by_address; /* of actors; a type points to its own; (7) */
    struct sfi_heap backoffs;
    struct sfi_hold_list ready, later;
    uint64_t count;
    uint64_t parked; /* so many have something parked */
};

void sfi_holds_init(struct sfi_holds *holds, const struct sfi_sys *sys);
/* Frees all holds; messages go back to the pool. */
void sfi_holds_fini(struct sfi_holds *holds, struct sfi_types *types, struct sfi_pool *pool);

/* Which actor, or with id_size 0 which type, is meant. */
struct sfi_whom {
    struct sfi_type *type;
    uint64_t hash;
    const char *id;
    size_t id_size;
};

struct sfi_hold *sfi_holds_find(const struct sfi_holds *holds, const struct sfi_whom *whom);
/* Is there a hold of the actor, or of its type?  [any thread] */
int sfi_holds_stop(struct sfi_holds *holds, const struct sfi_whom *whom);
/* The same by the hash alone, which is keyed.  [any thread] */
int sfi_holds_stop_hash(struct sfi_holds *holds, const struct sfi_type *type, uint64_t hash);
/* Made if there is none.  NULL: no memory. */
struct sfi_hold *sfi_holds_get(struct sfi_holds *holds, const struct sfi_whom *whom);
/* Frees a hold that is in no list, if it has nothing to hold any more. */
void sfi_hold_tidy(struct sfi_holds *holds, struct sfi_hold *hold);

static inline int sfi_hold_blocks(const struct sfi_hold *hold)
{
    return (hold->reasons & SFI_HELD_BLOCKS) != 0;
}

static inline int sfi_hold_stops_answers(const struct sfi_hold *hold)
{
    return (hold->reasons & SFI_HELD_BLOCKS & ~SFI_HELD_OPERATION) != 0;
}

static inline int sfi_hold_may_let_go(const struct sfi_hold *hold)
{
    return !sfi_hold_blocks(hold) || (hold->answers.first && !sfi_hold_stops_answers(hold));
}

/* Who may let go comes into the list, unless a reason is left or it is in one. */
void sfi_hold_is_ready(struct sfi_holds *holds, struct sfi_hold *hold);
void sfi_hold_list_push(struct sfi_hold_list *list, struct sfi_hold *hold);
struct sfi_hold *sfi_hold_list_pop(struct sfi_hold_list *list);
/* All of `from` to the end of `to`. */
void sfi_hold_list_move(struct sfi_hold_list *to, struct sfi_hold_list *from);

/* -- reasons ----------------------------------------------------------------------------------- */

/* Until then, by the monotonic clock.  SF_ENOMEM. */
int sfi_hold_back_off(struct sfi_holds *holds, struct sfi_hold *hold, uint64_t due_ns);
/* Or sooner: it is the last of those who wait for that room, until the back-off ends. */
void sfi_hold_await_room(struct sfi_hold *hold, struct sfi_room *room);
/* There is room for so many more: they back off no longer. */
void sfi_room_made(struct sfi_holds *holds, struct sfi_room *room, uint64_t count);
/* It came to nothing. */
void sfi_hold_no_back_off(struct sfi_holds *holds, struct sfi_hold *hold);
/* Ends back-offs that are due, a bounded number a call. */
void sfi_holds_wake(struct sfi_holds *holds, uint64_t now_ns);
/* A reason that has no row is gone. */
void sfi_hold_lift(struct sfi_holds *holds, struct sfi_hold *hold, enum sfi_reason reason);

/* A reason that has one; again: the text is the new one.  SF_ENOMEM, and nothing changed. */
int sfi_holds_pause(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                    enum sfi_reason reason, sf_bytes text);
/* It came to nothing, and the caller takes its row back. */
void sfi_holds_no_pause(struct sfi_holds *holds, const struct sfi_whom *whom,
                        enum sfi_reason reason);
/* Those reasons are gone; there is none: no effect. */
int sfi_holds_resume(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                     unsigned reasons);
/* All reasons are gone, and what has a sequence before that one is dropped where it is met. */
int sfi_hold_purge(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                   uint64_t before);

/* Of a hold, or of none. */
struct sfi_awaited sfi_hold_awaited(const struct sfi_hold *hold);

/* What an actor awaits is to be something else: prepared, with the row in the batch; then made, which cannot fail,
 * or cancelled, and the caller takes the row back.  Nothing else may change that hold in between. */
struct sfi_hold_change {
    struct sfi_hold *hold; /* NULL: nothing is prepared */
    struct sfi_why *why;
};

int sfi_hold_prepare(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                     const struct sfi_awaited *to, struct sfi_hold_change *out);
void sfi_hold_change(struct sfi_holds *holds, struct sfi_hold_change *change);
void sfi_hold_cancel(struct sfi_holds *holds, struct sfi_hold_change *change);

/* At open: a row of table held.  SF_ECORRUPT, SF_ENEWER, SF_ENOMEM. */
int sfi_holds_load(struct sfi_holds *holds, const struct sfi_types *types,
                   const struct sfi_hash_key *hash_key, sf_bytes key, sf_bytes record);
/* Who is meant by a key of table held, or by the front of one of table parked. */
int sfi_whom_parse(const struct sfi_types *types, const struct sfi_hash_key *hash_key, sf_bytes key,
                   struct sfi_whom *out);

/* What a row of table held says. */
struct sfi_held {
    uint32_t reasons;
    uint64_t since_ms, purged_before;
    struct sfi_awaited awaited;
    sf_bytes text;
};
int sfi_held_parse(sf_bytes key, sf_bytes record, struct sfi_held *out);

#endif
