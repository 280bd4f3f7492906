/* cache.c - an open hash of keys to states, and a list of what was changed. */
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "cache.h"

enum { KEY_SIZE = WORKLOAD_KEY_SIZE, CHUNK_BYTES = 4 << 20 };

struct entry {
    unsigned char key[KEY_SIZE];
    uint64_t changed; /* in the list; 8 bytes, so that the state is aligned */
    unsigned char state[];
};

/* The key beside the pointer, so that sorting touches no entry. */
struct change {
    unsigned char key[KEY_SIZE];
    struct entry *entry;
};

struct slot {
    uint64_t hash;
    struct entry *entry; /* NULL: free */
};

struct cache {
    const struct rival *rival;
    size_t state_size, bytes_warm;
    struct slot *slots;
    size_t slot_count, count; /* a power of two, at least twice the entries */
    struct change *changes, *scratch;
    size_t change_count, change_room;
    unsigned char *chunk; /* entries are cut from it; chunks are never given back before the end */
    size_t chunk_left;
};

static void *allocate(size_t size)
{
    void *memory = calloc(1, size);

    if (!memory)
        workload_fail("out of memory");
    return memory;
}

struct cache *cache_new(const struct rival *rival, size_t state_size, size_t bytes_warm)
{
    struct cache *cache = allocate(sizeof *cache);

    cache->rival = rival;
    cache->state_size = state_size;
    cache->bytes_warm = bytes_warm;
    cache->slot_count = 1 << 10;
    cache->slots = allocate(cache->slot_count * sizeof *cache->slots);
    return cache;
}

/* The entries are left to the end of the process. */
void cache_free(struct cache *cache)
{
    if (!cache)
        return;
    free(cache->slots);
    free(cache->changes);
    free(cache->scratch);
    free(cache);
}

/* Where the key is, or where it belongs. */
static struct slot *find(const struct cache *cache, const unsigned char *key, uint64_t hash)
{
    size_t mask = cache->slot_count - 1, i = hash & mask;

    while (cache->slots[i].entry && (cache->slots[i].hash != hash ||
                                     memcmp(cache->slots[i].entry->key, key, KEY_SIZE) != 0))
        i = (i + 1) & mask;
    return &cache->slots[i];
}

static void grow(struct cache *cache)
{
    struct slot *old = cache->slots;
    size_t old_count = cache->slot_count;

    cache->slot_count *= 2;
    cache->slots = allocate(cache->slot_count * sizeof *old);
    for (size_t i = 0; i < old_count; i++)
        if (old[i].entry)
            *find(cache, old[i].entry->key, old[i].hash) = old[i];
    free(old);
}

static struct entry *cut_entry(struct cache *cache)
{
    size_t size = (sizeof(struct entry) + cache->state_size + 7) & ~(size_t)7;
    struct entry *entry;

    if (cache->chunk_left < size) {
        cache->chunk = allocate(CHUNK_BYTES);
        cache->chunk_left = CHUNK_BYTES;
    }
    entry = (struct entry *)cache->chunk;
    cache->chunk += size;
    cache->chunk_left -= size;
    return entry;
}

/* Its state is yet to be set. */
static struct entry *add_entry(struct cache *cache, const unsigned char *key, uint64_t hash)
{
    struct entry *entry = cut_entry(cache);

    memcpy(entry->key, key, KEY_SIZE);
    if (++cache->count * 2 > cache->slot_count)
        grow(cache);
    *find(cache, key, hash) = (struct slot){hash, entry};
    return entry;
}

int cache_add(struct cache *cache, const unsigned char *key, const void *state)
{
    struct entry *entry;

    if ((cache->count + 1) * (sizeof *entry + cache->state_size) > cache->bytes_warm)
        return 0;
    entry = add_entry(cache, key, XXH3_64bits(key, KEY_SIZE));
    memcpy(entry->state, state, cache->state_size);
    return 1;
}

static void list(struct cache *cache, struct entry *entry)
{
    struct change *change;

    if (cache->change_count == cache->change_room) {
        cache->change_room = cache->change_room ? cache->change_room * 2 : 1024;
        cache->changes = realloc(cache->changes, cache->change_room * sizeof *change);
        cache->scratch = realloc(cache->scratch, cache->change_room * sizeof *change);
        if (!cache->changes || !cache->scratch)
            workload_fail("out of memory");
    }
    change = &cache->changes[cache->change_count++];
    memcpy(change->key, entry->key, KEY_SIZE);
    change->entry = entry;
    entry->changed = 1;
}

void *cache_change(struct cache *cache, const unsigned char *key)
{
    uint64_t hash = XXH3_64bits(key, KEY_SIZE);
    struct entry *entry = find(cache, key, hash)->entry;

    if (!entry) {
        entry = add_entry(cache, key, hash);
        cache->rival->get(key, entry->state);
    }
    if (!entry->changed)
        list(cache, entry);
    return entry->state;
}

/* One pass of a radix sort, from `changes` to `scratch`, then they change places.  Nothing to do
 * where all have the same byte. */
static void sort_by(struct cache *cache, size_t byte)
{
    size_t ends[256] = {0}, n = cache->change_count;
    struct change *from = cache->changes;

    for (size_t i = 0; i < n; i++)
        ends[from[i].key[byte]]++;
    if (ends[from[0].key[byte]] == n)
        return;
    for (size_t i = 1; i < 256; i++)
        ends[i] += ends[i - 1];
    for (size_t i = n; i-- > 0;)
        cache->scratch[--ends[from[i].key[byte]]] = from[i];
    cache->changes = cache->scratch;
    cache->scratch = from;
}

void cache_write(struct cache *cache)
{
    if (cache->change_count == 0)
        return;
    for (size_t byte = KEY_SIZE; byte-- > 0;)
        sort_by(cache, byte);
    for (size_t i = 0; i < cache->change_count; i++) {
        struct entry *entry = cache->changes[i].entry;
        cache->rival->put(entry->key, entry->state);
        entry->changed = 0;
    }
    cache->change_count = 0;
}
