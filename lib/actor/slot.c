#include "actor/slot.h"

#include <stdio.h>
#include <string.h>

#include "base/abi.h"
#include "base/err.h"

static const struct sfi_abi abis[SFI_SLOT_KINDS] = {
    [SFI_SLOT_VALUE] = {"sf_value", "SF_VALUE", sizeof(sf_slot), sizeof(sf_slot)},
    [SFI_SLOT_MAP] = {"sf_map", "SF_MAP", sizeof(sf_slot), sizeof(sf_slot)},
    [SFI_SLOT_LIST] = {"sf_list", "SF_LIST", sizeof(sf_slot), sizeof(sf_slot)}};

const char *sfi_slot_kind_name(enum sfi_slot_kind kind)
{
    static const char *const names[SFI_SLOT_KINDS] = {"nothing", "a value", "a map", "a list"};
    return names[kind];
}

/* The handle at a place of one of the three arrays; NULL: it is empty. */
static const sf_slot *listed(const sf_type *desc, enum sfi_slot_kind kind, int at)
{
    if (kind == SFI_SLOT_VALUE)
        return desc->values[at] ? &desc->values[at]->slot : NULL;
    if (kind == SFI_SLOT_MAP)
        return desc->maps[at] ? &desc->maps[at]->slot : NULL;
    return desc->lists[at] ? &desc->lists[at]->slot : NULL;
}

static int places_of(enum sfi_slot_kind kind)
{
    static const int places[SFI_SLOT_KINDS] = {0, SF_VALUES_MAX, SF_MAPS_MAX, SF_LISTS_MAX};
    return places[kind];
}

uint32_t sfi_slots_listed(const sf_type *desc)
{
    uint32_t count = 0;
    for (int kind = SFI_SLOT_VALUE; kind < SFI_SLOT_KINDS; kind++)
        for (int i = 0; i < places_of(kind) && listed(desc, kind, i); i++)
            count++;
    return count;
}

static int check_desc(const sf_slot *slot, enum sfi_slot_kind kind)
{
    if (kind == SFI_SLOT_VALUE && slot->struct_size)
        return sfi_err(SF_EINVAL, "value '%s': a value holds bytes, not a struct", slot->name);
    if (slot->struct_size > SF_STATE_MAX)
        return sfi_err(SF_EINVAL, "slot '%s': a struct has at most %d bytes", slot->name,
                       SF_STATE_MAX);
    if (!slot->struct_size && (slot->struct_version || slot->struct_migrate || slot->struct_fields))
        return sfi_err(SF_EINVAL, "slot '%s': a version without a struct", slot->name);
    return sfi_expiry_check("slot", slot->name, slot->expire_after_write_ms,
                            slot->expire_after_access_ms);
}

static int check_slot(const sf_slot *handle, enum sfi_slot_kind kind, sf_slot *out)
{
    int rc = sfi_abi_take(&abis[kind], handle, out);
    if (rc < 0)
        return rc;
    if (!out->name || !out->name[0] || strlen(out->name) > SF_NAME_MAX)
        return sfi_err(SF_EINVAL, "a slot's name is 1 to %d bytes", SF_NAME_MAX);
    return check_desc(out, kind);
}

struct sfi_shape sfi_slot_shape(const char *type_name, const sf_slot *desc, char who[SFI_WHO_MAX])
{
    snprintf(who, SFI_WHO_MAX, "slot '%s' of '%s'", desc->name, type_name);
    return (struct sfi_shape){.who = who,
                              .migrate_name = "struct_migrate",
                              .fields = desc->struct_fields,
                              .size = desc->struct_size,
                              .version = desc->struct_version,
                              .can_migrate = desc->struct_migrate != NULL};
}

/* One more, after `count` others. */
static int take_slot(const struct sfi_sys *sys, const sf_type *desc, const sf_slot *handle,
                     enum sfi_slot_kind kind, struct sfi_binding *all, uint32_t count)
{
    char who[SFI_WHO_MAX];
    struct sfi_binding *binding = &all[count];
    *binding = (struct sfi_binding){.handle = handle, .kind = kind};
    int rc = check_slot(handle, kind, &binding->desc);
    if (rc == 0) {
        struct sfi_shape shape = sfi_slot_shape(desc->name, &binding->desc, who);
        rc = sfi_layout_new(sys, &shape, &binding->fresh);
    }
    for (uint32_t i = 0; i < count && rc == 0; i++)
        if (strcmp(all[i].desc.name, binding->desc.name) == 0)
            rc = sfi_err(SF_EINVAL, "slot '%s' is listed twice", binding->desc.name);
    return rc;
}

void sfi_bindings_free(const struct sfi_sys *sys, struct sfi_binding *bindings, uint32_t count)
{
    for (uint32_t i = 0; bindings && i < count; i++)
        sfi_layout_free(sys, bindings[i].fresh);
    sfi_free(sys, bindings);
}

int sfi_slots_check(const struct sfi_sys *sys, const sf_type *desc, struct sfi_binding *out)
{
    uint32_t count = 0;
    memset(out, 0, sfi_slots_listed(desc) * sizeof *out);
    for (int kind = SFI_SLOT_VALUE; kind < SFI_SLOT_KINDS; kind++) {
        int is_over = 0, rc = 0;
        for (int i = 0; i < places_of(kind) && rc == 0; i++) {
            const sf_slot *slot = listed(desc, kind, i);
            if (slot && is_over)
                rc = sfi_err(SF_EINVAL, "%s at place %d follows an empty one",
                             sfi_slot_kind_name(kind), i);
            else if (slot)
                rc = take_slot(sys, desc, slot, kind, out, count++);
            is_over = !slot;
        }
        if (rc < 0)
            return sfi_err_in(rc, "type '%s'", desc->name);
    }
    return 0;
}

static int check_version(const char *type_name, const struct sfi_slot_record *stored,
                         const struct sfi_binding *binding)
{
    char who[SFI_WHO_MAX];
    const sf_slot *desc = &binding->desc;
    if (desc->struct_version < stored->version)
        return sfi_err(SF_ENEWER,
                       "slot '%s' of '%s': the database holds version %u of its struct, this is %u",
                       desc->name, type_name, stored->version, desc->struct_version);
    if (desc->struct_version == stored->version && desc->struct_size != stored->size)
        return sfi_err(SF_EINVAL,
                       "slot '%s' of '%s': version %u of its struct is %llu bytes in the database "
                       "and %zu here: give it version %u",
                       desc->name, type_name, desc->struct_version,
                       (unsigned long long)stored->size, desc->struct_size,
                       desc->struct_version + 1);
    struct sfi_shape shape = sfi_slot_shape(type_name, desc, who);
    return sfi_layouts_check(&stored->layouts, &shape, binding->fresh, stored->version);
}

int sfi_slot_check_stored(const char *type_name, const struct sfi_slot_record *stored,
                          const struct sfi_binding *binding)
{
    const sf_slot *desc = &binding->desc;
    enum sfi_slot_kind kind = binding->kind;
    if (kind != stored->kind)
        return sfi_err(
            SF_EINVAL, "slot '%s' of '%s' is %s in the database and %s here: give it another name",
            desc->name, type_name, sfi_slot_kind_name(stored->kind), sfi_slot_kind_name(kind));
    if (!stored->size != !desc->struct_size)
        return sfi_err(SF_EINVAL,
                       "slot '%s' of '%s' holds %s in the database and %s here: give it another "
                       "name",
                       desc->name, type_name, stored->size ? "structs" : "bytes",
                       desc->struct_size ? "structs" : "bytes");
    return stored->size ? check_version(type_name, stored, binding) : 0;
}
