/* value_record.h - a named value on disk.
 *
 *     value      bytes
 *     value-at   touched:8  bytes       where it expires (expiry.h)
 *
 * Either is read, whether it expires today or not. */
#ifndef SFI_ACTOR_VALUE_RECORD_H
#define SFI_ACTOR_VALUE_RECORD_H

#include "store/batch.h"

/* `*bytes` points into the record; without a time it is SFI_TOUCHED_UNKNOWN.  SF_ECORRUPT, SF_ENEWER. */
int sfi_value_open(sf_bytes key, sf_bytes record, uint64_t *touched, sf_bytes *bytes);
/* `touched` NULL: it does not expire.  0 or SF_ENOMEM. */
int sfi_value_put(struct sfi_batch *batch, sf_bytes key, const uint64_t *touched, sf_bytes bytes);

#endif
