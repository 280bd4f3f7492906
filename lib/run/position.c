#include "run/position.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

enum { POSITION_BYTES = SFI_RECORD_HEADER + 8 };

void sfi_positions_init(struct sfi_positions *positions, const struct sfi_sys *sys)
{
    *positions = (struct sfi_positions){.sys = sys};
    positions->key.low = sys->random(sys->ctx);
    positions->key.high = sys->random(sys->ctx);
    sfi_lookup_init(&positions->all, sys);
}

void sfi_positions_fini(struct sfi_positions *positions)
{
    for (uint32_t i = 0; i < positions->all.capacity; i++)
        sfi_free(positions->sys, positions->all.places[i].thing);
    sfi_lookup_fini(&positions->all);
    *positions = (struct sfi_positions){.sys = positions->sys};
}

static uint64_t hash_of(const struct sfi_positions *positions, const char *name, size_t size,
                        uint32_t partition)
{
    return sfi_hash(&positions->key, partition, name, size);
}

static struct sfi_position *find(const struct sfi_positions *positions, const char *name,
                                 uint32_t partition)
{
    struct sfi_position *position;
    uint64_t hash = hash_of(positions, name, strlen(name), partition);
    for (uint32_t at = 0; (position = sfi_lookup_next(&positions->all, hash, &at));)
        if (position->partition == partition && strcmp(position->name, name) == 0)
            return position;
    return NULL;
}

static struct sfi_position *add(struct sfi_positions *positions, const char *name, size_t size,
                                uint32_t partition)
{
    struct sfi_position *position = sfi_zalloc(positions->sys, sizeof *position + size + 1);
    if (!position || sfi_lookup_reserve(&positions->all) < 0) {
        sfi_free(positions->sys, position);
        return NULL;
    }
    memcpy(position->name, name, size);
    position->partition = partition;
    sfi_lookup_add(&positions->all, hash_of(positions, name, size, partition), position);
    return position;
}

int sfi_positions_get(struct sfi_positions *positions, const char *name, uint32_t partition,
                      struct sfi_position **out)
{
    *out = find(positions, name, partition);
    if (*out)
        return 0;
    if (positions->all.count == SF_PARTITIONS_MAX)
        return sfi_err(SF_EINVAL, "source '%s': a database has at most %d partitions of sources",
                       name, SF_PARTITIONS_MAX);
    *out = add(positions, name, strlen(name), partition);
    return *out ? 0 : sfi_err(SF_ENOMEM, "out of memory");
}

int sfi_position_load(struct sfi_positions *positions, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_SOURCE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != 8 || key.size < 6)
        return sfi_err(SF_ECORRUPT, "the record of a source has %zu bytes", payload.size);
    const unsigned char *bytes = key.data;
    struct sfi_position *position =
        add(positions, (const char *)bytes + 5, key.size - 5, sfi_be32_get(bytes + 1));
    if (!position)
        return sfi_err(SF_ENOMEM, "out of memory");
    position->given = position->reached = position->sealed = position->durable = position->safe =
        sfi_le64_get(payload.data);
    return 0;
}

void sfi_position_reached(struct sfi_positions *positions, struct sfi_position *position,
                          uint64_t reached)
{
    position->reached = reached;
    positions->dirty_count += !position->dirty;
    position->dirty = 1;
    if (position->is_moving)
        return;
    position->is_moving = 1;
    position->next_moving = positions->first_moving;
    positions->first_moving = position;
}

int sfi_positions_dirty(const struct sfi_positions *positions)
{
    return positions->dirty_count != 0;
}

static int save(const struct sfi_position *position, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_source(&key, position->partition, position->name);
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), POSITION_BYTES);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, position->reached);
    sfi_record_finish(record, POSITION_BYTES, SFI_RECORD_SOURCE, sfi_key_bytes(&key));
    return 0;
}

int sfi_positions_save(const struct sfi_positions *positions, struct sfi_batch *batch)
{
    int rc = 0;
    for (const struct sfi_position *position = positions->first_moving; position && rc == 0;
         position = position->next_moving)
        if (position->dirty)
            rc = save(position, batch);
    return rc;
}

void sfi_positions_saved(struct sfi_positions *positions)
{
    for (struct sfi_position *position = positions->first_moving; position;
         position = position->next_moving) {
        position->sealed = position->reached;
        position->dirty = 0;
    }
    positions->dirty_count = 0;
}

void sfi_positions_durable(struct sfi_positions *positions)
{
    for (struct sfi_position *position = positions->first_moving; position;
         position = position->next_moving)
        position->durable = position->sealed;
}

void sfi_positions_safe(struct sfi_positions *positions)
{
    struct sfi_position **link = &positions->first_moving;
    for (struct sfi_position *position; (position = *link);) {
        position->safe = position->durable;
        position->is_moving = position->safe != position->reached;
        if (position->is_moving)
            link = &position->next_moving;
        else
            *link = position->next_moving;
    }
}

/* -- as a part of the runtime ----------------------------------------------------------------------- */

static int part_dirty(sf_runtime *rt)
{
    return sfi_positions_dirty(&rt->positions);
}

static int part_save(sf_runtime *rt, struct sfi_batch *batch)
{
    return sfi_positions_save(&rt->positions, batch);
}

static void part_saved(sf_runtime *rt, uint64_t epoch)
{
    (void)epoch;
    sfi_positions_saved(&rt->positions);
}

static void part_durable(sf_runtime *rt)
{
    sfi_positions_durable(&rt->positions);
}

static void part_safe(sf_runtime *rt)
{
    sfi_positions_safe(&rt->positions);
}

static int part_load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    return sfi_position_load(&rt->positions, key, record);
}

const struct sfi_part sfi_part_positions = {.name = "positions",
                                            .dirty = part_dirty,
                                            .save = part_save,
                                            .saved = part_saved,
                                            .durable = part_durable,
                                            .safe = part_safe,
                                            .meta = SFI_META_SOURCE,
                                            .load = part_load};
