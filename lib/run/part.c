#include "run/part.h"

#include "actor/key.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/runtime.h"

/* -- parts of the room `actor` ----------------------------------------------------------------------- */

static int types_dirty(sf_runtime *rt)
{
    return sfi_types_dirty(&rt->types);
}

static int types_save(sf_runtime *rt, struct sfi_batch *batch)
{
    return sfi_types_save(&rt->types, batch);
}

static void types_saved(sf_runtime *rt, uint64_t epoch)
{
    (void)epoch;
    sfi_types_saved(&rt->types);
}

static int types_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    return sfi_type_load(&rt->types, key, record);
}

static int types_loaded(sf_runtime *rt)
{
    for (uint32_t i = 0; i < rt->types.count; i++)
        if (!rt->types.all[i])
            return sfi_err(SF_ECORRUPT, "the type with number %u is missing", i + 1);
    return 0;
}

static const struct sfi_part types = {.name = "types",
                                      .dirty = types_dirty,
                                      .save = types_save,
                                      .saved = types_saved,
                                      .meta = SFI_META_TYPE,
                                      .load = types_load,
                                      .loaded = types_loaded};

static int actors_dirty(sf_runtime *rt)
{
    return rt->actors.dirty_count != 0;
}

static void actors_weigh(const sf_runtime *rt, struct sfi_weight *weight)
{
    weight->rows += rt->actors.dirty_count + rt->actors.dirty_rows;
    weight->bytes += rt->actors.dirty_bytes;
    weight->full |= sfi_actors_are_full(&rt->actors);
}

static int actors_save(sf_runtime *rt, struct sfi_batch *batch)
{
    return sfi_actors_save(&rt->actors, batch);
}

static void actors_saved(sf_runtime *rt, uint64_t epoch)
{
    sfi_actors_cleaned(&rt->actors, epoch);
}

static const struct sfi_part actors = {.name = "actors",
                                       .dirty = actors_dirty,
                                       .weigh = actors_weigh,
                                       .save = actors_save,
                                       .saved = actors_saved};

static int mailbox_dirty(sf_runtime *rt)
{
    return sfi_mailbox_dirty(&rt->mailbox);
}

static void mailbox_weigh(const sf_runtime *rt, struct sfi_weight *weight)
{
    weight->rows += sfi_mailbox_unsaved_count(&rt->mailbox) + rt->mailbox.handled_count;
    weight->bytes += rt->mailbox.unsaved_bytes;
    weight->full |= sfi_mailbox_is_full(&rt->mailbox);
}

static int mailbox_save(sf_runtime *rt, struct sfi_batch *batch)
{
    return sfi_mailbox_save(&rt->mailbox, batch);
}

static void mailbox_saved(sf_runtime *rt, uint64_t epoch)
{
    (void)epoch;
    sfi_mailbox_saved(&rt->mailbox);
}

static void mailbox_published(sf_runtime *rt)
{
    sfi_mailbox_published(&rt->mailbox);
}

static uint64_t mailbox_due(sf_runtime *rt)
{
    const struct sfi_heap_node *backoff = sfi_heap_first(&rt->mailbox.holds.backoffs);
    return backoff ? backoff->due : 0;
}

static void mailbox_wake(sf_runtime *rt, uint64_t now_ns)
{
    sfi_mailbox_wake(&rt->mailbox, now_ns);
}

static int mailbox_ready(sf_runtime *rt, uint64_t now_ns)
{
    uint64_t due_ns = mailbox_due(rt);
    return sfi_mailbox_is_ready(&rt->mailbox) || (due_ns && due_ns <= now_ns);
}

static int mailbox_loaded(sf_runtime *rt)
{
    return sfi_mailbox_load_holds(&rt->mailbox);
}

static const struct sfi_part mailbox = {.name = "mailbox",
                                        .dirty = mailbox_dirty,
                                        .weigh = mailbox_weigh,
                                        .save = mailbox_save,
                                        .saved = mailbox_saved,
                                        .published = mailbox_published,
                                        .due = mailbox_due,
                                        .wake = mailbox_wake,
                                        .ready = mailbox_ready,
                                        .loaded = mailbox_loaded};

/* -- the table --------------------------------------------------------------------------------------- */

/* The counters come last: they are saved with every epoch, as the others leave them. */
static const struct sfi_part *const parts[] = {
    &types, &actors, &mailbox, &sfi_part_positions, &sfi_part_delivery, &sfi_part_inbox,
    &sfi_part_tickets, &sfi_part_asks, &sfi_part_upkeep, &sfi_part_dead, &sfi_part_fire, &sfi_part_keys,
    &sfi_part_gleaner, &sfi_part_reclaim, &sfi_part_operations,
    &sfi_part_counters};

#define FOR_EACH_PART(part, entry)                                                                 \
    for (size_t i_ = 0; i_ < sizeof parts / sizeof *parts; i_++)                                   \
        for (const struct sfi_part *part = parts[i_]; part && part->entry; part = NULL)

int sfi_parts_dirty(sf_runtime *rt)
{
    FOR_EACH_PART(part, dirty)
        if (part->dirty(rt))
            return 1;
    return 0;
}

struct sfi_weight sfi_parts_weight(const sf_runtime *rt)
{
    struct sfi_weight weight = {0, 0, 0};
    FOR_EACH_PART(part, weigh)
        part->weigh(rt, &weight);
    return weight;
}

int sfi_parts_save(sf_runtime *rt, struct sfi_batch *batch)
{
    FOR_EACH_PART(part, save) {
        int rc = part->save(rt, batch);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void sfi_parts_saved(sf_runtime *rt, uint64_t epoch)
{
    FOR_EACH_PART(part, saved)
        part->saved(rt, epoch);
}

void sfi_parts_durable(sf_runtime *rt)
{
    FOR_EACH_PART(part, durable)
        part->durable(rt);
}

void sfi_parts_safe(sf_runtime *rt)
{
    FOR_EACH_PART(part, safe)
        part->safe(rt);
}

void sfi_parts_published(sf_runtime *rt)
{
    FOR_EACH_PART(part, published)
        part->published(rt);
}

uint64_t sfi_parts_due(sf_runtime *rt)
{
    uint64_t first_ns = 0;
    FOR_EACH_PART(part, due) {
        uint64_t due_ns = part->due(rt);
        if (due_ns && (first_ns == 0 || due_ns < first_ns))
            first_ns = due_ns;
    }
    return first_ns;
}

void sfi_parts_wake(sf_runtime *rt, uint64_t now_ns)
{
    FOR_EACH_PART(part, wake)
        part->wake(rt, now_ns);
}

int sfi_parts_ready(sf_runtime *rt, uint64_t now_ns)
{
    FOR_EACH_PART(part, ready)
        if (part->ready(rt, now_ns))
            return 1;
    return 0;
}

int sfi_parts_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    FOR_EACH_PART(part, load)
        if (part->meta == *(const unsigned char *)key.data)
            return part->load(rt, key, record);
    return sfi_err(SF_ENEWER, "the database holds records that this library does not know");
}

int sfi_parts_loaded(sf_runtime *rt)
{
    FOR_EACH_PART(part, loaded) {
        int rc = part->loaded(rt);
        if (rc < 0)
            return rc;
    }
    return 0;
}
