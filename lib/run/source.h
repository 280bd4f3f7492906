/* source.h - inputs that can be replayed: one position per (name, partition).
 *
 * (1) taken >= reached >= sealed >= durable: given to the inbox; taken in by the open epoch; in the
 *     sealed batch; on disk.  What callers read is `durable`.
 * (2) A position at or below `skip_upto` (what was taken when the source was opened) was had already;
 *     above it positions strictly rise.  Check and enqueue happen under one lock.
 *
 * taken and durable are under the runtime's lock; reached, sealed, dirty are the engine's. */
#ifndef SFI_RUN_SOURCE_H
#define SFI_RUN_SOURCE_H

#include "run/inbox.h"
#include "store/batch.h"

struct sfi_source {
    struct sfi_source *next;
    uint64_t taken, reached, sealed, durable;
    uint32_t partition;
    uint8_t is_open, dirty;
    char name[];
};

struct sfi_sources {
    struct sfi_source *first;
};

/* What the application holds. */
struct sf_source {
    sf_runtime *rt;
    struct sfi_source *source;
    uint64_t skip_upto;
    struct sfi_buffer staged;
    int error; /* sticky until the advance */
    char why[256];
};

void sfi_sources_fini(struct sfi_sources *sources, const struct sfi_sys *sys);
int sfi_source_load(struct sfi_sources *sources, const struct sfi_sys *sys, sf_bytes key, sf_bytes record);

int sfi_source_open(sf_runtime *rt, const char *name, uint32_t partition, sf_source **out);
void sfi_source_close(sf_source *handle);
uint64_t sfi_source_position(const sf_source *handle);
int sfi_source_advance(sf_source *handle, uint64_t position);

/* Engine. */
static inline void sfi_source_reached(struct sfi_source *source, uint64_t position)
{
    source->reached = position;
    source->dirty = 1;
}
int sfi_sources_dirty(const struct sfi_sources *sources);
int sfi_sources_save(const struct sfi_sources *sources, struct sfi_batch *batch);
void sfi_sources_saved(struct sfi_sources *sources);
void sfi_sources_published(struct sfi_sources *sources); /* under the lock */

#endif
