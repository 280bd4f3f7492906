/* type.h - what actors of one type have in common, and how a type is found by its name.
 *
 * (1) A type has a number, given at its first registration and stored for ever; keys on disk hold
 *     the number, so a name is stored once.  The same holds for the names of its slots (slot.h).
 * (2) Types known from disk but not registered yet exist too (registered = 0): messages may wait
 *     for them.  A type object lives until the runtime is closed.
 * (3) Looked up by the pointer that was registered (borrowed until close, so identity is enough),
 *     then by content.  Neither takes longer when there are many types.
 * (4) A type is in the dirty list if and only if its record on disk is older than it is.
 * (5) The stored version rises with the first actor that is stored in the new one, in the same
 *     epoch, not when that is registered: until then the program before can still open.
 *
 * Written by the engine thread under the runtime's lock; other threads read under that lock. */
#ifndef SFI_ACTOR_TYPE_H
#define SFI_ACTOR_TYPE_H

#include "actor/expiry.h"
#include "actor/slot.h"
#include "base/copy.h"
#include "base/hash.h"
#include "base/lookup.h"
#include "store/batch.h"

struct sfi_message;
struct sfi_hold;

/* First in, first out. */
struct sfi_message_list {
    struct sfi_message *first, *last;
};

struct sfi_hold_list {
    struct sfi_hold *first, *last;
};

struct sfi_type {
    char *name; /* ours */
    uint32_t number;
    uint8_t registered;
    uint8_t dirty;               /* in the list: the record on disk is older */
    struct sfi_type *next_dirty;
    const char *shown;         /* the name as handlers see it: the pointer that was registered, or ours */
    uint32_t kind_count;       /* of desc.on, */
    uint32_t kind_sizes[SF_KINDS_MAX]; /* and how long their names are */
    sf_type desc;              /* name: the pointer that was registered */
    void *userdata;
    struct sfi_binding *bindings; /* what it lists; ours */
    uint32_t binding_count;
    uint64_t state_size, state_version;  /* of the newest struct on disk; see (5) */
    struct sfi_layouts layouts;          /* of its versions; see layout.h */
    struct sfi_expiry state_expiry;
    uint8_t expires;  /* its struct does, or what lies in one of its slots */
    uint8_t is_timed; /* in this run its structs had a time with them once: their actors have room for it */
    uint8_t has_timers;                  /* an actor of it had some, ever */
    uint32_t refused;                    /* migrations that failed since one succeeded */
    struct sfi_named *named;      /* slots named at run time, in this run (named.h); ours */
    struct sfi_slot_record *slots;       /* slots[i] is slot i + 1, listed or not; ours */
    uint32_t slot_count;
    struct sfi_hold *hold;       /* why messages to all its actors wait; NULL: they do not (hold.h) */
    struct sfi_hold_list frozen; /* actors' holds that may let go when it is gone */
    uint32_t attempts_max, backoff_ms, backoff_ms_max;
};

struct sfi_types {
    const struct sfi_sys *sys;
    struct sfi_type **all; /* by number - 1 */
    uint32_t count, capacity;
    struct sfi_hash_key key;
    struct sfi_lookup by_name;    /* what the name says */
    struct sfi_lookup by_pointer; /* where the name that was registered last lies */
    struct sfi_type *first_dirty;
    uint32_t expirations; /* rises when times were declared; 0: nothing expires */
};

void sfi_types_init(struct sfi_types *types, const struct sfi_sys *sys);
void sfi_types_fini(struct sfi_types *types);

/* SF_EINVAL with the rule that `name` breaks. */
int sfi_type_name_check(const char *name);

struct sfi_type *sfi_types_find(const struct sfi_types *types, const char *name);
/* The type with that number; NULL: none. */
struct sfi_type *sfi_types_number(const struct sfi_types *types, uint32_t number);

/* Binds the description, giving numbers to what is new.  On failure it is not bound; names may
 * have got their numbers already.  SF_EINVAL also: SF_TYPES_MAX have one already. */
int sfi_types_register(struct sfi_types *types, const sf_type *desc, void *userdata,
                       struct sfi_type **out);

/* A struct is to be stored as registered (5). */
static inline int sfi_type_is_raised(const struct sfi_type *type)
{
    return type->state_version == type->desc.state_version;
}
void sfi_type_raise(struct sfi_types *types, struct sfi_type *type);
/* Its record differs from what is on disk. */
void sfi_type_touch(struct sfi_types *types, struct sfi_type *type);

/* Its struct as it is registered, for layout.h; `who` is where the sentence lies. */
struct sfi_shape sfi_type_shape(const sf_type *desc, char who[SFI_WHO_MAX]);

/* The number of any slot that ever was; 0: there was none of that name. */
uint16_t sfi_type_slot_named(const struct sfi_type *type, const char *name);
/* What the type lists under that handle, or was named at run time; NULL: neither, or of another kind. */
const struct sfi_binding *sfi_type_binding(const struct sfi_type *type, const sf_slot *handle,
                                           enum sfi_slot_kind kind);
/* Times were declared. */
void sfi_type_note_expiry(struct sfi_types *types, struct sfi_type *type);
/* When what lies under a number ends; 0: the struct. */
static inline const struct sfi_expiry *sfi_type_expiry(const struct sfi_type *type, uint32_t number)
{
    static const struct sfi_expiry never = {0, 0, 0};
    return number == 0                  ? &type->state_expiry
           : number <= type->slot_count ? &type->slots[number - 1].expiry
                                        : &never;
}

/* A struct is to be stored in a slot as it is bound (slot.h: 2). */
static inline int sfi_type_slot_is_raised(const struct sfi_type *type,
                                          const struct sfi_binding *binding)
{
    return type->slots[binding->number - 1].version == binding->desc.struct_version;
}
void sfi_type_raise_slot(struct sfi_types *types, struct sfi_type *type,
                         const struct sfi_binding *binding);

/* The handler for a kind; NULL: it does not understand it. */
static inline sf_handler *sfi_type_handler(const struct sfi_type *type, const char *kind,
                                           size_t kind_size)
{
    for (uint32_t i = 0; i < type->kind_count; i++)
        if (type->kind_sizes[i] == kind_size && sfi_same(type->desc.on[i].kind, kind, kind_size))
            return type->desc.on[i].handler;
    return type->desc.handler;
}

/* For loading: an empty type with that name, one more slot, and the place of its number.  place()
 * takes the type over, or refuses a number that is absurd or taken (SF_ECORRUPT). */
struct sfi_type *sfi_type_new(const struct sfi_sys *sys, const char *name, size_t name_size);
void sfi_type_free(const struct sfi_sys *sys, struct sfi_type *type);
int sfi_type_add_slot(const struct sfi_sys *sys, struct sfi_type *type, sf_bytes name,
                      const struct sfi_slot_record *slot);
int sfi_types_place(struct sfi_types *types, struct sfi_type *type);

#endif
