#include "store/record.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/endian.h"
#include "base/err.h"

/* A kind that is not written yet has no version. */
static const unsigned char newest_versions[SFI_RECORD_KINDS] = {
    [SFI_RECORD_FORMAT] = 1,   [SFI_RECORD_TYPE] = 1,  [SFI_RECORD_SOURCE] = 1,
    [SFI_RECORD_EGRESS] = 2,   [SFI_RECORD_COUNTERS] = 2, [SFI_RECORD_STATE] = 1,
    [SFI_RECORD_VALUE] = 1,    [SFI_RECORD_MESSAGE] = 2, [SFI_RECORD_OUTBOX] = 2,
    [SFI_RECORD_DEAD] = 2,     [SFI_RECORD_LOG] = 1,   [SFI_RECORD_HELD] = 1,
    [SFI_RECORD_TIMER] = 1,    [SFI_RECORD_STATE_AT] = 1, [SFI_RECORD_VALUE_AT] = 1,
    [SFI_RECORD_ENTRY] = 1,    [SFI_RECORD_PROMISE] = 1, [SFI_RECORD_MAP] = 1,
    [SFI_RECORD_LIST] = 1,     [SFI_RECORD_OPERATION] = 1, [SFI_RECORD_KEPT] = 1};

enum { FLAGS_KNOWN = 0 };

unsigned sfi_record_newest(enum sfi_record_kind kind)
{
    return (unsigned)kind < SFI_RECORD_KINDS ? newest_versions[kind] : 0;
}

/* Chained rather than streamed: two short hashes cost less than one streaming state, and the border
 * between key and record cannot move unnoticed. */
static uint32_t record_checksum(const unsigned char *record, size_t size, sf_bytes key)
{
    XXH64_hash_t seed = XXH3_64bits(key.data, key.size);
    return (uint32_t)XXH3_64bits_withSeed(record + 4, size - 4, seed);
}

void sfi_record_finish_as(void *record, size_t size, enum sfi_record_kind kind, unsigned version,
                          unsigned flags, sf_bytes key)
{
    unsigned char *out = record;
    out[4] = (unsigned char)version;
    out[5] = (unsigned char)kind;
    sfi_le16_put(out + 6, (uint16_t)flags);
    sfi_le32_put(out, record_checksum(out, size, key));
}

void sfi_record_finish(void *record, size_t size, enum sfi_record_kind kind, sf_bytes key)
{
    sfi_record_finish_as(record, size, kind, sfi_record_newest(kind), 0, key);
}

/* Whole, as the checksum says: is it what was asked for, and of a layout that is known? */
static int check_header(const unsigned char *in, enum sfi_record_kind kind)
{
    unsigned newest = sfi_record_newest(kind), flags = sfi_le16_get(in + 6);
    if (in[5] != kind && in[5] != 0 && sfi_record_newest((enum sfi_record_kind)in[5]) == 0)
        return sfi_err(SF_ENEWER, "a stored record is of kind %d, which this library does not know",
                       in[5]);
    if (in[5] != kind || in[4] == 0)
        return sfi_err(SF_ECORRUPT, "a stored record is of kind %d, expected %d", in[5], kind);
    if (in[4] > newest)
        return sfi_err(SF_ENEWER,
                       "a stored record of kind %d has version %d, this library knows up to %u",
                       kind, in[4], newest);
    if (flags & ~(unsigned)FLAGS_KNOWN)
        return sfi_err(SF_ENEWER,
                       "a stored record of kind %d has flags %#x, which this library does not know",
                       kind, flags);
    return 0;
}

int sfi_record_open(sf_bytes record, sf_bytes key, enum sfi_record_kind kind, sf_bytes *out_payload)
{
    const unsigned char *in = record.data;
    if (record.size < SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "a stored record has %zu bytes, at least %d belong to it",
                       record.size, SFI_RECORD_HEADER);
    if (sfi_le32_get(in) != record_checksum(in, record.size, key))
        return sfi_err(SF_ECORRUPT, "a stored record of kind %d does not match its checksum", kind);
    int rc = check_header(in, kind);
    if (rc < 0)
        return rc;
    *out_payload = SF_BYTES(in + SFI_RECORD_HEADER, record.size - SFI_RECORD_HEADER);
    return 0;
}
