/* counters.c - next sequences and counts: one row of table meta, written with every epoch.
 *
 * They are stored, never derived from what a table holds (rows come and go, numbers only rise).  After
 * sealing every message has its row, so `count` is the number of rows. */
#include "actor/key.h"
#include "base/err.h"
#include "run/part.h"
#include "run/runtime.h"
#include "store/record.h"

enum { COUNTERS_BYTES = SFI_RECORD_HEADER + 24 };

static int save(sf_runtime *rt, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_meta(&key, SFI_META_COUNTERS, "");
    unsigned char *record = sfi_batch_put(batch, SFI_META, sfi_key_bytes(&key), COUNTERS_BYTES);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_le64_put(record + SFI_RECORD_HEADER, rt->mailbox.next_sequence);
    sfi_le64_put(record + SFI_RECORD_HEADER + 8, rt->epoch.next_dead);
    sfi_le64_put(record + SFI_RECORD_HEADER + 16, rt->mailbox.count);
    sfi_record_finish(record, COUNTERS_BYTES, SFI_RECORD_COUNTERS, sfi_key_bytes(&key));
    return 0;
}

static int load(sf_runtime *rt, sf_bytes key, sf_bytes record)
{
    sf_bytes payload;
    int rc = sfi_record_open(record, key, SFI_RECORD_COUNTERS, &payload);
    if (rc < 0)
        return rc;
    if (payload.size != COUNTERS_BYTES - SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "the record of counters has %zu bytes", payload.size);
    const unsigned char *at = payload.data;
    sfi_mailbox_recover(&rt->mailbox, rt->store, sfi_le64_get(at), sfi_le64_get(at + 16));
    rt->epoch.next_dead = sfi_le64_get(at + 8);
    return 0;
}

const struct sfi_part sfi_part_counters = {
    .name = "counters", .save = save, .meta = SFI_META_COUNTERS, .load = load};
