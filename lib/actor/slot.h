/* slot.h - what an actor has beside its struct, as its type describes it: values, maps, lists.
 *
 *      sf_slot of the application -- registered --> binding: the description, a number, a kind
 *                                                      |
 *      the type's record on disk   <-- what is new -- slot record: name, kind, struct
 *
 * (1) A slot's number and kind are given at its first registration and stored with its type for
 *     ever: keys of rows hold the number, and what lies there is of that kind.
 * (2) The stored version of its struct rises with the first struct that is stored in the new one,
 *     as that of a type does (type.h: 5).
 * (3) A binding holds a copy of the description, since the application's may be shorter than ours
 *     (base/abi.h); the address of the original is what turns name it by.
 * (4) A number that no type lists is that of an actor's timers (run/schedule.h). */
#ifndef SFI_ACTOR_SLOT_H
#define SFI_ACTOR_SLOT_H

#include "actor/expiry.h"
#include "actor/layout.h"
#include "base/sys.h"
#include "statefun.h"

/* Numbers on disk: append only.  What a record without a kind describes is a value. */
enum sfi_slot_kind { SFI_SLOT_VALUE = 1, SFI_SLOT_MAP, SFI_SLOT_LIST, SFI_SLOT_KINDS };

enum {
    SFI_SLOTS_MAX = 1024,
    SFI_SLOT_TIMERS = 0xFFFF
};

struct sfi_slot_record {
    char *name; /* ours */
    char *tag;  /* what it holds, if it was named at run time (named.h), ours; else NULL */
    enum sfi_slot_kind kind;
    uint32_t version; /* of the newest struct that was stored; see (2) */
    uint64_t size;    /* of that struct; 0: any bytes */
    struct sfi_expiry expiry; /* as bound in this run; of it the record has `since` */
    struct sfi_layouts layouts;
};

struct sfi_binding {
    const sf_slot *handle;
    sf_slot desc;
    struct sfi_layout *fresh; /* its fields, until it is bound */
    enum sfi_slot_kind kind;
    uint16_t number;
};

/* "a map" */
const char *sfi_slot_kind_name(enum sfi_slot_kind kind);

/* How many slots a description lists. */
uint32_t sfi_slots_listed(const sf_type *desc);
/* Copies and checks them into so many bindings, which have no numbers yet.  SF_EINVAL, SF_ENOMEM;
 * then the rest of them is zeroes. */
int sfi_slots_check(const struct sfi_sys *sys, const sf_type *desc, struct sfi_binding *out);
void sfi_bindings_free(const struct sfi_sys *sys, struct sfi_binding *bindings, uint32_t count);
/* May it be laid over what the type `type_name` has on disk?  SF_EINVAL, SF_ENEWER. */
int sfi_slot_check_stored(const char *type_name, const struct sfi_slot_record *stored,
                          const struct sfi_binding *binding);

enum { SFI_WHO_MAX = SF_NAME_MAX + SF_TYPE_NAME_MAX + 16 };
/* Its struct, for layout.h; `who` is where the sentence lies. */
struct sfi_shape sfi_slot_shape(const char *type_name, const sf_slot *desc, char who[SFI_WHO_MAX]);

#endif
