#include "store/record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/endian.h"
#include "base/err.h"

/* Chained rather than streamed: two short hashes cost less than one streaming state, and the border
 * between key and record cannot move unnoticed. */
static uint32_t record_checksum(const unsigned char *record, size_t size, sf_bytes key)
{
    XXH64_hash_t seed = XXH3_64bits(key.data, key.size);
    return (uint32_t)XXH3_64bits_withSeed(record + 4, size - 4, seed);
}

void sfi_record_finish(void *record, size_t size, enum sfi_record_kind kind, sf_bytes key)
{
    unsigned char *out = record;
    out[4] = SFI_RECORD_VERSION;
    out[5] = (unsigned char)kind;
    sfi_le16_put(out + 6, 0);
    sfi_le32_put(out, record_checksum(out, size, key));
}

int sfi_record_open(sf_bytes record, sf_bytes key, enum sfi_record_kind kind, sf_bytes *out_payload)
{
    const unsigned char *in = record.data;
    if (record.size < SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "a stored record has %zu bytes, at least %d belong to it",
                       record.size, SFI_RECORD_HEADER);
    if (sfi_le32_get(in) != record_checksum(in, record.size, key))
        return sfi_err(SF_ECORRUPT, "a stored record of kind %d does not match its checksum", kind);
    if (in[4] > SFI_RECORD_VERSION)
        return sfi_err(SF_ENEWER, "a stored record has format %d, this library knows up to %d",
                       in[4], SFI_RECORD_VERSION);
    if (in[4] == 0 || in[5] != kind || sfi_le16_get(in + 6) != 0)
        return sfi_err(SF_ECORRUPT, "a stored record is of kind %d, expected %d", in[5], kind);
    *out_payload = SF_BYTES(in + SFI_RECORD_HEADER, record.size - SFI_RECORD_HEADER);
    return 0;
}
