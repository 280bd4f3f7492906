#include "actor/type.h"

#include <stdio.h>
#include <string.h>

#include "actor/key.h"
#include "actor/named.h"
#include "base/err.h"

enum { ATTEMPTS_DEFAULT = 3, BACKOFF_MAX_DEFAULT_MS = 60000 };

void sfi_types_init(struct sfi_types *types, const struct sfi_sys *sys)
{
    *types = (struct sfi_types){.sys = sys};
    types->key.low = sys->random(sys->ctx);
    types->key.high = sys->random(sys->ctx);
    sfi_lookup_init(&types->by_name, sys);
    sfi_lookup_init(&types->by_pointer, sys);
}

static void slot_free(const struct sfi_sys *sys, struct sfi_slot_record *slot)
{
    sfi_layouts_free(sys, &slot->layouts);
    sfi_free(sys, slot->name);
    sfi_free(sys, slot->tag);
}

void sfi_type_free(const struct sfi_sys *sys, struct sfi_type *type)
{
    if (!type)
        return;
    for (uint32_t i = 0; i < type->slot_count; i++)
        slot_free(sys, &type->slots[i]);
    sfi_free(sys, type->slots);
    sfi_layouts_free(sys, &type->layouts);
    sfi_bindings_free(sys, type->bindings, type->binding_count);
    sfi_named_free(sys, type);
    sfi_free(sys, type->name);
    sfi_free(sys, type);
}

void sfi_types_fini(struct sfi_types *types)
{
    for (uint32_t i = 0; i < types->count; i++)
        sfi_type_free(types->sys, types->all[i]);
    sfi_free(types->sys, types->all);
    sfi_lookup_fini(&types->by_name);
    sfi_lookup_fini(&types->by_pointer);
    *types = (struct sfi_types){.sys = types->sys};
}

int sfi_type_name_check(const char *name)
{
    const char *slash = name ? strchr(name, '/') : NULL;
    size_t size = name ? strnlen(name, SF_TYPE_NAME_MAX + 1) : 0;
    if (!slash || slash == name || !slash[1] || strchr(slash + 1, '/'))
        return sfi_err(SF_EINVAL, "type '%.200s': write it as namespace/name",
                       name ? name : "(null)");
    if (size > SF_TYPE_NAME_MAX)
        return sfi_err(SF_EINVAL, "type '%.20s...': longer than %d bytes", name, SF_TYPE_NAME_MAX);
    for (const char *c = name; *c; c++)
        if (*c <= ' ' || *c > '~')
            return sfi_err(SF_EINVAL, "type '%.200s': printable ASCII without spaces only", name);
    return 0;
}

/* Different pointers give different numbers, so equal ones need no second look.  Names are
 * constants close to each other: the multiplication spreads them. */
static uint64_t hash_of_pointer(const char *name)
{
    uint64_t spread = (uint64_t)(uintptr_t)name * UINT64_C(0x9e3779b97f4a7c15);
    return spread ^ spread >> 32;
}

static uint64_t hash_of_name(const struct sfi_types *types, const char *name)
{
    return sfi_hash(&types->key, 0, name, strlen(name));
}

static __attribute__((noinline)) struct sfi_type *find_by_name(const struct sfi_types *types,
                                                               const char *name)
{
    struct sfi_type *type;
    uint64_t hash = hash_of_name(types, name);
    for (uint32_t at = 0; (type = sfi_lookup_next(&types->by_name, hash, &at));)
        if (strcmp(type->name, name) == 0)
            return type;
    return NULL;
}

struct sfi_type *sfi_types_find(const struct sfi_types *types, const char *name)
{
    uint32_t at = 0;
    struct sfi_type *type = sfi_lookup_next(&types->by_pointer, hash_of_pointer(name), &at);
    return type ? type : find_by_name(types, name);
}

struct sfi_type *sfi_types_number(const struct sfi_types *types, uint32_t number)
{
    return number - 1 < types->count ? types->all[number - 1] : NULL;
}

static char *copy_text(const struct sfi_sys *sys, const char *text, size_t size)
{
    char *copy = sfi_alloc(sys, size + 1);
    if (!copy)
        return NULL;
    memcpy(copy, text, size);
    copy[size] = 0;
    return copy;
}

struct sfi_type *sfi_type_new(const struct sfi_sys *sys, const char *name, size_t name_size)
{
    struct sfi_type *type = sfi_zalloc(sys, sizeof *type);
    if (!type)
        return NULL;
    type->shown = type->name = copy_text(sys, name, name_size);
    if (type->name)
        return type;
    sfi_type_free(sys, type);
    return NULL;
}

void sfi_type_touch(struct sfi_types *types, struct sfi_type *type)
{
    if (type->dirty)
        return;
    type->dirty = 1;
    type->next_dirty = types->first_dirty;
    types->first_dirty = type;
}

void sfi_type_raise(struct sfi_types *types, struct sfi_type *type)
{
    type->state_size = type->desc.state_size;
    type->state_version = type->desc.state_version;
    sfi_layouts_raise(&type->layouts);
    sfi_type_touch(types, type);
}

/* Places up to that number, which stay empty until a type is placed there. */
static int reserve_number(struct sfi_types *types, uint32_t number)
{
    if (number <= types->count)
        return 0;
    if (number > types->capacity) {
        void *all = sfi_grow(types->sys, types->all, &types->capacity, number, 16,
                             sizeof *types->all);
        if (!all)
            return SF_ENOMEM;
        types->all = all;
    }
    memset(types->all + types->count, 0, (number - types->count) * sizeof *types->all);
    types->count = number;
    return 0;
}

int sfi_type_add_slot(const struct sfi_sys *sys, struct sfi_type *type, sf_bytes name,
                      const struct sfi_slot_record *slot)
{
    char *copy = copy_text(sys, name.data, name.size);
    struct sfi_slot_record *slots =
        copy ? sfi_resize(sys, type->slots, (type->slot_count + 1) * sizeof *slots) : NULL;
    if (!slots) {
        sfi_free(sys, copy);
        return sfi_err(SF_ENOMEM, "out of memory");
    }
    type->slots = slots;
    slots[type->slot_count] = *slot;
    slots[type->slot_count++].name = copy;
    return 0;
}

uint16_t sfi_type_slot_named(const struct sfi_type *type, const char *name)
{
    for (uint32_t i = 0; i < type->slot_count; i++)
        if (strcmp(type->slots[i].name, name) == 0)
            return (uint16_t)(i + 1);
    return 0;
}

const struct sfi_binding *sfi_type_binding(const struct sfi_type *type, const sf_slot *handle,
                                           enum sfi_slot_kind kind)
{
    for (uint32_t i = 0; i < type->binding_count; i++)
        if (type->bindings[i].handle == handle)
            return type->bindings[i].kind == kind ? &type->bindings[i] : NULL;
    return type->named && kind == SFI_SLOT_VALUE ? sfi_named_binding(type, handle) : NULL;
}

void sfi_type_raise_slot(struct sfi_types *types, struct sfi_type *type,
                         const struct sfi_binding *binding)
{
    struct sfi_slot_record *slot = &type->slots[binding->number - 1];
    if (sfi_type_slot_is_raised(type, binding))
        return;
    slot->version = binding->desc.struct_version;
    slot->size = binding->desc.struct_size;
    sfi_layouts_raise(&slot->layouts);
    sfi_type_touch(types, type);
}

static int check_handlers(const sf_type *desc)
{
    int count = 0;
    for (; count < SF_KINDS_MAX && desc->on[count].kind; count++) {
        if (!desc->on[count].handler)
            return sfi_err(SF_EINVAL, "type '%s': kind '%s' has no handler", desc->name,
                           desc->on[count].kind);
        for (int i = 0; i < count; i++)
            if (strcmp(desc->on[i].kind, desc->on[count].kind) == 0)
                return sfi_err(SF_EINVAL, "type '%s': kind '%s' is listed twice", desc->name,
                               desc->on[i].kind);
    }
    for (int i = count; i < SF_KINDS_MAX; i++)
        if (desc->on[i].kind || desc->on[i].handler)
            return sfi_err(SF_EINVAL, "type '%s': entry %d of `on` follows an empty one",
                           desc->name, i);
    if (count == 0 && !desc->handler)
        return sfi_err(SF_EINVAL, "type '%s' has no handler", desc->name);
    return 0;
}

static int check_desc(const sf_type *desc)
{
    if (!desc || desc->size != sizeof *desc)
        return sfi_err(SF_EINVAL, "sf_type.size is %zu: use SF_TYPE()", desc ? desc->size : 0);
    int rc = sfi_type_name_check(desc->name);
    if (rc == 0)
        rc = check_handlers(desc);
    if (rc == 0)
        rc = sfi_expiry_check("the struct of type", desc->name, desc->state_expire_after_write_ms,
                              desc->state_expire_after_access_ms);
    if (rc == 0 && desc->state_size > SF_STATE_MAX)
        rc = sfi_err(SF_EINVAL, "type '%s': a struct has at most %d bytes", desc->name,
                     SF_STATE_MAX);
    if (rc == 0 && (desc->after_last_attempt < SF_DEAD_LETTER ||
                    desc->after_last_attempt > SF_STOP_ENGINE))
        rc = sfi_err(SF_EINVAL,
                     "type '%s': after_last_attempt is %d, not SF_DEAD_LETTER, SF_PAUSE_ACTOR or "
                     "SF_STOP_ENGINE",
                     desc->name, desc->after_last_attempt);
    return rc;
}

/* What is in memory has the layout that was registered first in this run. */
static int check_same_layout(const struct sfi_type *type, const sf_type *desc)
{
    if (desc->state_version != type->desc.state_version)
        return sfi_err(SF_EINVAL, "type '%s': another struct version needs a restart", type->name);
    if (desc->state_size != type->desc.state_size)
        return sfi_err(SF_EINVAL,
                       "type '%s': version %u of its struct is %zu bytes in memory and %zu here: "
                       "give it version %u, and restart",
                       type->name, desc->state_version, type->desc.state_size, desc->state_size,
                       desc->state_version + 1);
    return 0;
}

struct sfi_shape sfi_type_shape(const sf_type *desc, char who[SFI_WHO_MAX])
{
    snprintf(who, SFI_WHO_MAX, "type '%s'", desc->name);
    return (struct sfi_shape){.who = who,
                              .migrate_name = "state_migrate",
                              .fields = desc->state_fields,
                              .size = desc->state_size,
                              .version = desc->state_version,
                              .can_migrate = desc->state_migrate != NULL};
}

/* May this struct be laid over what the type has on disk and in memory? */
static int check_layout(const struct sfi_type *type, const sf_type *desc,
                        const struct sfi_shape *shape, const struct sfi_layout *fresh)
{
    if (desc->state_version < type->state_version)
        return sfi_err(SF_ENEWER,
                       "type '%s': the database holds version %llu of its struct, this is %u",
                       type->name, (unsigned long long)type->state_version, desc->state_version);
    if (desc->state_version == type->state_version && desc->state_size != type->state_size)
        return sfi_err(
            SF_EINVAL,
            "type '%s': version %u of its struct is %llu bytes in the database and %zu here: "
            "give it version %u",
            type->name, desc->state_version, (unsigned long long)type->state_size, desc->state_size,
            desc->state_version + 1);
    int rc = type->state_size
                 ? sfi_layouts_check(&type->layouts, shape, fresh, (uint32_t)type->state_version)
                 : 0;
    return rc == 0 && type->registered ? check_same_layout(type, desc) : rc;
}

/* Numbers for slots that the type never had.  Those that were added stay when a later step fails:
 * a name with a number and no rows is harmless. */
static int number_slots(struct sfi_types *types, struct sfi_type *type,
                        struct sfi_binding *bindings, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const sf_slot *desc = &bindings[i].desc;
        struct sfi_slot_record slot = {.kind = bindings[i].kind,
                                       .version = desc->struct_version,
                                       .size = desc->struct_size};
        if (!sfi_type_slot_named(type, desc->name)) {
            if (type->slot_count == SFI_SLOTS_MAX)
                return sfi_err(SF_EINVAL, "type '%s': more than %d slots in its life", type->name,
                               SFI_SLOTS_MAX);
            int rc = sfi_type_add_slot(types->sys, type, sf_str(desc->name), &slot);
            if (rc < 0)
                return rc;
            sfi_type_touch(types, type);
        }
        bindings[i].number = sfi_type_slot_named(type, desc->name);
    }
    return 0;
}

/* May these slots be laid over what the type has on disk? */
static int check_slots(const struct sfi_type *type, const struct sfi_binding *bindings,
                       uint32_t count)
{
    int rc = 0;
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        uint16_t number = sfi_type_slot_named(type, bindings[i].desc.name);
        if (number)
            rc = sfi_slot_check_stored(type->name, &type->slots[number - 1], &bindings[i]);
    }
    return rc;
}

/* The pointer that finds the type from now on; reserved before. */
static void bind_name(struct sfi_types *types, struct sfi_type *type, const char *name)
{
    if (type->desc.name == name)
        return;
    if (type->desc.name)
        sfi_lookup_remove(&types->by_pointer, hash_of_pointer(type->desc.name), type);
    sfi_lookup_add(&types->by_pointer, hash_of_pointer(name), type);
}

void sfi_type_note_expiry(struct sfi_types *types, struct sfi_type *type)
{
    int expires = type->state_expiry.after_ms != 0;
    for (uint32_t i = 0; i < type->slot_count; i++)
        expires |= type->slots[i].expiry.after_ms != 0;
    types->expirations += expires || type->expires;
    type->expires = (uint8_t)expires;
}

static void bind_expiry(struct sfi_types *types, struct sfi_type *type, const sf_type *desc)
{
    if (sfi_expiry_declare(&type->state_expiry, desc->state_expire_after_write_ms,
                           desc->state_expire_after_access_ms, types->sys->wall_ms(types->sys->ctx)))
        sfi_type_touch(types, type);
    type->is_timed |= type->state_expiry.after_ms != 0;
}

static void bind_kinds(struct sfi_type *type, const sf_type *desc)
{
    uint32_t count = 0;
    for (; count < SF_KINDS_MAX && desc->on[count].kind; count++)
        type->kind_sizes[count] = (uint32_t)strnlen(desc->on[count].kind, UINT32_MAX);
    type->kind_count = count;
}

/* A slot that is not listed any more expires no longer, but what was noted of it stays. */
static void bind_slots(struct sfi_types *types, struct sfi_type *type,
                       struct sfi_binding *bindings, uint32_t count)
{
    for (uint32_t i = 0; i < type->binding_count; i++)
        type->slots[type->bindings[i].number - 1].expiry.after_ms = 0;
    sfi_free(types->sys, type->bindings);
    type->bindings = bindings;
    type->binding_count = count;
    for (uint32_t i = 0; i < count; i++)
        if (sfi_expiry_declare(&type->slots[bindings[i].number - 1].expiry,
                               bindings[i].desc.expire_after_write_ms,
                               bindings[i].desc.expire_after_access_ms,
                               types->sys->wall_ms(types->sys->ctx)))
            sfi_type_touch(types, type);
}

/* What is known of fields belongs to the type from now on. */
static void bind_fields(struct sfi_types *types, struct sfi_type *type, struct sfi_layout *fresh)
{
    int is_new = sfi_layouts_bind(types->sys, &type->layouts, fresh, (uint32_t)type->state_version);
    for (uint32_t i = 0; i < type->binding_count; i++) {
        struct sfi_binding *binding = &type->bindings[i];
        struct sfi_slot_record *slot = &type->slots[binding->number - 1];
        is_new |= sfi_layouts_bind(types->sys, &slot->layouts, binding->fresh, slot->version);
        binding->fresh = NULL;
    }
    if (is_new)
        sfi_type_touch(types, type);
}

static void bind_type(struct sfi_types *types, struct sfi_type *type, const sf_type *desc,
                      void *userdata, struct sfi_binding *bindings, struct sfi_layout *fresh)
{
    bind_name(types, type, desc->name);
    bind_kinds(type, desc);
    type->shown = desc->name;
    bind_slots(types, type, bindings, sfi_slots_listed(desc));
    bind_fields(types, type, fresh);
    bind_expiry(types, type, desc);
    sfi_type_note_expiry(types, type);
    type->desc = *desc;
    type->userdata = userdata;
    type->attempts_max = desc->attempts_max ? desc->attempts_max : ATTEMPTS_DEFAULT;
    type->backoff_ms = desc->backoff_ms;
    type->backoff_ms_max = desc->backoff_ms_max ? desc->backoff_ms_max : BACKOFF_MAX_DEFAULT_MS;
    type->registered = 1;
}

static int type_create(struct sfi_types *types, const sf_type *desc, struct sfi_type **out)
{
    if (types->count == SF_TYPES_MAX)
        return sfi_err(SF_EINVAL, "type '%s': a database has at most %d types", desc->name,
                       SF_TYPES_MAX);
    struct sfi_type *type = sfi_type_new(types->sys, desc->name, strlen(desc->name));
    if (!type)
        return sfi_err(SF_ENOMEM, "out of memory");
    type->number = types->count + 1;
    type->state_size = desc->state_size;
    type->state_version = desc->state_version;
    int rc = sfi_types_place(types, type);
    if (rc < 0) {
        sfi_type_free(types->sys, type);
        return rc;
    }
    sfi_type_touch(types, type);
    *out = type;
    return 0;
}

/* All that can fail; `bindings` have their numbers then, and *fresh the struct's fields. */
static int prepare(struct sfi_types *types, const sf_type *desc, struct sfi_binding *bindings,
                   struct sfi_layout **fresh, struct sfi_type **out)
{
    char who[SFI_WHO_MAX];
    uint32_t count = sfi_slots_listed(desc);
    struct sfi_shape shape = sfi_type_shape(desc, who);
    int rc = sfi_slots_check(types->sys, desc, bindings);
    if (rc == 0)
        rc = sfi_layout_new(types->sys, &shape, fresh);
    if (rc < 0)
        return rc;
    struct sfi_type *type = sfi_types_find(types, desc->name);
    rc = type ? check_layout(type, desc, &shape, *fresh) : type_create(types, desc, &type);
    if (rc == 0)
        rc = check_slots(type, bindings, count);
    if (rc == 0)
        rc = number_slots(types, type, bindings, count);
    *out = type;
    return rc;
}

int sfi_types_register(struct sfi_types *types, const sf_type *desc, void *userdata,
                       struct sfi_type **out)
{
    struct sfi_type *type = NULL;
    struct sfi_layout *fresh = NULL;
    struct sfi_binding *bindings;
    int rc = check_desc(desc);
    if (rc < 0)
        return rc;
    uint32_t count = sfi_slots_listed(desc);
    bindings = sfi_zalloc(types->sys, (count + 1) * sizeof *bindings);
    rc = !bindings || sfi_lookup_reserve(&types->by_pointer) < 0
             ? sfi_err(SF_ENOMEM, "out of memory")
             : prepare(types, desc, bindings, &fresh, &type);
    if (rc < 0) {
        sfi_layout_free(types->sys, fresh);
        sfi_bindings_free(types->sys, bindings, count);
        return rc;
    }
    bind_type(types, type, desc, userdata, bindings, fresh);
    *out = type;
    return 0;
}

/* Names come in the order of their bytes, numbers do not: the places of those before it stay
 * empty until they are loaded. */
int sfi_types_place(struct sfi_types *types, struct sfi_type *type)
{
    if (type->number == 0 || type->number > SF_TYPES_MAX)
        return sfi_err(SF_ECORRUPT, "type '%s' has number %u", type->name, type->number);
    if (sfi_types_number(types, type->number))
        return sfi_err(SF_ECORRUPT, "two types have number %u", type->number);
    if (sfi_lookup_reserve(&types->by_name) < 0 || reserve_number(types, type->number) < 0)
        return sfi_err(SF_ENOMEM, "out of memory");
    types->all[type->number - 1] = type;
    sfi_lookup_add(&types->by_name, hash_of_name(types, type->name), type);
    return 0;
}
