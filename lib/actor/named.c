#include "actor/named.h"

#include <string.h>

#include "base/err.h"

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

int sfi_slot_set_tag(const struct sfi_sys *sys, struct sfi_slot_record *slot, sf_bytes tag)
{
    char *copy = sfi_zalloc(sys, tag.size + 1);
    if (!copy)
        return no_memory();
    memcpy(copy, tag.data, tag.size);
    sfi_free(sys, slot->tag);
    slot->tag = copy;
    return 0;
}

void sfi_named_free(const struct sfi_sys *sys, struct sfi_type *type)
{
    for (struct sfi_named *named; (named = type->named);) {
        type->named = named->next;
        sfi_free(sys, named);
    }
}

/* They are few, and none is looked at longer than to its first other character. */
static struct sfi_named *find(const struct sfi_type *type, const char *name)
{
    struct sfi_named *named = type->named;
    while (named && strcmp(named->name, name) != 0)
        named = named->next;
    return named;
}

const struct sfi_binding *sfi_named_binding(const struct sfi_type *type, const sf_slot *handle)
{
    const struct sfi_named *named = type->named;
    while (named && &named->value.slot != handle)
        named = named->next;
    return named ? &named->binding : NULL;
}

static struct sfi_slot_record *slot_of(const struct sfi_type *type, const struct sfi_named *named)
{
    return &type->slots[named->binding.number - 1];
}

static int has_times(const struct sfi_slot_record *slot, const struct sfi_naming *naming)
{
    const struct sfi_expiry *expiry = &slot->expiry;
    return expiry->after_ms == (naming->after_write_ms ? naming->after_write_ms
                                                       : naming->after_access_ms) &&
           (!naming->after_write_ms || !naming->after_access_ms) &&
           (!expiry->after_ms || expiry->on_access == (naming->after_access_ms != 0));
}

const sf_value *sfi_named_find(const struct sfi_type *type, const struct sfi_naming *naming)
{
    const struct sfi_named *named = naming->name ? find(type, naming->name) : NULL;
    const struct sfi_slot_record *slot = named ? slot_of(type, named) : NULL;
    return slot && strcmp(slot->tag, naming->tag) == 0 && has_times(slot, naming) ? &named->value
                                                                                   : NULL;
}

/* -- made --------------------------------------------------------------------------------------- */

static int check_naming(const struct sfi_type *type, const struct sfi_naming *naming)
{
    size_t size = naming->name ? strnlen(naming->name, SF_NAME_MAX + 1) : 0;
    if (size == 0 || size > SF_NAME_MAX)
        return sfi_err(SF_EINVAL, "a value's name is 1 to %d bytes", SF_NAME_MAX);
    if (strnlen(naming->tag, SF_NAME_MAX + 1) > SF_NAME_MAX)
        return sfi_err(SF_EINVAL, "value '%s': a tag has at most %d bytes", naming->name,
                       SF_NAME_MAX);
    for (uint32_t i = 0; i < type->binding_count; i++)
        if (strcmp(type->bindings[i].desc.name, naming->name) == 0)
            return sfi_err(SF_EINVAL, "type '%s' lists slot '%s': use its handle", type->name,
                           naming->name);
    return sfi_expiry_check("value", naming->name, naming->after_write_ms, naming->after_access_ms);
}

static int check_stored(const struct sfi_type *type, const struct sfi_slot_record *slot,
                        const struct sfi_naming *naming)
{
    struct sfi_binding binding = {.desc = {.name = naming->name}, .kind = SFI_SLOT_VALUE};
    int rc = sfi_slot_check_stored(type->name, slot, &binding);
    if (rc < 0 || !slot->tag || strcmp(slot->tag, naming->tag) == 0)
        return rc;
    return sfi_err(SF_EINVAL,
                   "value '%.100s' of '%s' holds '%.100s' in the database and '%.100s' here: give it "
                   "another name",
                   naming->name, type->name, slot->tag, naming->tag);
}

static int check_count(const struct sfi_type *type)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < type->slot_count; i++)
        count += type->slots[i].tag != NULL;
    if (count >= SF_NAMED_MAX)
        return sfi_err(SF_EINVAL, "type '%s': more than %d values were named at run time",
                       type->name, SF_NAMED_MAX);
    if (type->slot_count == SFI_SLOTS_MAX)
        return sfi_err(SF_EINVAL, "type '%s': more than %d slots in its life", type->name,
                       SFI_SLOTS_MAX);
    return 0;
}

/* The slot's number, which it has now, and its tag. */
static int number_slot(struct sfi_types *types, struct sfi_type *type,
                       const struct sfi_naming *naming, uint16_t *out)
{
    struct sfi_slot_record fresh = {.kind = SFI_SLOT_VALUE};
    uint16_t number = sfi_type_slot_named(type, naming->name);
    int rc = number ? check_stored(type, &type->slots[number - 1], naming) : 0;
    int has_tag = number && type->slots[number - 1].tag;
    if (rc == 0 && !has_tag)
        rc = check_count(type);
    if (rc == 0 && !number)
        rc = sfi_type_add_slot(types->sys, type, sf_str(naming->name), &fresh);
    *out = sfi_type_slot_named(type, naming->name);
    if (rc < 0 || has_tag)
        return rc;
    rc = sfi_slot_set_tag(types->sys, &type->slots[*out - 1], sf_str(naming->tag));
    if (rc == 0)
        sfi_type_touch(types, type);
    return rc;
}

static struct sfi_named *named_new(const struct sfi_sys *sys, const char *name)
{
    size_t size = strlen(name) + 1;
    struct sfi_named *named = sfi_zalloc(sys, sizeof *named + size);
    if (!named)
        return NULL;
    memcpy(named->name, name, size);
    named->value.slot = (sf_slot){.size = sizeof named->value, .name = named->name};
    named->binding = (struct sfi_binding){
        .handle = &named->value.slot, .desc = named->value.slot, .kind = SFI_SLOT_VALUE};
    return named;
}

static int make(struct sfi_types *types, struct sfi_type *type, const struct sfi_naming *naming,
                struct sfi_named **out)
{
    struct sfi_named *named = named_new(types->sys, naming->name);
    if (!named)
        return no_memory();
    int rc = number_slot(types, type, naming, &named->binding.number);
    if (rc < 0) {
        sfi_free(types->sys, named);
        return rc;
    }
    named->next = type->named;
    type->named = *out = named;
    return 0;
}

static void declare(struct sfi_types *types, struct sfi_type *type, const struct sfi_named *named,
                    const struct sfi_naming *naming)
{
    if (sfi_expiry_declare(&slot_of(type, named)->expiry, naming->after_write_ms,
                           naming->after_access_ms, types->sys->wall_ms(types->sys->ctx)))
        sfi_type_touch(types, type);
    sfi_type_note_expiry(types, type);
}

int sfi_named_make(struct sfi_types *types, struct sfi_type *type, const struct sfi_naming *naming,
                   const sf_value **out)
{
    int rc = check_naming(type, naming);
    if (rc < 0)
        return rc;
    struct sfi_named *named = find(type, naming->name);
    rc = named ? check_stored(type, slot_of(type, named), naming) : make(types, type, naming, &named);
    if (rc < 0)
        return rc;
    declare(types, type, named, naming);
    *out = &named->value;
    return 0;
}
