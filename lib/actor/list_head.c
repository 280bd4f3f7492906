#include "actor/list_head.h"

#include "base/copy.h"
#include "base/err.h"
#include "store/record.h"

static const size_t fields[] = {
    offsetof(struct sfi_list_head, first),  offsetof(struct sfi_list_head, next),
    offsetof(struct sfi_list_head, number), offsetof(struct sfi_list_head, row),
    offsetof(struct sfi_list_head, edge),   offsetof(struct sfi_list_head, rows_end)};

enum { FIELDS = sizeof fields / sizeof *fields };

_Static_assert(4 + 8 * FIELDS == SFI_LIST_HEAD_BYTES, "all fields and the form");

void sfi_list_head_get(const void *data, struct sfi_list_head *out)
{
    *out = (struct sfi_list_head){1, 1, 0, 1, 1, 1};
    for (size_t i = 0; data && i < FIELDS; i++)
        *(uint64_t *)((char *)out + fields[i]) =
            sfi_le64_get((const unsigned char *)data + 4 + 8 * i);
}

void sfi_list_head_set(void *data, const struct sfi_list_head *head)
{
    sfi_le32_put(data, 0);
    for (size_t i = 0; i < FIELDS; i++)
        sfi_le64_put((unsigned char *)data + 4 + 8 * i,
                     *(const uint64_t *)((const char *)head + fields[i]));
}

/* -- elements ---------------------------------------------------------------------------------- */

static size_t size_at(sf_bytes packed, size_t at)
{
    return 4 + (size_t)sfi_le32_get((const unsigned char *)packed.data + at);
}

size_t sfi_elements_before(const struct sfi_elements *elements, uint64_t number)
{
    size_t at = 0;
    for (uint64_t i = elements->first; i < number; i++)
        at += size_at(elements->packed, at);
    return at;
}

void sfi_elements_get(const struct sfi_elements *elements, uint64_t number, struct sfi_entry *out)
{
    size_t at = sfi_elements_before(elements, number);
    const unsigned char *bytes = (const unsigned char *)elements->packed.data + at;
    sfi_entry_read(SF_BYTES(bytes + 4, size_at(elements->packed, at) - 4), out);
}

void sfi_element_write(const struct sfi_entry *entry, unsigned char *out)
{
    sfi_le32_put(out, (uint32_t)sfi_entry_size(entry));
    sfi_entry_write(entry, out + 4);
}

struct sfi_elements sfi_list_head_elements(sf_bytes data)
{
    struct sfi_list_head head;
    sfi_list_head_get(data.data, &head);
    if (!data.data)
        return (struct sfi_elements){SF_NONE, head.rows_end, head.next};
    const unsigned char *bytes = data.data;
    return (struct sfi_elements){
        SF_BYTES(bytes + SFI_LIST_HEAD_BYTES, data.size - SFI_LIST_HEAD_BYTES), head.rows_end,
        head.next};
}

int sfi_list_row_put(struct sfi_batch *batch, sf_bytes key, sf_bytes packed)
{
    size_t size = SFI_RECORD_HEADER + packed.size;
    unsigned char *record = sfi_batch_put(batch, SFI_ENTRY, key, size);
    if (!record)
        return sfi_err(SF_ENOMEM, "out of memory");
    sfi_copy(record + SFI_RECORD_HEADER, packed.data, packed.size);
    sfi_record_finish(record, size, SFI_RECORD_ENTRY, key);
    return 0;
}

/* -- as they come from the disk ---------------------------------------------------------------- */

static int no_sense(const char *what)
{
    return sfi_err(SF_ECORRUPT, "a list makes no sense: %s", what);
}

/* Whole elements; *count of them. */
static int count_elements(sf_bytes packed, uint64_t *count)
{
    struct sfi_entry entry;
    *count = 0;
    for (size_t at = 0; at < packed.size; at += size_at(packed, at)) {
        if (packed.size - at < 4 || packed.size - at < size_at(packed, at))
            return no_sense("an element is cut short");
        const unsigned char *bytes = (const unsigned char *)packed.data + at;
        int rc = sfi_entry_read(SF_BYTES(bytes + 4, size_at(packed, at) - 4), &entry);
        if (rc < 0)
            return rc;
        ++*count;
    }
    return 0;
}

static int check_numbers(const struct sfi_list_head *head)
{
    if (head->first == 0 || head->first >= head->next || head->rows_end > head->next)
        return no_sense("its numbers contradict each other");
    if (head->number == 0)
        return head->row == head->first && head->edge == head->first &&
                       head->rows_end == head->first
                   ? 0
                   : no_sense("it has no rows and says where they are");
    return head->row && head->row <= head->first && head->first < head->edge &&
                   head->edge <= head->rows_end
               ? 0
               : no_sense("its rows are where they cannot be");
}

int sfi_list_head_check(sf_bytes data)
{
    struct sfi_list_head head;
    uint64_t count;
    if (data.size < SFI_LIST_HEAD_BYTES)
        return no_sense("its head is cut short");
    if (sfi_le32_get(data.data) != 0)
        return sfi_err(SF_ENEWER, "the head of a list has the form %u, which this library does not "
                                  "know", sfi_le32_get(data.data));
    sfi_list_head_get(data.data, &head);
    struct sfi_elements elements = sfi_list_head_elements(data);
    int rc = check_numbers(&head);
    if (rc == 0)
        rc = count_elements(elements.packed, &count);
    if (rc == 0 && count != elements.end - elements.first)
        rc = no_sense("its count is not that of its elements");
    return rc;
}

int sfi_list_row_open(sf_bytes key, sf_bytes record, struct sfi_elements *out)
{
    uint64_t count;
    int rc = sfi_record_open(record, key, SFI_RECORD_ENTRY, &out->packed);
    if (rc == 0 && key.size != 17)
        rc = no_sense("a row has a key that is no number");
    if (rc == 0)
        rc = count_elements(out->packed, &count);
    if (rc < 0)
        return rc;
    out->first = sfi_be64_get((const unsigned char *)key.data + 9);
    out->end = out->first + count;
    return count ? 0 : no_sense("a row is empty");
}
