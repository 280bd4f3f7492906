/* carry.h - a struct of an older version becomes today's field by field, where nobody wrote a
 * migration.
 *
 * A field is carried over to the one of the same name in the same place of the tree; one that is
 * new is zero, one that is gone is dropped.  It may have become longer (more elements) or wider
 * (uint32_t to uint64_t or int64_t, float to double): what loses anything is refused when the type
 * is registered, and named. */
#ifndef SFI_ACTOR_CARRY_H
#define SFI_ACTOR_CARRY_H

#include "actor/fields.h"

/* Can every struct of the one be carried over to the other?  SF_EINVAL: a sentence about the first
 * field that cannot. */
int sfi_carry_check(const struct sfi_fields *from, const struct sfi_fields *to);

/* What check() allowed.  `old` and `fresh`, which is zeroed, have the sizes that the fields say. */
void sfi_carry(const struct sfi_fields *from, const void *old, const struct sfi_fields *to,
               void *fresh);

#endif
