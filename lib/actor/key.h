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
 *   entry    number:8 00 key                 an entry of a large map, elements of a list
 *            number:8 01 touched:8 key       (empty) the same entries in order of time
 *            0:8 number:8                    a promise: which entries of that number are garbage
 *   timer    due:8 sequence:8                a message to be sent at that time
 *   async    id:8                            an operation under way outside
 *            first:8 index:4                 a message behind what its actor awaits
 *   held     type:4 size:1 id                why that actor's messages wait; empty id: the type's
 *   parked   type:4 size:1 id sequence:8     a message that waits so; empty id: for its type
 *
 * Numbers are big-endian, so that rows sort like them.  An id is preceded by its size, so that no id
 * can imitate the end of another. */
#ifndef SFI_ACTOR_KEY_H
#define SFI_ACTOR_KEY_H

#include <string.h>

#include "base/copy.h"
#include "base/endian.h"
#include "store/store.h"

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

/* `type:4 size:1 id`: how rows of one actor begin. */
static inline void sfi_key_actor(struct sfi_key *key, uint32_t type, const void *id, size_t id_size)
{
    sfi_be32_put(key->bytes, type);
    key->bytes[4] = (unsigned char)id_size;
    sfi_copy(key->bytes + 5, id, id_size);
    key->size = 5 + id_size;
}

static inline void sfi_key_state(struct sfi_key *key, uint32_t type, const void *id, size_t id_size,
                                 uint16_t slot)
{
    sfi_key_actor(key, type, id, id_size);
    key->bytes[5 + id_size] = (unsigned char)(slot >> 8);
    key->bytes[6 + id_size] = (unsigned char)slot;
    key->size = 7 + id_size;
}

static inline void sfi_key_sequence(struct sfi_key *key, uint64_t sequence)
{
    sfi_be64_put(key->bytes, sequence);
    key->size = 8;
}

static inline void sfi_key_held(struct sfi_key *key, uint32_t type, const void *id, size_t id_size)
{
    sfi_key_actor(key, type, id, id_size);
}

static inline void sfi_key_parked(struct sfi_key *key, uint32_t type, const void *id,
                                  size_t id_size, uint64_t sequence)
{
    sfi_key_actor(key, type, id, id_size);
    sfi_be64_put(key->bytes + key->size, sequence);
    key->size += 8;
}

static inline void sfi_key_timer(struct sfi_key *key, uint64_t due_ms, uint64_t sequence)
{
    sfi_be64_put(key->bytes, due_ms);
    sfi_be64_put(key->bytes + 8, sequence);
    key->size = 16;
}

static inline void sfi_key_async(struct sfi_key *key, uint64_t id)
{
    sfi_key_sequence(key, id);
}

enum sfi_entry_order { SFI_ENTRY_BY_KEY, SFI_ENTRY_BY_TIME };

static inline void sfi_key_entry(struct sfi_key *key, uint64_t number, sf_bytes name)
{
    sfi_be64_put(key->bytes, number);
    key->bytes[8] = SFI_ENTRY_BY_KEY;
    memcpy(key->bytes + 9, name.data, name.size);
    key->size = 9 + name.size;
}

static inline void sfi_key_entry_time(struct sfi_key *key, uint64_t number, uint64_t touched,
                                      sf_bytes name)
{
    sfi_be64_put(key->bytes, number);
    key->bytes[8] = SFI_ENTRY_BY_TIME;
    sfi_be64_put(key->bytes + 9, touched);
    memcpy(key->bytes + 17, name.data, name.size);
    key->size = 17 + name.size;
}

static inline void sfi_key_promise(struct sfi_key *key, uint64_t number)
{
    sfi_be64_put(key->bytes, 0);
    sfi_be64_put(key->bytes + 8, number);
    key->size = 16;
}

static inline void sfi_key_outbox(struct sfi_key *key, uint32_t egress, uint64_t sequence)
{
    sfi_be32_put(key->bytes, egress);
    sfi_be64_put(key->bytes + 4, sequence);
    key->size = 12;
}

#endif
