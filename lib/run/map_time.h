/* map_time.h - the times of a map whose entries expire (actor/expiry.h).
 *
 *      small:  each entry has its time                              in the head, with `oldest`
 *      large:  number 00 key -> entry with its time                 rows, and in the head `oldest`
 *              number 01 touched key -> (empty)                     the same entries in order of time
 *
 * (1) Exactly those entries of a large map that have a time have a row in order of time.  So who puts or deletes one
 *     in a map that may have times looks at what was there.
 * (2) `oldest`: no entry with a time was touched before.  SFI_TOUCHED_UNKNOWN: there may be entries without one, from
 *     before the slot expired; the gleaner walks such a map once, when they are over, and deletes them.
 * (3) What is over is absent for who looks, and deleted a few at a time, oldest first, by who puts into a large map;
 *     else by the gleaner.  Not while the clock is in doubt (doubt.h).
 * (4) The count of a large map has those that are over and not deleted yet. */
#ifndef SFI_RUN_MAP_TIME_H
#define SFI_RUN_MAP_TIME_H

#include "run/map.h"

enum { SFI_MAP_RECLAIM = 8 /* by who puts */, SFI_MAP_GLEAN = 1024 /* in a work of the gleaner */ };

int sfi_map_is_over(const struct sfi_map *map, const struct sfi_entry *entry);
/* May entries have times? */
int sfi_map_is_timed(const struct sfi_map *map);
/* Before a put: the head has room for `oldest`.  0 or negative. */
int sfi_map_begin_times(const struct sfi_map *map);
/* The time of an entry that is put in the place of another, or of none (NULL). */
void sfi_map_stamp(const struct sfi_map *map, struct sfi_entry *entry, const struct sfi_entry *old);
/* It was put.  0 or negative. */
int sfi_map_note_time(const struct sfi_map *map, const struct sfi_entry *entry);

int sfi_map_put_time(const struct sfi_map *map, uint64_t number, sf_bytes key, uint64_t touched);
int sfi_map_delete_time(const struct sfi_map *map, uint64_t number, sf_bytes key, uint64_t touched);

/* How many of a small map are over. */
uint64_t sfi_map_count_over(const struct sfi_map *map);
/* Deletes so many of what is over.  1: there may be more; 0; negative. */
int sfi_map_reclaim(const struct sfi_map *map, uint32_t most);
/* The same, and (2), for the gleaner, which remembers how far it came. */
struct sfi_gleaner;
int sfi_map_glean(const struct sfi_map *map, struct sfi_gleaner *gleaner);

#endif
