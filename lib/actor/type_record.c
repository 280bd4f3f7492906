#include "actor/type_record.h"

#include <msgpack.h>
#include <string.h>

#include "actor/key.h"
#include "actor/named.h"
#include "base/err.h"
#include "store/record.h"

struct writer {
    unsigned char *bytes;
    size_t size, capacity;
};

static int write_bytes(void *data, const char *bytes, size_t size)
{
    struct writer *writer = data;
    if (writer->capacity - writer->size < size)
        return -1;
    memcpy(writer->bytes + writer->size, bytes, size);
    writer->size += size;
    return 0;
}

static void pack_text(msgpack_packer *packer, const char *text)
{
    msgpack_pack_str(packer, strlen(text));
    msgpack_pack_str_body(packer, text, strlen(text));
}

static void pack_number(msgpack_packer *packer, const char *name, uint64_t number)
{
    pack_text(packer, name);
    msgpack_pack_uint64(packer, number);
}

static void pack_slot(msgpack_packer *packer, const struct sfi_slot_record *slot)
{
    msgpack_pack_map(packer, 4u + (slot->expiry.since != 0) + (slot->tag != NULL));
    if (slot->tag)
        pack_text(packer, "tag");
    if (slot->tag)
        pack_text(packer, slot->tag);
    if (slot->expiry.since)
        pack_number(packer, "since", slot->expiry.since);
    pack_text(packer, "name");
    pack_text(packer, slot->name);
    pack_number(packer, "kind", slot->kind);
    pack_number(packer, "size", slot->size);
    pack_number(packer, "version", slot->version);
}

/* The slot's number, 0 for the actor's struct; the newest versions alone (layout.h: 3).  The number of elements,
 * which are written if there is a packer. */
static size_t pack_fields(msgpack_packer *packer, const struct sfi_layouts *layouts, uint32_t slot)
{
    size_t count = 0;
    for (const struct sfi_layout *layout = layouts->stored; layout && count < SFI_LAYOUTS_MAX;
         layout = layout->older, count++) {
        if (!packer)
            continue;
        msgpack_pack_array(packer, 3);
        msgpack_pack_uint32(packer, slot);
        msgpack_pack_uint32(packer, layout->version);
        pack_text(packer, layout->text);
    }
    return count;
}

static size_t pack_all_fields(msgpack_packer *packer, const struct sfi_type *type)
{
    size_t count = pack_fields(packer, &type->layouts, 0);
    for (uint32_t i = 0; i < type->slot_count; i++)
        count += pack_fields(packer, &type->slots[i].layouts, i + 1);
    return count;
}

static size_t pack_type(const struct sfi_type *type, struct writer *writer)
{
    msgpack_packer packer;
    size_t fields = pack_all_fields(NULL, type);
    msgpack_packer_init(&packer, writer, write_bytes);
    msgpack_pack_map(&packer, 4u + (type->state_expiry.since != 0) + type->has_timers + (fields != 0));
    pack_number(&packer, "number", type->number);
    pack_number(&packer, "size", type->state_size);
    pack_number(&packer, "version", type->state_version);
    if (type->state_expiry.since)
        pack_number(&packer, "since", type->state_expiry.since);
    if (type->has_timers)
        pack_number(&packer, "timers", 1);
    pack_text(&packer, "slots");
    msgpack_pack_array(&packer, type->slot_count);
    for (uint32_t i = 0; i < type->slot_count; i++)
        pack_slot(&packer, &type->slots[i]);
    if (fields) {
        pack_text(&packer, "fields");
        msgpack_pack_array(&packer, fields);
        pack_all_fields(&packer, type);
    }
    return writer->size;
}

static size_t fields_size_max(const struct sfi_layouts *layouts)
{
    size_t size = 0;
    for (const struct sfi_layout *layout = layouts->stored; layout; layout = layout->older)
        size += 16 + strlen(layout->text);
    return size;
}

static size_t packed_size_max(const struct sfi_type *type)
{
    size_t size = 128 + fields_size_max(&type->layouts);
    for (uint32_t i = 0; i < type->slot_count; i++)
        size += 96 + strlen(type->slots[i].name) +
                (type->slots[i].tag ? 16 + strlen(type->slots[i].tag) : 0) +
                fields_size_max(&type->slots[i].layouts);
    return size;
}

int sfi_type_save(const struct sfi_type *type, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t capacity = packed_size_max(type);
    unsigned char *packed = sfi_alloc(batch->sys, capacity);
    if (!packed)
        return sfi_err(SF_ENOMEM, "out of memory");
    struct writer writer = {packed, 0, capacity};
    size_t size = SFI_RECORD_HEADER + pack_type(type, &writer);
    sfi_key_meta(&key, SFI_META_TYPE, type->name);
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), size);
    if (record) {
        memcpy(record + SFI_RECORD_HEADER, packed, writer.size);
        sfi_record_finish(record, size, SFI_RECORD_TYPE, sfi_key_bytes(&key));
    }
    sfi_free(batch->sys, packed);
    return record ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

int sfi_types_dirty(const struct sfi_types *types)
{
    return types->first_dirty != NULL;
}

int sfi_types_save(const struct sfi_types *types, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_type *type = types->first_dirty; type && rc == 0; type = type->next_dirty)
        rc = sfi_type_save(type, batch);
    return rc;
}

void sfi_types_saved(struct sfi_types *types)
{
    for (struct sfi_type *type = types->first_dirty; type; type = type->next_dirty)
        type->dirty = 0;
    types->first_dirty = NULL;
}

static const msgpack_object *field(const msgpack_object *map, const char *name,
                                   msgpack_object_type type)
{
    for (uint32_t i = 0; map->type == MSGPACK_OBJECT_MAP && i < map->via.map.size; i++) {
        const msgpack_object_kv *kv = &map->via.map.ptr[i];
        if (kv->key.type == MSGPACK_OBJECT_STR && kv->key.via.str.size == strlen(name) &&
            memcmp(kv->key.via.str.ptr, name, strlen(name)) == 0)
            return kv->val.type == type ? &kv->val : NULL;
    }
    return NULL;
}

static int no_slot(const struct sfi_type *type, const char *why)
{
    return sfi_err(SF_ECORRUPT, "the record of type '%s' has a slot %s", type->name, why);
}

static uint64_t number_of(const msgpack_object *slot, const char *name)
{
    const msgpack_object *number = field(slot, name, MSGPACK_OBJECT_POSITIVE_INTEGER);
    return number ? number->via.u64 : 0;
}

/* A map, or, as format 2 wrote it, the name of a value alone.  NULL: no name. */
static const msgpack_object *describe_slot(const msgpack_object *slot, struct sfi_slot_record *out)
{
    *out = (struct sfi_slot_record){.kind = SFI_SLOT_VALUE};
    if (slot->type == MSGPACK_OBJECT_STR)
        return slot;
    uint64_t kind = number_of(slot, "kind"), version = number_of(slot, "version");
    out->kind = kind < SFI_SLOT_KINDS ? (enum sfi_slot_kind)kind : 0;
    out->version = (uint32_t)version;
    out->size = number_of(slot, "size");
    out->expiry.since = number_of(slot, "since");
    return version <= UINT32_MAX ? field(slot, "name", MSGPACK_OBJECT_STR) : NULL;
}

/* Of the slot that was added last. */
static int unpack_tag(const struct sfi_sys *sys, const msgpack_object *object, struct sfi_type *type)
{
    const msgpack_object *tag = field(object, "tag", MSGPACK_OBJECT_STR);
    if (!tag)
        return 0;
    if (tag->via.str.size > SF_NAME_MAX || memchr(tag->via.str.ptr, 0, tag->via.str.size))
        return no_slot(type, "with a tag that cannot be");
    return sfi_slot_set_tag(sys, &type->slots[type->slot_count - 1],
                            SF_BYTES(tag->via.str.ptr, tag->via.str.size));
}

/* As registering would take it. */
static int unpack_slot(const struct sfi_sys *sys, const msgpack_object *object,
                       struct sfi_type *type)
{
    struct sfi_slot_record slot;
    const msgpack_object *name = describe_slot(object, &slot);
    const msgpack_object_str *text = name ? &name->via.str : NULL;
    if (!text || text->size == 0 || text->size > SF_NAME_MAX || memchr(text->ptr, 0, text->size))
        return no_slot(type, "without a name");
    if (slot.kind == 0)
        return sfi_err(SF_ENEWER, "type '%s' has a slot of a kind that this library does not know",
                       type->name);
    if (slot.size > SF_STATE_MAX)
        return no_slot(type, "with a struct that cannot be");
    for (uint32_t i = 0; i < type->slot_count; i++)
        if (strlen(type->slots[i].name) == text->size &&
            memcmp(type->slots[i].name, text->ptr, text->size) == 0)
            return sfi_err(SF_ECORRUPT, "the record of type '%s' has two slots '%s'", type->name,
                           type->slots[i].name);
    int rc = sfi_type_add_slot(sys, type, SF_BYTES(text->ptr, text->size), &slot);
    return rc < 0 ? rc : unpack_tag(sys, object, type);
}

/* [slot, version, text] */
static int unpack_layout(const struct sfi_sys *sys, const msgpack_object *object,
                         struct sfi_type *type)
{
    const msgpack_object *part = object->via.array.ptr;
    if (object->type != MSGPACK_OBJECT_ARRAY || object->via.array.size < 3 ||
        part[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER || part[0].via.u64 > type->slot_count ||
        part[1].type != MSGPACK_OBJECT_POSITIVE_INTEGER || part[1].via.u64 > UINT32_MAX ||
        part[2].type != MSGPACK_OBJECT_STR || memchr(part[2].via.str.ptr, 0, part[2].via.str.size))
        return sfi_err(SF_ECORRUPT, "the record of type '%s' has fields of nothing", type->name);
    struct sfi_layouts *layouts =
        part[0].via.u64 ? &type->slots[part[0].via.u64 - 1].layouts : &type->layouts;
    return sfi_layouts_add(sys, layouts, (uint32_t)part[1].via.u64,
                           SF_BYTES(part[2].via.str.ptr, part[2].via.str.size));
}

static int unpack_layouts(const struct sfi_sys *sys, const msgpack_object *map,
                          struct sfi_type *type)
{
    const msgpack_object *fields = field(map, "fields", MSGPACK_OBJECT_ARRAY);
    int rc = 0;
    for (uint32_t i = 0; fields && i < fields->via.array.size && rc == 0; i++)
        rc = unpack_layout(sys, &fields->via.array.ptr[i], type);
    return rc;
}

static int unpack_type(const struct sfi_sys *sys, const msgpack_object *map, struct sfi_type *type)
{
    const msgpack_object *number = field(map, "number", MSGPACK_OBJECT_POSITIVE_INTEGER);
    const msgpack_object *size = field(map, "size", MSGPACK_OBJECT_POSITIVE_INTEGER);
    const msgpack_object *version = field(map, "version", MSGPACK_OBJECT_POSITIVE_INTEGER);
    const msgpack_object *slots = field(map, "slots", MSGPACK_OBJECT_ARRAY);
    const msgpack_object *since = field(map, "since", MSGPACK_OBJECT_POSITIVE_INTEGER);
    if (!number || !size || !version || !slots || slots->via.array.size > SFI_SLOTS_MAX)
        return sfi_err(SF_ECORRUPT, "the record of type '%s' lacks a field", type->name);
    if (number->via.u64 == 0 || number->via.u64 > SF_TYPES_MAX || size->via.u64 > SF_STATE_MAX ||
        version->via.u64 > UINT32_MAX)
        return sfi_err(SF_ECORRUPT, "type '%s' has number %llu, %llu bytes in version %llu",
                       type->name, (unsigned long long)number->via.u64,
                       (unsigned long long)size->via.u64, (unsigned long long)version->via.u64);
    type->number = (uint32_t)number->via.u64;
    type->state_size = size->via.u64;
    type->state_version = version->via.u64;
    type->has_timers = number_of(map, "timers") != 0;
    type->state_expiry.since = since ? since->via.u64 : 0;
    for (uint32_t i = 0; i < slots->via.array.size; i++) {
        int rc = unpack_slot(sys, &slots->via.array.ptr[i], type);
        if (rc < 0)
            return rc;
    }
    return unpack_layouts(sys, map, type);
}

static int parse_type(const struct sfi_sys *sys, sf_bytes payload, struct sfi_type *type)
{
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return got = msgpack_unpack_next(&unpacked, payload.data, payload.size, NULL);
    int rc = got == MSGPACK_UNPACK_SUCCESS ? unpack_type(sys, &unpacked.data, type)
             : got == MSGPACK_UNPACK_NOMEM_ERROR
                 ? sfi_err(SF_ENOMEM, "out of memory")
                 : sfi_err(SF_ECORRUPT, "the record of type '%s' is no MessagePack", type->name);
    msgpack_unpacked_destroy(&unpacked);
    return rc;
}

int sfi_type_load(struct sfi_types *types, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_TYPE, &payload);
    if (rc < 0)
        return rc;
    const char *name = (const char *)key.data + 1;
    if (key.size < 2 || memchr(name, 0, key.size - 1))
        return sfi_err(SF_ECORRUPT, "a type on disk has no name");
    struct sfi_type *type = sfi_type_new(types->sys, name, key.size - 1);
    if (!type)
        return sfi_err(SF_ENOMEM, "out of memory");
    rc = sfi_type_name_check(type->name) < 0
             ? sfi_err(SF_ECORRUPT, "a type on disk is called '%.200s'", type->name)
             : parse_type(types->sys, payload, type);
    if (rc == 0)
        rc = sfi_types_place(types, type);
    if (rc < 0)
        sfi_type_free(types->sys, type);
    return rc;
}
