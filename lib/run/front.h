/* front.h - where large maps begin: a map that is used as a queue.
 *
 * Who takes the first entry of a map again and again would pass all that was taken and is not
 * durable yet, each time anew.  So of some maps a key is remembered before which nothing lives.
 *
 * (1) It is found by a walk from the front, and lowered by each put before it.  Numbers are never
 *     given twice, so what was remembered of a map that is gone harms nobody.
 * (2) A work that is undone may bring back what it deleted: then all is forgotten.
 * (3) Keys are cut short: what lies before a part of a key lies before the key. */
#ifndef SFI_RUN_FRONT_H
#define SFI_RUN_FRONT_H

#include "statefun.h"

enum { SFI_FRONTS = 64, SFI_FRONT_KEY = 55 };

struct sfi_fronts {
    struct sfi_front {
        uint64_t number; /* 0: empty */
        uint8_t size;
        unsigned char key[SFI_FRONT_KEY];
    } all[SFI_FRONTS];
};

/* Absent: not known. */
sf_bytes sfi_front_get(const struct sfi_fronts *fronts, uint64_t number);
/* Nothing lives before that key. */
void sfi_front_set(struct sfi_fronts *fronts, uint64_t number, sf_bytes key);
/* Something lives there now. */
void sfi_front_lower(struct sfi_fronts *fronts, uint64_t number, sf_bytes key);
void sfi_fronts_forget(struct sfi_fronts *fronts);

#endif
