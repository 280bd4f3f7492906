/* list.h - a list of an actor, as the work under way sees and changes it.
 *
 *      append --> the head --- beyond 1 KiB: its oldest half ---> one row     (actor/list_head.h)
 *      trim   --> rows that are over are deleted, up to SFI_TRIM_ROWS; more are a promise
 *
 * (1) Elements have numbers that only rise while the list lives; a list without elements has no
 *     head, and begins anew with 1.
 * (2) As in map.h: a failure dooms the work, what is found lies in its arena, and rows count. */
#ifndef SFI_RUN_LIST_H
#define SFI_RUN_LIST_H

#include "run/map.h"

enum { SFI_TRIM_ROWS = 64 };

struct sfi_list {
    struct sfi_work *work;
    struct sfi_actor *actor;
    struct sfi_slot *slot;
    struct sfi_expiry expiry; /* of its elements (list_time.h) */
};

int sfi_list_open(struct sfi_list *list, struct sfi_work *work, struct sfi_actor *actor,
                  uint16_t number);
uint64_t sfi_list_count(const struct sfi_list *list);
int sfi_list_append(const struct sfi_list *list, const struct sfi_entry *entry);
/* Forgets all but the newest. */
int sfi_list_trim(const struct sfi_list *list, uint64_t keep);
int sfi_list_clear(const struct sfi_list *list);

/* Lent for the call. */
typedef int sfi_list_take(void *ctx, uint64_t number, const struct sfi_entry *entry);
/* Elements from that number on (or of the first there is), upwards; or down from it (or the
 * last).  _all: also those that are over. */
int sfi_list_walk_all(const struct sfi_list *list, uint64_t number, int is_backward,
                      sfi_list_take *take, void *ctx);
int sfi_list_walk(const struct sfi_list *list, uint64_t number, int is_backward,
                  sfi_list_take *take,
                  void *ctx);

#endif
