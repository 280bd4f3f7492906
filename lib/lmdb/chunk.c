#include "lmdb/chunk.h"

#include <string.h>

#include "base/endian.h"
#include "base/err.h"
#include "store/record.h"

enum { ENTRY_HEADER = 8, ENTRY_BYTES_MIN = 16 };

size_t sfi_chunk_put(unsigned char *chunk, size_t at, const struct sfi_op *op)
{
    sf_bytes value = sfi_op_value(op);
    size_t end = at + sfi_log_entry_size(op);
    unsigned char *out = chunk + at;
    sfi_le32_put(out, op->value_size);
    sfi_le16_put(out + 4, op->key_size);
    sfi_le16_put(out + 6, op->is_delete);
    out += ENTRY_HEADER;
    memcpy(out, op->key, op->key_size);
    out += op->key_size;
    if (value.size)
        memcpy(out, value.data, value.size);
    out += value.size;
    memset(out, 0, (size_t)(chunk + end - out));
    return end;
}

void sfi_chunk_finish(unsigned char *chunk, size_t size, uint32_t generation, uint32_t count,
                      const unsigned char key[SFI_CHUNK_KEY])
{
    sfi_le32_put(chunk + SFI_RECORD_HEADER, generation);
    sfi_le32_put(chunk + SFI_RECORD_HEADER + 4, count);
    sfi_record_finish(chunk, size, SFI_RECORD_LOG, SF_BYTES(key, SFI_CHUNK_KEY));
}

int sfi_chunk_open(sf_bytes chunk, sf_bytes key, uint32_t *out_generation, uint32_t *out_count)
{
    sf_bytes payload;
    int rc = sfi_record_open(chunk, key, SFI_RECORD_LOG, &payload);
    if (rc < 0)
        return sfi_err_in(rc, "the changelog");
    if (key.size != SFI_CHUNK_KEY || payload.size < SFI_CHUNK_HEADER - SFI_RECORD_HEADER)
        return sfi_err(SF_ECORRUPT, "a chunk of the changelog is cut short");
    *out_generation = sfi_le32_get(payload.data);
    *out_count = sfi_le32_get((const unsigned char *)payload.data + 4);
    if (*out_count > (chunk.size - SFI_CHUNK_HEADER) / ENTRY_BYTES_MIN)
        return sfi_err(SF_ECORRUPT, "a chunk of the changelog counts more entries than fit into it");
    return 0;
}

int sfi_chunk_entry(sf_bytes chunk, size_t at, struct sfi_log_entry *out)
{
    size_t left = at < chunk.size ? chunk.size - at : 0;
    if (left >= ENTRY_HEADER) {
        const unsigned char *in = (const unsigned char *)chunk.data + at;
        size_t value_size = sfi_le32_get(in), key_size = sfi_le16_get(in + 4);
        uint64_t size = (ENTRY_HEADER + key_size + (uint64_t)value_size + 7) & ~UINT64_C(7);
        if (key_size > 0 && key_size <= SFI_KEY_MAX && size <= left) {
            in += ENTRY_HEADER;
            *out = (struct sfi_log_entry){.key = SF_BYTES(in, key_size),
                                          .value = SF_BYTES(in + key_size, value_size),
                                          .is_delete = sfi_le16_get(in - 2) != 0,
                                          .end = at + (size_t)size};
            return 0;
        }
    }
    return sfi_err(SF_ECORRUPT, "an entry of the changelog does not fit into its chunk");
}
