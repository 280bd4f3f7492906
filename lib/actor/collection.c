#include "actor/collection.h"

#include <string.h>

#include "actor/key.h"
#include "actor/list_head.h"
#include "actor/map_head.h"
#include "base/err.h"
#include "store/record.h"

enum { PROMISE_BYTES = 9 /* form:1 before:8 */ };

/* -- entries ----------------------------------------------------------------------------------- */

void sfi_entry_write(const struct sfi_entry *entry, unsigned char *out)
{
    sfi_le32_put(out, entry->form);
    sfi_le32_put(out + 4, entry->version);
    out += SFI_ENTRY_HEADER;
    if (entry->form & SFI_ENTRY_TOUCHED) {
        sfi_le64_put(out, entry->touched);
        out += 8;
    }
    sfi_copy(out, entry->bytes.data, entry->bytes.size);
}

int sfi_entry_read(sf_bytes packed, struct sfi_entry *out)
{
    const unsigned char *at = packed.data;
    if (packed.size < SFI_ENTRY_HEADER)
        return sfi_err(SF_ECORRUPT, "an entry has %zu bytes", packed.size);
    *out = (struct sfi_entry){.form = sfi_le32_get(at), .version = sfi_le32_get(at + 4)};
    if (out->form & ~(uint32_t)SFI_ENTRY_FORMS)
        return sfi_err(SF_ENEWER, "an entry has the form %u, which this library does not know",
                       out->form);
    size_t head = sfi_entry_size(out);
    if (packed.size < head)
        return sfi_err(SF_ECORRUPT, "an entry is cut short");
    if (out->form & SFI_ENTRY_TOUCHED)
        out->touched = sfi_le64_get(at + SFI_ENTRY_HEADER);
    out->bytes = SF_BYTES(at + head, packed.size - head);
    return 0;
}

int sfi_entry_check(const char *type_name, const struct sfi_binding *binding,
                    const struct sfi_layouts *layouts, const struct sfi_entry *entry)
{
    const sf_slot *desc = &binding->desc;
    if (desc->struct_size == 0)
        return 0;
    if (entry->version == desc->struct_version && entry->bytes.size == desc->struct_size)
        return 0;
    if (entry->version < desc->struct_version && (desc->struct_migrate || layouts->today))
        return 1;
    return sfi_err(entry->version > desc->struct_version ? SF_ENEWER : SF_ECORRUPT,
                   "slot '%s' of '%s': a struct has %zu bytes in version %u, this is %u",
                   desc->name, type_name, entry->bytes.size, entry->version, desc->struct_version);
}

int sfi_entry_migrate(const char *type_name, const struct sfi_binding *binding,
                      const struct sfi_layouts *layouts, const struct sfi_entry *entry, void *fresh)
{
    const sf_slot *desc = &binding->desc;
    char who[SFI_WHO_MAX];
    struct sfi_shape shape = sfi_slot_shape(type_name, desc, who);
    if (!desc->struct_migrate)
        return sfi_layouts_carry(layouts, &shape, entry->version, entry->bytes, fresh);
    if (!desc->struct_migrate(entry->version, entry->bytes, fresh))
        return 0;
    return sfi_err(SF_EFAILED, "slot '%s' of '%s': struct_migrate refused version %u", desc->name,
                   type_name, entry->version);
}

static int put_record(struct sfi_batch *batch, enum sfi_record_kind kind, sf_bytes key,
                      sf_bytes payload)
{
    size_t size = SFI_RECORD_HEADER + payload.size;
    unsigned char *record = sfi_batch_put(batch, SFI_ENTRY, key, size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    memcpy(record + SFI_RECORD_HEADER, payload.data, payload.size);
    sfi_record_finish(record, size, kind, key);
    return 0;
}

int sfi_entry_put(struct sfi_batch *batch, sf_bytes key, const struct sfi_entry *entry)
{
    size_t size = SFI_RECORD_HEADER + sfi_entry_size(entry);
    unsigned char *record = sfi_batch_put(batch, SFI_ENTRY, key, size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_entry_write(entry, record + SFI_RECORD_HEADER);
    sfi_record_finish(record, size, SFI_RECORD_ENTRY, key);
    return 0;
}

int sfi_entry_open(sf_bytes key, sf_bytes record, struct sfi_entry *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_ENTRY, &payload);
    return rc < 0 ? rc : sfi_entry_read(payload, out);
}

/* -- promises ---------------------------------------------------------------------------------- */

int sfi_promise_put(struct sfi_batch *batch, const struct sfi_promise *promise)
{
    struct sfi_key key;
    unsigned char payload[PROMISE_BYTES];
    sfi_key_promise(&key, promise->number);
    payload[0] = 0;
    sfi_le64_put(payload + 1, promise->before);
    return put_record(batch, SFI_RECORD_PROMISE, sfi_key_bytes(&key),
                      SF_BYTES(payload, sizeof payload));
}

int sfi_promise_open(sf_bytes key, sf_bytes record, struct sfi_promise *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_PROMISE, &payload);
    if (rc < 0)
        return rc;
    if (key.size != 16 || payload.size != PROMISE_BYTES)
        return sfi_err(SF_ECORRUPT, "a promise has %zu bytes", payload.size);
    const unsigned char *bytes = payload.data;
    if (bytes[0])
        return sfi_err(SF_ENEWER, "a promise has the form %u, which this library does not know",
                       bytes[0]);
    out->number = sfi_be64_get((const unsigned char *)key.data + 8);
    out->before = sfi_le64_get(bytes + 1);
    if (out->number == 0 || out->before == 0)
        return sfi_err(SF_ECORRUPT, "a promise makes no sense");
    return 0;
}

/* -- all of an actor --------------------------------------------------------------------------- */

enum sfi_slot_kind sfi_slot_kind_of(const struct sfi_type *type, uint16_t number)
{
    return type->slots && number - 1u < type->slot_count ? type->slots[number - 1].kind
                                                         : SFI_SLOT_VALUE;
}

uint64_t sfi_slot_rows(const struct sfi_slot *slot)
{
    if (!slot->data || slot->kind == SFI_SLOT_VALUE)
        return 0;
    return slot->kind == SFI_SLOT_MAP ? sfi_map_head_number(slot->data)
                                      : sfi_list_head_number(slot->data);
}

static int drop(struct sfi_actors *actors, struct sfi_store *store, struct sfi_actor *actor,
                uint16_t number, struct sfi_batch *batch)
{
    struct sfi_slot *slot;
    int rc = sfi_actor_load_slot(actors, store, actor, number, &slot);
    if (rc < 0)
        return rc == SF_ECORRUPT ? 0 : rc;
    struct sfi_promise promise = {sfi_slot_rows(slot), SFI_PROMISE_ALL};
    return promise.number ? sfi_promise_put(batch, &promise) : 0;
}

int sfi_collections_drop(struct sfi_actors *actors, struct sfi_store *store,
                         struct sfi_actor *actor,
                         struct sfi_batch *batch)
{
    const struct sfi_type *type = actor->type;
    int rc = 0;
    for (uint32_t i = 0; i < type->slot_count && rc == 0; i++)
        if (type->slots && type->slots[i].kind != SFI_SLOT_VALUE)
            rc = drop(actors, store, actor, (uint16_t)(i + 1), batch);
    return rc;
}
