#include "actor/value_record.h"

#include <string.h>

#include "actor/expiry.h"
#include "base/copy.h"
#include "base/endian.h"
#include "base/err.h"
#include "store/record.h"

int sfi_value_open(sf_bytes key, sf_bytes record, uint64_t *touched, sf_bytes *bytes)
{
    int is_at = sfi_record_kind(record) == SFI_RECORD_VALUE_AT;
    size_t front = is_at ? 8 : 0;
    sf_bytes payload;
    int rc = sfi_record_open(record, key, is_at ? SFI_RECORD_VALUE_AT : SFI_RECORD_VALUE, &payload);
    if (rc < 0)
        return rc;
    if (payload.size < front)
        return sfi_err(SF_ECORRUPT, "a value is cut short");
    *touched = is_at ? sfi_le64_get(payload.data) : SFI_TOUCHED_UNKNOWN;
    *bytes = SF_BYTES((const unsigned char *)payload.data + front, payload.size - front);
    return 0;
}

int sfi_value_put(struct sfi_batch *batch, sf_bytes key, const uint64_t *touched, sf_bytes bytes)
{
    size_t front = touched ? 8 : 0, size = SFI_RECORD_HEADER + front + bytes.size;
    unsigned char *record = sfi_batch_put(batch, SFI_STATE, key, size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    if (touched)
        sfi_le64_put(record + SFI_RECORD_HEADER, *touched);
    sfi_copy(record + SFI_RECORD_HEADER + front, bytes.data, bytes.size);
    sfi_record_finish(record, size, touched ? SFI_RECORD_VALUE_AT : SFI_RECORD_VALUE, key);
    return 0;
}
