/* hold_record.c - the reasons of a hold that outlive the process, and their row in table held. */
#include <string.h>

#include "actor/hold.h"
#include "actor/key.h"
#include "base/err.h"
#include "store/record.h"

enum { NUMBERS_BYTES = 4 + 8 + 8 + 8 + 4 + 4 };

static struct sfi_why *why_new(const struct sfi_sys *sys, sf_bytes text)
{
    size_t size = text.size < SFI_WHY_MAX ? text.size : SFI_WHY_MAX;
    struct sfi_why *why = sfi_zalloc(sys, sizeof *why + size + 1);
    if (!why)
        return NULL;
    why->size = (uint8_t)size;
    if (size)
        memcpy(why->text, text.data, size);
    return why;
}

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

/* The row as `reasons` and `why` say; without reasons it goes. */
static int put_row(const struct sfi_hold *hold, unsigned reasons, const struct sfi_why *why,
                   struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_held(&key, hold->type->number, hold->id, hold->id_size);
    if (!(reasons & SFI_HELD_STORED))
        return sfi_batch_delete(batch, SFI_HELD, sfi_key_bytes(&key)) < 0 ? no_memory() : 0;
    size_t size = SFI_RECORD_HEADER + NUMBERS_BYTES + why->size;
    unsigned char *record = sfi_batch_put(batch, SFI_HELD, sfi_key_bytes(&key), size);
    if (!record)
        return no_memory();
    unsigned char *at = record + SFI_RECORD_HEADER;
    sfi_le32_put(at, reasons & SFI_HELD_STORED);
    sfi_le64_put(at + 4, why->since_ms);
    sfi_le64_put(at + 12, why->purged_before);
    sfi_le64_put(at + 20, why->awaited.operation);
    sfi_le32_put(at + 28, why->awaited.awaited);
    sfi_le32_put(at + 32, why->awaited.kept);
    memcpy(at + NUMBERS_BYTES, why->text, why->size);
    sfi_record_finish(record, size, SFI_RECORD_HELD, sfi_key_bytes(&key));
    return 0;
}

/* The reasons become those, in memory and in the batch. */
static int set_reasons(struct sfi_holds *holds, struct sfi_batch *batch, struct sfi_hold *hold,
                       unsigned reasons, struct sfi_why *why)
{
    int rc = put_row(hold, reasons, why, batch);
    if (rc < 0)
        return rc;
    int is_stored = (reasons & SFI_HELD_STORED) != 0;
    if (hold->why != why || !is_stored) {
        sfi_free(holds->sys, hold->why);
        hold->why = is_stored ? why : NULL;
    }
    hold->reasons = (uint16_t)reasons;
    return 0;
}

int sfi_holds_pause(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                    enum sfi_reason reason, sf_bytes text)
{
    struct sfi_hold *hold = sfi_holds_get(holds, whom);
    struct sfi_why *why = hold ? why_new(holds->sys, text) : NULL;
    int rc = SF_ENOMEM;
    if (why) {
        why->since_ms = holds->sys->wall_ms(holds->sys->ctx);
        why->purged_before = hold->why ? hold->why->purged_before : 0;
        why->awaited = sfi_hold_awaited(hold);
        rc = set_reasons(holds, batch, hold, hold->reasons | (unsigned)reason, why);
    }
    if (rc == 0)
        return 0;
    sfi_free(holds->sys, why);
    if (hold)
        sfi_hold_tidy(holds, hold);
    return no_memory();
}

/* The text of a reason that stands may be the newer one. */
void sfi_holds_no_pause(struct sfi_holds *holds, const struct sfi_whom *whom,
                        enum sfi_reason reason)
{
    struct sfi_hold *hold = sfi_holds_find(holds, whom);
    hold->reasons &= (uint16_t)~reason;
    if (!(hold->reasons & SFI_HELD_STORED)) {
        sfi_free(holds->sys, hold->why);
        hold->why = NULL;
    }
    sfi_hold_tidy(holds, hold);
}

int sfi_holds_resume(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                     unsigned reasons)
{
    struct sfi_hold *hold = sfi_holds_find(holds, whom);
    if (!hold || !(hold->reasons & reasons))
        return 0;
    int rc = set_reasons(holds, batch, hold, hold->reasons & ~reasons, hold->why);
    if (rc == 0)
        sfi_hold_is_ready(holds, hold);
    return rc;
}

int sfi_hold_purge(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                   uint64_t before)
{
    struct sfi_hold *hold = sfi_holds_get(holds, whom);
    struct sfi_why *why = hold ? why_new(holds->sys, SF_NONE) : NULL;
    int rc = SF_ENOMEM;
    if (why) {
        why->since_ms = holds->sys->wall_ms(holds->sys->ctx);
        why->purged_before = before;
        rc = set_reasons(holds, batch, hold, SFI_HELD_PURGED, why);
    }
    if (rc < 0) {
        sfi_free(holds->sys, why);
        if (hold)
            sfi_hold_tidy(holds, hold);
        return no_memory();
    }
    sfi_hold_lift(holds, hold, SFI_HELD_BACKOFF);
    return 0;
}

/* -- operations -------------------------------------------------------------------------------- */

struct sfi_awaited sfi_hold_awaited(const struct sfi_hold *hold)
{
    return hold && hold->reasons & SFI_HELD_OPERATION ? hold->why->awaited
                                                      : (struct sfi_awaited){0, 0, 0};
}

static unsigned reasons_with(const struct sfi_hold *hold, const struct sfi_why *why)
{
    unsigned others = hold->reasons & ~(unsigned)SFI_HELD_OPERATION;
    return why->awaited.awaited ? others | SFI_HELD_OPERATION : others;
}

int sfi_hold_prepare(struct sfi_holds *holds, struct sfi_batch *batch, const struct sfi_whom *whom,
                     const struct sfi_awaited *to, struct sfi_hold_change *out)
{
    struct sfi_hold *hold = sfi_holds_get(holds, whom);
    const struct sfi_why *old = hold ? hold->why : NULL;
    struct sfi_why *why =
        hold ? why_new(holds->sys, old ? SF_BYTES(old->text, old->size) : SF_NONE) : NULL;
    int rc = SF_ENOMEM;
    if (why) {
        why->since_ms = old ? old->since_ms : holds->sys->wall_ms(holds->sys->ctx);
        why->purged_before = old ? old->purged_before : 0;
        why->awaited = *to;
        rc = put_row(hold, reasons_with(hold, why), why, batch);
    }
    if (rc == 0) {
        *out = (struct sfi_hold_change){hold, why};
        return 0;
    }
    sfi_free(holds->sys, why);
    if (hold)
        sfi_hold_tidy(holds, hold);
    return no_memory();
}

void sfi_hold_change(struct sfi_holds *holds, struct sfi_hold_change *change)
{
    struct sfi_hold *hold = change->hold;
    if (!hold)
        return;
    unsigned reasons = reasons_with(hold, change->why);
    int is_stored = (reasons & SFI_HELD_STORED) != 0;
    sfi_free(holds->sys, is_stored ? hold->why : change->why);
    if (!is_stored)
        sfi_free(holds->sys, hold->why);
    hold->why = is_stored ? change->why : NULL;
    hold->reasons = (uint16_t)reasons;
    *change = (struct sfi_hold_change){NULL, NULL};
    sfi_hold_is_ready(holds, hold);
}

void sfi_hold_cancel(struct sfi_holds *holds, struct sfi_hold_change *change)
{
    if (!change->hold)
        return;
    sfi_free(holds->sys, change->why);
    sfi_hold_tidy(holds, change->hold);
    *change = (struct sfi_hold_change){NULL, NULL};
}

/* -- at open ----------------------------------------------------------------------------------- */

int sfi_held_parse(sf_bytes key, sf_bytes record, struct sfi_held *out)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_HELD, &payload);
    if (rc < 0)
        return rc;
    const unsigned char *at = payload.data;
    if (payload.size < NUMBERS_BYTES || payload.size > NUMBERS_BYTES + SFI_WHY_MAX)
        return sfi_err(SF_ECORRUPT, "why an actor is held is a record of %zu bytes", payload.size);
    *out = (struct sfi_held){.reasons = sfi_le32_get(at),
                             .since_ms = sfi_le64_get(at + 4),
                             .purged_before = sfi_le64_get(at + 12),
                             .awaited = {sfi_le64_get(at + 20), sfi_le32_get(at + 28),
                                         sfi_le32_get(at + 32)},
                             .text = SF_BYTES(at + NUMBERS_BYTES, payload.size - NUMBERS_BYTES)};
    if (out->reasons & ~(uint32_t)SFI_HELD_STORED)
        return sfi_err(SF_ENEWER,
                       "an actor is held for reasons %#x, which this library does not know",
                       (unsigned)out->reasons);
    if (!(out->reasons & SFI_HELD_OPERATION) != !out->awaited.awaited)
        return sfi_err(SF_ECORRUPT, "an actor awaits %u answers of an operation, and is held for %#x",
                       (unsigned)out->awaited.awaited, (unsigned)out->reasons);
    return out->reasons ? 0 : sfi_err(SF_ECORRUPT, "an actor is held for no reason");
}

int sfi_whom_parse(const struct sfi_types *types, const struct sfi_hash_key *hash_key, sf_bytes key,
                   struct sfi_whom *out)
{
    const unsigned char *at = key.data;
    if (key.size < 5 || key.size != 5 + (size_t)at[4])
        return sfi_err(SF_ECORRUPT, "what is held has a key of %zu bytes", key.size);
    struct sfi_type *type = sfi_types_number(types, sfi_be32_get(at));
    if (!type)
        return sfi_err(SF_ECORRUPT, "what is held names a type that does not exist");
    *out = (struct sfi_whom){.type = type, .id = (const char *)at + 5, .id_size = at[4]};
    out->hash = sfi_hash(hash_key, type->number, out->id, out->id_size);
    return 0;
}

int sfi_holds_load(struct sfi_holds *holds, const struct sfi_types *types,
                   const struct sfi_hash_key *hash_key, sf_bytes key, sf_bytes record)
{
    struct sfi_whom whom;
    struct sfi_held held;
    int rc = sfi_held_parse(key, record, &held);
    if (rc == 0)
        rc = sfi_whom_parse(types, hash_key, key, &whom);
    if (rc < 0)
        return rc;
    struct sfi_hold *hold = sfi_holds_get(holds, &whom);
    struct sfi_why *why = hold ? why_new(holds->sys, held.text) : NULL;
    if (!why)
        return no_memory(); /* the runtime is not opened, and all is dropped */
    why->since_ms = held.since_ms;
    why->purged_before = held.purged_before;
    why->awaited = held.awaited;
    hold->why = why;
    hold->reasons = (uint16_t)held.reasons;
    sfi_hold_is_ready(holds, hold);
    return 0;
}
