#include "run/list.h"

#include <string.h>

#include "actor/key.h"
#include "actor/list_head.h"
#include "base/err.h"
#include "run/list_time.h"
#include "run/runtime.h"

enum { ROW_BYTES = 64 };

int sfi_list_open(struct sfi_list *list, struct sfi_work *work, struct sfi_actor *actor,
                  uint16_t number)
{
    *list = (struct sfi_list){
        .work = work, .actor = actor, .expiry = *sfi_type_expiry(actor->type, number)};
    int rc = sfi_actor_load_slot(&work->rt->actors, work->rt->store, actor, number, &list->slot);
    return rc < 0 ? sfi_work_unreadable(work, rc) : 0;
}

static struct sfi_list_head head_of(const struct sfi_list *list)
{
    struct sfi_list_head head;
    sfi_list_head_get(list->slot->data, &head);
    return head;
}

static struct sfi_elements in_head(const struct sfi_list *list)
{
    return sfi_list_head_elements(SF_BYTES(list->slot->data, list->slot->size));
}

uint64_t sfi_list_count(const struct sfi_list *list)
{
    struct sfi_list_head head = head_of(list);
    uint64_t first = head.first;
    if (list->expiry.after_ms && sfi_list_find_living(list, UINT32_MAX, &first) < 0)
        return 0;
    return head.next - first;
}

/* -- rows -------------------------------------------------------------------------------------- */

static void key_of(struct sfi_key *out, uint64_t number, uint64_t element)
{
    unsigned char name[8];
    sfi_be64_put(name, element);
    sfi_key_entry(out, number, SF_BYTES(name, sizeof name));
}

static int put_row(const struct sfi_list *list, const struct sfi_list_head *head, sf_bytes packed)
{
    struct sfi_key key;
    int rc = sfi_work_count_row(list->work);
    if (rc < 0)
        return rc;
    key_of(&key, head->number, head->rows_end);
    if (sfi_list_row_put(sfi_work_batch(list->work), sfi_key_bytes(&key), packed) < 0)
        return sfi_work_no_memory(list->work);
    return 0;
}

/* So many elements of the head, which take so many bytes, become the last row. */
static int flush(const struct sfi_list *list, struct sfi_list_head *head, uint64_t count,
                 size_t size)
{
    struct sfi_elements elements = in_head(list);
    if (count == 0)
        return 0;
    int is_first = head->number == 0;
    if (is_first)
        head->number = list->work->rt->epoch.counters.next_number++;
    int rc = put_row(list, head, SF_BYTES(elements.packed.data, size));
    if (rc < 0)
        return rc;
    unsigned char *bytes =
        sfi_work_edit_slot(list->work, list->actor, list->slot, list->slot->size);
    if (!bytes)
        return SF_ENOMEM;
    size_t rest = list->slot->size - SFI_LIST_HEAD_BYTES - size;
    memmove(bytes + SFI_LIST_HEAD_BYTES, bytes + SFI_LIST_HEAD_BYTES + size, rest);
    sfi_work_size_slot(list->work, list->slot, SFI_LIST_HEAD_BYTES + rest);
    head->rows_end += count;
    if (is_first)
        head->edge = head->rows_end;
    sfi_list_head_set(bytes, head);
    return 0;
}

/* -- append ------------------------------------------------------------------------------------ */

/* Its oldest elements, until they make a row. */
static int flush_half(const struct sfi_list *list, struct sfi_list_head *head)
{
    struct sfi_elements elements = in_head(list);
    uint64_t number = elements.first;
    size_t size = 0;
    while (size < SFI_LIST_ROW_BYTES && number < elements.end)
        size = sfi_elements_before(&elements, ++number);
    return flush(list, head, number - elements.first, size);
}

static int add_to_head(const struct sfi_list *list, struct sfi_list_head *head,
                       const struct sfi_entry *entry)
{
    size_t size = list->slot->data ? list->slot->size : SFI_LIST_HEAD_BYTES;
    size_t more = sfi_element_size(entry);
    unsigned char *bytes = sfi_work_edit_slot(list->work, list->actor, list->slot, size + more);
    if (!bytes)
        return SF_ENOMEM;
    sfi_element_write(entry, bytes + size);
    head->next++;
    sfi_list_head_set(bytes, head);
    sfi_work_size_slot(list->work, list->slot, size + more);
    return 0;
}

static int append(const struct sfi_list *list, const struct sfi_entry *entry)
{
    struct sfi_list_head head = head_of(list);
    size_t packed = in_head(list).packed.size, more = sfi_element_size(entry);
    int rc = sfi_work_charge(list->work, more + ROW_BYTES), is_large = more > SFI_LIST_ROW_BYTES;
    sfi_scans_note(list->work, list->slot);
    if (rc == 0 && is_large)
        rc = flush(list, &head, head.next - head.rows_end, packed);
    else if (rc == 0 && packed + more > SFI_LIST_HEAD_MAX)
        rc = flush_half(list, &head);
    if (rc == 0)
        rc = add_to_head(list, &head, entry);
    return rc == 0 && is_large ? flush(list, &head, 1, more) : rc;
}

int sfi_list_append(const struct sfi_list *list, const struct sfi_entry *entry)
{
    struct sfi_entry stamped = *entry;
    uint64_t rows_end = head_of(list).rows_end;
    int rc = sfi_list_stamp(list, &stamped);
    if (rc == 0)
        rc = append(list, &stamped);
    if (rc < 0 || !list->expiry.after_ms)
        return rc;
    struct sfi_list_head head = head_of(list);
    if (head.number == 0 || head.rows_end != rows_end)
        rc = sfi_list_reclaim(list, SFI_LIST_RECLAIM);
    return rc < 0 ? rc : 0;
}

/* -- trim -------------------------------------------------------------------------------------- */

/* The key of the first row past that one; or where the rows end. */
static int row_after(const struct sfi_list *list, const struct sfi_list_head *head, uint64_t row,
                     uint64_t *out)
{
    struct sfi_key key;
    sf_bytes found, record;
    struct sfi_rows rows = sfi_work_rows(list->work);
    key_of(&key, head->number, row);
    int rc = sfi_rows_seek(&rows, SFI_ENTRY, sfi_key_bytes(&key), 1, &found, &record);
    *out = head->rows_end;
    if (rc < 0)
        return sfi_work_unreadable(list->work, rc);
    if (rc > 0 && found.size == 17 && memcmp(found.data, key.bytes, 9) == 0)
        *out = sfi_be64_get((const unsigned char *)found.data + 9);
    return 0;
}

/* The key of the row that has this element. */
static int row_with(const struct sfi_list *list, const struct sfi_list_head *head, uint64_t element,
                    uint64_t *out)
{
    struct sfi_key key;
    sf_bytes found, record;
    struct sfi_rows rows = sfi_work_rows(list->work);
    key_of(&key, head->number, element + 1);
    int rc = sfi_rows_seek_before(&rows, SFI_ENTRY, sfi_key_bytes(&key), &found, &record);
    if (rc >= 0 && (rc == 0 || found.size != 17 || memcmp(found.data, key.bytes, 9) != 0))
        rc = sfi_err(SF_ECORRUPT, "a row of a list is missing");
    if (rc < 0)
        return sfi_work_unreadable(list->work, rc);
    *out = sfi_be64_get((const unsigned char *)found.data + 9);
    return 0;
}

static int delete_row(const struct sfi_list *list, const struct sfi_list_head *head)
{
    struct sfi_key key;
    int rc = sfi_work_count_row(list->work);
    if (rc < 0)
        return rc;
    key_of(&key, head->number, head->row);
    return sfi_batch_delete(sfi_work_batch(list->work), SFI_ENTRY, sfi_key_bytes(&key)) < 0
               ? sfi_work_no_memory(list->work)
               : 0;
}

static int promise(const struct sfi_list *list, uint64_t number, uint64_t before)
{
    struct sfi_promise promise = {number, before};
    return sfi_promise_put(sfi_work_batch(list->work), &promise) < 0
               ? sfi_work_no_memory(list->work)
               : 0;
}

/* Rows that are over since `first` rose go; there is one with `first`. */
static int leave_rows(const struct sfi_list *list, struct sfi_list_head *head)
{
    int rc = 0;
    for (int i = 0; i < SFI_TRIM_ROWS && rc == 0 && head->edge <= head->first; i++) {
        rc = delete_row(list, head);
        head->row = head->edge;
        if (rc == 0)
            rc = row_after(list, head, head->row, &head->edge);
    }
    if (rc < 0 || head->edge > head->first)
        return rc;
    rc = row_with(list, head, head->first, &head->row);
    if (rc == 0)
        rc = row_after(list, head, head->row, &head->edge);
    return rc < 0 ? rc : promise(list, head->number, head->row);
}

/* No row is needed any more; the elements before `first` leave the head. */
static int leave_all_rows(const struct sfi_list *list, struct sfi_list_head *head)
{
    struct sfi_elements elements = in_head(list);
    size_t over = sfi_elements_before(&elements, head->first);
    int rc = head->number ? promise(list, head->number, SFI_PROMISE_ALL) : 0;
    unsigned char *bytes =
        rc < 0 ? NULL
               : sfi_work_edit_slot(list->work, list->actor, list->slot, list->slot->size);
    if (!bytes)
        return SF_ENOMEM;
    size_t rest = list->slot->size - SFI_LIST_HEAD_BYTES - over;
    memmove(bytes + SFI_LIST_HEAD_BYTES, bytes + SFI_LIST_HEAD_BYTES + over, rest);
    sfi_work_size_slot(list->work, list->slot, SFI_LIST_HEAD_BYTES + rest);
    head->number = 0;
    head->row = head->edge = head->rows_end = head->first;
    return 0;
}

static int save_head(const struct sfi_list *list, const struct sfi_list_head *head)
{
    unsigned char *bytes =
        sfi_work_edit_slot(list->work, list->actor, list->slot, list->slot->size);
    if (bytes)
        sfi_list_head_set(bytes, head);
    return bytes ? 0 : SF_ENOMEM;
}

int sfi_list_trim(const struct sfi_list *list, uint64_t keep)
{
    struct sfi_list_head head = head_of(list);
    int rc = sfi_work_charge(list->work, ROW_BYTES);
    sfi_scans_note(list->work, list->slot);
    if (rc < 0 || keep >= head.next - head.first)
        return rc;
    if (keep == 0)
        return sfi_list_clear(list);
    head.first = head.next - keep;
    if (head.first >= head.rows_end)
        rc = leave_all_rows(list, &head);
    else if (head.edge <= head.first)
        rc = leave_rows(list, &head);
    return rc < 0 ? rc : save_head(list, &head);
}

int sfi_list_clear(const struct sfi_list *list)
{
    uint64_t number = sfi_slot_rows(list->slot);
    int rc = number ? promise(list, number, SFI_PROMISE_ALL) : 0;
    if (rc < 0 || !list->slot->data)
        return rc;
    sfi_scans_end(list->work, list->actor, list->slot);
    return sfi_work_set_slot(list->work, list->actor, list->slot, NULL, 0);
}

/* -- walks ------------------------------------------------------------------------------------- */

struct row_walk {
    sfi_list_take *take;
    void *ctx;
    uint64_t number, at; /* of the list; the next element */
    uint64_t first;      /* of the list: what lies before it in its row is over */
    int is_backward, is_over;
};

/* Those of `elements` that the walk comes to. */
static int take_elements(struct row_walk *walk, const struct sfi_elements *elements)
{
    struct sfi_entry entry;
    int rc = 1;
    while (rc > 0 && walk->at >= elements->first && walk->at < elements->end &&
           walk->at >= walk->first) {
        sfi_elements_get(elements, walk->at, &entry);
        rc = walk->take(walk->ctx, walk->at, &entry);
        walk->at += walk->is_backward ? -1 : 1;
    }
    walk->is_over = rc <= 0;
    return rc > 0 && walk->at < walk->first ? 0 : rc; /* rows before that one are garbage */
}

static int take_row(void *ctx, sf_bytes key, sf_bytes record)
{
    struct row_walk *walk = ctx;
    struct sfi_elements elements;
    const unsigned char *bytes = key.data;
    if (key.size != 17 || sfi_be64_get(bytes) != walk->number || bytes[8] != SFI_ENTRY_BY_KEY)
        return 0;
    int rc = sfi_list_row_open(key, record, &elements);
    if (rc < 0)
        return rc;
    if (walk->at < elements.first || walk->at >= elements.end)
        return sfi_err(SF_ECORRUPT, "a row of a list is missing");
    return take_elements(walk, &elements);
}

/* Rows from the one with `walk->at` on. */
static int walk_rows(const struct sfi_list *list, const struct sfi_list_head *head,
                     struct row_walk *walk)
{
    struct sfi_key key;
    struct sfi_rows rows = sfi_work_rows(list->work);
    struct sfi_place place = {.is_backward = walk->is_backward};
    uint64_t row = walk->at + 1; /* backward: before the row past it */
    int rc = walk->is_backward ? 0 : row_with(list, head, walk->at, &row);
    if (rc < 0)
        return rc;
    key_of(&key, head->number, row);
    place.key = sfi_key_bytes(&key);
    rc = sfi_rows_walk(&rows, SFI_ENTRY, &place, take_row, walk);
    return rc < 0 ? sfi_work_unreadable(list->work, rc) : 0;
}

int sfi_list_walk_all(const struct sfi_list *list, uint64_t number, int is_backward,
                      sfi_list_take *take, void *ctx)
{
    struct sfi_list_head head = head_of(list);
    struct sfi_elements elements = in_head(list);
    struct row_walk walk = {take, ctx, head.number, number, head.first, is_backward, 0};
    if (is_backward && walk.at >= head.next)
        walk.at = head.next - 1;
    if (!is_backward && walk.at < head.first)
        walk.at = head.first;
    if (is_backward && walk.at >= head.rows_end)
        take_elements(&walk, &elements);
    int rc = 0;
    if (!walk.is_over && walk.at < head.rows_end && walk.at >= head.first)
        rc = walk_rows(list, &head, &walk);
    if (rc == 0 && !walk.is_over && walk.at < head.rows_end && walk.at >= head.first)
        rc = sfi_work_unreadable(list->work, sfi_err(SF_ECORRUPT, "rows of a list are missing"));
    if (rc == 0 && !walk.is_over && !is_backward && walk.at >= head.rows_end)
        take_elements(&walk, &elements);
    return rc;
}

struct living_walk {
    const struct sfi_list *list;
    sfi_list_take *take;
    void *ctx;
    int is_backward;
};

/* What comes before one that is over is over too. */
static int take_living(void *ctx, uint64_t number, const struct sfi_entry *entry)
{
    const struct living_walk *walk = ctx;
    if (sfi_list_is_over(walk->list, entry))
        return !walk->is_backward;
    return walk->take(walk->ctx, number, entry);
}

int sfi_list_walk(const struct sfi_list *list, uint64_t number, int is_backward,
                  sfi_list_take *take,
                  void *ctx)
{
    struct living_walk walk = {list, take, ctx, is_backward};
    return list->expiry.after_ms
               ? sfi_list_walk_all(list, number, is_backward, take_living, &walk)
               : sfi_list_walk_all(list, number, is_backward, take, ctx);
}
