/* index.h - where each key of one generation of the changelog is, in memory.
 *
 * A hash table of chains.  Entries are numbered in the order in which they were appended and never
 * change; a chain runs from newer to older ones.  So a reader of an older epoch goes on along the chain
 * until it meets an entry that its snapshot has, and taking back the newest entries, which a commit
 * that came to nothing has left, is popping them.
 *
 * Keys are not kept: equal hashes are told apart by looking into the chunk.  16 bytes an entry and 4 to
 * 8 for the head of its chain.
 *
 * The caller's lock guards it. */
#ifndef SFI_LMDB_INDEX_H
#define SFI_LMDB_INDEX_H

#include "base/sys.h"
#include "statefun.h"

enum { SFI_INDEX_NONE = 0xFFFFFFFF };

struct sfi_log_place {
    uint32_t hash;
    uint32_t older;  /* number of the next entry in the chain, or SFI_INDEX_NONE */
    uint32_t chunk;  /* counted from the generation's first one */
    uint32_t offset; /* in the chunk */
};

struct sfi_log_index {
    const struct sfi_sys *sys;
    struct sfi_log_place *places;
    uint32_t *heads;
    uint32_t count, capacity, head_count; /* head_count: 0 or a power of two */
};

void sfi_log_index_init(struct sfi_log_index *index, const struct sfi_sys *sys);
void sfi_log_index_fini(struct sfi_log_index *index);
/* Heads for as many entries as the other index has, so that growing need not relink them later; empty, and
 * only a hint.  0 or SF_ENOMEM. */
int sfi_log_index_resemble(struct sfi_log_index *index, const struct sfi_log_index *other);
/* Room for `more` entries: add() cannot fail then.  0 or SF_ENOMEM. */
int sfi_log_index_reserve(struct sfi_log_index *index, uint32_t more);
void sfi_log_index_add(struct sfi_log_index *index, uint32_t hash, uint32_t chunk, uint32_t offset);
/* Takes back all but the first `count` entries. */
void sfi_log_index_rollback(struct sfi_log_index *index, uint32_t count);

/* The newest entry with that hash and a number below `before`; SFI_INDEX_NONE: there is none.  `before` is
 * SFI_INDEX_NONE or what was found before; that may have been taken back since, and its number given again. */
uint32_t sfi_log_index_find(const struct sfi_log_index *index, uint32_t hash, uint32_t before);

#endif
