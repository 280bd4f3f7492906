/* background.h - driving on a thread of ours, for programs without a loop. */
#ifndef SFI_RUN_BACKGROUND_H
#define SFI_RUN_BACKGROUND_H

#include "statefun.h"

int sfi_background_start(sf_runtime *rt);
int sfi_background_stop(
    sf_runtime *rt); /* returns once the step in progress has ended; not running: 0 */

#endif
