/* background.h - driving on a thread of ours, for programs without a loop.
 *
 * While it runs nobody else drives.  It ends when it is told to, when the engine is broken, or when a handler
 * ends it (pthread_exit): then whoever waits takes over. */
#ifndef SFI_RUN_BACKGROUND_H
#define SFI_RUN_BACKGROUND_H

#include "statefun.h"

int sfi_background_start(sf_runtime *rt);
/* Returns once the step in progress has ended.  Not running: nothing. */
void sfi_background_stop(sf_runtime *rt);

#endif
