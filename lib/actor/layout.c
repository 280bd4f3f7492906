#include "actor/layout.h"

#include <string.h>

#include "actor/carry.h"
#include "base/err.h"

void sfi_layout_free(const struct sfi_sys *sys, struct sfi_layout *layout)
{
    if (layout)
        sfi_free(sys, layout->fields);
    sfi_free(sys, layout);
}

static struct sfi_layout *of_version(const struct sfi_layouts *layouts, uint32_t version)
{
    struct sfi_layout *layout = layouts->stored;
    while (layout && layout->version != version)
        layout = layout->older;
    return layout;
}

static int is_linked(const struct sfi_layouts *layouts)
{
    return layouts->today && of_version(layouts, layouts->today->version) == layouts->today;
}

void sfi_layouts_free(const struct sfi_sys *sys, struct sfi_layouts *layouts)
{
    if (!is_linked(layouts))
        sfi_layout_free(sys, layouts->today);
    for (struct sfi_layout *older; layouts->stored; layouts->stored = older) {
        older = layouts->stored->older;
        sfi_layout_free(sys, layouts->stored);
    }
    layouts->today = NULL;
}

/* A copy of the text, not parsed yet. */
static struct sfi_layout *copy(const struct sfi_sys *sys, uint32_t version, sf_bytes text)
{
    struct sfi_layout *layout = sfi_zalloc(sys, sizeof *layout + text.size + 1);
    if (!layout)
        return NULL;
    memcpy(layout->text, text.data, text.size);
    layout->version = version;
    return layout;
}

int sfi_layout_new(const struct sfi_sys *sys, const struct sfi_shape *shape,
                   struct sfi_layout **out)
{
    *out = NULL;
    if (!shape->fields)
        return 0;
    size_t size = strnlen(shape->fields, SF_FIELDS_MAX + 1);
    struct sfi_layout *layout = copy(sys, shape->version, SF_BYTES(shape->fields, size));
    if (!layout)
        return sfi_err(SF_ENOMEM, "out of memory");
    int rc = sfi_fields_parse(sys, layout->text, &layout->fields);
    if (rc == 0 && layout->fields->size != shape->size)
        rc = sfi_err(SF_EINVAL, "they take %u bytes, and the struct %llu", layout->fields->size,
                     (unsigned long long)shape->size);
    if (rc < 0) {
        sfi_layout_free(sys, layout);
        return sfi_err_in(rc, "%s: its fields", shape->who);
    }
    *out = layout;
    return 0;
}

static int check_same(const struct sfi_layout *stored, const struct sfi_shape *shape,
                      const struct sfi_layout *fresh)
{
    if (!stored || !stored->fields || !fresh || sfi_fields_are_equal(stored->fields, fresh->fields))
        return 0;
    return sfi_err(SF_EINVAL,
                   "%s: version %u of its struct has other fields in the database: give it "
                   "version %u",
                   shape->who, shape->version, shape->version + 1);
}

int sfi_layouts_check(const struct sfi_layouts *layouts, const struct sfi_shape *shape,
                      const struct sfi_layout *fresh, uint32_t stored_version)
{
    const struct sfi_layout *stored = of_version(layouts, stored_version);
    if (shape->version == stored_version)
        return check_same(stored, shape, fresh);
    if (layouts->today && layouts->today->version == shape->version) {
        int rc = check_same(layouts->today, shape, fresh);
        if (rc < 0)
            return rc;
    }
    if (shape->can_migrate)
        return 0;
    if (!fresh || !stored || !stored->fields)
        return sfi_err(SF_EINVAL, "%s: version %u of its struct needs a %s from %u", shape->who,
                       shape->version, shape->migrate_name, stored_version);
    int rc = sfi_carry_check(stored->fields, fresh->fields);
    return rc < 0 ? sfi_err_in(rc, "%s: version %u of its struct needs a %s from %u", shape->who,
                               shape->version, shape->migrate_name, stored_version)
                  : 0;
}

int sfi_layouts_bind(const struct sfi_sys *sys, struct sfi_layouts *layouts,
                     struct sfi_layout *fresh, uint32_t stored_version)
{
    struct sfi_layout *same = fresh ? of_version(layouts, fresh->version) : NULL;
    if (!same && fresh && layouts->today && layouts->today->version == fresh->version)
        same = layouts->today;
    if (same || !fresh) { /* a view may be reading what was there before */
        sfi_layout_free(sys, fresh);
        if (same && same->fields)
            layouts->today = same;
        return 0;
    }
    layouts->today = fresh;
    if (fresh->version != stored_version)
        return 0;
    sfi_layouts_raise(layouts);
    return 1;
}

void sfi_layouts_raise(struct sfi_layouts *layouts)
{
    if (!layouts->today || is_linked(layouts))
        return;
    layouts->today->older = layouts->stored;
    layouts->stored = layouts->today;
}

int sfi_layouts_add(const struct sfi_sys *sys, struct sfi_layouts *layouts, uint32_t version,
                    sf_bytes text)
{
    struct sfi_layout **last = &layouts->stored;
    struct sfi_layout *layout = copy(sys, version, text);
    if (!layout)
        return sfi_err(SF_ENOMEM, "out of memory");
    int rc = sfi_fields_parse(sys, layout->text, &layout->fields);
    if (rc == SF_ENOMEM) {
        sfi_layout_free(sys, layout);
        return rc;
    }
    while (*last)
        last = &(*last)->older;
    *last = layout;
    return 0;
}

int sfi_layouts_carry(const struct sfi_layouts *layouts, const struct sfi_shape *shape,
                      uint32_t version, sf_bytes old, void *fresh)
{
    const struct sfi_layout *from = of_version(layouts, version), *to = layouts->today;
    if (!from || !from->fields || from->fields->size != old.size || !to ||
        sfi_carry_check(from->fields, to->fields) < 0)
        return sfi_err(SF_EFAILED,
                       "%s: the fields of version %u of its struct are not known, or cannot be "
                       "carried over: it needs a %s",
                       shape->who, version, shape->migrate_name);
    sfi_carry(from->fields, old.data, to->fields, fresh);
    return 0;
}
