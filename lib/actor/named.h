/* named.h - values that no type lists, made by their name while the program runs.
 *
 *      name, tag, times -- first time --> a slot of the type, in its record; a handle, for this run
 *                       -- again ------> the same handle
 *
 * (1) They are slots like others (slot.h): the number is the name's for ever, under whatever actor of the type it was
 *     used first.  The record keeps the tag too, which says what the value holds and may not change.
 * (2) A slot that was made stays, also when the turn that made it is undone: a name with a number and no rows is
 *     harmless.  So there is a bound, SF_NAMED_MAX a type.
 * (3) The times are those of the newest call (expiry.h).
 *
 * Written by the engine thread under the runtime's lock, as types are. */
#ifndef SFI_ACTOR_NAMED_H
#define SFI_ACTOR_NAMED_H

#include "actor/type.h"

struct sfi_named {
    struct sfi_named *next;
    sf_value value; /* what turns name it by */
    struct sfi_binding binding;
    char name[];
};

/* What a turn says of one.  `tag` is never NULL. */
struct sfi_naming {
    const char *name, *tag;
    uint64_t after_write_ms, after_access_ms;
};

/* It exists, with that tag and these times: then nothing has to be changed.  NULL: use sfi_named_make(). */
const sf_value *sfi_named_find(const struct sfi_type *type, const struct sfi_naming *naming);
/* Makes it, or gives it these times.  0; SF_EINVAL with the rule that was broken, SF_ENOMEM. */
int sfi_named_make(struct sfi_types *types, struct sfi_type *type, const struct sfi_naming *naming,
                   const sf_value **out);

const struct sfi_binding *sfi_named_binding(const struct sfi_type *type, const sf_slot *handle);
void sfi_named_free(const struct sfi_sys *sys, struct sfi_type *type);
/* A copy of it; the old one goes. */
int sfi_slot_set_tag(const struct sfi_sys *sys, struct sfi_slot_record *slot, sf_bytes tag);

#endif
