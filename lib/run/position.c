#include "run/position.h"

#include <string.h>

#include "actor/key.h"
#include "base/err.h"
#include "store/record.h"

enum { POSITION_BYTES = SFI_RECORD_HEADER + 8 };

void sfi_positions_fini(struct sfi_positions *positions, const struct sfi_sys *sys)
{
    for (struct sfi_position *position = positions->first, *next; position; position = next) {
        next = position->next;
        sfi_free(sys, position);
    }
    positions->first = NULL;
}

static struct sfi_position *find(struct sfi_positions *positions, const char *name,
                                 uint32_t partition)
{
    struct sfi_position *position = positions->first;
    while (position && (position->partition != partition || strcmp(position->name, name) != 0))
        position = position->next;
    return position;
}

static struct sfi_position *add(struct sfi_positions *positions, const struct sfi_sys *sys,
                                const char *name, size_t size, uint32_t partition)
{
    struct sfi_position *position = sfi_zalloc(sys, sizeof *position + size + 1);
    if (!position)
        return NULL;
    memcpy(position->name, name, size);
    position->partition = partition;
    position->next = positions->first;
    positions->first = position;
    return position;
}

struct sfi_position *sfi_positions_get(struct sfi_positions *positions, const struct sfi_sys *sys,
                                       const char *name, uint32_t partition)
{
    struct sfi_position *position = find(positions, name, partition);
    return position ? position : add(positions, sys, name, strlen(name), partition);
}

int sfi_position_load(struct sfi_positions *positions, const struct sfi_sys *sys, sf_bytes key,
                      sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_SOURCE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != 8 || key.size < 6)
        return sfi_err(SF_ECORRUPT, "the record of a source has %zu bytes", payload.size);
    const unsigned char *bytes = key.data;
    struct sfi_position *position =
        add(positions, sys, (const char *)bytes + 5, key.size - 5, sfi_be32_get(bytes + 1));
    if (!position)
        return sfi_err(SF_ENOMEM, "out of memory");
    position->given = position->reached = position->sealed = position->durable = position->safe =
        sfi_le64_get(payload.data);
    return 0;
}

int sfi_positions_dirty(const struct sfi_positions *positions)
{
    for (const struct sfi_position *position = positions->first; position;
         position = position->next)
        if (position->dirty)
            return 1;
    return 0;
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
    for (const struct sfi_position *position = positions->first; position && rc == 0;
         position = position->next)
        if (position->dirty)
            rc = save(position, batch);
    return rc;
}

void sfi_positions_saved(struct sfi_positions *positions)
{
    for (struct sfi_position *position = positions->first; position; position = position->next) {
        position->sealed = position->reached;
        position->dirty = 0;
    }
}

void sfi_positions_durable(struct sfi_positions *positions)
{
    for (struct sfi_position *position = positions->first; position; position = position->next)
        position->durable = position->sealed;
}

void sfi_positions_safe(struct sfi_positions *positions)
{
    for (struct sfi_position *position = positions->first; position; position = position->next)
        position->safe = position->durable;
}
