/* keys.h - which idempotency keys came in lately, so that what is sent twice comes in once.
 *
 *      sf_send_once() --> inbox --> taken in: did the key? -- yes --> nothing
 *                                       | no
 *                                       v
 *      table entry, under SFI_KEYS_NUMBER:  key --> when it came in
 *                                           (when, key)            the same in order of time
 *                                       | keys_keep_ms later
 *                                       v
 *                                   swept: both go
 *
 * (1) A key and its message come in together, in one work and so in one epoch.  A duplicate has a
 *     ticket like all: when that is durable, so is the message that had the key first.
 * (2) A key counts until the millisecond in which keys_keep_ms are over, by the wall clock, whether
 *     it was swept or not; so other times hold for keys that are there already.  One that is from
 *     the future, since the clock was set back, counts.
 * (3) None is in memory.  What is known is a time before which there is none.  They are swept in
 *     slices, one a step, of at least twice as many as came in since: so what lies on disk beyond
 *     its time is bounded by what came in meanwhile.
 * (4) A key that is damaged is none: its message comes in once more rather than never.
 *
 * Engine thread only. */
#ifndef SFI_RUN_KEYS_H
#define SFI_RUN_KEYS_H

#include "statefun.h"

/* Numbers of collections are given from 1 on; the last is the outside's schedule. */
#define SFI_KEYS_NUMBER (UINT64_MAX - 1)

struct sfi_keys {
    uint64_t keep_ms;
    int is_any;        /* there may be one, */
    uint64_t first_ms; /* not before this time */
    uint64_t look_ns;  /* when the wall clock is to be looked at, by the monotonic one */
    uint64_t taken;    /* since the last slice */
};

void sfi_keys_init(struct sfi_keys *keys, uint64_t keep_ms);

#endif
