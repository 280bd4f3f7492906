/* egress.h - named streams of records that leave the process.
 *
 * (1) Records of one egress are numbered 1, 2, 3, ... in the order of their turns.  A turn that is
 *     undone gives its numbers back.
 * (2) A record is a row of the outbox from its epoch until its acknowledgement is durable.  Delivery
 *     reads rows, first and again alike, so the bytes are the same.
 * (3) acked <= delivered <= safe <= durable <= sealed < next.  delivered lives in memory only: after a
 *     restart it is acked, and everything behind comes again.  What is durable but not safe a power cut
 *     could take back (store.h: 3), so it is not shown to anybody.
 * (4) Acknowledgements ride in the next epoch; rows at or below `acked` are deleted a bounded number
 *     at a time, up to `trimmed`.
 *
 * Engine thread only, except `safe` and `ack_request`, which are under the runtime's lock. */
#ifndef SFI_ACTOR_EGRESS_H
#define SFI_ACTOR_EGRESS_H

#include "actor/message.h"
#include "base/arena.h"

struct sfi_egress {
    struct sfi_egress *next_egress;
    uint32_t number;
    uint8_t dirty; /* the record on disk is older */
    uint64_t next; /* sequence of the next record */
    uint64_t acked, trimmed, delivered;
    uint64_t sealed; /* newest sequence in the sealed batch */
    uint64_t durable, safe;
    uint64_t ack_request; /* by sf_egress_ack() */
    uint64_t retry_ns;    /* deliver again not before; 0: now */
    uint32_t failures;
    sf_egress *callback;         /* NULL: not registered */
    const char *registered_name; /* borrowed; found by identity */
    void *userdata;
    char name[];
};

struct sfi_egresses {
    const struct sfi_sys *sys;
    struct sfi_egress *first;
    uint32_t count;
};

void sfi_egresses_init(struct sfi_egresses *egresses, const struct sfi_sys *sys);
void sfi_egresses_fini(struct sfi_egresses *egresses);
struct sfi_egress *sfi_egresses_find(const struct sfi_egresses *egresses, const char *name);
/* Known from now on, not registered.  NULL: no memory. */
struct sfi_egress *sfi_egresses_add(struct sfi_egresses *egresses, const char *name, size_t size);

/* The row of the next record; the caller advances `next`. */
int sfi_egress_put(const struct sfi_egress *egress, struct sfi_batch *batch,
                   const struct sfi_actor *from, const char *kind, size_t kind_size, sf_bytes body);
/* A row as the application sees it, copied into the arena. */
int sfi_egress_read(const struct sfi_egress *egress, sf_bytes key, sf_bytes record,
                    struct sfi_types *types, struct sfi_arena *arena, sf_message *out);

/* Seal: the counters if they changed, and deletions of acknowledged rows. */
int sfi_egresses_save(const struct sfi_egresses *egresses, struct sfi_batch *batch);
void sfi_egresses_saved(struct sfi_egresses *egresses);
int sfi_egresses_dirty(const struct sfi_egresses *egresses);
int sfi_egress_load(struct sfi_egresses *egresses, sf_bytes key, sf_bytes record);

#endif
