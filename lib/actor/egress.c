#include "actor/egress.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "store/record.h"

enum {
    TRIM_MAX = 8192 /* rows deleted in one epoch */,
    COUNTERS_BYTES = SFI_RECORD_HEADER + 4 + 3 * 8
};

void sfi_egresses_init(struct sfi_egresses *egresses, const struct sfi_sys *sys)
{
    *egresses = (struct sfi_egresses){.sys = sys};
}

void sfi_egresses_fini(struct sfi_egresses *egresses)
{
    for (struct sfi_egress *egress = egresses->first, *next; egress; egress = next) {
        next = egress->next_egress;
        sfi_free(egresses->sys, egress);
    }
    *egresses = (struct sfi_egresses){.sys = egresses->sys};
}

struct sfi_egress *sfi_egresses_find(const struct sfi_egresses *egresses, const char *name)
{
    for (struct sfi_egress *egress = egresses->first; egress; egress = egress->next_egress)
        if (egress->registered_name == name)
            return egress;
    for (struct sfi_egress *egress = egresses->first; egress; egress = egress->next_egress)
        if (strcmp(egress->name, name) == 0)
            return egress;
    return NULL;
}

struct sfi_egress *sfi_egresses_add(struct sfi_egresses *egresses, const char *name, size_t size)
{
    struct sfi_egress *egress = sfi_zalloc(egresses->sys, sizeof *egress + size + 1);
    if (!egress)
        return NULL;
    memcpy(egress->name, name, size);
    egress->number = ++egresses->count;
    egress->next = 1;
    egress->dirty = 1;
    egress->next_egress = egresses->first;
    egresses->first = egress;
    return egress;
}

/* -- rows: from type:4, id size:1, id, kind size:2, kind, body ------------------------------------- */

int sfi_egress_put(const struct sfi_egress *egress, struct sfi_batch *batch,
                   const struct sfi_actor *from, const char *kind, size_t kind_size, sf_bytes body)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + 5 + from->id_size + 2 + kind_size + body.size;
    sfi_key_outbox(&key, egress->number, egress->next);
    unsigned char *record = sfi_batch_put(batch, SFI_OUTBOX, sfi_key_bytes(&key), size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    unsigned char *at = record + SFI_RECORD_HEADER;
    sfi_le32_put(at, from->type->number);
    at[4] = from->id_size;
    memcpy(at + 5, from->id, from->id_size);
    at += 5 + from->id_size;
    sfi_le16_put(at, (uint16_t)kind_size);
    memcpy(at + 2, kind, kind_size);
    if (body.size)
        memcpy(at + 2 + kind_size, body.data, body.size);
    sfi_record_finish(record, size, SFI_RECORD_OUTBOX, sfi_key_bytes(&key));
    return 0;
}

static int cut_short(const struct sfi_egress *egress)
{
    return sfi_err(SF_ECORRUPT, "a record of egress '%s' is cut short", egress->name);
}

int sfi_egress_read(const struct sfi_egress *egress, sf_bytes key, sf_bytes record,
                    struct sfi_types *types, struct sfi_arena *arena, sf_message *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_OUTBOX, &payload);
    if (rc < 0)
        return rc;
    const unsigned char *at = payload.data;
    if (payload.size < 7 || payload.size < 7u + at[4])
        return cut_short(egress);
    size_t id_size = at[4], kind_size = sfi_le16_get(at + 5 + id_size),
           head = 7 + id_size + kind_size;
    struct sfi_type *type = sfi_types_number(types, sfi_le32_get(at));
    if (payload.size < head || !type)
        return cut_short(egress);
    const char *id = sfi_arena_copy(arena, at + 5, id_size);
    const char *kind = sfi_arena_copy(arena, at + 7 + id_size, kind_size);
    void *body = sfi_arena_copy(arena, at + head, payload.size - head);
    if (!id || !kind || !body)
        return sfi_err(SF_ENOMEM, "out of memory");
    *out = (sf_message){.from = {type->registered ? type->desc.name : type->name, id, id_size},
                        .to = {NULL, "", 0},
                        .kind = kind,
                        .body = {body, payload.size - head},
                        .attempt = 1,
                        .sequence = sfi_be64_get((const unsigned char *)key.data + 4),
                        .reason = ""};
    return 0;
}

/* -- counters ------------------------------------------------------------------------------------- */

static uint64_t trim_to(const struct sfi_egress *egress)
{
    uint64_t most = egress->trimmed + TRIM_MAX;
    return egress->acked < most ? egress->acked : most;
}

static int save_counters(const struct sfi_egress *egress, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_EGRESS, egress->name);
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), COUNTERS_BYTES);
    if (!record)
        return SF_ENOMEM;
    unsigned char *at = record + SFI_RECORD_HEADER;
    sfi_le32_put(at, egress->number);
    sfi_le64_put(at + 4, egress->next);
    sfi_le64_put(at + 12, egress->acked);
    sfi_le64_put(at + 20, trim_to(egress));
    sfi_record_finish(record, COUNTERS_BYTES, SFI_RECORD_EGRESS, sfi_key_bytes(&key));
    return 0;
}

static int trim(const struct sfi_egress *egress, struct sfi_batch *batch)
{
    struct sfi_key key;
    int rc = 0;
    for (uint64_t s = egress->trimmed + 1; s <= trim_to(egress) && rc == 0; s++) {
        sfi_key_outbox(&key, egress->number, s);
        rc = sfi_batch_delete(batch, SFI_OUTBOX, sfi_key_bytes(&key));
    }
    return rc;
}

static int is_dirty(const struct sfi_egress *egress)
{
    return egress->dirty || egress->trimmed < egress->acked;
}

int sfi_egresses_dirty(const struct sfi_egresses *egresses)
{
    for (const struct sfi_egress *egress = egresses->first; egress; egress = egress->next_egress)
        if (is_dirty(egress))
            return 1;
    return 0;
}

int sfi_egresses_save(const struct sfi_egresses *egresses, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_egress *e = egresses->first; e && rc == 0; e = e->next_egress) {
        if (is_dirty(e))
            rc = save_counters(e, batch);
        if (rc == 0)
            rc = trim(e, batch);
    }
    return rc < 0 ? sfi_err(SF_ENOMEM, "out of memory") : 0;
}

void sfi_egresses_saved(struct sfi_egresses *egresses)
{
    for (struct sfi_egress *egress = egresses->first; egress; egress = egress->next_egress) {
        egress->trimmed = trim_to(egress);
        egress->sealed = egress->next - 1;
        egress->dirty = 0;
    }
}

int sfi_egress_load(struct sfi_egresses *egresses, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_EGRESS, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != COUNTERS_BYTES - SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "the record of an egress has %zu bytes", payload.size);
    struct sfi_egress *egress =
        sfi_egresses_add(egresses, (const char *)key.data + 1, key.size - 1);
    if (!egress)
        return sfi_err(SF_ENOMEM, "out of memory");
    const unsigned char *at = payload.data;
    egress->number = sfi_le32_get(at);
    egress->next = sfi_le64_get(at + 4);
    egress->acked = egress->delivered = sfi_le64_get(at + 12);
    egress->trimmed = sfi_le64_get(at + 20);
    egress->sealed = egress->durable = egress->safe = egress->next - 1;
    egress->dirty = 0;
    return 0;
}
