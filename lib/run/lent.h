/* lent.h - structs of collections that handlers were lent, and write to.
 *
 * (1) What is lent is a copy in the work's arena, since entries move when others are put.  The same
 *     entry gives the same copy until the work ends, so what was written to it is seen by who reads
 *     the entry.
 * (2) When the outermost handler has returned, each is compared with what it was, and put if it
 *     differs: so an entry that was only looked at costs no write.
 * (3) An entry that is deleted, a map that is cleared and an actor that is cleared cut their copies
 *     loose: what is written to those changes nothing.  A put writes to the copy, too.
 * (4) Their bytes count in the work's, twice. */
#ifndef SFI_RUN_LENT_H
#define SFI_RUN_LENT_H

#include "run/map.h"

struct sfi_lent {
    struct sfi_lent *next, *next_of_all;
    struct sfi_map map;
    const struct sfi_binding *binding;
    sf_bytes key;
    void *bytes, *old; /* binding->desc.struct_size of them */
    uint32_t form;     /* of the entry, when it was lent */
    int is_cut;
};

/* The copy of an entry; NULL: it was not lent. */
struct sfi_lent *sfi_lent_find(const struct sfi_work *work, const struct sfi_slot *slot,
                               sf_bytes key);
/* Lends an entry of a map of structs, which is made of zeroes if it is not there and `make` says
 * so.  NULL: there is none, or the work is doomed. */
void *sfi_lent_entry(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                     int make);
/* An entry as it is to be read: its bytes; of a struct the copy that was lent, or that of
 * today's version. 1, 0 or negative. */
int sfi_lent_get(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                 sf_bytes *out);
/* What the stored bytes are as a struct of today, in the arena.  0 or negative. */
int sfi_lent_upgrade(const struct sfi_map *map, const struct sfi_binding *binding,
                     const struct sfi_entry *entry, sf_bytes *out);
int sfi_lent_put(const struct sfi_map *map, const struct sfi_binding *binding, sf_bytes key,
                 sf_bytes bytes);
int sfi_lent_delete(const struct sfi_map *map, sf_bytes key);
/* All copies of one slot; of all slots of an actor (slot NULL). */
void sfi_lents_cut(struct sfi_work *work, const struct sfi_actor *actor,
                   const struct sfi_slot *slot);
/* (2).  0, or the work is doomed. */
int sfi_lents_write(struct sfi_work *work);

#endif
