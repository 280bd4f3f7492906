/* doubt.h - is the wall clock to be believed, for what cannot be taken back?
 *
 * What has expired is absent at once, but it is not deleted while the clock is in doubt: in the first minute after
 * opening, and in the minute after the wall clock went another way than the monotonic one, by more than an hour.  So
 * who sets a clock right within it loses nothing but what was written anew.
 *
 * Engine thread only. */
#ifndef SFI_RUN_DOUBT_H
#define SFI_RUN_DOUBT_H

#include "base/sys.h"

struct sfi_doubt {
    uint64_t until_ns; /* by the monotonic clock */
    uint64_t ahead_ms; /* the wall clock, before the other, when it was looked at last */
};

/* From now on, as after opening. */
void sfi_doubt_begin(struct sfi_doubt *doubt, const struct sfi_sys *sys);
/* Looks at both clocks. */
int sfi_doubt_is_on(struct sfi_doubt *doubt, const struct sfi_sys *sys);

#endif
