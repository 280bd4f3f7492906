#include "actor/map_head.h"

#include <string.h>

#include "actor/collection.h"
#include "base/copy.h"
#include "base/err.h"
#include "store/key_order.h"

int sfi_map_head_at(sf_bytes head, size_t at, struct sfi_small_entry *out)
{
    const unsigned char *bytes = head.data;
    out->at = out->next = at;
    if (at >= head.size)
        return 0;
    size_t key_size = sfi_le16_get(bytes + at), size = sfi_le16_get(bytes + at + 2);
    out->key = SF_BYTES(bytes + at + 4, key_size);
    out->packed = SF_BYTES(bytes + at + 4 + key_size, size);
    out->next = at + sfi_small_entry_size(key_size, size);
    return 1;
}

static size_t first_of(sf_bytes head)
{
    return head.data ? sfi_map_head_entries(head.data) : SFI_MAP_HEAD_BYTES;
}

int sfi_map_head_find(sf_bytes head, sf_bytes key, struct sfi_small_entry *out)
{
    for (size_t at = first_of(head); sfi_map_head_at(head, at, out); at = out->next) {
        int order = sfi_key_compare(out->key, key);
        if (order >= 0)
            return order == 0;
    }
    return 0;
}

int sfi_map_head_before(sf_bytes head, sf_bytes before, struct sfi_small_entry *out)
{
    struct sfi_small_entry entry;
    int found = 0;
    for (size_t at = first_of(head); sfi_map_head_at(head, at, &entry); at = entry.next) {
        if (before.data && sfi_key_compare(entry.key, before) >= 0)
            break;
        *out = entry;
        found = 1;
    }
    return found;
}

/* -- as it comes from the disk ----------------------------------------------------------------- */

static int no_sense(const char *what)
{
    return sfi_err(SF_ECORRUPT, "the head of a map makes no sense: %s", what);
}

/* 1: an entry that lies within the head; 0: the end. */
static int check_at(sf_bytes head, size_t at, struct sfi_small_entry *out)
{
    const unsigned char *bytes = head.data;
    if (at == head.size)
        return 0;
    if (head.size - at < 4 || head.size - at < sfi_small_entry_size(sfi_le16_get(bytes + at),
                                                                    sfi_le16_get(bytes + at + 2)))
        return no_sense("an entry is cut short");
    sfi_map_head_at(head, at, out);
    struct sfi_entry entry;
    if (out->key.size > SF_KEY_MAX)
        return no_sense("a key is too long");
    int rc = sfi_entry_read(out->packed, &entry);
    return rc < 0 ? rc : 1;
}

static int check_entries(sf_bytes head)
{
    struct sfi_small_entry entry;
    sf_bytes last = SF_NONE;
    uint64_t count = 0;
    int rc;
    for (size_t at = first_of(head); (rc = check_at(head, at, &entry)) > 0; at = entry.next) {
        if (last.data && sfi_key_compare(last, entry.key) >= 0)
            return no_sense("its keys are not in order");
        last = entry.key;
        count++;
    }
    if (rc == 0 && count != sfi_map_head_count(head.data))
        return no_sense("its count is not that of its entries");
    return rc;
}

int sfi_map_head_check(sf_bytes head)
{
    if (head.size < SFI_MAP_HEAD_BYTES)
        return no_sense("it is cut short");
    uint32_t form = sfi_le32_get(head.data);
    if (form & ~(uint32_t)SFI_MAP_HEAD_OLDEST)
        return sfi_err(SF_ENEWER, "the head of a map has the form %u, which this library does not "
                                  "know", form);
    if (head.size < first_of(head) || sfi_map_head_count(head.data) == 0)
        return no_sense("it has no entries");
    if (sfi_map_head_number(head.data) == 0)
        return check_entries(head);
    return head.size == first_of(head) ? 0 : no_sense("entries follow that are in rows");
}

/* -- changed ----------------------------------------------------------------------------------- */

void sfi_map_head_move(unsigned char *head, size_t size, size_t at, size_t old_size,
                       size_t new_size)
{
    memmove(head + at + new_size, head + at + old_size, size - at - old_size);
}

unsigned char *sfi_map_head_write(unsigned char *head, size_t at, sf_bytes key, size_t packed_size)
{
    sfi_le16_put(head + at, (uint16_t)key.size);
    sfi_le16_put(head + at + 2, (uint16_t)packed_size);
    sfi_copy(head + at + 4, key.data, key.size);
    return head + at + 4 + key.size;
}
