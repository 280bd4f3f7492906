/* list_head.h - the head of a list as bytes, as they are stored and as they lie in memory.
 *
 *      form:4 first:8 next:8 number:8 row:8 edge:8 rows_end:8  then the elements rows_end .. next:
 *      size:4  entry (collection.h)
 *
 *            row      first     edge              rows_end        next
 *             |---------x---------|------ ... ------|---- head -----|
 *               first row           other rows
 *
 * (1) Elements have numbers; `first` is the oldest that is there, `next` what the next one gets.
 * (2) Number 0: there are no rows, and row, edge and rows_end are `first`.  Else row <= first <
 *     edge <= rows_end: rows are keyed by the number of their first element, `row` is the key of
 *     the first that is needed, and `edge` that of the one after it, or rows_end.  So trimming
 *     knows without a look whether a row is over.
 * (3) A row is elements packed as they are in the head.
 * (4) Who takes a head or a row from the disk checks it once; all else relies on it. */
#ifndef SFI_ACTOR_LIST_HEAD_H
#define SFI_ACTOR_LIST_HEAD_H

#include "actor/collection.h"
#include "base/endian.h"

enum {
    SFI_LIST_HEAD_BYTES = 52,
    SFI_LIST_HEAD_MAX = 1024, /* of elements in it, with their sizes; */
    SFI_LIST_ROW_BYTES = 512  /* more become rows of so many; a larger element has its own */
};

struct sfi_list_head {
    uint64_t first, next, number, row, edge, rows_end;
};

/* Data NULL: an empty list, whose elements begin with number 1. */
void sfi_list_head_get(const void *data, struct sfi_list_head *out);
void sfi_list_head_set(void *data, const struct sfi_list_head *head);

static inline uint64_t sfi_list_head_number(const void *data)
{
    return data ? sfi_le64_get((const unsigned char *)data + 20) : 0;
}

/* SF_ECORRUPT, SF_ENEWER. */
int sfi_list_head_check(sf_bytes data);

/* Elements packed behind each other. */
struct sfi_elements {
    sf_bytes packed;
    uint64_t first, end; /* their numbers */
};

static inline size_t sfi_element_size(const struct sfi_entry *entry)
{
    return 4 + sfi_entry_size(entry);
}

/* Those that lie in the head. */
struct sfi_elements sfi_list_head_elements(sf_bytes data);
/* Those of a row; `end` follows from what is in it.  SF_ECORRUPT, SF_ENEWER. */
int sfi_list_row_open(sf_bytes key, sf_bytes record, struct sfi_elements *out);
/* Elements packed, as a row.  0 or SF_ENOMEM. */
int sfi_list_row_put(struct sfi_batch *batch, sf_bytes key, sf_bytes packed);
/* The bytes that come before an element. */
size_t sfi_elements_before(const struct sfi_elements *elements, uint64_t number);
/* One of them. */
void sfi_elements_get(const struct sfi_elements *elements, uint64_t number, struct sfi_entry *out);
/* At the end of them. */
void sfi_element_write(const struct sfi_entry *entry, unsigned char *out);

#endif
