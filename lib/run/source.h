/* source.h - what the application holds of an input that can be replayed.
 *
 * Messages are staged until the advance, which gives them and the position to the inbox as one
 * group. At first, positions at or below `skip_upto` (what was taken when the source was opened)
 * were had already; from the first one above it on, they strictly rise.  Check and enqueue happen
 * under one lock.  One thread at a time. */
#ifndef SFI_RUN_SOURCE_H
#define SFI_RUN_SOURCE_H

#include "run/inbox.h"
#include "run/position.h"

struct sf_source {
    sf_runtime *rt;
    struct sfi_position *position;
    uint64_t skip_upto;
    struct sfi_buffer staged;
    int error; /* sticky until the advance */
    char why[256];
};

int sfi_source_open(sf_runtime *rt, const char *name, uint32_t partition, sf_source **out);
void sfi_source_close(sf_source *source);
uint64_t sfi_source_position(const sf_source *source);
int sfi_source_advance(sf_source *source, uint64_t position);

#endif
