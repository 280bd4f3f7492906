/* chunk.h - one row of the changelog: changed states of one epoch, one after the other.
 *
 *      0  record header (store/record.h), kind SFI_RECORD_LOG, sealed over everything after it
 *      8  u32 generation, u32 number of entries
 *     16  entries, each on a multiple of 8:
 *             u32 value size, u16 key size, u16 1 if the key was deleted, key, value
 *
 * The key of the row is the chunk's number, 8 bytes, big-endian.  65 520 bytes are what LMDB puts on 16
 * pages of its own, so that a commit writes few long runs; an entry that is larger gets a chunk for
 * itself.  An entry is found again by its chunk and its place, the offset divided by 8. */
#ifndef SFI_LMDB_CHUNK_H
#define SFI_LMDB_CHUNK_H

#include "store/batch.h"

enum {
    SFI_CHUNK_HEADER = 16,
    SFI_CHUNK_BYTES = 16 * 4096 - 16,
    SFI_CHUNK_SMALL_BYTES = 4096 - 16, /* where pages are scattered */
    SFI_CHUNK_KEY = 8
};

struct sfi_log_entry {
    sf_bytes key, value; /* lent by the chunk */
    int is_delete;
    size_t end; /* where the next one starts */
};

/* Bytes that an operation takes as an entry. */
static inline size_t sfi_log_entry_size(const struct sfi_op *op)
{
    return (8 + (size_t)op->key_size + op->value_size + 7) & ~(size_t)7;
}

/* Writes an entry; it must fit.  The offset after it. */
size_t sfi_chunk_put(unsigned char *chunk, size_t at, const struct sfi_op *op);
/* Completes a chunk of `size` bytes with its header. */
void sfi_chunk_finish(unsigned char *chunk, size_t size, uint32_t generation, uint32_t count,
                      const unsigned char key[SFI_CHUNK_KEY]);

/* Checks a whole chunk.  SF_ECORRUPT, SF_ENEWER. */
int sfi_chunk_open(sf_bytes chunk, sf_bytes key, uint32_t *out_generation, uint32_t *out_count);
/* The entry at an offset.  SF_ECORRUPT if it does not fit into the chunk. */
int sfi_chunk_entry(sf_bytes chunk, size_t at, struct sfi_log_entry *out);

#endif
