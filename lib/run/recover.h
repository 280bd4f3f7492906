/* recover.h - from what is on disk to what is in memory, once, at open.
 *
 * Reads counters, types, sources and egresses.  Waiting messages and state are not read: the mailbox does
 * that when their turn has come, actors when they need it. */
#ifndef SFI_RUN_RECOVER_H
#define SFI_RUN_RECOVER_H

#include "statefun.h"

int sfi_recover(sf_runtime *rt);

#endif
