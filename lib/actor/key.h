/* key.h - how every row on disk is found.
 *
 *   meta     00                              format and epoch; belongs to the store
 *            01                              counters
 *            02 name                         type: number, struct, slots
 *            03 partition:4 name             source: position
 *            04 name                         egress: number, sequences
 *   state    type:4 size:1 id slot:2         slot 0: the struct; else a named value
 *   mailbox  sequence:8                      a message
 *   outbox   egress:4 sequence:8             an egress record
 *   dead     sequence:8                      a dead letter
 *
 * Numbers are big-endian, so that rows sort like them.  An id is preceded by its size, so that no id
 * can imitate the end of another. */
#ifndef SFI_ACTOR_KEY_H
#define SFI_ACTOR_KEY_H

#include <string.h>

#include "base/endian.h"
#include "store/store.h"

enum { SFI_ID_MAX = 255, SFI_NAME_MAX = 255 };

enum sfi_meta { SFI_META_COUNTERS = 1, SFI_META_TYPE, SFI_META_SOURCE, SFI_META_EGRESS };

struct sfi_key {
    unsigned char bytes[SFI_KEY_MAX];
    size_t size;
};

static inline sf_bytes sfi_key_bytes(const struct sfi_key *key)
{
    return SF_BYTES(key->bytes, key->size);
}

static inline void sfi_key_meta(struct sfi_key *key, enum sfi_meta what, const char *name)
{
    size_t size = strlen(name);
    key->bytes[0] = (unsigned char)what;
    memcpy(key->bytes + 1, name, size);
    key->size = 1 + size;
}

static inline void sfi_key_source(struct sfi_key *key, uint32_t partition, const char *name)
{
    size_t size = strlen(name);
    key->bytes[0] = SFI_META_SOURCE;
    sfi_be32_put(key->bytes + 1, partition);
    memcpy(key->bytes + 5, name, size);
    key->size = 5 + size;
}

static inline void sfi_key_state(struct sfi_key *key, uint32_t type, const void *id, size_t id_size,
                                 uint16_t slot)
{
    sfi_be32_put(key->bytes, type);
    key->bytes[4] = (unsigned char)id_size;
    memcpy(key->bytes + 5, id, id_size);
    key->bytes[5 + id_size] = (unsigned char)(slot >> 8);
    key->bytes[6 + id_size] = (unsigned char)slot;
    key->size = 7 + id_size;
}

static inline void sfi_key_sequence(struct sfi_key *key, uint64_t sequence)
{
    sfi_be64_put(key->bytes, sequence);
    key->size = 8;
}

static inline void sfi_key_outbox(struct sfi_key *key, uint32_t egress, uint64_t sequence)
{
    sfi_be32_put(key->bytes, egress);
    sfi_be64_put(key->bytes + 4, sequence);
    key->size = 12;
}

#endif
