/* recover.h - from what is on disk to what is in memory, once, at open.
 *
 * Reads counters, types, sources and egresses, then every waiting message in the order of its sequence.
 * State is not read: actors load it when they need it. */
#ifndef SFI_RUN_RECOVER_H
#define SFI_RUN_RECOVER_H

#include "statefun.h"

int sfi_recover(sf_runtime *rt);

#endif
