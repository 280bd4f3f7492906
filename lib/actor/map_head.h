/* map_head.h - the head of a map as bytes, as they are stored and as they lie in memory.
 *
 *      form:4 count:8 number:8 [oldest:8]  then, while number is 0, entries by key:
 *      key size:2  entry size:2  key  entry (collection.h)
 *
 * (1) Of a large map (number not 0) no entries follow.
 * (2) Entries are in the order of their keys, each key once, as many as are counted, and end where
 *     the head ends. Who takes a head from the disk checks that once; all else relies on it.
 * (3) `oldest`, where the form has it: no entry was touched before it.
 *
 * What changes a head is told places: offsets, which entries begin at. */
#ifndef SFI_ACTOR_MAP_HEAD_H
#define SFI_ACTOR_MAP_HEAD_H

#include "base/endian.h"
#include "statefun.h"

enum {
    SFI_MAP_HEAD_OLDEST = 1, /* form */
    SFI_MAP_HEAD_BYTES = 20, /* without oldest */
    SFI_MAP_SMALL_BYTES = 1024, /* of all entries, */
    SFI_MAP_SMALL_ENTRY = 256   /* of one, without its key */
};

static inline uint64_t sfi_map_head_count(const void *head)
{
    return head ? sfi_le64_get((const unsigned char *)head + 4) : 0;
}

static inline uint64_t sfi_map_head_number(const void *head)
{
    return head ? sfi_le64_get((const unsigned char *)head + 12) : 0;
}

static inline void sfi_map_head_set(void *head, uint64_t count, uint64_t number)
{
    sfi_le64_put((unsigned char *)head + 4, count);
    sfi_le64_put((unsigned char *)head + 12, number);
}

/* Of a map of so many bytes of entries, or of none. */
static inline size_t sfi_map_head_entries(const void *head)
{
    return SFI_MAP_HEAD_BYTES +
           (head && sfi_le32_get(head) & SFI_MAP_HEAD_OLDEST ? sizeof(uint64_t) : 0);
}

/* SF_ECORRUPT, SF_ENEWER. */
int sfi_map_head_check(sf_bytes head);

struct sfi_small_entry {
    size_t at, next; /* where it begins, and the one after it */
    sf_bytes key, packed;
};

/* The entry at a place; 0: none, that is the end. */
int sfi_map_head_at(sf_bytes head, size_t at, struct sfi_small_entry *out);
/* 1: the entry with that key; 0: there is none, and `out->at` is where it would be. */
int sfi_map_head_find(sf_bytes head, sf_bytes key, struct sfi_small_entry *out);
/* The last entry with a key < `before`, or of all (data NULL). */
int sfi_map_head_before(sf_bytes head, sf_bytes before, struct sfi_small_entry *out);

static inline size_t sfi_small_entry_size(size_t key_size, size_t packed_size)
{
    return 4 + key_size + packed_size;
}

/* Makes room for an entry of that size in a head of `size` bytes where `old_size` bytes were
 * before.  The head's memory has room. */
void sfi_map_head_move(unsigned char *head, size_t size, size_t at, size_t old_size,
                       size_t new_size);
/* Writes the sizes and the key; returns where the packed entry is to be. */
unsigned char *sfi_map_head_write(unsigned char *head, size_t at, sf_bytes key, size_t packed_size);

#endif
