/* type_record.h - a type on disk: a MessagePack map {number, size, version, slots: [{name, kind,
 * size, version, since, tag}...], since, fields: [[slot, version, text]...]}: since where something
 * expires (expiry.h), tag of a slot that was named at run time (named.h), fields where those of a
 * struct are known (layout.h; slot 0 is the actor's).  So fields can be added, and every language
 * can read it.  Format 2 had the names of slots alone, which are those of values.  The only file
 * that knows MessagePack. */
#ifndef SFI_ACTOR_TYPE_RECORD_H
#define SFI_ACTOR_TYPE_RECORD_H

#include "actor/type.h"

int sfi_type_save(const struct sfi_type *type, struct sfi_batch *batch);
/* Seal: the records of types that changed; saved() once the batch is whole. */
int sfi_types_dirty(const struct sfi_types *types);
int sfi_types_save(const struct sfi_types *types, struct sfi_batch *batch);
void sfi_types_saved(struct sfi_types *types);
int sfi_type_load(struct sfi_types *types, sf_bytes key, sf_bytes record);

#endif
