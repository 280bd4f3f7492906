#include "actor/operation_record.h"

#include <string.h>

#include "base/err.h"
#include "store/record.h"

enum {
    IS_PROMISE = 1,
    IS_AWAITED = 2,
    REQUEST_ABSENT = 4,
    FLAGS_KNOWN = IS_PROMISE | IS_AWAITED | REQUEST_ABSENT,

    HEAD_BYTES = 1 + 8 + 8,
    ADDRESS_BYTES = 4 + 1
};

static int no_memory(void)
{
    return sfi_err(SF_ENOMEM, "out of memory");
}

static unsigned char *put_address(unsigned char *at, uint32_t type, sf_bytes id)
{
    sfi_le32_put(at, type);
    at[4] = (unsigned char)id.size;
    sfi_copy(at + ADDRESS_BYTES, id.data, id.size);
    return at + ADDRESS_BYTES + id.size;
}

static unsigned flags_of(const struct sfi_operation_row *row)
{
    return (row->is_promise ? IS_PROMISE : 0u) | (row->is_awaited ? IS_AWAITED : 0u) |
           (row->request.data ? 0u : REQUEST_ABSENT);
}

int sfi_operation_save(uint64_t id, const struct sfi_operation_row *row, struct sfi_batch *batch)
{
    struct sfi_key key;
    size_t size = SFI_RECORD_HEADER + HEAD_BYTES + ADDRESS_BYTES + row->owner_id.size +
                  ADDRESS_BYTES + row->from_id.size + 1 + row->kind.size + row->request.size;
    sfi_key_async(&key, id);
    unsigned char *record = sfi_batch_put(batch, SFI_ASYNC, sfi_key_bytes(&key), size);
    if (!record)
        return no_memory();
    unsigned char *at = record + SFI_RECORD_HEADER;
    at[0] = (unsigned char)flags_of(row);
    sfi_le64_put(at + 1, row->until_ms);
    sfi_le64_put(at + 9, row->ask);
    at = put_address(at + HEAD_BYTES, row->owner_type, row->owner_id);
    at = put_address(at, row->from_type, row->from_id);
    *at++ = (unsigned char)row->kind.size;
    sfi_copy(at, row->kind.data, row->kind.size);
    sfi_copy(at + row->kind.size, row->request.data, row->request.size);
    sfi_record_finish(record, size, SFI_RECORD_OPERATION, sfi_key_bytes(&key));
    return 0;
}

int sfi_operation_erase(uint64_t id, struct sfi_batch *batch)
{
    struct sfi_key key;
    sfi_key_async(&key, id);
    return sfi_batch_delete(batch, SFI_ASYNC, sfi_key_bytes(&key)) < 0 ? no_memory() : 0;
}

int sfi_kept_erase(uint64_t first, uint32_t count, struct sfi_batch *batch)
{
    struct sfi_key key;
    for (uint32_t i = 0; i < count; i++) {
        sfi_key_kept(&key, first, i);
        if (sfi_batch_delete(batch, SFI_ASYNC, sfi_key_bytes(&key)) < 0)
            return no_memory();
    }
    return 0;
}

/* The next `size` bytes of what is left; a NULL in it says that there were not so many. */
static sf_bytes take(sf_bytes *left, size_t size)
{
    const unsigned char *at = left->data;
    if (!at || left->size < size) {
        left->data = NULL;
        return SF_NONE;
    }
    *left = SF_BYTES(at + size, left->size - size);
    return SF_BYTES(at, size);
}

static sf_bytes take_address(sf_bytes *left, uint32_t *type)
{
    sf_bytes head = take(left, ADDRESS_BYTES);
    if (!head.data)
        return SF_NONE;
    *type = sfi_le32_get(head.data);
    return take(left, ((const unsigned char *)head.data)[4]);
}

int sfi_operation_parse(sf_bytes key, sf_bytes record, struct sfi_operation_row *out)
{
    sf_bytes left, head;
    int rc = sfi_record_open(record, key, SFI_RECORD_OPERATION, &left);
    if (rc < 0)
        return rc;
    *out = (struct sfi_operation_row){0};
    head = take(&left, HEAD_BYTES);
    out->owner_id = take_address(&left, &out->owner_type);
    out->from_id = take_address(&left, &out->from_type);
    sf_bytes size = take(&left, 1);
    out->kind = take(&left, size.data ? *(const unsigned char *)size.data : 0);
    if (!left.data || !head.data || out->owner_type == 0 || out->owner_id.size == 0)
        return sfi_err(SF_ECORRUPT, "an operation on disk is cut short");
    unsigned flags = *(const unsigned char *)head.data;
    if (flags & ~(unsigned)FLAGS_KNOWN)
        return sfi_err(SF_ENEWER,
                       "an operation on disk has flags %#x, which this library does not know",
                       flags);
    out->until_ms = sfi_le64_get((const unsigned char *)head.data + 1);
    out->ask = sfi_le64_get((const unsigned char *)head.data + 9);
    out->is_promise = (flags & IS_PROMISE) != 0;
    out->is_awaited = (flags & IS_AWAITED) != 0;
    out->request = flags & REQUEST_ABSENT ? SF_NONE : left;
    return 0;
}
