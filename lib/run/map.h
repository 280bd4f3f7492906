/* map.h - a map of an actor, as the work under way sees and changes it.
 *
 *      small: the entries lie in the head, which is the slot           (actor/map_head.h)
 *      large: each entry is a row of table entry under the map's number (actor/rows.h)
 *
 * (1) Keys and bytes are checked by who calls: a key has up to SF_KEY_MAX bytes.
 * (2) A failure dooms the work; what was changed until then is undone with it.
 * (3) What is found lies in the work's arena: aligned, with a zero byte, and nothing that is put
 *     later changes it.
 * (4) Structs that were lent (lent.h) are not looked at here.
 * (5) One work changes SFI_WORK_ROWS_MAX rows at most, so that an epoch stays within what one
 *     commit can do.
 */
#ifndef SFI_RUN_MAP_H
#define SFI_RUN_MAP_H

#include "actor/collection.h"
#include "actor/rows.h"
#include "run/work.h"

enum { SFI_WORK_ROWS_MAX = 65536 };

struct sfi_map {
    struct sfi_work *work;
    struct sfi_actor *actor;
    struct sfi_slot *slot;
    struct sfi_expiry expiry; /* of its entries (map_time.h) */
};

/* The slot comes into memory.  0 or negative. */
int sfi_map_open(struct sfi_map *map, struct sfi_work *work, struct sfi_actor *actor,
                 uint16_t number);
uint64_t sfi_map_count(const struct sfi_map *map);
/* 1: found; 0: there is none; negative. */
int sfi_map_get(const struct sfi_map *map, sf_bytes key, struct sfi_entry *out);
int sfi_map_put(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry);
/* The same for an entry that is there for sure. */
int sfi_map_replace(const struct sfi_map *map, sf_bytes key, const struct sfi_entry *entry);
/* 1: it was there; 0: it was not. */
int sfi_map_delete(const struct sfi_map *map, sf_bytes key);
int sfi_map_clear(const struct sfi_map *map);

/* Where a walk begins, as in actor/rows.h; a key of the map, data NULL: from the end where it
 * begins. */
struct sfi_map_place {
    sf_bytes key;
    int is_backward, excludes;
};

/* Lent for the call: 1: go on; 0: enough; negative. */
typedef int sfi_map_take(void *ctx, sf_bytes key, const struct sfi_entry *entry);
/* Every entry from there on, in order.  No code of the application runs meanwhile. */
int sfi_map_walk(const struct sfi_map *map, const struct sfi_map_place *place, sfi_map_take *take,
                 void *ctx);

/* What a work reads of tables whose newest rows are not durable yet. */
struct sfi_rows sfi_work_rows(struct sfi_work *work);
/* One more row of a collection is put or deleted.  0 or negative. */
int sfi_work_count_row(struct sfi_work *work);
/* A copy that may be lent until the work ends.  NULL: doomed. */
void *sfi_work_lend(struct sfi_work *work, sf_bytes bytes);

#endif
