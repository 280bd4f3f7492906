/* cache.h - states in memory, as the cached loop keeps them.
 *
 * A hash of the key finds a state; the first use reads it from the store.  Those that were changed
 * are listed, and written in key order when the transaction commits.  It begins with as many states
 * as the library's cache holds then, and has no bound: what was read once stays, which is more
 * memory than the library allows itself in the rows with large states. */
#ifndef BENCH_CACHE_H
#define BENCH_CACHE_H

#include "rival.h"

struct cache;

struct cache *cache_new(const struct rival *rival, size_t state_size, size_t bytes_warm);
void cache_free(struct cache *cache);

/* A state that was stored, as long as all of these together have up to `bytes_warm`; else 0. */
int cache_add(struct cache *cache, const unsigned char *key, const void *state);

/* To be changed; it is written by the next cache_write(). */
void *cache_change(struct cache *cache, const unsigned char *key);

/* Within a transaction of the rival. */
void cache_write(struct cache *cache);

#endif
