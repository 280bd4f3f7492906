#include "run/recover.h"

#include "actor/key.h"
#include "run/part.h"
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

int sfi_recover(sf_runtime *rt)
{
    sfi_mailbox_recover(&rt->mailbox, rt->store, 1, 0, 0); /* unless counters say otherwise */
    int rc = for_each_row(rt, SFI_META, sfi_parts_load);
    return rc < 0 ? rc : sfi_parts_loaded(rt);
}
