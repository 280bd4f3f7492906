/* egress.h - named streams of records that leave the process.
 *
 * (1) Records of one egress are numbered 1, 2, 3, ... in the order of their turns.  A turn that is
 *     undone gives its numbers back.
 * (2) A record is a row of the outbox from its epoch until its acknowledgement is durable.  Delivery
 *     reads rows, first and again alike, so the bytes are the same.
 * (3) trimmed <= acked <= delivered <= safe <= durable <= sealed <= kept < next.  delivered lives
 *     in memory only: after a restart it is acked, and everything past it comes again.  What is
 *     durable but not safe a power cut could take back (store.h: 3), so it is not shown to anybody.
 * (4) Acknowledgements ride in the next epoch; rows up to `acked` are deleted, a bounded number in
 *     one epoch, up to `trimmed`.  Each epoch deletes at least as many rows as it adds, while there
 *     are any, up to ROWS_MAX: so the rows that wait to be deleted do not grow.
 * (5) What is not acknowledged is bounded for each egress, by records and bytes: a turn that emits
 *     beyond waits (sfi_egress_check).  One turn may go beyond the bound by what it emits itself.
 *     Each record that is acknowledged lets one of those in who wait in `room`; and time does, since
 *     who was let in need not emit.
 * (6) An egress whose next record cannot be read is fenced off: nothing is delivered until what is
 *     damaged was acknowledged, which lets it go.  The others go on.
 * (7) Nobody walks over all egresses but close: each is on a list for each thing that is to be done
 *     with it, once.  The lists are linked through the egress, so going onto one cannot fail.
 *
 *      emitted or acknowledged -> CHANGED: saved with each epoch, until all that can be is trimmed
 *      sealed with new records -> SEALED -> durable: UNSAFE -> safe: READY, if it has a callback
 *      refused by its callback -> the heap of pauses -> READY
 *      sf_egress_ack()         -> ACKS
 *
 * Engine thread only, except what is under the runtime's lock: `safe`, `ack_request`, the list
 * ACKS, adding, and finding for others.
 *
 * Record (outbox), version 2: from type:4, id size:1, id, kind size:2, body absent:1, written:8,
 * kind, body.  `written` is how many bytes were emitted up to and with this record.  Version 1 has
 * neither this nor `body absent`: its rows count no bytes. */
#ifndef SFI_ACTOR_EGRESS_H
#define SFI_ACTOR_EGRESS_H

#include "actor/hold.h"
#include "base/arena.h"
#include "base/heap.h"
#include "base/lookup.h"

enum sfi_egress_list {
    SFI_EGRESS_CHANGED,
    SFI_EGRESS_SEALED,
    SFI_EGRESS_UNSAFE,
    SFI_EGRESS_READY,
    SFI_EGRESS_ACKS,
    SFI_EGRESS_LISTS
};

enum { SFI_EGRESS_RECORD_BYTES = 64 /* what a record counts beside its body */ };

struct sfi_egress {
    struct sfi_egress *next_egress;             /* of all */
    struct sfi_egress *links[SFI_EGRESS_LISTS]; /* (7) */
    uint8_t is_on[SFI_EGRESS_LISTS];
    uint8_t is_fenced;                  /* (6) */
    struct sfi_egress *later, *earlier; /* among those with records not acknowledged, */
    uint8_t is_stalled;                 /* if it is one of them */
    struct sfi_room room;               /* who waits until less is unacknowledged */
    uint64_t retry_ns;                  /* when the last of them may try again if nothing is acknowledged */
    uint64_t stalled_since_ns;          /* its last acknowledgement, or its first such record */
    uint32_t number;
    uint64_t next;              /* sequence of the next record */
    uint64_t kept;              /* newest sequence of a turn that was kept */
    uint64_t bytes, kept_bytes; /* ever emitted, likewise */
    uint64_t acked, trimmed, delivered;
    uint64_t acked_bytes; /* of `bytes`; at most those of `acked` */
    uint64_t trim_to;     /* planned by save() */
    uint64_t sealed;      /* newest sequence in the sealed batch */
    uint64_t durable, safe;
    uint64_t ack_request;       /* by sf_egress_ack() */
    struct sfi_heap_node pause; /* delivered again when it is due */
    uint32_t failures;
    sf_egress *callback;         /* NULL: not registered */
    const char *registered_name; /* borrowed; found by identity, and then compared */
    void *userdata;
    char name[];
};

struct sfi_egresses {
    const struct sfi_sys *sys;
    struct sfi_hash_key key;
    struct sfi_egress *first;
    struct sfi_lookup names, pointers, numbers;
    struct {
        struct sfi_egress *first, *last;
    } lists[SFI_EGRESS_LISTS];
    struct sfi_heap pauses;
    struct sfi_egress *stalled_first,
        *stalled_last; /* who went longest without an acknowledgement */
    uint32_t count, next_number;
    uint64_t records_max, bytes_max; /* (5) */
    uint64_t fenced;                 /* so many are */
    uint64_t lag;                    /* kept and not acknowledged, of all */
    uint64_t undelivered; /* safe and not delivered, of all that have a callback or had one */
    uint64_t fresh;       /* of these, safe since delivery ran last */
    uint64_t untrimmed;   /* rows that may be deleted */
    uint64_t emitted;     /* in the open epoch */
};

void sfi_egresses_init(struct sfi_egresses *egresses, const struct sfi_sys *sys,
                       uint64_t records_max, uint64_t bytes_max);
void sfi_egresses_fini(struct sfi_egresses *egresses);

static inline void sfi_egress_push(struct sfi_egresses *egresses, enum sfi_egress_list list,
                                   struct sfi_egress *egress)
{
    if (egress->is_on[list])
        return;
    egress->is_on[list] = 1;
    egress->links[list] = NULL;
    if (egresses->lists[list].last)
        egresses->lists[list].last->links[list] = egress;
    else
        egresses->lists[list].first = egress;
    egresses->lists[list].last = egress;
}

static inline struct sfi_egress *sfi_egress_pop(struct sfi_egresses *egresses,
                                                enum sfi_egress_list list)
{
    struct sfi_egress *egress = egresses->lists[list].first;
    if (!egress)
        return NULL;
    egress->is_on[list] = 0;
    egresses->lists[list].first = egress->links[list];
    if (!egress->links[list])
        egresses->lists[list].last = NULL;
    return egress;
}

/* By identity first, without hashing the name. */
struct sfi_egress *sfi_egresses_find(const struct sfi_egresses *egresses, const char *name);
/* Known from now on.  SF_ENOMEM, or SF_EINVAL with SF_EGRESSES_MAX of them known. */
int sfi_egresses_register(struct sfi_egresses *egresses, const char *name, sf_egress *callback,
                          void *userdata);

/* (5): SF_EAGAIN with a sentence when the egress is full; 0. */
int sfi_egress_check(const struct sfi_egresses *egresses, const struct sfi_egress *egress);
/* In how many ms who found it full may try again.  The longer its sink has done nothing, the later;
 * and one after another, so that many who wait do not take the thread from those who need not. */
uint64_t sfi_egress_retry_ms(struct sfi_egresses *egresses, struct sfi_egress *egress);
/* The row of the next record, which it then is; undone by setting `next` and `bytes` to what they
 * were. */
int sfi_egress_put(struct sfi_egress *egress, struct sfi_batch *batch, const struct sfi_actor *from,
                   const char *kind, size_t kind_size, sf_bytes body);
/* The turn that emitted is kept. */
void sfi_egress_keep(struct sfi_egresses *egresses, struct sfi_egress *egress);

/* A row as the application sees it, copied into the arena; and the bytes emitted with it, 0:
 * unknown. */
int sfi_egress_read(const struct sfi_egress *egress, sf_bytes key, sf_bytes record,
                    struct sfi_types *types, struct sfi_arena *arena, sf_message *out,
                    uint64_t *written);

/* The latter alone. */
uint64_t sfi_egress_written(const struct sfi_egress *egress, sf_bytes key, sf_bytes record);

/* Every record up to `sequence` is done; `written` as read from its row, 0: unknown. */
void sfi_egress_acknowledge(struct sfi_egresses *egresses, struct sfi_egress *egress,
                            uint64_t sequence, uint64_t written);
/* Records up to `sequence` were shown. */
void sfi_egress_delivered(struct sfi_egresses *egresses, struct sfi_egress *egress,
                          uint64_t sequence);
/* Not ready for so long; cannot fail. */
void sfi_egress_pause(struct sfi_egresses *egresses, struct sfi_egress *egress, uint64_t due_ns);
/* Its next record cannot be read (6). */
void sfi_egress_fence(struct sfi_egresses *egresses, struct sfi_egress *egress);
/* Onto READY, if there is something to deliver and nothing in the way. */
void sfi_egress_ready(struct sfi_egresses *egresses, struct sfi_egress *egress);
void sfi_egresses_wake(struct sfi_egresses *egresses, uint64_t now_ns);

/* Seal: the counters that changed, and deletions of acknowledged rows (4). */
int sfi_egresses_save(struct sfi_egresses *egresses, struct sfi_batch *batch);
void sfi_egresses_saved(struct sfi_egresses *egresses);
/* Publish: what was sealed is durable; what is durable is safe (the latter under the lock). */
void sfi_egresses_durable(struct sfi_egresses *egresses);
void sfi_egresses_safe(struct sfi_egresses *egresses);

static inline int sfi_egresses_dirty(const struct sfi_egresses *egresses)
{
    return egresses->lists[SFI_EGRESS_CHANGED].first != NULL;
}

/* The longest that an egress with such records has gone without an acknowledgement; 0: none has
 * any. */
uint64_t sfi_egresses_stalled_ns(const struct sfi_egresses *egresses);
uint64_t sfi_egress_stalled_ns(const struct sfi_egresses *egresses,
                               const struct sfi_egress *egress);

int sfi_egress_load(struct sfi_egresses *egresses, sf_bytes key, sf_bytes record);

#endif
