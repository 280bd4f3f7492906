#include "run/recover.h"

#include "actor/key.h"
#include "actor/type_record.h"
#include "base/err.h"
#include "run/runtime.h"

typedef int row_reader(sf_runtime *rt, sf_bytes key, sf_bytes value);

static int for_each_row(sf_runtime *rt, enum sfi_table table, row_reader *read)
{
    struct sfi_snapshot *snapshot;
    struct sfi_key at = {.size = 0};
    sf_bytes key, value;
    int rc = sfi_snapshot_open(rt->store, &snapshot);
    if (rc < 0)
        return rc;
    at.bytes[0] = 0;
    at.size = 1;
    /* Every key but the store's own is greater than a single zero byte. */
    while ((rc = sfi_snapshot_seek(snapshot, table, sfi_key_bytes(&at), 1, &key, &value)) > 0) {
        memcpy(at.bytes, key.data, key.size);
        at.size = key.size;
        rc = read(rt, key, value);
        if (rc < 0)
            break;
    }
    sfi_snapshot_close(snapshot);
    return rc;
}

static int read_meta(sf_runtime *rt, sf_bytes key, sf_bytes value)
{
    switch (*(const unsigned char *)key.data) {
    case SFI_META_COUNTERS:
        return sfi_epoch_load(rt, key, value);
    case SFI_META_TYPE:
        return sfi_type_load(&rt->types, key, value);
    case SFI_META_SOURCE:
        return sfi_position_load(&rt->positions, key, value);
    case SFI_META_EGRESS:
        return sfi_egress_load(&rt->egresses, key, value);
    default:
        return sfi_err(SF_ENEWER, "the database holds records that this library does not know");
    }
}

static int check_types(const struct sfi_types *types)
{
    for (uint32_t i = 0; i < types->count; i++)
        if (!types->all[i])
            return sfi_err(SF_ECORRUPT, "the type with number %u is missing", i + 1);
    return 0;
}

int sfi_recover(sf_runtime *rt)
{
    sfi_mailbox_recover(&rt->mailbox, rt->store, 1, 0); /* unless counters say otherwise */
    int rc = for_each_row(rt, SFI_META, read_meta);
    return rc < 0 ? rc : check_types(&rt->types);
}
