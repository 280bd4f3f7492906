/* layout.h - the versions of one struct whose fields are known: an actor's, or that of a slot.
 *
 *      text given at registration --> today -- its first struct is stored --> stored (with the type)
 *                                       ^                                        |
 *                                       '---- carried over, by name (carry.h) ---'
 *
 * (1) `stored` is what the record on disk has, newest version first.  Today's is linked there when
 *     the version rises (type.h: 5), which cannot fail; or at once, if that is the stored version
 *     already.
 * (2) An element never changes once it is linked, and lives until the runtime is closed: views read
 *     from other threads what they copied under the lock.
 * (3) Of more than SFI_LAYOUTS_MAX versions the oldest are not saved.  A struct of a version that
 *     is not known waits for a program with a migrate function, like one that such a function
 *     refuses: nothing is lost.
 * (4) Text from disk that is not understood (that of a later library) stays, and is as good as
 *     none. */
#ifndef SFI_ACTOR_LAYOUT_H
#define SFI_ACTOR_LAYOUT_H

#include "actor/fields.h"

enum { SFI_LAYOUTS_MAX = 256 };

struct sfi_layout {
    struct sfi_layout *older;
    struct sfi_fields *fields; /* NULL: not understood */
    uint32_t version;
    char text[];
};

struct sfi_layouts {
    struct sfi_layout *stored;
    struct sfi_layout *today; /* as it is registered; NULL: without a text */
};

/* What an application says of a struct.  `who`, in sentences: "type 'shop/stock'". */
struct sfi_shape {
    const char *who, *migrate_name; /* "state_migrate" */
    const char *fields;             /* the text, or NULL */
    uint64_t size;
    uint32_t version;
    int can_migrate;
};

void sfi_layouts_free(const struct sfi_sys *sys, struct sfi_layouts *layouts);

/* Is the text understood, and of a struct of that size?  Then *out is it, NULL without a text.
 * SF_EINVAL, SF_ENOMEM. */
int sfi_layout_new(const struct sfi_sys *sys, const struct sfi_shape *shape,
                   struct sfi_layout **out);
void sfi_layout_free(const struct sfi_sys *sys, struct sfi_layout *layout);

/* May the shape, as `fresh`, be laid over structs of the stored version?  SF_EINVAL: it has other
 * fields in the same version; or it is of a later one, and neither migrates nor can be carried
 * over. */
int sfi_layouts_check(const struct sfi_layouts *layouts, const struct sfi_shape *shape,
                      const struct sfi_layout *fresh, uint32_t stored_version);
/* Registered; takes `fresh` over.  1: the record on disk is to have it now. */
int sfi_layouts_bind(const struct sfi_sys *sys, struct sfi_layouts *layouts,
                     struct sfi_layout *fresh, uint32_t stored_version);
/* The stored version is today's from now on. */
void sfi_layouts_raise(struct sfi_layouts *layouts);

/* Loaded from disk, newest first; the text is copied.  SF_ENOMEM. */
int sfi_layouts_add(const struct sfi_sys *sys, struct sfi_layouts *layouts, uint32_t version,
                    sf_bytes text);

/* From a struct of an older version to today's, which is zeroed.  SF_EFAILED: its fields are not
 * known, or cannot be carried over. */
int sfi_layouts_carry(const struct sfi_layouts *layouts, const struct sfi_shape *shape,
                      uint32_t version, sf_bytes old, void *fresh);

#endif
